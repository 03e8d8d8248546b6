//! Attributes of a heartbeat (OTLP log record, event name [`EVENT_NAME`]).
//!
//! An exporter that had nothing to send for a while sends one. It is numbered among the exporter's flow
//! records, so a receiver learns that the exporter lives and how many records it should have by now. It
//! says nothing of any flow.

use crate::field::fields;

/// Event name of a heartbeat.
pub const EVENT_NAME: &str = "beaconwatch.exporter.heartbeat";

fields! {
    EXPORTER_ID = "beaconwatch.exporter.id", Keyword, "", Required, Beaconwatch,
        "Identity of one run of one exporter; a restart makes a new one.", "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d";
    EXPORTER_SEQUENCE = "beaconwatch.exporter.sequence", Long, "", Required, Beaconwatch,
        "Number of this record among all that the exporter made, flow records and heartbeats, from 0 without gaps.", "43";
    HOST_ID = "host.id", Keyword, "", Required, OpenTelemetry,
        "Machine id of the host; resource attribute.", "8f14e45fceea167a5a36dedd4bea2543";
    HOST_NAME = "host.name", Keyword, "", Required, OpenTelemetry,
        "Name of the host; resource attribute.", "web-3";
    SERVICE_NAME = "service.name", Keyword, "", Required, OpenTelemetry,
        "Always beaconwatch-exporter; resource attribute.", "beaconwatch-exporter";
    SERVICE_VERSION = "service.version", Keyword, "", Required, OpenTelemetry,
        "Version of the exporter; resource attribute.", "0.1.0";
    SERVICE_INSTANCE_ID = "service.instance.id", Keyword, "", Required, OpenTelemetry,
        "Same as the exporter id; resource attribute.", "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d";
}
