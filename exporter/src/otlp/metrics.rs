//! The exporter's own metrics, by the OpenTelemetry SDK.
//!
//! Every instrument is observable: the SDK reads [`Telemetry`] when it exports, so that counting costs
//! nothing on the way of a record. Attribute values come from fixed sets.
//!
//! For HTTP the SDK gets a client over this crate's own HTTP library; for gRPC a channel made as for logs.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_ENCODING;
use http::{Request, Response};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider};
use opentelemetry_http::{HttpClient, HttpError, ResponseBodyTooLarge};
use opentelemetry_otlp::{
    Compression as Packing, ExporterBuildError, MetricExporter, WithExportConfig, WithHttpConfig,
    WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use tokio::runtime::Handle;

use super::client::{ConnectError, grpc, http as http_client, pack};
use super::connection::{Compression, Connection, Protocol};
use super::logs::Identity;
use crate::telemetry::{LossPlace, Telemetry};

/// Why metrics cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// No client.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The SDK refused the settings (it also reads `OTEL_*` variables itself).
    #[error("cannot make the OTLP metrics exporter: {0}")]
    Exporter(#[from] ExporterBuildError),
}

/// Sends metrics until it is shut down.
#[derive(Debug)]
pub struct Metrics {
    provider: SdkMeterProvider,
}

impl Metrics {
    /// Starts to send. Must be called inside a Tokio runtime.
    pub fn start(
        connection: &Connection,
        interval: Duration,
        identity: &Identity,
        telemetry: &Arc<Telemetry>,
        queue_capacity: usize,
    ) -> Result<Self, MetricsError> {
        let reader = PeriodicReader::builder(exporter(connection)?)
            .with_interval(interval)
            .build();
        let provider = SdkMeterProvider::builder()
            .with_resource(resource(identity))
            .with_reader(reader)
            .build();
        let meter = provider.meter("beaconwatch-exporter");
        observe_records(&meter, telemetry);
        observe_queue(&meter, telemetry, queue_capacity as u64);
        observe_flows(&meter, telemetry);
        observe_traffic(&meter, telemetry);
        Ok(Self { provider })
    }

    /// Sends a last time, within `deadline`.
    pub async fn stop(self, deadline: Duration) {
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
    use beaconwatch_schema::flow as names;
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new(names::HOST_ID, identity.host_id.clone()),
            KeyValue::new(names::HOST_NAME, identity.host_name.clone()),
            KeyValue::new(names::SERVICE_NAME, "beaconwatch-exporter"),
            KeyValue::new(names::SERVICE_VERSION, env!("CARGO_PKG_VERSION")),
            KeyValue::new(names::SERVICE_INSTANCE_ID, identity.exporter_id.clone()),
        ])
        .build()
}

fn observe_records(meter: &Meter, telemetry: &Arc<Telemetry>) {
    let counter = |name: &'static str, description: &'static str, read: fn(&Telemetry) -> u64| {
        let telemetry = Arc::clone(telemetry);
        meter
            .u64_observable_counter(name)
            .with_unit("{record}")
            .with_description(description)
            .with_callback(move |observer| observer.observe(read(&telemetry), &[]))
            .build();
    };
    counter(
        "beaconwatch.exporter.records",
        "Flow records made.",
        Telemetry::made,
    );
    counter(
        "beaconwatch.exporter.records.delivered",
        "Flow records that the receiver took.",
        Telemetry::delivered,
    );
    counter(
        "beaconwatch.exporter.retries",
        "Requests that failed and were sent again.",
        Telemetry::retries,
    );
    let telemetry = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.exporter.lost")
        .with_description("What was lost, by the place that lost it.")
        .with_callback(move |observer| {
            for place in LossPlace::ALL {
                let attributes = [KeyValue::new("beaconwatch.exporter.place", place.name())];
                observer.observe(telemetry.lost(place), &attributes);
            }
        })
        .build();
}

fn observe_queue(meter: &Meter, telemetry: &Arc<Telemetry>, capacity: u64) {
    let telemetry = Arc::clone(telemetry);
    meter
        .u64_observable_gauge("beaconwatch.exporter.queue.records")
        .with_unit("{record}")
        .with_description("Flow records that wait to be sent.")
        .with_callback(move |observer| observer.observe(telemetry.queued(), &[]))
        .build();
    meter
        .u64_observable_gauge("beaconwatch.exporter.queue.capacity")
        .with_unit("{record}")
        .with_description("Flow records that can wait.")
        .with_callback(move |observer| observer.observe(capacity, &[]))
        .build();
}

fn observe_flows(meter: &Meter, telemetry: &Arc<Telemetry>) {
    let active = Arc::clone(telemetry);
    meter
        .u64_observable_gauge("beaconwatch.network.flow.active")
        .with_unit("{flow}")
        .with_description("Flows that live.")
        .with_callback(move |observer| observer.observe(active.flows_active(), &[]))
        .build();
    let seen = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.network.flow.count")
        .with_unit("{flow}")
        .with_description("Flows seen.")
        .with_callback(move |observer| observer.observe(seen.flows(), &[]))
        .build();
}

fn observe_traffic(meter: &Meter, telemetry: &Arc<Telemetry>) {
    let bytes = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.network.flow.io")
        .with_unit("By")
        .with_description("IP-layer bytes of all flows.")
        .with_callback(move |observer| {
            for (key, counters) in bytes.traffic() {
                observer.observe(counters.bytes_sent, &traffic_attributes(key, "transmit"));
                observer.observe(counters.bytes_received, &traffic_attributes(key, "receive"));
            }
        })
        .build();
    let packets = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.network.flow.packets")
        .with_unit("{packet}")
        .with_description("IP packets of all flows.")
        .with_callback(move |observer| {
            for (key, counters) in packets.traffic() {
                observer.observe(counters.packets_sent, &traffic_attributes(key, "transmit"));
                observer.observe(
                    counters.packets_received,
                    &traffic_attributes(key, "receive"),
                );
            }
        })
        .build();
}

fn traffic_attributes(key: crate::telemetry::TrafficKey, direction: &'static str) -> [KeyValue; 4] {
    use beaconwatch_schema::flow as names;
    [
        KeyValue::new("network.io.direction", direction),
        KeyValue::new(names::ROLE, key.role),
        KeyValue::new(names::TRANSPORT, key.transport),
        KeyValue::new(names::NETWORK_TYPE, key.network_type),
    ]
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
