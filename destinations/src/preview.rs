//! What a webhook would send, without one.

use std::collections::BTreeMap;
use std::path::Path;

use crate::template::{BuiltInTemplate, Purpose, Template, Variable, Variables};
use crate::webhook::Body;
use crate::{BuildError, Document};

/// Whose body is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreviewTemplate<'a> {
    /// One that comes with the program. Variables that it needs and that are not given are shown as their names.
    BuiltIn(BuiltInTemplate),
    /// One in a file that makes JSON.
    JsonFile(&'a Path),
    /// One in a file that makes text.
    TextFile(&'a Path),
}

/// The body that a webhook with this template would send for a document. The template is checked as a webhook checks it.
pub fn preview(
    template: PreviewTemplate<'_>,
    variables: &BTreeMap<String, String>,
    document: &Document,
) -> Result<String, BuildError> {
    let mut given: Variables = variables
        .iter()
        .map(|(name, text)| (name.clone(), Variable::Text(text.clone())))
        .collect();
    let body = match template {
        PreviewTemplate::BuiltIn(template) => {
            for name in template.required_variables() {
                let placeholder = || Variable::Text(format!("<variables.{name}>"));
                given.entry((*name).to_owned()).or_insert_with(placeholder);
            }
            Body::built_in(template, given)?
        }
        PreviewTemplate::JsonFile(path) => {
            Body::Template(Box::new(Template::read(path, true, false, given)?))
        }
        PreviewTemplate::TextFile(path) => {
            Body::Template(Box::new(Template::read(path, false, false, given)?))
        }
    };
    body.make(&[document], false, Purpose::Show)
        .map_err(BuildError::Client)
}
