//! `beaconwatch webhook preview`: what a webhook would send, without sending it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use beaconwatch_sidecar::destinations::{
    BuiltInTemplate, Document, PreviewTemplate, preview, sample_document,
};
use serde_json::Value;

use super::alerts;
use crate::arguments::{PreviewArguments, WebhookArguments, WebhookCommand};
use crate::error::Error;
use crate::output::{json, text, to_stdout};

/// Most bytes of a document.
const MAX_BYTES: u64 = 4 << 20;

pub(crate) fn run(arguments: WebhookArguments, config: Option<&Path>) -> Result<(), Error> {
    match arguments.command {
        WebhookCommand::Preview(preview) if preview.list => list(),
        WebhookCommand::Preview(preview) => show(&preview, config),
    }
}

fn list() -> Result<(), Error> {
    to_stdout(|out| {
        for template in BuiltInTemplate::ALL {
            write!(out, "{:<10} {}", template.name(), template.description())?;
            let required = template.required_variables().iter();
            let optional = template.optional_variables().iter();
            let names = required
                .map(|name| format!("variables.{name}"))
                .chain(optional.map(|name| format!("variables.{name} (optional)")));
            let names: Vec<String> = names.collect();
            if !names.is_empty() {
                write!(out, "; {}", names.join(", "))?;
            }
            writeln!(out)?;
        }
        Ok(())
    })?;
    Ok(())
}

fn show(arguments: &PreviewArguments, config: Option<&Path>) -> Result<(), Error> {
    let document = document(arguments, config)?;
    let template = match (&arguments.template_file, arguments.template) {
        (Some(path), _) if arguments.text => PreviewTemplate::TextFile(path),
        (Some(path), _) => PreviewTemplate::JsonFile(path),
        (None, Some(template)) => PreviewTemplate::BuiltIn(template),
        (None, None) => return list(),
    };
    let variables = arguments.variables.iter().cloned().collect();
    let body = preview(template, &variables, &document)?;
    to_stdout(|out| match serde_json::from_str::<Value>(&body) {
        Ok(value) if !arguments.text => json::pretty(out, &value),
        _ => writeln!(out, "{}", text::harmless_lines(&body)),
    })?;
    Ok(())
}

/// The document that was asked for.
fn document(arguments: &PreviewArguments, config: Option<&Path>) -> Result<Document, Error> {
    let mut sample = sample_document(arguments.sample.into());
    let value = match (&arguments.document, &arguments.finding) {
        (Some(path), _) => read(path)?,
        (None, Some(id)) => alerts::document(id, &arguments.instance, config)?,
        (None, None) => return Ok(sample),
    };
    let id = value.pointer("/event/id").and_then(Value::as_str);
    id.unwrap_or("no-event-id").clone_into(&mut sample.event_id);
    sample.body = value.to_string();
    Ok(sample)
}

/// A document from a file; of a file of lines the first.
fn read(path: &Path) -> Result<Value, Error> {
    let wrong = |problem: String| Error::in_file(path, problem);
    let mut text = String::new();
    let file = File::open(path).map_err(|error| Error::in_file(path, error))?;
    file.take(MAX_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| Error::in_file(path, error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(wrong(format!("more than {MAX_BYTES} bytes")));
    }
    let mut values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value @ Value::Object(_))) => Ok(value),
        Some(Ok(_)) => Err(wrong("JSON but no object, expected a document".to_owned())),
        Some(Err(error)) => Err(wrong(format!("no JSON: {error}"))),
        None => Err(wrong("empty, expected a document".to_owned())),
    }
}
