//! Splunk by its HTTP Event Collector.
//!
//! # Contract
//! One request carries a batch: an envelope per document with time, source, source type and the document as
//! `event`; `event_id` is an indexed field beside it, so that `dedup event_id` finds what came twice.
//!
//! | answer | meaning |
//! |---|---|
//! | 200 with code 0, 24 or 25 | taken: [`Outcome::Delivered`], or [`Outcome::Awaiting`] with `acknowledge` |
//! | code 8, 9, 18-20, 23, 26, 27; 408, 429, 5xx | all of it later |
//! | code 1-4, 10, 11, 14; 401, 403, 404 | all of it later: the settings are at fault, not the documents |
//! | code 6, 12, 13, 15 with `invalid-event-number` | that document is refused, the rest is sent again at once |
//! | code 7 (index) | the index is the same for all of them: all are refused |
//! | 400 or 413 otherwise | sent again in halves, until the one document is alone that is refused |
//!
//! With `acknowledge`, a 200 is not yet delivered: the indexers' answer is asked for on the same channel. What
//! is not acknowledged in time is lost and sent again. A 200 without an acknowledgement's number (the token
//! has none) is [`Outcome::Unconfirmed`]: sending again would only make more copies.
//!
//! # Limits
//! Answers are read up to 1 MiB. At most [`MAX_SPLITS`] requests for one batch; what is left after that is
//! tried again later.

mod acknowledgement;
pub(crate) mod answer;
mod envelope;

use std::io::Write;
use std::time::Duration;

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::http_client::{HttpClient, HttpClientSettings, parse_url, secret_header};
use crate::{
    AttemptError, BuildError, Confirmation, Destination, Document, Outcome, Secret, SecretSource,
    SettingError, Ticket, TlsConfig, in_range,
};
use acknowledgement::Acknowledgements;
use answer::Verdict;
use envelope::Labels;

/// Most requests that one batch is split into.
const MAX_SPLITS: usize = 64;
const CHANNEL: &str = "x-splunk-request-channel";

/// Configuration of a Splunk destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplunkHecConfig {
    /// Address of the collector, for example `https://splunk.example.org:8088`; `/services/collector/...` is
    /// appended.
    pub url: String,
    /// The token. Must be given.
    pub token: Option<SecretSource>,
    /// Index; the token's default index when not given.
    pub index: Option<String>,
    /// Source.
    pub source: String,
    /// Source type of findings.
    pub detection_sourcetype: String,
    /// Source type of documents about sensors.
    pub sensor_sourcetype: String,
    /// Source type of matches of Sigma rules.
    pub rule_sourcetype: String,
    /// Host of all events; that of the document when not given.
    pub host: Option<String>,
    /// Whether a document counts as delivered only when the indexers have acknowledged it. The token must have
    /// indexer acknowledgement switched on.
    pub acknowledge: bool,
    /// Seconds after which a document that was not acknowledged is sent again, 5..=3600.
    pub acknowledge_timeout_s: u64,
    /// Whether requests are compressed.
    pub gzip: bool,
    /// Seconds for one request, 1..=600.
    pub timeout_s: u64,
    /// TLS, for `https`.
    pub tls: TlsConfig,
}

impl Default for SplunkHecConfig {
    fn default() -> Self {
        Self {
            url: "https://127.0.0.1:8088".to_owned(),
            token: None,
            index: None,
            source: "beaconwatch".to_owned(),
            detection_sourcetype: "beaconwatch:detection".to_owned(),
            sensor_sourcetype: "beaconwatch:sensor".to_owned(),
            rule_sourcetype: "beaconwatch:rule".to_owned(),
            host: None,
            acknowledge: false,
            acknowledge_timeout_s: 300,
            gzip: true,
            timeout_s: 30,
            tls: TlsConfig::default(),
        }
    }
}

