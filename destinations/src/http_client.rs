//! The HTTP client of all destinations that speak HTTP.
//!
//! # Contract
//! One request is one attempt: redirects are answers and not followed (a redirect would carry documents and
//! credentials to an address that nobody configured), nothing is tried again, proxies of the environment are
//! not used. An error text never holds a credential: they are put in headers that do not show themselves
//! ([`secret_header`]), and addresses with credentials in them are refused ([`parse_url`]).
//!
//! # Limits
//! An answer is read in pieces up to a limit, whatever length it declares; one that is longer is an error. The
//! answer's encoding is not undone: gzip is not asked for. One request, its answer included, ends at the
//! timeout; making a connection ends at the smaller of that and [`CONNECT_TIMEOUT`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use reqwest::Url;

use crate::{AttemptError, BuildError, Secret, TlsConfig};

/// Longest time for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept: shorter than servers usually do, so that they seldom close one
/// that is just being used.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read unless a destination says otherwise.
pub(crate) const DEFAULT_MAX_ANSWER_BYTES: usize = 1 << 20;
/// Longest text of a server that is kept in a reason.
const MAX_REASON_CHARACTERS: usize = 500;

/// How a client is made.
pub struct HttpClientSettings<'a> {
    /// Time for one request with its answer.
    pub timeout: Duration,
    /// TLS, for addresses that ask for it.
    pub tls: &'a TlsConfig,
    /// Largest answer that is read.
    pub max_answer_bytes: usize,
    /// Resolves names instead of the system; sees no addresses that are written as numbers.
    pub(crate) resolver: Option<Arc<dyn reqwest::dns::Resolve>>,
}

impl<'a> HttpClientSettings<'a> {
    /// Settings with the usual limit of answers and the system's resolver.
    #[must_use]
    pub fn new(timeout: Duration, tls: &'a TlsConfig) -> Self {
        Self {
            timeout,
            tls,
            max_answer_bytes: DEFAULT_MAX_ANSWER_BYTES,
            resolver: None,
        }
    }
}

/// Any resolver as the one type that the client is made with.
struct Resolver(Arc<dyn reqwest::dns::Resolve>);

impl reqwest::dns::Resolve for Resolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        self.0.resolve(name)
    }
}

/// An HTTP client.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    max_answer_bytes: usize,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, whole.
    pub body: Vec<u8>,
}

impl HttpClient {
    /// Makes one; reads the files that TLS needs.
    pub fn new(settings: HttpClientSettings<'_>) -> Result<Self, BuildError> {
        let mut builder = reqwest::Client::builder()
            .use_preconfigured_tls(settings.tls.client_config()?)
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(CONNECT_TIMEOUT))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("beaconwatch/", env!("CARGO_PKG_VERSION")))
            .no_proxy()
            .no_gzip()
            .retry(reqwest::retry::never());
        if let Some(resolver) = settings.resolver {
            builder = builder.dns_resolver(Arc::new(Resolver(resolver)));
        }
        Ok(Self {
            client: builder
                .build()
                .map_err(|error| BuildError::Client(describe(&error)))?,
            max_answer_bytes: settings.max_answer_bytes,
        })
    }

    /// Makes one request. `Err` when there is no whole answer; every answer is `Ok`, whatever its status.
    pub async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: impl Into<reqwest::Body>,
    ) -> Result<Answer, AttemptError> {
        let request = self.client.request(method, url).headers(headers).body(body);
        let failed = |error: reqwest::Error| AttemptError::new(describe(&error.without_url()));
        let mut response = request.send().await.map_err(failed)?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > self.max_answer_bytes {
                return Err(AttemptError::new(format!(
                    "{}: the answer has more than {} bytes",
                    response.status(),
                    self.max_answer_bytes
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer {
            status: response.status(),
            headers: std::mem::take(response.headers_mut()),
            body,
        })
    }
}

impl Answer {
    /// Whether the same request may be taken later, as far as the status says it.
    pub(crate) fn is_retryable(&self) -> bool {
        self.status == StatusCode::REQUEST_TIMEOUT
            || self.status == StatusCode::TOO_MANY_REQUESTS
            || self.status.is_server_error()
    }

    /// When the server wants to be asked again (`Retry-After`, seconds or date).
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        retry_after(self.headers.get(RETRY_AFTER)?, SystemTime::now())
    }

    /// Status and beginning of the answer.
    #[must_use]
    pub fn reason(&self) -> String {
        let said = shorten(&String::from_utf8_lossy(&self.body));
        let location = self.headers.get(http::header::LOCATION);
        match location.and_then(|to| to.to_str().ok()) {
            Some(to) if self.status.is_redirection() => {
                format!(
                    "{}: redirects are not followed (to {})",
                    self.status,
                    shorten(to)
                )
            }
            _ if said.trim().is_empty() => self.status.to_string(),
            _ => format!("{}: {said}", self.status),
        }
    }

    /// As a failure of the whole attempt.
    pub(crate) fn into_error(self) -> AttemptError {
        AttemptError {
            reason: self.reason(),
            retry_after: self.retry_after(),
        }
    }
}

/// The wait that a `Retry-After` asks for.
pub(crate) fn retry_after(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

/// A header's value that does not show itself; `prefix` goes before the secret.
pub fn secret_header(prefix: &str, secret: &Secret) -> Result<HeaderValue, BuildError> {
    let mut value = HeaderValue::from_str(&format!("{prefix}{}", secret.reveal())).map_err(
        |_contains_the_secret| {
            BuildError::Client("a secret has characters that a header cannot hold".to_owned())
        },
    )?;
    value.set_sensitive(true);
    Ok(value)
}

/// Reads the address of a server; the error says what was expected.
pub fn parse_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_not_a_url| "an http or https address")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("an http or https address");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address without credentials in it");
    }
    Ok(url)
}

/// The beginning of a text that came from a server, without control characters.
pub(crate) fn shorten(text: &str) -> String {
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    text.chars()
        .take(MAX_REASON_CHARACTERS)
        .map(visible)
        .collect()
}

/// An error with its causes: a client's own text names none.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        cause = error.source();
    }
    shorten(&text)
}

impl fmt::Debug for HttpClientSettings<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("HttpClientSettings")
            .field("timeout", &self.timeout)
            .field("tls", &self.tls)
            .field("max_answer_bytes", &self.max_answer_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
