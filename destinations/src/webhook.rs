//! Webhooks: documents posted to an address, signed as Standard Webhooks 1.0 say.
//!
//! # Contract
//! One request carries one document, or with `batch` an array of them. Its body is the document itself, or
//! what a template makes of it ([`crate::template`]), one of the program's or one of the user's. `webhook-id` is the document's event id (of a batch, a
//! hash of the ids), the same in every attempt; `webhook-signature` has one `v1` signature for each secret,
//! so that secrets can be exchanged without a gap.
//!
//! | answer | meaning |
//! |---|---|
//! | 2xx | delivered |
//! | 408, 425, 429, 5xx, no answer | later; `Retry-After` is honoured |
//! | 401, 403, 404, 407, 3xx | later: the settings are at fault, not the document |
//! | any other 4xx, 410 too | refused |
//!
//! Redirects are not followed. Addresses are guarded ([`crate::guard`]).
//!
//! # Limits
//! Answers are read up to 1 MiB. After [`MAX_FAILURES`] failures in a row, a busy answer or none at all, the
//! rest of a batch is left for the next attempt.

mod body;
mod opsgenie;
mod signature;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::guard::{Guard, GuardedResolver};
use crate::http_client::{Answer, HttpClient, HttpClientSettings, parse_url, secret_header};
use crate::template::{BuiltInTemplate, Purpose, Template, Variable, Variables};
use crate::{
    AttemptError, BuildError, Destination, Document, Outcome, Secret, SecretSource, SettingError,
    TlsConfig, in_range,
};
pub(crate) use body::Body;
use signature::Signer;

/// Failures in a row after which the rest of a batch is left.
const MAX_FAILURES: usize = 3;
/// Most secrets to sign with at a time.
const MAX_SECRETS: usize = 8;

/// Configuration of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebhookConfig {
    /// Address. Must be given.
    pub url: String,
    /// Secrets (`whsec_...`) to sign with, up to 8; not signed without any.
    pub secrets: Vec<SecretSource>,
    /// Headers of each request, by name; their values are secrets.
    pub headers: BTreeMap<String, SecretSource>,
    /// Content type of the body. With a JSON one, templates print values as JSON.
    pub content_type: String,
    /// A template that comes with the program (`beaconwatch webhook preview --list`); the document itself when neither
    /// it nor `template_file` is given.
    pub template: Option<BuiltInTemplate>,
    /// File with a template (Jinja) for the body.
    pub template_file: Option<PathBuf>,
    /// What a template sees as `variables.<name>`: text, or a secret by its file or environment variable.
    pub variables: BTreeMap<String, TemplateVariable>,
    /// Whether a request carries an array of documents instead of one.
    pub batch: bool,
    /// Whether a name may point to this machine or a private network. An address or `localhost` in `url` may
    /// in any case.
    pub allow_private: bool,
    /// Addresses and networks that are allowed whatever they are, link-local and metadata addresses too.
    #[schemars(with = "Vec<String>")]
    pub allow_networks: Vec<IpNet>,
    /// Seconds for one request, 1..=600.
    pub timeout_s: u64,
    /// TLS, for `https`.
    pub tls: TlsConfig,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            secrets: Vec::new(),
            headers: BTreeMap::new(),
            content_type: "application/json".to_owned(),
            template: None,
            template_file: None,
            variables: BTreeMap::new(),
            batch: false,
            allow_private: false,
            allow_networks: Vec::new(),
            timeout_s: 30,
            tls: TlsConfig::default(),
        }
    }
}

