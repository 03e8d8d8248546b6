//! A heartbeat (OTLP log record, event name [`EVENT_NAME`]).
//!
//! An exporter that had nothing to send for a while sends one. It is numbered among the exporter's flow
//! records, so a receiver learns that the exporter lives and how many records it should have by now. It
//! says nothing of any flow: it has the attributes of every record ([`crate::exporter_record`]) and no others.

/// Event name of a heartbeat.
pub const EVENT_NAME: &str = "beaconwatch.exporter.heartbeat";
