//! Attributes of every OTLP log record of an exporter, whatever it is about: who made it, and its number.
//!
//! Those that begin with `host.` and `service.` are attributes of the resource ([`in_resource`]).

use crate::field::fields;

/// Whether an attribute is one of the resource, which records do not repeat.
#[must_use]
pub fn in_resource(name: &str) -> bool {
    name.starts_with("host.") || name.starts_with("service.")
}

fields! {
    EXPORTER_ID = "beaconwatch.exporter.id", Keyword, "", Required, Beaconwatch,
        "Identity of one exporter: of one run, or of all runs that take over one kernel part from each other (exporter.capture.pin_directory).", "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d";
    EXPORTER_SEQUENCE = "beaconwatch.exporter.sequence", Long, "", Required, Beaconwatch,
        "Number of this record among all that the exporter made, flow records and heartbeats, from 0 without gaps: a receiver reports what is missing.", "42";
    HOST_ID = "host.id", Keyword, "", Required, OpenTelemetry,
        "Machine id of the host; resource attribute.", "8f14e45fceea167a5a36dedd4bea2543",
        Ecs "host.id";
    HOST_NAME = "host.name", Keyword, "", Required, OpenTelemetry,
        "Name of the host; resource attribute.", "web-3",
        Ecs "host.name", Cim "dvc";
    SERVICE_NAME = "service.name", Keyword, "", Required, OpenTelemetry,
        "Always beaconwatch-exporter; resource attribute.", "beaconwatch-exporter",
        Ecs "service.name";
    SERVICE_VERSION = "service.version", Keyword, "", Required, OpenTelemetry,
        "Version of the exporter; resource attribute.", "0.1.0",
        Ecs "service.version";
    SERVICE_INSTANCE_ID = "service.instance.id", Keyword, "", Required, OpenTelemetry,
        "Same as the exporter id; resource attribute.", "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d",
        Ecs "service.node.name";
}