impl SplunkHecConfig {
    pub(crate) fn validate(&self, field: &str) -> Result<(), SettingError> {
        parse_url(&self.url)
            .map_err(|expected| SettingError::value(format!("{field}.url"), &self.url, expected))?;
        if self.token.is_none() {
            let expected = "a token, as token = { file = \"...\" } or { env = \"...\" }";
            return Err(SettingError::value(format!("{field}.token"), "", expected));
        }
        for (name, value) in [
            ("index", self.index.as_ref()),
            ("source", Some(&self.source)),
            ("detection_sourcetype", Some(&self.detection_sourcetype)),
            ("sensor_sourcetype", Some(&self.sensor_sourcetype)),
            ("rule_sourcetype", Some(&self.rule_sourcetype)),
            ("host", self.host.as_ref()),
        ] {
            if let Some(value) = value.filter(|it| !(1..=255).contains(&it.len())) {
                let expected = "1 to 255 bytes";
                return Err(SettingError::value(
                    format!("{field}.{name}"),
                    value,
                    expected,
                ));
            }
        }
        self.tls.validate(&format!("{field}.tls"))?;
        let acknowledge = format!("{field}.acknowledge_timeout_s");
        in_range(&acknowledge, self.acknowledge_timeout_s, 5, 3600)?;
        in_range(&format!("{field}.timeout_s"), self.timeout_s, 1, 600)
    }

    fn endpoint(&self, name: &str) -> Result<Url, BuildError> {
        let base = self.url.trim_end_matches('/');
        parse_url(&format!("{base}/services/collector/{name}"))
            .map_err(|expected| BuildError::Client(format!("{}: expected {expected}", self.url)))
    }
}

/// A Splunk destination.
#[derive(Debug)]
pub(crate) struct SplunkHec {
    client: HttpClient,
    events: Url,
    acks: Url,
    headers: HeaderMap,
    gzip: bool,
    labels: Labels,
    /// What is not acknowledged yet; none without `acknowledge`.
    acknowledgements: Option<Acknowledgements>,
}

impl SplunkHec {
    pub(crate) fn new(
        config: &SplunkHecConfig,
        observer_name: Option<&str>,
    ) -> Result<Self, BuildError> {
        let token = config.token.as_ref();
        let token = token.ok_or_else(|| BuildError::Client("token is not given".to_owned()))?;
        let channel = uuid::Uuid::from_u128(rand::random()).to_string();
        let mut headers = HeaderMap::new();
        let authorization = secret_header("Splunk ", &Secret::read(token)?)?;
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let channel = HeaderValue::try_from(channel)
            .map_err(|error| BuildError::Client(error.to_string()))?;
        headers.insert(CHANNEL, channel);
        let timeout = Duration::from_secs(config.timeout_s);
        Ok(Self {
            client: HttpClient::new(HttpClientSettings::new(timeout, &config.tls))?,
            events: config.endpoint("event")?,
            acks: config.endpoint("ack")?,
            headers,
            gzip: config.gzip,
            labels: Labels::new(config, observer_name),
            acknowledgements: config
                .acknowledge
                .then(|| Acknowledgements::new(Duration::from_secs(config.acknowledge_timeout_s))),
        })
    }

