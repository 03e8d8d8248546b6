//! Metrics by the names and units that dashboards use, over OTLP and scraped: from the same instruments, and with a
//! bounded number of attribute sets.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use beaconwatch_exporter::Config;
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_records::{FLAG_START_INFERRED, FlowRecord, Role};
use beaconwatch_schema::metric::{Instrument, METRICS};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric, number_data_point};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http_peer::HttpPeer;
use crate::support::running::Running;
use crate::support::{attributes, closed_flow, config};
use crate::url;

/// Two seconds long, 100 bytes out and 200 in, one of them with a round trip of 3 ms.
fn flows() -> Vec<FlowRecord> {
    let timed = FlowRecord {
        smoothed_rtt_us: 3_000,
        ..closed_flow(1, 100)
    };
    let udp = FlowRecord {
        protocol: 17,
        ..closed_flow(2, 100)
    };
    let server = FlowRecord {
        role: Role::Server as u8,
        ..closed_flow(3, 100)
    };
    let older = FlowRecord {
        flags: FLAG_START_INFERRED,
        ..closed_flow(4, 100)
    };
    vec![timed, udp, server, older]
}

async fn exported(config: Config) {
    let running = Running::start(config);
    running.flows.send(flows()).expect("the exporter");
    running.until(|now| now.delivered == 4).await;
    running.stop().await;
}

fn metrics(peer: &HttpPeer) -> BTreeMap<String, Metric> {
    let requests = peer.requests.lock().expect("no panic");
    let last = requests.iter().rfind(|(path, ..)| path == "/v1/metrics");
    let (_, _, body, _) = last.expect("a request");
    let request = ExportMetricsServiceRequest::decode(body.clone()).expect("metrics");
    let scopes = request
        .resource_metrics
        .into_iter()
        .flat_map(|one| one.scope_metrics);
    scopes
        .flat_map(|scope| scope.metrics)
        .map(|metric| (metric.name.clone(), metric))
        .collect()
}

/// Values by the values of their attributes.
fn numbers(metric: &Metric) -> BTreeMap<String, i64> {
    let points = match metric.data.as_ref().expect("data") {
        Data::Sum(sum) => {
            assert!(sum.is_monotonic, "{}", metric.name);
            &sum.data_points
        }
        Data::Gauge(gauge) => &gauge.data_points,
        other => unreachable!("{other:?}"),
    };
    let value = |value: &Option<number_data_point::Value>| match value {
        Some(number_data_point::Value::AsInt(value)) => *value,
        other => unreachable!("{other:?}"),
    };
    points
        .iter()
        .map(|point| (key(&point.attributes), value(&point.value)))
        .collect()
}

fn histogram(metric: &Metric) -> BTreeMap<String, HistogramDataPoint> {
    let Some(Data::Histogram(histogram)) = &metric.data else {
        unreachable!("{metric:?}");
    };
    let points = histogram.data_points.iter().cloned();
    points
        .map(|point| (key(&point.attributes), point))
        .collect()
}

fn key(pairs: &[opentelemetry_proto::tonic::common::v1::KeyValue]) -> String {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let mut values: Vec<String> = attributes(pairs)
        .into_iter()
        .map(|(name, value)| match value {
            Value::StringValue(text) => text,
            _ => name,
        })
        .collect();
    values.sort_unstable();
    values.join(" ")
}

