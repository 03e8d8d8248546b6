//! The instruments: what [`Telemetry`] counts, under the names and units that leave the exporter.
//!
//! Counters and gauges are observable: they are read when somebody exports, so that counting costs nothing on the
//! way of a record. Histograms are recorded once a flow. Attribute values come from fixed sets.

use std::sync::Arc;

use beaconwatch_records::CounterSet;
use beaconwatch_schema::flow as names;
use beaconwatch_schema::metric::{self, Metric};
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
    telemetry.set_histograms(Histograms {
        rtt: histogram(meter, metric::TCP_RTT, &RTT_BOUNDS_S),
        duration: histogram(meter, metric::CONNECTION_DURATION, &DURATION_BOUNDS_S),
    });
}

fn histogram(meter: &Meter, metric: Metric, bounds: &[f64]) -> Histogram<f64> {
    meter
        .f64_histogram(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_boundaries(bounds.to_vec())
        .build()
}

/// A counter that is read when somebody exports.
fn counter(
    meter: &Meter,
    metric: Metric,
    read: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    meter
        .u64_observable_counter(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(read)
        .build();
}

/// A gauge that is read when somebody exports.
fn gauge(
    meter: &Meter,
    metric: Metric,
    read: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
) {
    meter
        .u64_observable_gauge(metric.name)
        .with_unit(metric.unit)
        .with_description(metric.description)
        .with_callback(read)
        .build();
}

/// Observes one number of the telemetry, without attributes.
fn number(
    telemetry: &Arc<Telemetry>,
    read: fn(&Telemetry) -> u64,
) -> impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static {
    let telemetry = Arc::clone(telemetry);
    move |observer| observer.observe(read(&telemetry), &[])
}

fn records(meter: &Meter, telemetry: &Arc<Telemetry>) {
    for (metric, read) in [
        (metric::RECORDS, Telemetry::made as fn(&Telemetry) -> u64),
        (metric::RECORDS_SAMPLED_OUT, Telemetry::sampled_out),
        (metric::RECORDS_DELIVERED, Telemetry::delivered),
        (metric::RECORDS_RESTORED, Telemetry::restored),
        (metric::REQUESTS, Telemetry::requests),
        (metric::RETRIES, Telemetry::retries),
    ] {
        counter(meter, metric, number(telemetry, read));
    }
}

fn losses(meter: &Meter, telemetry: &Arc<Telemetry>, max_sets: usize) {
    let telemetry = Arc::clone(telemetry);
    counter(meter, metric::LOST, move |observer| {
        let by_place = LossPlace::ALL.map(|place| {
            let attribute = KeyValue::new(metric::PLACE, place.name());
            (vec![attribute], telemetry.lost(place))
        });
        observe_bounded(observer, by_place, max_sets);
    });
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

fn queue(meter: &Meter, telemetry: &Arc<Telemetry>, capacity: u64) {
    gauge(
        meter,
        metric::QUEUE_RECORDS,
        number(telemetry, Telemetry::queued),
    );
    gauge(meter, metric::QUEUE_CAPACITY, move |observer| {
        observer.observe(capacity, &[]);
    });
    gauge(
        meter,
        metric::DISK_RECORDS,
        number(telemetry, Telemetry::stored),
    );
    gauge(
        meter,
        metric::DISK_SIZE,
        number(telemetry, Telemetry::disk_bytes),
    );
}

fn flows(meter: &Meter, telemetry: &Arc<Telemetry>) {
    gauge(
        meter,
        metric::FLOW_ACTIVE,
        number(telemetry, Telemetry::flows_active),
    );
    counter(
        meter,
        metric::FLOW_COUNT,
        number(telemetry, Telemetry::flows),
    );
}

fn traffic(meter: &Meter, telemetry: &Arc<Telemetry>, max_sets: usize) {
    let bytes = Arc::clone(telemetry);
    counter(meter, metric::FLOW_IO, move |observer| {
        let values = by_direction(&bytes, |both| (both.bytes_sent, both.bytes_received));
        observe_bounded(observer, values, max_sets);
    });
    let packets = Arc::clone(telemetry);
    counter(meter, metric::FLOW_PACKETS, move |observer| {
        let values = by_direction(&packets, |both| (both.packets_sent, both.packets_received));
        observe_bounded(observer, values, max_sets);
    });
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
    let mut attributes = vec![KeyValue::new(metric::DIRECTION, direction)];
    attributes.extend(flow_attributes(key));
    attributes
}
