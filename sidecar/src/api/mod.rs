//! The status API: JSON over HTTP, read only.
//!
//! | path | what |
//! |---|---|
//! | `/healthz` | 200 while the process lives |
//! | `/readyz` | 200 when the store and the scoring thread answer, else 503 |
//! | `/api/v1/status` | counters of every part ([`crate::Status`]) |
//! | `/api/v1/beacons` | scored series, best first; `min_score` (0..=1), `limit` |
//! | `/api/v1/connections` | series with the most connections; `limit` |
//!
//! A request whose `Host` is not loopback, the bound address or an allowed name is refused: a web page
//! that points its own name at this address cannot make a browser read the API. Only `GET` and `HEAD`;
//! parameters that are not known are refused.

mod beacons;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;

use crate::observe::{Observer, SharedBoard};
use crate::status::StatusReporter;
use crate::store::StoreError;

/// Series shown when no limit is given, and at most.
const DEFAULT_LIMIT: usize = 100;
const MAX_LIMIT: usize = 10_000;
/// A request that is not answered by then is given up.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What the API answers from.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) observer: Observer,
    pub(crate) board: SharedBoard,
    pub(crate) status: StatusReporter,
}

/// Which `Host` headers are accepted.
#[derive(Clone, Debug)]
struct Hosts {
    bound: IpAddr,
    allowed: Arc<[String]>,
}

/// The routes of the API on a bound address.
pub(crate) fn router(api: Api, bound: SocketAddr, allowed_hosts: &[String]) -> Router {
    let hosts = Hosts {
        bound: bound.ip(),
        allowed: allowed_hosts.into(),
    };
    Router::new()
        .route("/", get(root))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/beacons", get(beacons))
        .route("/api/v1/connections", get(connections))
        .fallback(|| async { ApiError::NotFound })
        .method_not_allowed_fallback(|| async { ApiError::Method })
        .with_state(api)
        .layer(middleware::from_fn(within_time))
        .layer(middleware::from_fn_with_state(hosts, known_host))
}

/// An error, as the API states it.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("host {0:?} is not known here: see api.allowed_hosts")]
    Host(String),
    #[error("there is nothing here: see /")]
    NotFound,
    #[error("only GET and HEAD are answered here")]
    Method,
    #[error("{0}")]
    Parameter(String),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("{0}")]
    Store(#[from] StoreError),
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Host(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Parameter(_) => StatusCode::BAD_REQUEST,
            Self::Timeout | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        json(status, &serde_json::json!({ "error": self.to_string() }))
    }
}

fn json(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = Response::new(axum::body::Body::from(format!("{value}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    response
}

async fn known_host(State(hosts): State<Hosts>, request: Request, next: Next) -> Response {
    match hosts.check(request.headers(), request.uri().authority()) {
        Ok(()) => next.run(request).await,
        Err(host) => ApiError::Host(host).into_response(),
    }
}

impl Hosts {
    fn check(&self, headers: &HeaderMap, authority: Option<&Authority>) -> Result<(), String> {
        let mut values = headers.get_all(HOST).iter();
        let header = values.next().and_then(|host| host.to_str().ok());
        // HTTP/2 names the host in the request's target.
        let host = header
            .or(authority.map(Authority::as_str))
            .unwrap_or_default();
        let one = values.next().is_none();
        if one && self.accepts(host) {
            Ok(())
        } else {
            Err(host.chars().take(100).collect())
        }
    }

    fn accepts(&self, host: &str) -> bool {
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
        name.eq_ignore_ascii_case("localhost")
            || self
                .allowed
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(name))
    }
}

async fn within_time(request: Request, next: Next) -> Response {
    match tokio::time::timeout(TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_elapsed) => ApiError::Timeout.into_response(),
    }
}

async fn root() -> &'static str {
    "Beaconwatch\n\n\
     /healthz             is the process alive\n\
     /readyz              can it work\n\
     /api/v1/status       counters of every part\n\
     /api/v1/beacons      scored series, best first (min_score, limit)\n\
     /api/v1/connections  series with the most connections (limit)\n"
}

async fn ready(State(api): State<Api>) -> Result<&'static str, ApiError> {
    api.status.store_size().await?;
    api.observer.status().await?;
    Ok("ready\n")
}

async fn status(State(api): State<Api>) -> Result<Response, ApiError> {
    let status = api.status.status().await?;
    let value =
        serde_json::to_value(&status).map_err(|error| ApiError::Parameter(error.to_string()))?;
    Ok(json(StatusCode::OK, &value))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct BeaconsQuery {
    min_score: f64,
    limit: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ConnectionsQuery {
    limit: Option<usize>,
}

type Parameters<T> = Result<Query<T>, axum::extract::rejection::QueryRejection>;

fn parameters<T>(query: Parameters<T>) -> Result<T, ApiError> {
    query
        .map(|Query(query)| query)
        .map_err(|error| ApiError::Parameter(error.body_text()))
}

fn limit(limit: Option<usize>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if (1..=MAX_LIMIT).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::Parameter(format!(
        "limit is {limit}, expected 1 to {MAX_LIMIT}"
    )))
}

async fn beacons(
    State(api): State<Api>,
    query: Parameters<BeaconsQuery>,
) -> Result<Response, ApiError> {
    let query = parameters(query)?;
    let limit = limit(query.limit)?;
    if !(0.0..=1.0).contains(&query.min_score) {
        let reason = format!("min_score is {}, expected 0 to 1", query.min_score);
        return Err(ApiError::Parameter(reason));
    }
    Ok(json(
        StatusCode::OK,
        &beacons::list(&api.board, query.min_score, limit),
    ))
}

async fn connections(
    State(api): State<Api>,
    query: Parameters<ConnectionsQuery>,
) -> Result<Response, ApiError> {
    let limit = limit(parameters(query)?.limit)?;
    let (total, series) = api.observer.connections(limit).await?;
    Ok(json(StatusCode::OK, &beacons::connections(total, &series)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(bound: &str) -> Hosts {
        Hosts {
            bound: bound.parse().unwrap(),
            allowed: ["sensor.example".to_owned()].into(),
        }
    }

    #[test]
    fn loopback_the_bound_address_and_allowed_names_are_accepted() {
        let hosts = hosts("192.0.2.1");
        for host in [
            "localhost",
            "LOCALHOST:9090",
            "127.0.0.1:9090",
            "[::1]:9090",
            "192.0.2.1:9090",
        ] {
            assert!(hosts.accepts(host), "{host}");
        }
        assert!(hosts.accepts("sensor.example:9090"));
    }

    #[test]
    fn other_names_and_addresses_are_refused() {
        let hosts = hosts("127.0.0.1");
        for host in [
            "",
            "evil.example",
            "evil.example:9090",
            "localhost.evil.example",
            "10.0.0.1",
            "::",
        ] {
            assert!(!hosts.accepts(host), "{host}");
        }
    }
}