#[tokio::test]
async fn metrics_have_the_names_units_and_values_of_what_happened() {
    let (peer, address) = HttpPeer::start(Vec::new(), 0).await;
    let mut config = config(url(address), Protocol::HttpProtobuf);
    config.metrics.enabled = Some(true);
    exported(config).await;
    let metrics = metrics(&peer);
    let sent: Vec<&str> = metrics.keys().map(String::as_str).collect();
    let mut documented: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    documented.sort_unstable();
    assert_eq!(sent, documented);
    for metric in METRICS {
        let sent = &metrics[metric.name];
        assert_eq!(
            (sent.unit.as_str(), sent.description.as_str()),
            (metric.unit, metric.description)
        );
        let (kind, attributes) = shape(sent);
        assert_eq!(kind, metric.instrument, "{}", metric.name);
        let expected: BTreeSet<&str> = metric.attributes.iter().copied().collect();
        assert_eq!(attributes, expected, "{}", metric.name);
    }
    let io = numbers(&metrics["beaconwatch.network.flow.io"]);
    assert_eq!(io["client ipv4 tcp transmit"], 200);
    assert_eq!(io["client ipv4 receive udp"], 200);
    assert_eq!(io["ipv4 receive server tcp"], 200);
    assert_eq!(io["client ipv6 tcp transmit"], 0);
    let packets = numbers(&metrics["beaconwatch.network.flow.packets"]);
    assert_eq!(packets["client ipv4 receive tcp"], 8);
    assert_eq!(numbers(&metrics["beaconwatch.network.flow.active"])[""], 0);
    assert_eq!(numbers(&metrics["beaconwatch.network.flow.count"])[""], 4);
    assert_eq!(numbers(&metrics["beaconwatch.exporter.records"])[""], 4);
    assert_eq!(
        numbers(&metrics["beaconwatch.exporter.lost"])["disk_queue"],
        0
    );

    let rtt = histogram(&metrics["beaconwatch.network.tcp.rtt"]);
    let only = &rtt["client ipv4 tcp"];
    assert_eq!((rtt.len(), only.count, only.sum), (1, 1, Some(0.003)));
    let place = only
        .bucket_counts
        .iter()
        .position(|count| *count == 1)
        .unwrap();
    assert!(only.explicit_bounds[place - 1] < 0.003 && 0.003 <= only.explicit_bounds[place]);
    let duration = histogram(&metrics["beaconwatch.network.connection.duration"]);
    let counts: Vec<(&str, u64, Option<f64>)> = duration
        .iter()
        .map(|(key, point)| (key.as_str(), point.count, point.sum))
        .collect();
    let expected = [
        // Not the flow that is older than the exporter.
        ("client ipv4 tcp", 1, Some(2.0)),
        ("client ipv4 udp", 1, Some(2.0)),
        ("ipv4 server tcp", 1, Some(2.0)),
    ];
    assert_eq!(counts, expected);
}

#[tokio::test]
async fn attribute_sets_past_the_bound_are_counted_together() {
    let (peer, address) = HttpPeer::start(Vec::new(), 0).await;
    let mut config = config(url(address), Protocol::HttpProtobuf);
    config.metrics.enabled = Some(true);
    config.metrics.max_attribute_sets = 2;
    exported(config).await;
    let metrics = metrics(&peer);
    let io = numbers(&metrics["beaconwatch.network.flow.io"]);
    assert_eq!(io.len(), 3, "{io:?}");
    assert!(io.contains_key("otel.metric.overflow"), "{io:?}");
    assert_eq!(io.values().sum::<i64>(), 4 * 300, "nothing is left out");
    let duration = histogram(&metrics["beaconwatch.network.connection.duration"]);
    assert_eq!(duration.len(), 3);
    assert_eq!(duration["otel.metric.overflow"].count, 1);
}

/// Kind of a metric, and the names of its attributes.
fn shape(metric: &Metric) -> (Instrument, BTreeSet<&str>) {
    let (kind, attributes): (_, Vec<_>) = match metric.data.as_ref().expect("data") {
        Data::Sum(sum) => (
            Instrument::Counter,
            sum.data_points
                .iter()
                .flat_map(|one| &one.attributes)
                .collect(),
        ),
        Data::Gauge(gauge) => (
            Instrument::Gauge,
            gauge
                .data_points
                .iter()
                .flat_map(|one| &one.attributes)
                .collect(),
        ),
        Data::Histogram(histogram) => (
            Instrument::Histogram,
            histogram
                .data_points
                .iter()
                .flat_map(|one| &one.attributes)
                .collect(),
        ),
        other => unreachable!("{other:?}"),
    };
    let names = attributes.into_iter().map(|pair| pair.key.as_str());
    (kind, names.collect())
}

async fn ask(address: SocketAddr, request: &str) -> (String, String) {
    let mut connection = TcpStream::connect(address).await.expect("a listener");
    let request = format!("{request} HTTP/1.1\r\nhost: exporter\r\n\r\n");
    connection
        .write_all(request.as_bytes())
        .await
        .expect("sent");
    let mut answer = String::new();
    connection
        .read_to_string(&mut answer)
        .await
        .expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_ascii_lowercase(), body.to_owned())
}

fn free_address() -> SocketAddr {
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    reserved.local_addr().expect("the port")
}

