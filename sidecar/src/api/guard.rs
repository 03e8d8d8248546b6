//! What every request must be before anybody looks at what it asks for, and what every answer carries.
//!
//! - Its `Host` is loopback, the bound address or an allowed name: a web page that points its own name at this
//!   address (DNS rebinding) cannot make a browser talk to the API.
//! - When it changes something and a browser says which page made it, it is a page of this very host.
//! - No more than a bounded number is worked on at a time, each for a bounded time.
//! - Answers are not stored, not guessed at, not framed, and a page of ours loads nothing from elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::error::ApiError;
use crate::config::ApiConfig;

/// When a client that came at a busy moment should come again.
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// Headers of every answer.
const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    (
        "content-security-policy",
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
];

/// The conditions.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    bound: IpAddr,
    allowed: Arc<[String]>,
    room: Arc<Semaphore>,
    max_requests: usize,
    timeout: Duration,
}

impl Guard {
    pub(super) fn new(config: &ApiConfig, bound: SocketAddr) -> Self {
        Self {
            bound: bound.ip(),
            allowed: config.allowed_hosts.clone().into(),
            room: Arc::new(Semaphore::new(config.max_requests)),
            max_requests: config.max_requests,
            timeout: Duration::from_secs(config.request_timeout_s),
        }
    }

    fn check(&self, request: &Request) -> Result<(), ApiError> {
        let headers = request.headers();
        let authority = request.uri().authority();
        let host = host(headers, authority).map_err(ApiError::Host)?;
        if !self.accepts(host) {
            return Err(ApiError::Host(excerpt(host)));
        }
        if matches!(*request.method(), Method::GET | Method::HEAD) {
            return Ok(());
        }
        same_origin(headers, host)
    }

    pub(super) fn accepts(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        if let Ok(address) = name.parse::<IpAddr>() {
            // An address in the header cannot have been rebound: it is where the browser connected to.
            return address.is_loopback() || address == self.bound || self.bound.is_unspecified();
        }
        let mut allowed = self.allowed.iter();
        name.eq_ignore_ascii_case("localhost")
            || allowed.any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

/// The one host that a request names; the excerpt of what it names otherwise.
fn host<'a>(headers: &'a HeaderMap, authority: Option<&'a Authority>) -> Result<&'a str, String> {
    let mut values = headers.get_all(HOST).iter();
    let header = values.next();
    let text = match header {
        Some(value) => value.to_str().map_err(|_not_ascii| String::new())?,
        // HTTP/2 names the host in the request's target.
        None => authority.map(Authority::as_str).unwrap_or_default(),
    };
    if values.next().is_some() {
        return Err(excerpt(text));
    }
    Ok(text)
}

/// Checks that the page that made a request, if a page made it, comes from the host that it is made to.
fn same_origin(headers: &HeaderMap, host: &str) -> Result<(), ApiError> {
    for value in headers.get_all(ORIGIN) {
        let origin = value.to_str().unwrap_or_default();
        let page = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        if !page.is_some_and(|page| page.eq_ignore_ascii_case(host)) {
            return Err(ApiError::Origin(excerpt(origin)));
        }
    }
    match headers.get("sec-fetch-site").map(HeaderValue::as_bytes) {
        None | Some(b"same-origin" | b"none") => Ok(()),
        Some(_) => Err(ApiError::Origin("another site".to_owned())),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

/// Lets only requests pass that fulfil the conditions.
pub(super) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let answer = async {
        guard.check(&request)?;
        let Ok(_place) = guard.room.try_acquire() else {
            return Err(ApiError::Busy {
                reason: format!(
                    "{} requests are worked on, which is the limit: send again later",
                    guard.max_requests
                ),
                retry_after: BUSY_RETRY,
            });
        };
        tokio::time::timeout(guard.timeout, next.run(request))
            .await
            .map_err(|_elapsed| ApiError::Timeout(guard.timeout))
    };
    let mut response = answer.await.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(bound: &str) -> Guard {
        let config = ApiConfig {
            allowed_hosts: vec!["sensor.example".to_owned()],
            ..ApiConfig::default()
        };
        Guard::new(&config, SocketAddr::new(bound.parse().unwrap(), 9090))
    }

    #[test]
    fn loopback_the_bound_address_and_allowed_names_are_accepted() {
        let guard = guard("192.0.2.1");
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:9090",
            "[::1]:9090",
            "192.0.2.1:9090",
        ] {
            assert!(guard.accepts(host), "{host}");
        }
        assert!(guard.accepts("sensor.example:9090"));
    }

    #[test]
    fn other_names_and_addresses_are_refused() {
        let guard = guard("127.0.0.1");
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "10.0.0.1",
            "::",
        ] {
            assert!(!guard.accepts(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_the_same_host_may_write_and_others_may_not() {
        let check = |name: &'static str, value: &'static str| {
            let headers = HeaderMap::from_iter([(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )]);
            same_origin(&headers, "localhost:9090").is_ok()
        };
        assert!(same_origin(&HeaderMap::new(), "localhost:9090").is_ok());
        assert!(check("origin", "http://localhost:9090"));
        assert!(check("origin", "https://LOCALHOST:9090"));
        assert!(check("sec-fetch-site", "same-origin"));
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost",
            "http://localhost:9091",
            "http://localhost:9090.evil.example",
            "file://localhost:9090",
        ] {
            assert!(!check("origin", origin), "{origin}");
        }
        assert!(!check("sec-fetch-site", "cross-site"));
        assert!(!check("sec-fetch-site", "same-site"));
    }
}
