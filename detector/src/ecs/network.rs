//! Addresses, ports, protocols and sizes.

use std::net::IpAddr;

use beaconwatch_schema::detection as field;
use serde_json::json;

use super::{Fields, community_id};
use crate::{Assessment, SeriesKey, Transport};

/// IANA numbers of the protocols.
const TCP: u8 = 6;
const UDP: u8 = 17;

pub(super) fn describe(fields: &mut Fields, assessment: &Assessment) {
    let key = &assessment.key;
    fields.put(field::SOURCE_IP, key.source.to_string());
    fields.put(field::DESTINATION_IP, key.destination.to_string());
    fields.put(field::DESTINATION_PORT, key.destination_port);
    fields.put_known(field::DESTINATION_DOMAIN, assessment.server_name.as_deref());
    if let Some(fingerprint) = assessment.client_fingerprint.as_deref() {
        fields.put(fingerprint_field(fingerprint), fingerprint);
    }
    fields.put(field::RELATED_IP, related(key));
    fields.put(field::NETWORK_IANA_NUMBER, protocol(key).to_string());
    fields.put_known(field::NETWORK_TRANSPORT, transport(key));
    fields.put(
        field::NETWORK_TYPE,
        if key.source.is_ipv4() { "ipv4" } else { "ipv6" },
    );
    let ids = community_ids(assessment);
    fields.put_known(field::COMMUNITY_IDS, (!ids.is_empty()).then_some(ids));
    // Every connection has some bytes: none at all means that they are not known.
    let total = assessment.bytes_out.saturating_add(assessment.bytes_in);
    if total > 0 {
        fields.put(field::SOURCE_BYTES, long(assessment.bytes_out));
        fields.put(field::DESTINATION_BYTES, long(assessment.bytes_in));
        fields.put(field::NETWORK_BYTES, long(total));
    }
}

/// JA3 is an MD5 hash and nothing else; JA4 has parts.
fn fingerprint_field(fingerprint: &str) -> &'static str {
    let is_md5 = fingerprint.len() == 32 && fingerprint.bytes().all(|it| it.is_ascii_hexdigit());
    if is_md5 {
        field::TLS_CLIENT_JA3
    } else {
        field::CLIENT_JA4
    }
}

/// Elasticsearch refuses a `long` above its range.
fn long(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn related(key: &SeriesKey) -> serde_json::Value {
    if key.source == key.destination {
        return json!([key.source]);
    }
    json!([key.source, key.destination])
}

/// IANA number of the transport protocol.
fn protocol(key: &SeriesKey) -> u8 {
    match (key.transport, key.source) {
        (Transport::Tcp, _) => TCP,
        (Transport::Udp, _) => UDP,
        (Transport::Icmp, IpAddr::V4(_)) => 1,
        (Transport::Icmp, IpAddr::V6(_)) => 58,
        (Transport::Other(number), _) => number,
    }
}

fn transport(key: &SeriesKey) -> Option<&'static str> {
    match (key.transport, key.source) {
        (Transport::Other(_), _) => None,
        (Transport::Icmp, IpAddr::V6(_)) => Some("ipv6-icmp"),
        (transport, _) => Some(transport.name()),
    }
}

fn community_ids(assessment: &Assessment) -> Vec<String> {
    let key = &assessment.key;
    if !matches!(key.transport, Transport::Tcp | Transport::Udp) {
        return Vec::new();
    }
    assessment
        .recent_source_ports
        .iter()
        .filter_map(|port| {
            let source = (key.source, *port);
            community_id(
                source,
                (key.destination, key.destination_port),
                protocol(key),
            )
        })
        .collect()
}
