//! The instruments: what [`Telemetry`] counts, under the names and units that leave the exporter.
//!
//! Counters and gauges are observable: they are read when somebody exports, so that counting costs nothing on the
//! way of a record. Histograms are recorded once a flow. Attribute values come from fixed sets.

use std::sync::Arc;

use beaconwatch_records::CounterSet;
use beaconwatch_schema::flow as names;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Histogram, Meter};

use super::{LossPlace, Telemetry, TrafficKey};

/// Bounds of round-trip times: from the same host to the other side of the world and congested.
const RTT_BOUNDS_S: [f64; 15] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0,
];
/// Bounds of durations: from a refused connection to one that is kept for days.
const DURATION_BOUNDS_S: [f64; 14] = [
    0.001, 0.01, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0, 3600.0, 21_600.0, 86_400.0,
];

/// What is recorded flow by flow.
#[derive(Clone, Debug)]
pub(crate) struct Histograms {
    rtt: Histogram<f64>,
    duration: Histogram<f64>,
}

impl Histograms {
    /// Round-trip time of a TCP connection.
    pub(super) fn record_rtt(&self, key: TrafficKey, rtt_s: f64) {
        self.rtt.record(rtt_s, &flow_attributes(key));
    }

    /// How long a flow lived.
    pub(super) fn record_duration(&self, key: TrafficKey, duration_s: f64) {
        self.duration.record(duration_s, &flow_attributes(key));
    }
}

/// Registers every instrument.
pub(crate) fn register(
    meter: &Meter,
    telemetry: &Arc<Telemetry>,
    queue_capacity: usize,
    max_attribute_sets: usize,
) {
    records(meter, telemetry);
    losses(meter, telemetry, max_attribute_sets);
    queue(meter, telemetry, queue_capacity as u64);
    flows(meter, telemetry);
    traffic(meter, telemetry, max_attribute_sets);
    let histogram = |name: &'static str, description: &'static str, bounds: &[f64]| {
        meter
            .f64_histogram(name)
            .with_unit("s")
            .with_description(description)
            .with_boundaries(bounds.to_vec())
            .build()
    };
    telemetry.set_histograms(Histograms {
        rtt: histogram(
            "beaconwatch.network.tcp.rtt",
            "Smoothed round-trip time of each TCP connection when it ended.",
            &RTT_BOUNDS_S,
        ),
        duration: histogram(
            "beaconwatch.network.connection.duration",
            "How long each flow lived whose start was seen.",
            &DURATION_BOUNDS_S,
        ),
    });
}

