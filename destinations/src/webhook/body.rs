//! What makes bodies of documents.

use serde_json::Value;

use crate::fields::Fields;
use crate::ocsf;
use crate::template::{BuiltInTemplate, Purpose, Template, Variables};
use crate::{BuildError, Document};

/// What makes bodies of documents.
#[derive(Debug)]
pub(crate) enum Body {
    /// The document itself.
    Document,
    /// What the Open Cybersecurity Schema Framework calls it.
    Ocsf,
    /// What a template makes.
    Template(Box<Template>),
}

impl Body {
    /// What a template of the program makes.
    pub(crate) fn built_in(
        template: BuiltInTemplate,
        variables: Variables,
    ) -> Result<Self, BuildError> {
        let Some(text) = template.text() else {
            return Ok(match template {
                BuiltInTemplate::Ocsf => Self::Ocsf,
                _ => Self::Document,
            });
        };
        let mut variables = variables;
        for name in template.optional_variables() {
            let missing = crate::template::Variable::Text(String::new());
            variables.entry((*name).to_owned()).or_insert(missing);
        }
        let made = Template::new(text.to_owned(), true, false, variables);
        made.map(|made| Self::Template(Box::new(made)))
            .map_err(|problem| {
                BuildError::Client(format!("template {}: {problem}", template.name()))
            })
    }

    /// The body for documents, an array where there is not exactly one; the problem when there is none.
    pub(crate) fn make(
        &self,
        documents: &[&Document],
        batch: bool,
        purpose: Purpose,
    ) -> Result<String, String> {
        if let Self::Template(template) = self {
            return template.render(documents, purpose);
        }
        let bodies: Result<Vec<String>, String> = documents
            .iter()
            .map(|document| self.one(document))
            .collect();
        let bodies = bodies?;
        Ok(match bodies.as_slice() {
            [body] if !batch => body.clone(),
            bodies => format!("[{}]", bodies.join(",")),
        })
    }

    fn one(&self, document: &Document) -> Result<String, String> {
        match self {
            Self::Ocsf => {
                let fields = Fields::read(document)?;
                Ok(Value::to_string(&ocsf::detection_finding(fields.value())))
            }
            _ => Ok(document.body.clone()),
        }
    }
}
