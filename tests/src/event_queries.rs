//! Event queries (EQL) asked of documents, by the engine that the language was published with: Elasticsearch's own module for
//! them is in no package registry.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{python, tools};

const ENGINE: &[&str] = &["eql==1.0.1", "lark==1.3.1"];

/// A query, and what it is asked of: documents by their ids.
#[derive(Clone, Debug)]
pub struct Question {
    /// The query.
    pub query: String,
    /// Ids and documents; the order among equal times is kept.
    pub documents: Vec<(String, Value)>,
}

/// What each question finds: the ids of an event, or of a sequence's events in their order. Keeps its files in `folder`.
pub fn ask(folder: &Path, questions: &[Question]) -> Result<Vec<Vec<Vec<String>>>> {
    let lines: Vec<String> = questions
        .iter()
        .map(|question| {
            let documents: Vec<Value> = question
                .documents
                .iter()
                .map(|(id, document)| json!({ "id": id, "document": document }))
                .collect();
            json!({ "query": question.query, "documents": documents }).to_string()
        })
        .collect();
    let file = folder.join("event-queries.ndjson");
    fs::write(&file, lines.join("\n")).context("writing the questions")?;
    let packages = tools::python_packages("eql", ENGINE)?;
    let printed = tools::output_of(
        python::command("event_queries.py")?
            .arg(&file)
            .env("PYTHONPATH", packages),
    )?;
    let found: Result<Vec<_>> = printed
        .lines()
        .map(|line| serde_json::from_str(line).context("what was found"))
        .collect();
    let found = found?;
    ensure!(
        found.len() == questions.len(),
        "{} answers to {} questions",
        found.len(),
        questions.len()
    );
    Ok(found)
}