fn counter(
    meter: &Meter,
    telemetry: &Arc<Telemetry>,
    (name, unit, description): (&'static str, &'static str, &'static str),
    read: fn(&Telemetry) -> u64,
) {
    let telemetry = Arc::clone(telemetry);
    meter
        .u64_observable_counter(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |observer| observer.observe(read(&telemetry), &[]))
        .build();
}

fn gauge(
    meter: &Meter,
    telemetry: &Arc<Telemetry>,
    (name, unit, description): (&'static str, &'static str, &'static str),
    read: fn(&Telemetry) -> u64,
) {
    let telemetry = Arc::clone(telemetry);
    meter
        .u64_observable_gauge(name)
        .with_unit(unit)
        .with_description(description)
        .with_callback(move |observer| observer.observe(read(&telemetry), &[]))
        .build();
}

#[rustfmt::skip]
fn records(meter: &Meter, telemetry: &Arc<Telemetry>) {
    counter(meter, telemetry, ("beaconwatch.exporter.records", "{record}",
        "Flow records and heartbeats made."), Telemetry::made);
    counter(meter, telemetry, ("beaconwatch.exporter.records.sampled_out", "{record}",
        "Records that sampling left out."), Telemetry::sampled_out);
    counter(meter, telemetry, ("beaconwatch.exporter.records.delivered", "{record}",
        "Records that the receiver took."), Telemetry::delivered);
    counter(meter, telemetry, ("beaconwatch.exporter.records.restored", "{record}",
        "Records that an earlier run had left on disk."), Telemetry::restored);
    counter(meter, telemetry, ("beaconwatch.exporter.requests", "{request}",
        "Requests that the receiver took."), Telemetry::requests);
    counter(meter, telemetry, ("beaconwatch.exporter.retries", "{request}",
        "Requests that failed and were sent again."), Telemetry::retries);
}

fn losses(meter: &Meter, telemetry: &Arc<Telemetry>, max_sets: usize) {
    let telemetry = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.exporter.lost")
        .with_description("What was lost, by the place that lost it.")
        .with_callback(move |observer| {
            let by_place = LossPlace::ALL.map(|place| {
                let attribute = KeyValue::new("beaconwatch.exporter.place", place.name());
                (vec![attribute], telemetry.lost(place))
            });
            observe_bounded(observer, by_place, max_sets);
        })
        .build();
}

/// Observes the first `max_sets` sets, and the sum of all others as the SDK names it: of what is observed it would
/// keep only the last there, because it cannot know that one is no later value of the other.
fn observe_bounded(
    observer: &dyn AsyncInstrument<u64>,
    values: impl IntoIterator<Item = (Vec<KeyValue>, u64)>,
    max_sets: usize,
) {
    let mut values = values.into_iter();
    for (attributes, value) in values.by_ref().take(max_sets) {
        observer.observe(value, &attributes);
    }
    if let Some(rest) = values.map(|(_, value)| value).reduce(u64::saturating_add) {
        observer.observe(rest, &[KeyValue::new("otel.metric.overflow", true)]);
    }
}

#[rustfmt::skip]
fn queue(meter: &Meter, telemetry: &Arc<Telemetry>, capacity: u64) {
    gauge(meter, telemetry, ("beaconwatch.exporter.queue.records", "{record}",
        "Records that wait in memory to be sent."), Telemetry::queued);
    gauge(meter, telemetry, ("beaconwatch.exporter.queue.disk.records", "{record}",
        "Records that wait on disk to be sent."), Telemetry::stored);
    gauge(meter, telemetry, ("beaconwatch.exporter.queue.disk.size", "By",
        "Size of the files of the queue on disk."), Telemetry::disk_bytes);
    meter
        .u64_observable_gauge("beaconwatch.exporter.queue.capacity")
        .with_unit("{record}")
        .with_description("Records that can wait in memory.")
        .with_callback(move |observer| observer.observe(capacity, &[]))
        .build();
}

#[rustfmt::skip]
fn flows(meter: &Meter, telemetry: &Arc<Telemetry>) {
    gauge(meter, telemetry, ("beaconwatch.network.flow.active", "{flow}",
        "Flows that live."), Telemetry::flows_active);
    counter(meter, telemetry, ("beaconwatch.network.flow.count", "{flow}",
        "Flows seen."), Telemetry::flows);
}

fn traffic(meter: &Meter, telemetry: &Arc<Telemetry>, max_sets: usize) {
    let bytes = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.network.flow.io")
        .with_unit("By")
        .with_description("IP-layer bytes of all flows.")
        .with_callback(move |observer| {
            let values = by_direction(&bytes, |both| (both.bytes_sent, both.bytes_received));
            observe_bounded(observer, values, max_sets);
        })
        .build();
    let packets = Arc::clone(telemetry);
    meter
        .u64_observable_counter("beaconwatch.network.flow.packets")
        .with_unit("{packet}")
        .with_description("IP packets of all flows.")
        .with_callback(move |observer| {
            let values = by_direction(&packets, |both| (both.packets_sent, both.packets_received));
            observe_bounded(observer, values, max_sets);
        })
        .build();
}

fn by_direction(
    telemetry: &Telemetry,
    read: fn(&CounterSet) -> (u64, u64),
) -> impl Iterator<Item = (Vec<KeyValue>, u64)> {
    let traffic = telemetry.traffic().into_iter();
    traffic.flat_map(move |(key, counters)| {
        let (sent, received) = read(&counters);
        [
            (traffic_attributes(key, "transmit"), sent),
            (traffic_attributes(key, "receive"), received),
        ]
    })
}

fn flow_attributes(key: TrafficKey) -> [KeyValue; 3] {
    [
        KeyValue::new(names::ROLE, key.role),
        KeyValue::new(names::TRANSPORT, key.transport),
        KeyValue::new(names::NETWORK_TYPE, key.network_type),
    ]
}

fn traffic_attributes(key: TrafficKey, direction: &'static str) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("network.io.direction", direction)];
    attributes.extend(flow_attributes(key));
    attributes
}
