//! Metrics of the exporter: names, units and attributes, over OTLP and scraped.
//!
//! Those of traffic count all flows that the exporter sees, sampled or not. Names under which they are scraped follow
//! OpenTelemetry's rules for Prometheus.

use crate::flow;

/// What kind of instrument a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// Grows, from 0 at each start.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts by size.
    Histogram,
}

impl Instrument {
    /// Name of the kind.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Dotted name.
    pub name: &'static str,
    /// Kind.
    pub instrument: Instrument,
    /// Unit by its UCUM symbol; empty when there is none.
    pub unit: &'static str,
    /// Attributes, each of which has a fixed set of values.
    pub attributes: &'static [&'static str],
    /// What a value says, in one sentence.
    pub description: &'static str,
}

impl Metric {
    /// Name under which the metric is scraped.
    #[must_use]
    pub fn scraped_name(&self) -> String {
        let unit = match self.unit {
            "By" => "_bytes",
            "s" => "_seconds",
            _ => "",
        };
        let total = match self.instrument {
            Instrument::Counter => "_total",
            Instrument::Gauge | Instrument::Histogram => "",
        };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// Direction as the exporter's host sees it: `transmit` or `receive`.
pub const DIRECTION: &str = "network.io.direction";
/// The place that lost something.
pub const PLACE: &str = "beaconwatch.exporter.place";

const OF_FLOW: &[&str] = &[flow::ROLE, flow::TRANSPORT, flow::NETWORK_TYPE];
const OF_DIRECTION: &[&str] = &[DIRECTION, flow::ROLE, flow::TRANSPORT, flow::NETWORK_TYPE];

/// Declares a constant for each metric, and the table of all.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $instrument:ident, $unit:literal, $attributes:expr, $description:literal;)*) => {
        $(
            #[doc = $description]
            pub const $constant: Metric = Metric {
                name: $name,
                instrument: Instrument::$instrument,
                unit: $unit,
                attributes: $attributes,
                description: $description,
            };
        )*

        /// Every metric, as documentation shows them.
        pub const METRICS: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    FLOW_IO = "beaconwatch.network.flow.io", Counter, "By", OF_DIRECTION,
        "IP-layer bytes of all flows.";
    FLOW_PACKETS = "beaconwatch.network.flow.packets", Counter, "{packet}", OF_DIRECTION,
        "IP packets of all flows.";
    FLOW_ACTIVE = "beaconwatch.network.flow.active", Gauge, "{flow}", &[],
        "Flows that live.";
    FLOW_COUNT = "beaconwatch.network.flow.count", Counter, "{flow}", &[],
        "Flows seen.";
    TCP_RTT = "beaconwatch.network.tcp.rtt", Histogram, "s", OF_FLOW,
        "Smoothed round-trip time of each TCP connection when it ended.";
    CONNECTION_DURATION = "beaconwatch.network.connection.duration", Histogram, "s", OF_FLOW,
        "How long each flow lived whose start was seen.";
    RECORDS = "beaconwatch.exporter.records", Counter, "{record}", &[],
        "Flow records and heartbeats made.";
    RECORDS_SAMPLED_OUT = "beaconwatch.exporter.records.sampled_out", Counter, "{record}", &[],
        "Records that sampling left out.";
    RECORDS_DELIVERED = "beaconwatch.exporter.records.delivered", Counter, "{record}", &[],
        "Records that the receiver took.";
    RECORDS_RESTORED = "beaconwatch.exporter.records.restored", Counter, "{record}", &[],
        "Records that an earlier run had left on disk.";
    REQUESTS = "beaconwatch.exporter.requests", Counter, "{request}", &[],
        "Requests that the receiver took.";
    RETRIES = "beaconwatch.exporter.retries", Counter, "{request}", &[],
        "Requests that failed and were sent again.";
    LOST = "beaconwatch.exporter.lost", Counter, "", &[PLACE],
        "What was lost, by the place that lost it.";
    QUEUE_RECORDS = "beaconwatch.exporter.queue.records", Gauge, "{record}", &[],
        "Records that wait in memory to be sent.";
    QUEUE_CAPACITY = "beaconwatch.exporter.queue.capacity", Gauge, "{record}", &[],
        "Records that can wait in memory.";
    DISK_RECORDS = "beaconwatch.exporter.queue.disk.records", Gauge, "{record}", &[],
        "Records that wait on disk to be sent.";
    DISK_SIZE = "beaconwatch.exporter.queue.disk.size", Gauge, "By", &[],
        "Size of the files of the queue on disk.";
}
