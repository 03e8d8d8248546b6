//! Metrics of the traffic and of the exporter itself, by the OpenTelemetry SDK: sent over OTLP, or scraped, or both,
//! from the same instruments.
//!
//! A metric has a bounded number of attribute sets; past that the SDK counts in one with the attribute
//! `otel.metric.overflow`.
//!
//! For HTTP the SDK gets a client over this crate's own HTTP library; for gRPC a channel made as for logs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::metrics::MeterProvider;
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use opentelemetry_otlp::{
    Compression as Packing, ExporterBuildError, MetricExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{Instrument, PeriodicReader, SdkMeterProvider, Stream};
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::client::{ConnectError, grpc, http as http_client, pack};
use super::connection::{Compression, Connection, Protocol};
use super::logs::Identity;
use crate::telemetry::scrape::{self, Scraped};
use crate::telemetry::{Telemetry, instruments};

/// Why metrics cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Metrics cannot be scraped.
    #[error("cannot listen on {address} for metrics: {source}")]
    Listen {
        /// Where to listen.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The SDK refused the settings (it also reads `OTEL_*` variables itself).
    #[error("cannot make the OTLP metrics exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Where metrics go, and how many there are at most.
#[derive(Clone, Debug)]
pub struct MetricsSettings {
    /// Over OTLP: where, and how often.
    pub otlp: Option<(Connection, Duration)>,
    /// Where they may be scraped.
    pub listen: Option<SocketAddr>,
    /// Attribute sets of one metric at most.
    pub max_attribute_sets: usize,
    /// Records that the queue in memory can hold.
    pub queue_capacity: usize,
}

/// Sends metrics, or lets them be scraped, until it is stopped.
#[derive(Debug)]
pub struct Metrics {
    provider: SdkMeterProvider,
    scraping: Option<AbortOnDropHandle<()>>,
}

impl Metrics {
    /// Starts. Must be called inside a Tokio runtime.
    pub fn start(
        settings: &MetricsSettings,
        identity: &Identity,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, MetricsError> {
        let max_attribute_sets = settings.max_attribute_sets;
        let mut builder = SdkMeterProvider::builder()
            .with_resource(resource(identity))
            .with_view(move |_: &Instrument| {
                let stream = Stream::builder().with_cardinality_limit(max_attribute_sets);
                stream.build().ok()
            });
        if let Some((connection, interval)) = &settings.otlp {
            let reader = PeriodicReader::builder(exporter(connection)?).with_interval(*interval);
            builder = builder.with_reader(reader.build());
        }
        let mut scraping = None;
        if let Some(address) = settings.listen {
            let listener = scrape::listen(address)
                .map_err(|source| MetricsError::Listen { address, source })?;
            let scraped = Scraped::new();
            builder = builder.with_reader(scraped.clone());
            let serving = tokio::spawn(scrape::serve(listener, scraped));
            scraping = Some(AbortOnDropHandle::new(serving));
        }
        let provider = builder.build();
        let meter = provider.meter("beaconwatch-exporter");
        let capacity = settings.queue_capacity;
        instruments::register(&meter, telemetry, capacity, max_attribute_sets);
        Ok(Self { provider, scraping })
    }

    /// Sends a last time, within `deadline`.
    pub async fn stop(self, deadline: Duration) {
        drop(self.scraping);
        // The SDK blocks its caller until its own thread has sent.
        let stopped =
            tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(deadline));
        match stopped.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last metrics were not sent"),
            Err(error) => tracing::warn!(%error, "the last metrics were not sent"),
        }
    }
}

fn exporter(connection: &Connection) -> Result<MetricExporter, MetricsError> {
    let endpoint = connection.endpoint.url().to_string();
    Ok(match connection.protocol {
        Protocol::Grpc => {
            let mut builder = MetricExporter::builder()
                .with_tonic()
                .with_channel(grpc::channel(connection)?)
                .with_metadata(grpc::metadata(connection))
                .with_timeout(connection.timeout);
            builder = match connection.compression {
                Compression::None => builder,
                Compression::Gzip => builder.with_compression(Packing::Gzip),
                Compression::Zstd => builder.with_compression(Packing::Zstd),
            };
            builder.build()?
        }
        Protocol::HttpProtobuf => {
            let client = RuntimeClient {
                client: http_client::client(connection)?,
                compression: connection.compression,
                runtime: Handle::current(),
            };
            let builder = MetricExporter::builder()
                .with_http()
                .with_http_client(client)
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_endpoint(endpoint)
                .with_timeout(connection.timeout);
            builder.build()?
        }
    })
}

fn resource(identity: &Identity) -> Resource {
    let attributes = identity.resource();
    Resource::builder_empty()
        .with_attributes(attributes.map(|(key, value)| KeyValue::new(key, value.to_owned())))
        .build()
}

/// The SDK exports from a thread of its own, where no runtime is; requests run on the exporter's.
#[derive(Debug)]
struct RuntimeClient {
    client: reqwest::Client,
    compression: Compression,
    runtime: Handle,
}

#[async_trait]
impl HttpClient for RuntimeClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let (mut head, body) = request.into_parts();
        let (body, encoding) = pack(body, self.compression)?;
        if let Some(encoding) = encoding {
            head.headers.insert(CONTENT_ENCODING, encoding);
        }
        let request = Request::from_parts(head, body);
        self.runtime.spawn(send(client, request)).await?
    }
}

async fn send(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let mut response = client.execute(request.try_into()?).await?;
    let status = response.status();
    let headers = std::mem::take(response.headers_mut());
    let body = http_client::read_answer(&mut response)
        .await?
        .ok_or_else(|| HttpError::from(ResponseBodyTooLarge::new()))?;
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    Ok(answer)
}
