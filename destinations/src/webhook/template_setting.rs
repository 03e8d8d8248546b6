//! The settings of a webhook that are about its template, and what is wrong with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::WebhookConfig;
use crate::template::BuiltInTemplate;
use crate::{SecretSource, SettingError};

/// What a template sees of a variable that is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TemplateVariable {
    /// Text.
    Text(String),
    /// Where a secret is.
    Secret(SecretSource),
}

impl WebhookConfig {
    /// Checks template, variables and what they need of other settings.
    pub(super) fn validate_template(&self, field: &str) -> Result<(), SettingError> {
        if let Some(name) = self.variables.keys().find(|name| !is_name(name)) {
            return refused(field, "variables", name, "names of letters, digits and _");
        }
        let Some(template) = self.template else {
            return Ok(());
        };
        if self.template_file.is_some() {
            let expected = "either template or template_file, not both";
            return refused(field, "template", template.name(), expected);
        }
        if !self.is_json() {
            let expected = "a JSON content type, which a template of the program makes";
            return refused(field, "content_type", &self.content_type, expected);
        }
        if self.batch && !template.takes_batches() {
            let expected =
                "ecs or ocsf with batch = true: the others make one body of one document";
            return refused(field, "template", template.name(), expected);
        }
        self.validate_variables(field, template)
    }

    fn validate_variables(
        &self,
        field: &str,
        template: BuiltInTemplate,
    ) -> Result<(), SettingError> {
        let known = [template.required_variables(), template.optional_variables()].concat();
        let mut names = self.variables.keys();
        if let Some(name) = names.find(|name| !known.contains(&name.as_str())) {
            let expected =
                "variables that the template has: `beaconwatch webhook preview --list` shows them";
            return refused(field, "variables", name, expected);
        }
        let mut required = template.required_variables().iter();
        if required.all(|name| self.variables.contains_key(*name)) {
            return Ok(());
        }
        let expected = match template {
            BuiltInTemplate::Pagerduty => {
                "variables.routing_key with it: the integration key, as { file = \"...\" } or { env = \"VARIABLE\" }"
            }
            _ => "variables.project with it: the key of the project",
        };
        refused(field, "template", template.name(), expected)
    }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next();
    first.is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn refused(
    field: &str,
    setting: &str,
    value: &str,
    expected: &'static str,
) -> Result<(), SettingError> {
    let name = format!("{field}.{setting}");
    Err(SettingError::value(name, value, expected))
}