#[tokio::test]
async fn metrics_can_be_scraped_and_nothing_else() {
    let (_peer, address) = HttpPeer::start(Vec::new(), 0).await;
    let listen = free_address();
    let mut config = config(url(address), Protocol::HttpProtobuf);
    config.metrics.prometheus.listen = Some(listen);
    config.host_name = Some("web \"3\"".to_owned());
    let running = Running::start(config);
    running.flows.send(flows()).unwrap();
    running.until(|now| now.delivered == 4).await;

    let (head, body) = ask(listen, "GET /metrics?a=b").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(head.contains(kind), "{head}");
    let scope = "otel_scope_name=\"beaconwatch-exporter\"";
    let flow = "beaconwatch_flow_role=\"client\"";
    let lines: Vec<String> = [
        "# TYPE beaconwatch_network_flow_io_bytes counter".to_owned(),
        "# UNIT beaconwatch_network_flow_io_bytes bytes".to_owned(),
        format!("beaconwatch_network_flow_io_bytes_total{{{flow},network_io_direction=\"transmit\",network_transport=\"tcp\",network_type=\"ipv4\",{scope}}} 200"),
        format!("beaconwatch_network_flow_active{{{scope}}} 0"),
        format!("beaconwatch_network_flow_count_total{{{scope}}} 4"),
        "# TYPE beaconwatch_network_tcp_rtt_seconds histogram".to_owned(),
        format!("beaconwatch_network_tcp_rtt_seconds_count{{{flow},network_transport=\"tcp\",network_type=\"ipv4\",{scope}}} 1"),
        format!("beaconwatch_network_tcp_rtt_seconds_bucket{{le=\"0.0025\",{flow},network_transport=\"tcp\",network_type=\"ipv4\",{scope}}} 0"),
        format!("beaconwatch_network_tcp_rtt_seconds_bucket{{le=\"0.005\",{flow},network_transport=\"tcp\",network_type=\"ipv4\",{scope}}} 1"),
        format!("beaconwatch_network_tcp_rtt_seconds_bucket{{le=\"+Inf\",{flow},network_transport=\"tcp\",network_type=\"ipv4\",{scope}}} 1"),
        format!("beaconwatch_exporter_records_delivered_total{{{scope}}} 4"),
        format!("beaconwatch_exporter_lost_total{{beaconwatch_exporter_place=\"queue\",{scope}}} 0"),
    ]
    .into();
    for line in lines {
        assert!(body.lines().any(|one| one == line), "{line} in {body}");
    }
    for metric in METRICS {
        let name = metric.scraped_name();
        let scraped = |line: &str| {
            line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name}_count{{"))
        };
        assert!(body.lines().any(scraped), "{name} in {body}");
    }
    assert!(body.contains("host_name=\"web \\\"3\\\"\""), "{body}");
    assert!(body.ends_with("# EOF\n"));
    let (head, body) = ask(listen, "HEAD /metrics").await;
    assert!(
        head.starts_with("http/1.1 200 ") && body.is_empty(),
        "{head}"
    );
    for path in ["/", "/metrics/", "/debug/pprof"] {
        let (head, _) = ask(listen, &format!("GET {path}")).await;
        assert!(head.starts_with("http/1.1 404 "), "{path}: {head}");
    }
    let (head, _) = ask(listen, "POST /metrics").await;
    assert!(
        head.starts_with("http/1.1 405 ") && head.contains("allow: get, head"),
        "{head}"
    );
    running.stop().await;
    assert!(TcpStream::connect(listen).await.is_err(), "stopped");
}

#[tokio::test]
async fn idle_connections_do_not_keep_others_from_scraping_for_long() {
    let (_peer, address) = HttpPeer::start(Vec::new(), 0).await;
    let listen = free_address();
    let mut config = config(url(address), Protocol::HttpProtobuf);
    config.metrics.prometheus.listen = Some(listen);
    let running = Running::start(config);
    let mut idle = Vec::new();
    for _ in 0..10 {
        running.until(|_| true).await;
        while let Err(error) = TcpStream::connect(listen).await.map(|one| idle.push(one)) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionRefused,
                "not yet"
            );
            tokio::task::yield_now().await;
        }
    }
    let (head, _) = ask(listen, "GET /metrics").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    running.stop().await;
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap();
    let mut config = config("http://127.0.0.1:1".to_owned(), Protocol::Grpc);
    config.metrics.prometheus.listen = Some(listen);
    let error = Running::start(config).exported.await.unwrap().unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&format!("cannot listen on {listen}")),
        "{text}"
    );
}
