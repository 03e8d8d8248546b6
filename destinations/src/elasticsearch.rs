//! A data stream of Elasticsearch or OpenSearch, by the bulk interface.
//!
//! # Contract
//! Documents are *created* (a data stream takes nothing else) with `_id` = event id. So 201 means
//! delivered, 409 that an earlier attempt had arrived; 429, 5xx, a missing index and missing rights are
//! tried again, for those documents only; any other refusal of a document (a mapping error) is final.
//! A request that is refused as too large or as malformed is split until the one document is alone. After a 429 for
//! a whole request (a server never takes more than its limit of indexing pressure) the next ones have half of its documents.
//!
//! Before the first document of a stream its index template is looked for and, unless `create_template` is
//! off, made ([`beaconwatch_schema::template`]): OpenSearch has none for `logs-*-*`.
//!
//! # Limits
//! Paths and bodies are made by the `elasticsearch` crate, requests by the client of all destinations
//! ([`crate::http_client`]): the crate's own transport reads answers whole, of whatever length, and follows
//! redirects. Answers are reduced to what is needed (`filter_path`) and read up to [`MAX_ANSWER_BYTES`].

pub(crate) mod bulk;

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use elasticsearch::BulkParts;
use elasticsearch::indices::{IndicesExistsIndexTemplateParts, IndicesPutIndexTemplateParts};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::http_client::{Answer, HttpClient, HttpClientSettings, parse_url, secret_header};
use crate::{
    AttemptError, BuildError, Destination, Document, Outcome, Secret, SecretSource, SettingError,
    Stream, TlsConfig, in_range,
};

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 32 << 20;
const STREAMS: [Stream; 3] = [Stream::Detection, Stream::Sensor, Stream::Rule];
const BULK_QUERY: &str = "filter_path=items.*.status,items.*.error.type,items.*.error.reason";

/// Configuration of an Elasticsearch or OpenSearch destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ElasticsearchConfig {
    /// Address, for example `https://search.example.org:9200`. Without credentials in it.
    pub url: String,
    /// How to prove who we are; not at all when not given.
    pub authentication: Option<Authentication>,
    /// TLS, for `https`.
    pub tls: TlsConfig,
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
            tls: TlsConfig::default(),
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
        self.tls.validate(&format!("{field}.tls"))?;
        in_range(&format!("{field}.timeout_s"), self.timeout_s, 1, 600)
    }

    /// The address with a path that others can be put behind.
    fn base_url(&self) -> Result<Url, &'static str> {
        let url = parse_url(&format!("{}/", self.url.trim_end_matches('/')))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("an address without a query");
        }
        Ok(url)
    }
}

impl Authentication {
    /// Reads the secret and makes the value of `Authorization`, which does not show itself.
    pub fn header(&self) -> Result<HeaderValue, BuildError> {
        match self {
            Self::ApiKey(key) => secret_header("ApiKey ", &Secret::read(key)?),
            Self::Bearer(token) => secret_header("Bearer ", &Secret::read(token)?),
            Self::Basic { user, password } => {
                let password = Secret::read(password)?;
                let pair = BASE64.encode(format!("{user}:{}", password.reveal()));
                let mut value = HeaderValue::from_str(&format!("Basic {pair}"))
                    .map_err(|error| BuildError::Client(error.to_string()))?;
                value.set_sensitive(true);
                Ok(value)
            }
        }
    }
}

/// An Elasticsearch or OpenSearch destination.
#[derive(Debug)]
pub(super) struct Elasticsearch {
    client: HttpClient,
    base_url: Url,
    authorization: Option<HeaderValue>,
    namespace: String,
    /// Streams whose templates are to be looked for.
    templates_wanted: Vec<Stream>,
    /// Most documents of a request: halved by a server that is too busy for all of them, doubled by one that takes
    /// them.
    most_documents: usize,
}