    async fn send(&self, envelopes: &[&str]) -> Result<Verdict, AttemptError> {
        let mut headers = self.headers.clone();
        let mut body = envelopes.join("\n").into_bytes();
        if self.gzip {
            body = gzip(&body)
                .map_err(|error| AttemptError::new(format!("cannot compress: {error}")))?;
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let sent = self
            .client
            .send(Method::POST, self.events.clone(), headers, body);
        Ok(answer::judge(&sent.await?, envelopes.len()))
    }

    /// What became of documents that were taken with this number of an acknowledgement.
    fn taken(&mut self, acknowledgement: Option<u64>, documents: usize) -> Vec<Outcome> {
        match (&mut self.acknowledgements, acknowledgement) {
            (None, _) => vec![Outcome::Delivered; documents],
            (Some(_), None) => {
                tracing::warn!(
                    "Splunk has taken documents without acknowledgement: switch it on for the token, or set acknowledge = false"
                );
                vec![Outcome::Unconfirmed; documents]
            }
            (Some(waiting), Some(id)) => waiting
                .expect(id, documents, Instant::now())
                .map(Outcome::Awaiting)
                .collect(),
        }
    }

    /// Sends parts of a batch until each document has an outcome; an error of the first request is one of
    /// the attempt.
    async fn send_parts(
        &mut self,
        envelopes: &[(usize, String)],
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), AttemptError> {
        let mut parts = vec![envelopes];
        for request in 0..MAX_SPLITS {
            let Some(part) = parts.pop() else {
                return Ok(());
            };
            let texts: Vec<&str> = part.iter().map(|(_, text)| text.as_str()).collect();
            let verdict = match self.send(&texts).await {
                Ok(Verdict::Later(error)) | Err(error) if request == 0 => return Err(error),
                Ok(Verdict::Later(error)) | Err(error) => {
                    parts.push(part);
                    put_off(&parts, &error, outcomes);
                    return Ok(());
                }
                Ok(verdict) => verdict,
            };
            self.note(verdict, part, &mut parts, outcomes);
        }
        put_off(
            &parts,
            &AttemptError::new("too many documents of the batch were refused"),
            outcomes,
        );
        Ok(())
    }

    /// Takes note of what was said of one part; what is to be sent again becomes parts.
    fn note<'e>(
        &mut self,
        verdict: Verdict,
        part: &'e [(usize, String)],
        parts: &mut Vec<&'e [(usize, String)]>,
        outcomes: &mut [Option<Outcome>],
    ) {
        let mut put = |index: usize, outcome| {
            if let Some(slot) = outcomes.get_mut(index) {
                *slot = Some(outcome);
            }
        };
        match verdict {
            Verdict::Taken(acknowledgement) => {
                let taken = self.taken(acknowledgement, part.len());
                for ((index, _), outcome) in part.iter().zip(taken) {
                    put(*index, outcome);
                }
            }
            Verdict::OneRefused { number, reason } => {
                let (before, rest) = part.split_at(number.min(part.len()));
                if let Some(((index, _), after)) = rest.split_first() {
                    put(*index, Outcome::Refused { reason });
                    parts.extend([after, before].into_iter().filter(|it| !it.is_empty()));
                }
            }
            Verdict::AllRefused { reason } => {
                for (index, _) in part {
                    let reason = reason.clone();
                    put(*index, Outcome::Refused { reason });
                }
            }
            Verdict::Split { reason } => {
                if let [(index, _)] = part {
                    put(*index, Outcome::Refused { reason });
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
            // Told by the caller already.
            Verdict::Later(_) => {}
        }
    }
}

/// What has no outcome yet is tried again later.
fn put_off(parts: &[&[(usize, String)]], error: &AttemptError, outcomes: &mut [Option<Outcome>]) {
    for (index, _) in parts.iter().copied().flatten() {
        if let Some(slot) = outcomes.get_mut(*index) {
            *slot = Some(Outcome::Retry {
                reason: error.reason.clone(),
                retry_after: error.retry_after,
            });
        }
    }
}

fn gzip(body: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish()
}

#[async_trait]
impl Destination for SplunkHec {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut envelopes = Vec::with_capacity(documents.len());
        for (index, document) in documents.iter().enumerate() {
            match self.labels.envelope(document) {
                Ok(envelope) => {
                    envelopes.push((index, envelope));
                    outcomes.push(None);
                }
                Err(reason) => outcomes.push(Some(Outcome::Refused { reason })),
            }
        }
        if !envelopes.is_empty() {
            self.send_parts(&envelopes, &mut outcomes).await?;
        }
        let unknown = || Outcome::retry("nothing is known of the document");
        Ok(outcomes
            .into_iter()
            .map(|outcome| outcome.unwrap_or_else(unknown))
            .collect())
    }

    fn rendered(&self, documents: &[Document]) -> Result<String, String> {
        let envelopes: Result<Vec<String>, String> = documents
            .iter()
            .map(|document| self.labels.envelope(document))
            .collect();
        Ok(envelopes?.join("\n"))
    }

    async fn confirm(&mut self) -> Result<Vec<(Ticket, Confirmation)>, AttemptError> {
        let Some(waiting) = &mut self.acknowledgements else {
            return Ok(Vec::new());
        };
        // What is too late is told whatever the server says.
        let lost = waiting.expired(Instant::now());
        if !lost.is_empty() {
            return Ok(lost);
        }
        let Some(question) = waiting.question() else {
            return Ok(Vec::new());
        };
        let headers = self.headers.clone();
        let sent = self
            .client
            .send(Method::POST, self.acks.clone(), headers, question);
        let acknowledged = answer::acknowledged(sent.await?)?;
        Ok(waiting.acknowledged(&acknowledged))
    }
}

#[cfg(test)]
mod tests;
