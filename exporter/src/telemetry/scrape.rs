//! `GET /metrics`: what the SDK collected, as text. One request a connection, a few connections at a time, each for
//! a bounded time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::reader::MetricReader;
use opentelemetry_sdk::metrics::{InstrumentKind, ManualReader, Pipeline, Temporality};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::exposition;

const MAX_CONNECTIONS: usize = 16;
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Longest life of a connection.
const MAX_LIFE: Duration = Duration::from_secs(10);

/// Collects when it is asked to; the SDK holds one end, the server the other.
#[derive(Clone, Debug)]
pub(crate) struct Scraped(Arc<ManualReader>);

impl Scraped {
    pub(crate) fn new() -> Self {
        Self(Arc::new(ManualReader::default()))
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if path != "/metrics" {
            return plain(StatusCode::NOT_FOUND, "there is only /metrics\n");
        }
        if ![Method::GET, Method::HEAD].contains(method) {
            let mut refusal = plain(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            refusal.headers_mut().insert(ALLOW, allowed);
            return refusal;
        }
        let mut collected = ResourceMetrics::default();
        if let Err(error) = self.0.collect(&mut collected) {
            tracing::warn!(%error, "metrics cannot be collected");
            return plain(StatusCode::SERVICE_UNAVAILABLE, "stopping\n");
        }
        match exposition::text(collected) {
            Ok(text) => answer(StatusCode::OK, exposition::CONTENT_TYPE, text.into()),
            Err(_too_long) => plain(StatusCode::INTERNAL_SERVER_ERROR, "no text\n"),
        }
    }
}

impl MetricReader for Scraped {
    fn register_pipeline(&self, pipeline: Weak<Pipeline>) {
        self.0.register_pipeline(pipeline);
    }

    fn collect(&self, collected: &mut ResourceMetrics) -> OTelSdkResult {
        self.0.collect(collected)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self, kind: InstrumentKind) -> Temporality {
        self.0.temporality(kind)
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(
        status,
        "text/plain; charset=utf-8",
        Bytes::from_static(text.as_bytes()),
    )
}

fn answer(status: StatusCode, kind: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// A listener. Needs a Tokio runtime.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, scraped: Scraped) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((connection, _)) => {
                let scraped = scraped.clone();
                tokio::spawn(async move {
                    converse(connection, scraped).await;
                    drop(permit);
                });
            }
            Err(error) => {
                // Such as too many open files: it passes, and must not become a busy loop.
                tracing::warn!(%error, "a connection for metrics cannot be accepted");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn converse(connection: TcpStream, scraped: Scraped) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = scraped.answer(request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(answer) }
    });
    let conversation = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(MAX_LIFE)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), service);
    match tokio::time::timeout(MAX_LIFE, conversation).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection for metrics broke"),
        Err(_elapsed) => tracing::debug!("a connection for metrics took too long"),
    }
}
