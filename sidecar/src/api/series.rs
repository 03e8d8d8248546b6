//! What a series is in answers: the same names wherever one stands.

use beaconwatch_detector::{SeriesKey, Severity, Timestamp, Transport};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which series.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SeriesNames {
    /// `source->destination:port/PROTOCOL`; IPv6 destinations in brackets.
    pub(super) pair_key: String,
    /// Identity of the host or sensor that observed; empty when the input has none.
    host: String,
    /// Network namespace on that host; empty when the input has none.
    network_namespace: String,
    /// Address that connects.
    src_ip: String,
    /// Address that answers.
    dst_ip: String,
    /// Port that answers.
    dst_port: u16,
    /// `TCP`, `UDP`, or the number of another protocol.
    protocol: String,
}

impl SeriesNames {
    pub(super) fn of(key: &SeriesKey) -> Self {
        Self {
            pair_key: pair_key(key),
            host: key.host.to_string(),
            network_namespace: key.namespace.to_string(),
            src_ip: key.source.to_string(),
            dst_ip: key.destination.to_string(),
            dst_port: key.destination_port,
            protocol: protocol(key.transport),
        }
    }
}

/// How grave a detection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum SeverityName {
    Low,
    Medium,
    High,
    Critical,
}

impl From<Severity> for SeverityName {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Low => Self::Low,
            Severity::Medium => Self::Medium,
            Severity::High => Self::High,
            Severity::Critical => Self::Critical,
        }
    }
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Low => Self::Low,
            SeverityName::Medium => Self::Medium,
            SeverityName::High => Self::High,
            SeverityName::Critical => Self::Critical,
        }
    }
}

fn protocol(transport: Transport) -> String {
    match transport {
        Transport::Other(number) => number.to_string(),
        named => named.name().to_ascii_uppercase(),
    }
}

fn pair_key(key: &SeriesKey) -> String {
    let destination = std::net::SocketAddr::new(key.destination, key.destination_port);
    format!("{}->{destination}/{}", key.source, protocol(key.transport))
}

/// Seconds between two instants.
pub(super) fn seconds(first: Timestamp, last: Timestamp) -> f64 {
    last.saturating_since(first).as_secs_f64()
}