impl WebhookConfig {
    pub(crate) fn validate(&self, field: &str) -> Result<(), SettingError> {
        let url = parse_url(&self.url)
            .map_err(|expected| SettingError::value(format!("{field}.url"), &self.url, expected))?;
        if self.check_literal(&url).is_err() {
            let expected = "an address that is not link-local, multicast, reserved or a cloud's metadata, or allow_networks with it";
            return Err(SettingError::value(
                format!("{field}.url"),
                &self.url,
                expected,
            ));
        }
        let secrets = format!("{field}.secrets");
        in_range(&secrets, self.secrets.len() as u64, 0, MAX_SECRETS as u64)?;
        for name in self.headers.keys() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() || name.starts_with("webhook-") {
                let expected = "names of headers, and none of the signature's";
                return Err(SettingError::value(
                    format!("{field}.headers"),
                    name,
                    expected,
                ));
            }
        }
        if self.content_type.is_empty() || HeaderValue::from_str(&self.content_type).is_err() {
            let expected = "a content type, for example application/json";
            let name = format!("{field}.content_type");
            return Err(SettingError::value(name, &self.content_type, expected));
        }
        self.validate_template(field)?;
        self.tls.validate(&format!("{field}.tls"))?;
        in_range(&format!("{field}.timeout_s"), self.timeout_s, 1, 600)
    }

    fn validate_template(&self, field: &str) -> Result<(), SettingError> {
        let refused = |setting: &str, value: &str, expected| {
            let name = format!("{field}.{setting}");
            Err(SettingError::value(name, value, expected))
        };
        let is_name = |name: &str| {
            let mut bytes = name.bytes();
            bytes
                .next()
                .is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
                && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        if let Some(name) = self.variables.keys().find(|name| !is_name(name)) {
            return refused("variables", name, "names of letters, digits and _");
        }
        let Some(template) = self.template else {
            return Ok(());
        };
        if self.template_file.is_some() {
            let expected = "either template or template_file, not both";
            return refused("template", template.name(), expected);
        }
        if !self.is_json() {
            let expected = "a JSON content type, which a template of the program makes";
            return refused("content_type", &self.content_type, expected);
        }
        if self.batch && !template.takes_batches() {
            let expected =
                "ecs or ocsf with batch = true: the others make one body of one document";
            return refused("template", template.name(), expected);
        }
        for name in template.required_variables() {
            if !self.variables.contains_key(*name) {
                let expected = match template {
                    BuiltInTemplate::Pagerduty => {
                        "variables.routing_key with it: the integration key, as { file = \"...\" } or { env = \"VARIABLE\" }"
                    }
                    _ => "variables.project with it: the key of the project",
                };
                return refused("template", template.name(), expected);
            }
        }
        Ok(())
    }

    fn guard(&self) -> Guard {
        Guard {
            allow_private: self.allow_private,
            allow_networks: self.allow_networks.clone(),
        }
    }

    /// Checks an address that is written as a number: no resolver sees it.
    fn check_literal(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse() {
            Ok(address) => self.guard().check(address, true),
            Err(_name) => self.guard().check_name(host),
        }
    }

    fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        essence == "application/json" || essence.ends_with("+json")
    }

    /// What makes bodies: a template is read and tried, and secrets are read.
    pub(crate) fn body(&self) -> Result<Body, BuildError> {
        let read = |(name, variable): (&String, &TemplateVariable)| {
            let variable = match variable {
                TemplateVariable::Text(text) => Variable::Text(text.clone()),
                TemplateVariable::Secret(source) => Variable::Secret(Secret::read(source)?),
            };
            Ok((name.clone(), variable))
        };
        let variables: Result<Variables, BuildError> = self.variables.iter().map(read).collect();
        self.body_with(variables?)
    }

    /// Reads and tries the template, without secrets.
    pub(crate) fn check_template(&self) -> Result<(), BuildError> {
        let named = |name: &String| (name.clone(), Variable::Text(String::new()));
        self.body_with(self.variables.keys().map(named).collect())
            .map(drop)
    }

    fn body_with(&self, variables: Variables) -> Result<Body, BuildError> {
        match (&self.template_file, self.template) {
            (Some(path), _) => {
                let template = Template::read(path, self.is_json(), self.batch, variables)?;
                Ok(Body::Template(Box::new(template)))
            }
            (None, Some(template)) => Body::built_in(template, variables),
            (None, None) => Ok(Body::Document),
        }
    }
}

/// What a template sees of a variable that is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TemplateVariable {
    /// Text.
    Text(String),
    /// Where a secret is.
    Secret(SecretSource),
}

/// A webhook.
#[derive(Debug)]
pub(crate) struct Webhook {
    client: HttpClient,
    url: Url,
    headers: HeaderMap,
    signer: Signer,
    body: Body,
    template: Option<BuiltInTemplate>,
    batch: bool,
}

