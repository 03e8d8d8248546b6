//! Bodies of webhooks from templates (Jinja).
//!
//! # Contract
//! - A template sees the fields of the document by their names (`source.ip`), the whole as `document`, its id
//!   as `event_id`, and of a batch all as `documents`. What a document does not have is empty.
//! - When the content type is JSON, every value that is printed is printed as JSON (text with its quotes and
//!   escapes): nothing in a document can end a string or begin a field. Text is put together before it is
//!   printed: `{{ "Beacon from " ~ source.ip }}`.
//! - What comes out is checked to be JSON when it shall be.
//! - A template reads no files and includes none. It is tried on sample documents when it is read.
//!
//! # Limits
//! [`FUEL`] steps, [`MAX_BYTES`] of a template's file, [`MAX_BODY_BYTES`] of what it makes.

mod samples;

use std::io::{self, Write};
use std::path::Path;

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use crate::fields::Fields;
use crate::{BuildError, Document};

/// Most bytes of a template.
const MAX_BYTES: u64 = 1 << 20;
/// Most bytes that a template makes.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Most steps of a template for one body.
const FUEL: u64 = 2_000_000;
const NAME: &str = "body";

/// A template for bodies.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    json: bool,
    batch: bool,
}

impl Template {
    /// Reads a template from its file and tries it.
    pub(crate) fn read(path: &Path, json: bool, batch: bool) -> Result<Self, BuildError> {
        use io::Read;
        let failed = |source| BuildError::File {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(failed)?;
        file.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(failed)?;
        let problem =
            |problem: String| BuildError::Client(format!("template {}: {problem}", path.display()));
        if text.len() as u64 > MAX_BYTES {
            return Err(problem(format!("more than {MAX_BYTES} bytes")));
        }
        Self::new(text, json, batch).map_err(problem)
    }

    /// Makes a template and tries it on sample documents; the problem when it has one.
    pub(crate) fn new(text: String, json: bool, batch: bool) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(move |_name| {
            if json {
                AutoEscape::Json
            } else {
                AutoEscape::None
            }
        });
        environment
            .add_template_owned(NAME, text)
            .map_err(|error| describe(&error))?;
        let template = Self {
            environment,
            json,
            batch,
        };
        for sample in samples::samples() {
            template
                .render(&[&sample])
                .map_err(|problem| format!("with a sample document: {problem}"))?;
        }
        Ok(template)
    }

    /// The body for documents; the problem when there is none.
    pub(crate) fn render(&self, documents: &[&Document]) -> Result<String, String> {
        let context = self.context(documents)?;
        let template = self.environment.get_template(NAME);
        let template = template.map_err(|error| describe(&error))?;
        let mut body = Bounded(Vec::new());
        template
            .render_captured_to(minijinja::value::Serde(&context), &mut body)
            .map_err(|error| describe(&error))?;
        let body = String::from_utf8(body.0).map_err(|error| error.to_string())?;
        if self.json {
            serde_json::from_str::<IgnoredAny>(&body)
                .map_err(|error| format!("what the template makes is no JSON: {error}"))?;
        }
        Ok(body)
    }

    fn context(&self, documents: &[&Document]) -> Result<Value, String> {
        let mut all = Vec::with_capacity(documents.len());
        for document in documents {
            all.push(Fields::read(document)?.value().clone());
        }
        if self.batch {
            return Ok(json!({ "documents": all }));
        }
        let (Some(document), Some(first)) = (documents.first(), all.first()) else {
            return Err("there is no document".to_owned());
        };
        let mut context = first.as_object().cloned().unwrap_or_else(Map::new);
        context.insert("document".to_owned(), first.clone());
        context.insert("event_id".to_owned(), json!(document.event_id));
        Ok(Value::Object(context))
    }
}

/// An error with the line and all of its causes.
fn describe(error: &minijinja::Error) -> String {
    crate::http_client::describe(error)
}

/// Takes up to [`MAX_BODY_BYTES`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BODY_BYTES {
            return Err(io::Error::other(format!(
                "the template makes more than {MAX_BODY_BYTES} bytes"
            )));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
