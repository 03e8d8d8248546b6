//! Which way a series leads: out, in, inside, or no further than the link.
//!
//! Private ranges are those of RFC 1918, RFC 6598 (carriers) and RFC 4193; the caller adds its own public ones.

use std::net::IpAddr;

use super::signals::Found;
use super::weights;
use crate::series::Series;
use crate::server_name::DNS_PORT;
use crate::{Network, SeriesKey, Transport};

/// Which way a series leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Outbound,
    Internal,
    Inbound,
    /// From one public address to another that itself calls out, as hosts of one's own do: inbound, as far as
    /// behaviour tells.
    Called,
    /// To a group or to everybody on the link.
    Group,
    /// To the machine itself, or to a neighbour on the link.
    Local,
}

impl Way {
    /// Whether an outsider calls a host of one's own.
    pub(super) fn is_inward(self) -> bool {
        matches!(self, Self::Inbound | Self::Called)
    }
}

pub(super) fn way(key: &SeriesKey, own: &[Network]) -> Way {
    let destination = key.destination.to_canonical();
    if destination.is_multicast() || destination == IpAddr::from([255, 255, 255, 255]) {
        return Way::Group;
    }
    if destination.is_loopback() || destination.is_unspecified() || is_link_local(destination) {
        return Way::Local;
    }
    match (is_internal(key.source, own), is_internal(destination, own)) {
        (_, false) => Way::Outbound,
        (true, true) => Way::Internal,
        (false, true) => Way::Inbound,
    }
}

/// Whether an address is one that no outsider has.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            let carrier = first == 100 && (64..128).contains(&second);
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || carrier
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

/// Whether an address can be that of a server on the Internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    let address = address.to_canonical();
    let reserved = match address {
        IpAddr::V4(v4) => {
            let [first, ..] = v4.octets();
            first == 0 || first >= 224
        }
        IpAddr::V6(v6) => v6.is_multicast() || v6.is_unspecified(),
    };
    !reserved && !is_private(address)
}

fn is_internal(address: IpAddr, own: &[Network]) -> bool {
    // A source without an address yet (DHCP) is one of ours.
    let address = address.to_canonical();
    address.is_unspecified()
        || is_private(address)
        || own.iter().any(|network| network.contains(address))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

/// What the way and the ports say.
pub(super) fn weigh(series: &Series, way: Way, found: &mut Found) {
    let key = &series.key;
    let text = match way {
        // Behaviour is no proof: the score stays, and whoever watches the Internet's side of a server sees callbacks
        // to it this way.
        Way::Outbound | Way::Called => None,
        // A resolver passes on what it is asked.
        Way::Internal if key.destination_port == DNS_PORT => None,
        Way::Internal => Some((weights::INTERNAL, "both ends are internal; C2 leads out")),
        Way::Inbound => Some((
            weights::INBOUND,
            "the source is outside and the destination inside: a scanner or a client, no host of one's own that calls out",
        )),
        Way::Group => Some((
            weights::GROUP,
            "to a group of hosts or to the whole link, where no outsider answers",
        )),
        Way::Local => Some((
            weights::LOCAL,
            "to the machine itself or to a neighbour on the link",
        )),
    };
    if let Some((weight, text)) = text {
        found.add("destination", weight, weight, 1.0, text.to_owned());
    }
    if let Some(port) = fixed_low_port(series) {
        let text = format!("always from port {port}, as servers talk to each other");
        let weight = weights::PEERS;
        found.add("source_port", weight, weight, f64::from(port), text);
    }
    if way == Way::Outbound && key.transport == Transport::Tcp {
        weigh_port(series, found);
    }
}

/// The privileged port that all newest connections came from.
fn fixed_low_port(series: &Series) -> Option<u16> {
    let ports = series.recent_ports();
    let first = *ports.first()?;
    let fixed = ports.len() >= 3 && ports.iter().all(|port| *port == first);
    (fixed && first < 1024).then_some(first)
}

/// TCP ports that the documentation of widely used C2 and remote-control tools gives as default.
const KNOWN_BAD_PORTS: [u16; 6] = [1604, 3460, 4444, 6667, 8888, 31337];

/// TCP ports of services that are used across the Internet (IANA, and vendors' firewall guides).
const USUAL_PORTS: [u16; 46] = [
    20, 21, 22, 25, 43, 53, 80, 110, 119, 143, 179, 389, 443, 465, 554, 563, 587, 636, 853, 873,
    990, 993, 995, 1194, 1723, 1883, 1935, 2195, 2196, 2197, 3389, 3478, 4070, 5060, 5061, 5222,
    5223, 5228, 5229, 5230, 5269, 6514, 8080, 8443, 8883, 9418,
];

fn weigh_port(series: &Series, found: &mut Found) {
    let port = series.key.destination_port;
    let (weight, text) = if KNOWN_BAD_PORTS.contains(&port) {
        let text = format!("port {port} is the default of tools for remote control");
        (weights::KNOWN_BAD_PORT, text)
    } else if !USUAL_PORTS.contains(&port) {
        let text = format!("port {port} is of no service that is used across the Internet");
        (weights::ODD_PORT, text)
    } else {
        return;
    };
    let most = weights::KNOWN_BAD_PORT;
    found.add("port", weight, most, f64::from(port), text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn between(source: &str, destination: &str) -> Way {
        let key = SeriesKey {
            host: Arc::from(""),
            namespace: Arc::from(""),
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        way(&key, &["203.0.113.0/24".parse().unwrap()])
    }

    #[test]
    fn a_series_leads_out_in_inside_or_nowhere() {
        for (source, destination, expected) in [
            ("10.0.0.1", "198.51.100.7", Way::Outbound),
            ("203.0.113.9", "198.51.100.7", Way::Outbound),
            ("192.0.2.1", "198.51.100.7", Way::Outbound),
            ("10.0.0.1", "203.0.113.9", Way::Internal),
            ("fd00::1", "fd00::2", Way::Internal),
            ("100.64.0.1", "172.31.255.255", Way::Internal),
            ("198.51.100.7", "10.0.0.1", Way::Inbound),
            ("2001:db8::1", "fd00::2", Way::Inbound),
            ("0.0.0.0", "255.255.255.255", Way::Group),
            ("fe80::1", "ff02::fb", Way::Group),
            ("10.0.0.1", "::ffff:239.255.255.250", Way::Group),
            ("10.0.0.1", "169.254.169.254", Way::Local),
            ("127.0.0.1", "127.0.0.53", Way::Local),
        ] {
            assert_eq!(
                between(source, destination),
                expected,
                "{source} {destination}"
            );
        }
    }

    #[test]
    fn borders_of_private_ranges_are_where_the_standards_draw_them() {
        for (address, public) in [
            ("172.15.255.255", true),
            ("172.16.0.0", false),
            ("172.32.0.0", true),
            ("100.63.255.255", true),
            ("100.128.0.0", true),
            ("223.255.255.255", true),
            ("224.0.0.1", false),
            ("0.1.2.3", false),
            ("fc00::", false),
            ("2001:db8::1", true),
        ] {
            assert_eq!(is_public(address.parse().unwrap()), public, "{address}");
        }
    }
}