impl Webhook {
    pub(crate) fn new(config: &WebhookConfig) -> Result<Self, BuildError> {
        let url = parse_url(&config.url)
            .map_err(|expected| BuildError::Client(format!("url: expected {expected}")))?;
        config.check_literal(&url).map_err(BuildError::Client)?;
        let mut headers = HeaderMap::new();
        for (name, source) in &config.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| BuildError::Client(format!("header {name}: {error}")))?;
            headers.insert(name, secret_header("", &Secret::read(source)?)?);
        }
        let content_type = HeaderValue::from_str(&config.content_type)
            .map_err(|error| BuildError::Client(format!("content_type: {error}")))?;
        headers.insert(CONTENT_TYPE, content_type);
        let timeout = Duration::from_secs(config.timeout_s);
        let resolver = GuardedResolver(Arc::new(config.guard()));
        Ok(Self {
            client: HttpClient::new(HttpClientSettings {
                resolver: Some(Arc::new(resolver)),
                ..HttpClientSettings::new(timeout, &config.tls)
            })?,
            url,
            headers,
            signer: Signer::read(&config.secrets)?,
            body: config.body()?,
            template: config.template,
            batch: config.batch,
        })
    }

    /// Where a document goes: some products have an address for what is over.
    fn address(&self, document: &Document) -> Url {
        match self.template {
            Some(BuiltInTemplate::Opsgenie) => opsgenie::address(&self.url, document),
            _ => self.url.clone(),
        }
    }

    async fn post(&self, url: Url, id: &str, body: String) -> Result<Answer, AttemptError> {
        let mut headers = self.headers.clone();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let timestamp = now.unwrap_or_default().as_secs();
        self.signer.sign(id, timestamp, &body, &mut headers)?;
        self.client.send(Method::POST, url, headers, body).await
    }

    async fn deliver_batch(&self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let all: Vec<&Document> = documents.iter().collect();
        let body = match self.body.make(&all, true, Purpose::Send) {
            Ok(body) => body,
            Err(reason) => return Ok(self.blame(documents, &reason)),
        };
        let id = batch_id(documents);
        let answer = self.post(self.url.clone(), &id, body).await?;
        match judge(&answer) {
            Outcome::Retry { .. } => Err(answer.into_error()),
            outcome => Ok(vec![outcome; documents.len()]),
        }
    }

    /// Refuses the documents with which the template does not work; the others are tried again without.
    fn blame(&self, documents: &[Document], reason: &str) -> Vec<Outcome> {
        let mut outcomes: Vec<Outcome> = documents
            .iter()
            .map(
                |document| match self.body.make(&[document], self.batch, Purpose::Send) {
                    Ok(_) => Outcome::retry("another document of the batch was refused"),
                    Err(reason) => Outcome::Refused { reason },
                },
            )
            .collect();
        if !outcomes
            .iter()
            .any(|it| matches!(it, Outcome::Refused { .. }))
        {
            let reason = reason.to_owned();
            outcomes.fill(Outcome::Refused { reason });
        }
        outcomes
    }

    async fn deliver_singly(&self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut failures = 0;
        for document in documents {
            let body = match self.body.make(&[document], self.batch, Purpose::Send) {
                Ok(body) => body,
                Err(reason) => {
                    outcomes.push(Outcome::Refused { reason });
                    continue;
                }
            };
            let (outcome, stop) = match self
                .post(self.address(document), &document.event_id, body)
                .await
            {
                Ok(answer) => (judge(&answer), is_busy(answer.status)),
                Err(AttemptError {
                    reason,
                    retry_after,
                }) => (
                    Outcome::Retry {
                        reason,
                        retry_after,
                    },
                    true,
                ),
            };
            let failed = matches!(outcome, Outcome::Retry { .. });
            failures = if failed { failures + 1 } else { 0 };
            outcomes.push(outcome);
            if stop || failures == MAX_FAILURES {
                break;
            }
        }
        Ok(leave_rest(outcomes, documents.len()))
    }
}

/// What is left of a batch shares the fate of the last document that was sent.
fn leave_rest(mut outcomes: Vec<Outcome>, documents: usize) -> Vec<Outcome> {
    if let Some(last) = outcomes.last().cloned() {
        outcomes.resize(documents, last);
    }
    outcomes
}

/// Whether an answer speaks for the server and not for the document.
fn is_busy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 300..=399 | 401 | 403 | 404 | 407 | 408 | 425 | 429 | 502..=504)
}

fn judge(answer: &Answer) -> Outcome {
    let reason = answer.reason();
    match answer.status.as_u16() {
        200..=299 => Outcome::Delivered,
        400..=499 if !is_busy(answer.status) => Outcome::Refused { reason },
        _ => Outcome::Retry {
            reason,
            retry_after: answer.retry_after(),
        },
    }
}

/// Identity of a batch: the same documents have the same.
fn batch_id(documents: &[Document]) -> String {
    let mut digest = Sha256::new();
    for document in documents {
        digest.update(document.event_id.as_bytes());
        digest.update([0]);
    }
    let digest = digest.finalize();
    let hexadecimal = digest.iter().take(16).map(|byte| format!("{byte:02x}"));
    format!("batch-{}", hexadecimal.collect::<String>())
}

#[async_trait]
impl Destination for Webhook {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        if self.batch {
            self.deliver_batch(documents).await
        } else {
            self.deliver_singly(documents).await
        }
    }

    fn rendered(&self, documents: &[Document]) -> Result<String, String> {
        if self.batch {
            let all: Vec<&Document> = documents.iter().collect();
            return self.body.make(&all, true, Purpose::Show);
        }
        let bodies = documents
            .iter()
            .map(|document| self.body.make(&[document], self.batch, Purpose::Show));
        let bodies: Result<Vec<String>, String> = bodies.collect();
        Ok(bodies?.join("\n"))
    }
}

#[cfg(test)]
mod tests;
