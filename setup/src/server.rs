//! One server that is set up: its address, credentials and TLS, and requests of JSON to it.
//!
//! # Contract
//! One request is one attempt; what goes wrong names the server's address and never a credential. An answer
//! that is no success is a value ([`Reply`]) whose [`Reply::reason`] is what the server says, in one line.
//!
//! # Limits
//! Answers are read up to [`MAX_ANSWER_BYTES`]. Redirects are answers.

use std::time::Duration;

use beaconwatch_destinations::{
    Authentication, HttpClient, HttpClientSettings, TlsConfig, parse_url,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use reqwest::Url;
use serde_json::Value;

use crate::SetupError;

/// Largest answer that is read: a cluster's mappings can be long.
const MAX_ANSWER_BYTES: usize = 64 << 20;
const TIMEOUT: Duration = Duration::from_mins(1);
/// Longest reason that is kept.
const MAX_REASON_CHARACTERS: usize = 600;
/// Everything that means something in a path.
const SEGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'*')
    .add(b'/')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\');

/// Where a server is and how to prove who we are.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address; a path in it goes before every path of the API (a space of Kibana: `/s/<space>`).
    pub url: String,
    /// Credentials; none for a server without login.
    pub authentication: Option<Authentication>,
    /// TLS, for `https`.
    pub tls: TlsConfig,
}

/// A server as it is talked to.
#[derive(Debug)]
pub(crate) struct Api {
    client: HttpClient,
    base: Url,
    headers: HeaderMap,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    /// Null when it is no JSON.
    pub(crate) body: Value,
    said: String,
}

impl Api {
    /// Reads secrets and certificates; connects to nothing.
    pub(crate) fn new(server: &Server) -> Result<Self, SetupError> {
        let wrong = |expected: &'static str| SetupError::Address {
            url: server.url.clone(),
            expected,
        };
        let base = parse_url(&format!("{}/", server.url.trim_end_matches('/'))).map_err(wrong)?;
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("an address without a query"));
        }
        let mut settings = HttpClientSettings::new(TIMEOUT, &server.tls);
        settings.max_answer_bytes = MAX_ANSWER_BYTES;
        let mut headers = HeaderMap::new();
        if let Some(authentication) = &server.authentication {
            headers.insert(AUTHORIZATION, authentication.header()?);
        }
        Ok(Self {
            client: HttpClient::new(settings)?,
            base,
            headers,
        })
    }

    /// With a header in every request.
    pub(crate) fn with_header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// The address, for messages.
    pub(crate) fn url(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Asks without a body.
    pub(crate) async fn ask(&self, method: Method, path: &str) -> Result<Reply, SetupError> {
        self.send(method, path, None, String::new()).await
    }

    /// Sends JSON.
    pub(crate) async fn put(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Reply, SetupError> {
        let json = HeaderValue::from_static("application/json");
        self.send(method, path, Some(json), body.to_string()).await
    }

    /// Sends anything.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        content_type: Option<HeaderValue>,
        body: String,
    ) -> Result<Reply, SetupError> {
        let unreachable = |reason: String| SetupError::Unreachable {
            url: self.url().to_owned(),
            reason,
        };
        let url = self.base.join(path.trim_start_matches('/'));
        let url = url.map_err(|error| unreachable(error.to_string()))?;
        let mut headers = self.headers.clone();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type);
        }
        let sent = self.client.send(method, url, headers, body).await;
        let answer = sent.map_err(|error| unreachable(error.reason))?;
        Ok(Reply {
            status: answer.status,
            body: serde_json::from_slice(&answer.body).unwrap_or_default(),
            said: answer.reason(),
        })
    }
}

impl Reply {
    /// Whether the server has no such interface: a plugin that is not installed.
    pub(crate) fn is_no_handler(&self) -> bool {
        let said = self.body["error"].as_str().unwrap_or_default();
        said.starts_with("no handler found") || said.starts_with("Incorrect HTTP method")
    }

    /// Whether what was asked for is not there.
    pub(crate) fn is_missing(&self) -> bool {
        self.status == StatusCode::NOT_FOUND && !self.is_no_handler()
    }

    /// What the server says, in one line.
    pub(crate) fn reason(&self) -> String {
        let error = &self.body["error"];
        let told = error["reason"]
            .as_str()
            .or_else(|| self.body["message"].as_str())
            .or_else(|| error.as_str());
        let Some(told) = told else {
            return self.said.clone();
        };
        let mut text = format!("{}: {told}", self.status);
        let mut cause = &error["caused_by"];
        while let Some(reason) = cause["reason"].as_str() {
            if !text.contains(reason) {
                text = format!("{text}: {reason}");
            }
            cause = &cause["caused_by"];
        }
        let visible = |c: char| if c.is_control() { ' ' } else { c };
        text.chars()
            .take(MAX_REASON_CHARACTERS)
            .map(visible)
            .collect()
    }

    /// The body of a success; else the failure that the credentials may not do it, or what `refused` makes of
    /// the reason.
    pub(crate) fn success(
        self,
        api: &Api,
        refused: impl FnOnce(String) -> SetupError,
    ) -> Result<Value, SetupError> {
        if self.status == StatusCode::UNAUTHORIZED {
            return Err(SetupError::Credentials {
                url: api.url().to_owned(),
                reason: self.reason(),
            });
        }
        if self.status.is_success() {
            return Ok(self.body);
        }
        Err(refused(self.reason()))
    }
}

/// A name as one segment of a path.
pub(crate) fn segment(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}
