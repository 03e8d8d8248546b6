//! A data stream of Elasticsearch or OpenSearch, by the bulk interface.
//!
//! # Contract
//! Documents are *created* (a data stream takes nothing else) with `_id` = event id. So 201 means
//! delivered, 409 that an earlier attempt had arrived; 429, 5xx, a missing index and missing rights are
//! tried again, for those documents only; any other refusal of a document (a mapping error) is final.
//! A request that is refused as too large or as malformed is split until the one document is alone.
//!
//! Before the first attempt the index template is looked for and, unless `create_template` is off, made
//! ([`beaconwatch_schema::template`]): OpenSearch has none for `logs-*-*`.
//!
//! # Limits
//! The client library does not let a response be read in pieces. So responses are asked for uncompressed
//! and reduced to what is needed (`filter_path`); one that declares more than
//! [`MAX_RESPONSE_BYTES`] is refused unread, and reading ends at the request's timeout.

use std::time::Duration;

use async_trait::async_trait;
use beaconwatch_schema::template;
use elasticsearch::auth::Credentials;
use elasticsearch::cert::{Certificate, CertificateValidation};
use elasticsearch::http::headers::{ACCEPT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use elasticsearch::http::response::Response;
use elasticsearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use elasticsearch::http::{Method, StatusCode, Url};
use serde::{Deserialize, Serialize};

use super::secret::{Secret, SecretSource};
use super::{AttemptError, BuildError, Destination, Outcome};
use crate::Document;
use crate::{SettingError, in_range};

/// Largest response that is read.
const MAX_RESPONSE_BYTES: u64 = 32 << 20;
/// Longest reason that is kept of a refusal.
const MAX_REASON_CHARACTERS: usize = 500;
const BULK_ANSWER: &[(&str, &str)] = &[(
    "filter_path",
    "items.*.status,items.*.error.type,items.*.error.reason",
)];

/// Configuration of an Elasticsearch or OpenSearch destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// Address, for example `https://search.example.org:9200`. Without credentials in it.
    pub url: String,
    /// How to prove who we are; not at all when not given.
    pub authentication: Option<Authentication>,
    /// Certificates (PEM) of the authorities to trust instead of the built-in ones.
    pub ca_file: Option<std::path::PathBuf>,
    /// Seconds for one request, 1..=600.
    pub timeout_s: u64,
    /// Whether to make the index template when there is none.
    pub create_template: bool,
}

impl Default for ElasticsearchConfig {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:9200".to_owned(),
            authentication: None,
            ca_file: None,
            timeout_s: 30,
            create_template: true,
        }
    }
}

/// Credentials, by where their secret is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Authentication {
    /// An API key in its encoded form.
    ApiKey(SecretSource),
    /// A bearer token.
    Bearer(SecretSource),
    /// User and password.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: SecretSource,
    },
}

impl ElasticsearchConfig {
    pub(crate) fn validate(&self, field: &str) -> Result<(), SettingError> {
        self.base_url().map_err(|expected| SettingError::Value {
            field: format!("{field}.url"),
            value: self.url.clone(),
            expected,
        })?;
        in_range(&format!("{field}.timeout_s"), self.timeout_s, 1, 600)
    }

    fn base_url(&self) -> Result<Url, &'static str> {
        let text = format!("{}/", self.url.trim_end_matches('/'));
        let url = Url::parse(&text).map_err(|_not_a_url| "an http or https address")?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err("an http or https address");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("an address without credentials: they belong into authentication");
        }
        Ok(url)
    }
}

fn credentials(authentication: &Authentication) -> Result<Credentials, BuildError> {
    let read = |source: &SecretSource| -> Result<Secret, BuildError> {
        let secret = Secret::read(source)?;
        // The client library cannot send others and would panic.
        if secret
            .reveal()
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ')
        {
            return Ok(secret);
        }
        Err(BuildError::Client(
            "a secret has characters that a header cannot hold".to_owned(),
        ))
    };
    Ok(match authentication {
        Authentication::ApiKey(key) => Credentials::EncodedApiKey(read(key)?.reveal().to_owned()),
        Authentication::Bearer(token) => Credentials::Bearer(read(token)?.reveal().to_owned()),
        Authentication::Basic { user, password } => {
            let password = Secret::read(password)?;
            Credentials::Basic(user.clone(), password.reveal().to_owned())
        }
    })
}

/// An Elasticsearch or OpenSearch destination.
#[derive(Debug)]
pub(super) struct Elasticsearch {
    transport: Transport,
    data_stream: String,
    template_wanted: bool,
}

impl Elasticsearch {
    pub(super) fn new(config: &ElasticsearchConfig, namespace: &str) -> Result<Self, BuildError> {
        let url = config
            .base_url()
            .map_err(|reason| BuildError::Client(reason.to_owned()))?;
        // Proxies from the environment are not meant for a server beside us.
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(url))
            .disable_proxy()
            .enable_meta_header(false)
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .timeout(Duration::from_secs(config.timeout_s));
        if let Some(authentication) = &config.authentication {
            builder = builder.auth(credentials(authentication)?);
        }
        if let Some(path) = &config.ca_file {
            let failed = |source| BuildError::File {
                path: path.clone(),
                source,
            };
            let pem = std::fs::read(path).map_err(failed)?;
            let certificate = Certificate::from_pem(&pem)
                .map_err(|error| BuildError::Client(format!("{}: {error}", path.display())))?;
            builder = builder.cert_validation(CertificateValidation::Full(certificate));
        }
        let transport = builder
            .build()
            .map_err(|error| BuildError::Client(error.to_string()))?;
        Ok(Self {
            transport,
            data_stream: template::data_stream(namespace),
            template_wanted: config.create_template,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: Option<&[(&str, &str)]>,
        content_type: &'static str,
        body: Option<String>,
    ) -> Result<Answer, AttemptError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        let sent = self
            .transport
            .send(method, path, headers, query, body, None);
        let response = sent
            .await
            .map_err(|error| AttemptError::new(describe(&error)))?;
        Answer::read(response).await
    }