impl Elasticsearch {
    pub(super) fn new(config: &ElasticsearchConfig, namespace: &str) -> Result<Self, BuildError> {
        let timeout = Duration::from_secs(config.timeout_s);
        let mut settings = HttpClientSettings::new(timeout, &config.tls);
        settings.max_answer_bytes = MAX_ANSWER_BYTES;
        let authentication = config.authentication.as_ref();
        Ok(Self {
            client: HttpClient::new(settings)?,
            base_url: config
                .base_url()
                .map_err(|expected| BuildError::Client(expected.to_owned()))?,
            authorization: authentication.map(Authentication::header).transpose()?,
            namespace: namespace.to_owned(),
            templates_wanted: if config.create_template {
                STREAMS.to_vec()
            } else {
                Vec::new()
            },
            most_documents: usize::MAX,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: Option<&str>,
        content_type: &'static str,
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, AttemptError> {
        let mut url = self
            .base_url
            .join(path.trim_start_matches('/'))
            .map_err(|error| AttemptError::new(error.to_string()))?;
        url.set_query(query);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        self.client.send(method, url, headers, body).await
    }

    /// Makes the index template of a stream when it is missing. Missing rights are no reason to deliver
    /// nothing.
    async fn ensure_template(&mut self, stream: Stream) -> Result<(), AttemptError> {
        const JSON: &str = "application/json";
        let (name, template) = stream.index_template();
        let path = IndicesExistsIndexTemplateParts::Name(name).url();
        let found = self.send(Method::HEAD, &path, None, JSON, "").await?;
        if found.status == StatusCode::NOT_FOUND {
            let path = IndicesPutIndexTemplateParts::Name(name).url();
            let body = template.to_string();
            let made = self.send(Method::PUT, &path, None, JSON, body).await?;
            if made.is_retryable() {
                return Err(made.into_error());
            }
            if made.status.is_success() {
                tracing::info!(template = name, "made the index template");
            } else {
                let error = made.into_error();
                tracing::warn!(%error, template = name, "the index template could not be made: delivering without");
            }
        } else if found.is_retryable() {
            return Err(found.into_error());
        }
        self.templates_wanted.retain(|wanted| *wanted != stream);
        Ok(())
    }

    /// One bulk request.
    async fn part(&self, stream: Stream, documents: &[&Document]) -> Result<Part, AttemptError> {
        let body = match bulk::body(documents) {
            Ok(body) => body,
            Err(reason) => return Ok(Part::too_much(documents, reason)),
        };
        let path = BulkParts::Index(&stream.data_stream(&self.namespace)).url();
        let answer = self
            .send(
                Method::POST,
                &path,
                Some(BULK_QUERY),
                "application/x-ndjson",
                body,
            )
            .await?;
        match answer.status {
            StatusCode::OK => {
                let outcomes = bulk::outcomes(&answer.body, documents.len())?;
                Ok(Part::Answered(outcomes))
            }
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE => {
                Ok(Part::too_much(documents, answer.reason()))
            }
            StatusCode::TOO_MANY_REQUESTS => Ok(Part::Busy(answer.into_error())),
            _ => Err(answer.into_error()),
        }
    }

    /// Delivers documents of one stream. An error only when none of them is settled.
    async fn deliver_stream(
        &mut self,
        stream: Stream,
        documents: &[&Document],
    ) -> Result<Vec<Outcome>, AttemptError> {
        if self.templates_wanted.contains(&stream) {
            self.ensure_template(stream).await?;
        }
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut parts: Vec<_> = documents.chunks(self.most_documents).rev().collect();
        while let Some(part) = parts.pop() {
            let failure = match self.part(stream, part).await {
                Ok(Part::Answered(answered)) => {
                    outcomes.extend(answered);
                    self.most_documents = self.most_documents.saturating_mul(2);
                    continue;
                }
                Ok(Part::TooMuch) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                    continue;
                }
                Ok(Part::Busy(error)) => {
                    self.most_documents = (part.len() / 2).max(1);
                    error
                }
                Err(error) => error,
            };
            if outcomes.is_empty() {
                return Err(failure);
            }
            // What came before is settled: only the rest is tried again.
            outcomes.resize(documents.len(), failure.into());
            break;
        }
        Ok(outcomes)
    }
}

#[async_trait]
impl Destination for Elasticsearch {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; documents.len()];
        let mut failure: Option<AttemptError> = None;
        for stream in STREAMS {
            let of_stream = |(_, document): &(usize, &Document)| document.stream == stream;
            let (places, documents): (Vec<usize>, Vec<&Document>) =
                documents.iter().enumerate().filter(of_stream).unzip();
            if documents.is_empty() {
                continue;
            }
            match self.deliver_stream(stream, &documents).await {
                Ok(of_stream) => {
                    for (place, outcome) in places.into_iter().zip(of_stream) {
                        outcomes[place] = Some(outcome);
                    }
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if outcomes.iter().all(Option::is_none) => Err(error),
            failure => {
                let failed = failure.map_or_else(|| Outcome::retry(""), Outcome::from);
                let outcome = |outcome: Option<Outcome>| outcome.unwrap_or_else(|| failed.clone());
                Ok(outcomes.into_iter().map(outcome).collect())
            }
        }
    }
}

/// What came of one bulk request.
enum Part {
    Answered(Vec<Outcome>),
    /// Refused as a whole: fewer documents at a time may be taken.
    TooMuch,
    /// Not now: fewer documents at a time may be taken later.
    Busy(AttemptError),
}

impl Part {
    fn too_much(documents: &[&Document], reason: String) -> Self {
        match documents.len() {
            1 => Self::Answered(vec![Outcome::Refused { reason }]),
            _ => Self::TooMuch,
        }
    }
}

#[cfg(test)]
mod tests;
