//! OTLP logs over gRPC or HTTP: one log record for each document.
//!
//! # Contract
//! A receiver that takes a request has its documents: [`Outcome::Delivered`]. What it answers otherwise is read as
//! the OTLP specification says, with two differences, both so that nothing is given up that could arrive:
//!
//! - A request that will never be taken, and one of which some records were rejected (the answer does not say
//!   which), is sent again in halves until the one document is alone that is [`Outcome::Refused`]. What a
//!   receiver had taken of it arrives twice, with the same `beaconwatch.event.id`.
//! - Missing or wrong credentials and a service that is not there are nothing against the documents: tried again.
//!
//! `Retry-After` (HTTP) and `RetryInfo` (gRPC) are handed on.
//!
//! # Limits
//! JSON over HTTP is not spoken: every receiver has protobuf. Answers are read up to 1 MiB (HTTP) and 4 MiB
//! (gRPC).

mod grpc;
mod http;
mod record;

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName};
use async_trait::async_trait;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http_client::{parse_url, secret_header, shorten};
use crate::{
    AttemptError, BuildError, Destination, Document, Outcome, Secret, SecretSource, SettingError,
    TlsConfig, in_range,
};

/// Configuration of an OTLP destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// How requests are carried.
    pub protocol: OtlpProtocol,
    /// Address of the receiver, for example `https://collector.example.org:4317`. For `http/protobuf`, `/v1/logs` is
    /// appended when it has no path.
    pub endpoint: String,
    /// Headers of each request, by name; their values are secrets.
    pub headers: BTreeMap<String, SecretSource>,
    /// TLS, for `https`.
    pub tls: TlsConfig,
    /// Compression of requests.
    pub compression: OtlpCompression,
    /// What the body of a log record is.
    pub body: OtlpBody,
    /// Seconds for one request, 1..=600.
    pub timeout_s: u64,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            protocol: OtlpProtocol::Grpc,
            endpoint: "http://127.0.0.1:4317".to_owned(),
            headers: BTreeMap::new(),
            tls: TlsConfig::default(),
            compression: OtlpCompression::Gzip,
            body: OtlpBody::Ecs,
            timeout_s: 30,
        }
    }
}

/// How OTLP requests are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OtlpProtocol {
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
    /// Protobuf over HTTP.
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

/// Compression of OTLP requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpCompression {
    /// None.
    None,
    /// gzip.
    Gzip,
}

/// What the body of a log record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OtlpBody {
    /// The whole document as a map.
    Ecs,
    /// The document's message.
    Message,
}

impl OtlpConfig {
    pub(crate) fn validate(&self, field: &str) -> Result<(), SettingError> {
        self.url().map_err(|expected| {
            SettingError::value(format!("{field}.endpoint"), &self.endpoint, expected)
        })?;
        for name in self.headers.keys() {
            if HeaderName::from_bytes(name.as_bytes()).is_err() {
                let expected = "names of headers";
                return Err(SettingError::value(
                    format!("{field}.headers"),
                    name,
                    expected,
                ));
            }
        }
        self.tls.validate(&format!("{field}.tls"))?;
        in_range(&format!("{field}.timeout_s"), self.timeout_s, 1, 600)
    }

    fn url(&self) -> Result<Url, &'static str> {
        let mut url = parse_url(&self.endpoint)?;
        match self.protocol {
            OtlpProtocol::Grpc if url.path() != "/" => {
                return Err("an address without a path, which gRPC does not have");
            }
            OtlpProtocol::HttpProtobuf if url.path() == "/" => url.set_path("/v1/logs"),
            OtlpProtocol::Grpc | OtlpProtocol::HttpProtobuf => {}
        }
        Ok(url)
    }

    fn header_map(&self) -> Result<HeaderMap, BuildError> {
        let mut headers = HeaderMap::new();
        for (name, source) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|error| BuildError::Client(format!("header {name}: {error}")))?;
            headers.insert(name, secret_header("", &Secret::read(source)?)?);
        }
        Ok(headers)
    }
}

/// Why a request was not taken.
#[derive(Debug)]
enum Failure {
    /// It may be taken later.
    Later(AttemptError),
    /// It will never be taken as it is.
    Never(String),
}

/// A way to a receiver.
#[derive(Debug)]
enum Target {
    Grpc(grpc::GrpcTarget),
    Http(http::HttpTarget),
}

impl Target {
    async fn export(
        &self,
        request: ExportLogsServiceRequest,
    ) -> Result<ExportLogsServiceResponse, Failure> {
        match self {
            Self::Grpc(target) => target.export(request).await,
            Self::Http(target) => target.export(&request).await,
        }
    }
}

/// An OTLP destination.
#[derive(Debug)]
pub(crate) struct Otlp {
    target: Target,
    encoder: record::Encoder,
}

impl Otlp {
    pub(crate) fn new(
        config: &OtlpConfig,
        observer_name: Option<&str>,
    ) -> Result<Self, BuildError> {
        let url = config
            .url()
            .map_err(|expected| BuildError::Client(expected.to_owned()))?;
        let target = match config.protocol {
            OtlpProtocol::Grpc => Target::Grpc(grpc::GrpcTarget::new(config, &url)?),
            OtlpProtocol::HttpProtobuf => Target::Http(http::HttpTarget::new(config, url)?),
        };
        Ok(Self {
            target,
            encoder: record::Encoder::new(config.body, observer_name),
        })
    }

    /// One request. None when fewer documents at a time are to be sent.
    async fn part(&self, documents: &[Document]) -> Result<Option<Vec<Outcome>>, AttemptError> {
        let alone = documents.len() == 1;
        let request = match self.encoder.request(documents) {
            Ok(request) => request,
            Err(reason) => return Ok(alone.then(|| vec![Outcome::Refused { reason }])),
        };
        let response = match self.target.export(request).await {
            Ok(response) => response,
            Err(Failure::Later(error)) => return Err(error),
            Err(Failure::Never(reason)) => {
                return Ok(alone.then(|| vec![Outcome::Refused { reason }]));
            }
        };
        let Some(partial) = response.partial_success else {
            return Ok(Some(vec![Outcome::Delivered; documents.len()]));
        };
        let said = shorten(&partial.error_message);
        if partial.rejected_log_records <= 0 {
            if !said.is_empty() {
                tracing::warn!(%said, "the receiver took everything and warns");
            }
            return Ok(Some(vec![Outcome::Delivered; documents.len()]));
        }
        let reason = format!("rejected: {said}");
        let all = usize::try_from(partial.rejected_log_records).is_ok_and(|n| n >= documents.len());
        Ok((alone || all).then(|| vec![Outcome::Refused { reason }; documents.len()]))
    }
}

#[async_trait]
impl Destination for Otlp {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let mut outcomes = Vec::with_capacity(documents.len());
        let mut parts = vec![documents];
        while let Some(part) = parts.pop() {
            match self.part(part).await {
                Ok(Some(answered)) => outcomes.extend(answered),
                Ok(None) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) if outcomes.is_empty() => return Err(error),
                Err(error) => {
                    outcomes.resize(documents.len(), error.into());
                    break;
                }
            }
        }
        Ok(outcomes)
    }
}

/// How long a receiver's connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