    /// Makes the index template when it is missing. Missing rights are no reason to deliver nothing.
    async fn ensure_template(&mut self) -> Result<(), AttemptError> {
        let path = format!("/_index_template/{}", template::NAME);
        let json = "application/json";
        let found = self.send(Method::Head, &path, None, json, None).await?;
        if found.status == StatusCode::NOT_FOUND {
            let body = template::index_template().to_string();
            let made = self
                .send(Method::Put, &path, None, json, Some(body))
                .await?;
            if made.is_retryable() {
                return Err(made.into_error());
            }
            if made.status.is_success() {
                tracing::info!(template = template::NAME, "made the index template");
            } else {
                let error = made.into_error();
                tracing::warn!(%error, template = template::NAME, "the index template could not be made: delivering without");
            }
        } else if found.is_retryable() {
            return Err(found.into_error());
        }
        self.template_wanted = false;
        Ok(())
    }

    async fn bulk(&self, documents: &[Document]) -> Result<Answer, AttemptError> {
        let mut body = String::new();
        for document in documents {
            let action = serde_json::json!({ "create": { "_id": document.event_id } });
            body.push_str(&action.to_string());
            body.push('\n');
            body.push_str(&document.body);
            body.push('\n');
        }
        let path = format!("/{}/_bulk", self.data_stream);
        self.send(
            Method::Post,
            &path,
            Some(BULK_ANSWER),
            "application/x-ndjson",
            Some(body),
        )
        .await
    }
}

impl Elasticsearch {
    async fn part(&self, documents: &[Document]) -> Result<Part, AttemptError> {
        let answer = self.bulk(documents).await?;
        match answer.status {
            StatusCode::OK => Ok(Part::Answered(item_outcomes(
                &answer.body,
                documents.len(),
            )?)),
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE if documents.len() > 1 => {
                Ok(Part::TooMuch)
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                let reason = answer.into_error().reason;
                Ok(Part::Answered(vec![Outcome::Refused { reason }]))
            }
            _ => Err(answer.into_error()),
        }
    }
}

#[async_trait]
impl Destination for Elasticsearch {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        if self.template_wanted {
            self.ensure_template().await?;
        }
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut parts = vec![documents];
        while let Some(part) = parts.pop() {
            match self.part(part).await {
                Ok(Part::Answered(answered)) => outcomes.extend(answered),
                Ok(Part::TooMuch) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) if outcomes.is_empty() => return Err(error),
                // What came before is delivered: only the rest is tried again.
                Err(AttemptError { reason, .. }) => {
                    outcomes.resize(documents.len(), Outcome::retry(reason));
                    return Ok(outcomes);
                }
            }
        }
        Ok(outcomes)
    }
}

/// What came of one bulk request.
enum Part {
    Answered(Vec<Outcome>),
    /// Refused as a whole: fewer documents at a time may be taken.
    TooMuch,
}

/// A response that was read.
struct Answer {
    status: StatusCode,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, AttemptError> {
        let status = response.status_code();
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        if let Some(length) = response
            .content_length()
            .filter(|&length| length > MAX_RESPONSE_BYTES)
        {
            return Err(AttemptError::new(format!(
                "the response has {length} bytes, the limit is {MAX_RESPONSE_BYTES}"
            )));
        }
        let body = response
            .bytes()
            .await
            .map_err(|error| AttemptError::new(describe(&error)))?;
        Ok(Self {
            status,
            retry_after,
            body: body.to_vec(),
        })
    }

    fn is_retryable(&self) -> bool {
        self.status == StatusCode::TOO_MANY_REQUESTS || self.status.is_server_error()
    }

    fn into_error(self) -> AttemptError {
        let said = shorten(&String::from_utf8_lossy(&self.body));
        AttemptError {
            reason: format!("{}: {said}", self.status),
            retry_after: self.retry_after,
        }
    }
}

/// The answer to a bulk request.
#[derive(Deserialize)]
struct BulkAnswer {
    #[serde(default)]
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
struct BulkItem {
    create: ItemAnswer,
}

#[derive(Deserialize)]
struct ItemAnswer {
    status: u16,
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

fn item_outcomes(body: &[u8], expected: usize) -> Result<Vec<Outcome>, AttemptError> {
    let answer: BulkAnswer = serde_json::from_slice(body)
        .map_err(|error| AttemptError::new(format!("the answer is no bulk answer: {error}")))?;
    if answer.items.len() != expected {
        return Err(AttemptError::new(format!(
            "the answer has {} items, expected {expected}",
            answer.items.len()
        )));
    }
    Ok(answer
        .items
        .into_iter()
        .map(|item| item_outcome(item.create))
        .collect())
}

fn item_outcome(item: ItemAnswer) -> Outcome {
    let reason = match item.error {
        Some(error) => {
            let reason = error.reason.unwrap_or_default();
            format!("{}: {}: {}", item.status, error.kind, shorten(&reason))
        }
        None => item.status.to_string(),
    };
    match item.status {
        200..=299 => Outcome::Delivered,
        409 => Outcome::AlreadyThere,
        // Rights and indices can come back; the rest of 4xx is about the document.
        401 | 403 | 404 | 408 | 429 | 500..=599 => Outcome::retry(reason),
        _ => Outcome::Refused { reason },
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_REASON_CHARACTERS).collect()
}

/// An error with its causes: the client's own text names none.
fn describe(error: &elasticsearch::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    shorten(&text)
}
