//! Bodies of webhooks from templates (Jinja).
//!
//! # Contract
//! - A template sees the fields of the document by their names (`source.ip`), the whole as `document`, its id
//!   as `event_id`, and of a batch all as `documents`; what is configured for it as `variables`. What a document does
//!   not have is empty. A field that no document can have is an error when the template is read, with its line.
//! - When the content type is JSON, every value that is printed is printed as JSON (text with its quotes and
//!   escapes): nothing in a document can end a string or begin a field. Text is put together before it is
//!   printed: `{{ "Beacon from " ~ source.ip }}`.
//! - Markup of products is escaped by filters ([`filters`]).
//! - What comes out is checked to be JSON when it shall be.
//! - A template reads no files and includes none. It is tried on sample documents when it is read.
//!
//! # Limits
//! [`FUEL`] steps, [`MAX_BYTES`] of a template's file, [`MAX_BODY_BYTES`] of what it makes.

mod builtin;
mod filters;
mod names;
mod samples;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value as Shown};
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::fields::Fields;
use crate::{BuildError, Document, Secret};
pub use builtin::BuiltInTemplate;
pub use samples::{SampleDocument, sample_document};

/// Most bytes of a template.
const MAX_BYTES: u64 = 1 << 20;
/// Most bytes that a template makes.
const MAX_BODY_BYTES: usize = 32 << 20;
/// Most steps of a template for one body.
const FUEL: u64 = 2_000_000;
const NAME: &str = "body";

/// What a variable of a template is.
#[derive(Debug)]
pub(crate) enum Variable {
    /// May be shown.
    Text(String),
    /// May only be sent.
    Secret(Secret),
}

/// What stands for a secret where a body is shown.
const HIDDEN: &str = "********************************";

/// Variables of a template by name.
pub(crate) type Variables = BTreeMap<String, Variable>;

/// For whom a body is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be sent: with its secrets.
    Send,
    /// To be looked at: without.
    Show,
}

/// A template for bodies.
#[derive(Debug)]
pub(crate) struct Template {
    environment: Environment<'static>,
    variables: Variables,
    json: bool,
    batch: bool,
}

impl Template {
    /// Reads a template from its file and tries it.
    pub(crate) fn read(
        path: &Path,
        json: bool,
        batch: bool,
        variables: Variables,
    ) -> Result<Self, BuildError> {
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
        Self::new(text, json, batch, variables).map_err(problem)
    }

    /// Makes a template and tries it on sample documents; the problem when it has one.
    pub(crate) fn new(
        text: String,
        json: bool,
        batch: bool,
        variables: Variables,
    ) -> Result<Self, String> {
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
        filters::add(&mut environment);
        environment
            .add_template_owned(NAME, text)
            .map_err(|error| describe(&error))?;
        let template = Self {
            environment,
            variables,
            json,
            batch,
        };
        template.try_out()?;
        Ok(template)
    }

    /// Looks for names that do not exist, then makes bodies of sample documents.
    fn try_out(&self) -> Result<(), String> {
        let parsed = self.environment.get_template(NAME);
        let parsed = parsed.map_err(|error| describe(&error))?;
        names::check(
            &parsed,
            self.batch,
            self.variables.keys().map(String::as_str),
        )?;
        for sample in samples::samples() {
            let documents = [&sample];
            let tried = self.context(&documents, Purpose::Show, names::strict);
            tried
                .and_then(|context| self.fill(context))
                .map_err(|problem| format!("with a sample document: {problem}"))?;
        }
        Ok(())
    }

    /// The body for documents; the problem when there is none.
    pub(crate) fn render(
        &self,
        documents: &[&Document],
        purpose: Purpose,
    ) -> Result<String, String> {
        self.fill(self.context(documents, purpose, |document| Shown::from(Serde(document)))?)
    }

    fn fill(&self, context: Shown) -> Result<String, String> {
        let template = self.environment.get_template(NAME);
        let template = template.map_err(|error| describe(&error))?;
        let mut body = Bounded(Vec::new());
        template
            .render_captured_to(context, &mut body)
            .map_err(|error| describe(&error))?;
        let body = String::from_utf8(body.0).map_err(|error| error.to_string())?;
        if self.json {
            serde_json::from_str::<IgnoredAny>(&body)
                .map_err(|error| format!("what the template makes is no JSON: {error}"))?;
        }
        Ok(body)
    }

    /// What a template sees; `shown` makes its values of documents.
    fn context(
        &self,
        documents: &[&Document],
        purpose: Purpose,
        shown: impl Fn(&Value) -> Shown,
    ) -> Result<Shown, String> {
        let mut all = Vec::with_capacity(documents.len());
        for document in documents {
            all.push(Fields::read(document)?);
        }
        let mut context: BTreeMap<String, Shown> = BTreeMap::new();
        if self.batch {
            let documents = all.iter().map(|fields| shown(fields.value()));
            context.insert("documents".to_owned(), documents.collect());
        } else {
            let (Some(document), Some(first)) = (documents.first(), all.first()) else {
                return Err("there is no document".to_owned());
            };
            let whole = shown(first.value());
            for name in first.value().as_object().into_iter().flat_map(Map::keys) {
                let value = whole.get_attr(name).map_err(|error| describe(&error))?;
                context.insert(name.clone(), value);
            }
            context.insert("document".to_owned(), whole);
            context.insert("event_id".to_owned(), document.event_id.as_str().into());
        }
        context.insert("variables".to_owned(), self.variables(purpose));
        Ok(context.into())
    }

    fn variables(&self, purpose: Purpose) -> Shown {
        let variables = self.variables.iter().map(|(name, variable)| {
            let value = match (variable, purpose) {
                (Variable::Text(text), _) => text,
                (Variable::Secret(secret), Purpose::Send) => secret.reveal(),
                (Variable::Secret(_), Purpose::Show) => HIDDEN,
            };
            (name.as_str(), Shown::from(value))
        });
        Shown::from_pairs(variables)
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

#[cfg(test)]
mod builtin_tests;
