//! Community ID, version 1: the same text for the same flow in every tool that makes it.
//!
//! As <https://github.com/corelight/community-id-spec> has it: SHA-1 over both ends in order, the protocol, and
//! ports where there are some. Of ICMP type and code stand in their place: a request and its answer are one
//! flow, a message without an answer is told apart by its direction.

use std::fmt;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use crate::End;

const VERSION: &[u8; 2] = b"1:";
/// The version, and base64 of a digest of 20 bytes.
const TEXT_BYTES: usize = VERSION.len() + 28;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

/// Types of ICMP that ask, with those that answer.
const ICMP_PAIRS: [(u16, u16); 5] = [(8, 0), (13, 14), (15, 16), (10, 9), (17, 18)];
/// The same for `ICMPv6`.
const ICMPV6_PAIRS: [(u16, u16); 6] = [
    (128, 129),
    (130, 131),
    (133, 134),
    (135, 136),
    (139, 140),
    (144, 145),
];

/// A community id as text: it lives without an allocation, so that one can be made for every record.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommunityId([u8; TEXT_BYTES]);

impl CommunityId {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // The version and base64 are ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    fn of(digest: &[u8]) -> Self {
        let mut text = [0; TEXT_BYTES];
        let (version, encoded) = text.split_at_mut(VERSION.len());
        version.copy_from_slice(VERSION);
        // The place is as long as the base64 of a digest.
        let _fits = STANDARD.encode_slice(digest, encoded);
        Self(text)
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Debug for CommunityId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The community id of a flow. `protocol` is the IANA number; of ICMP and `ICMPv6` the source's port is the
/// message's type and the destination's its code; where a protocol has no ports they are passed over.
///
/// ```
/// use beaconwatch_packets::End;
/// use beaconwatch_packets::community::community_id;
///
/// let end = |address: &str, port| End { address: address.parse().unwrap(), port };
/// let (client, server) = (end("128.232.110.120", 34_855), end("66.35.250.204", 80));
/// let expected = "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
/// assert_eq!(community_id(0, 6, client, server).as_str(), expected);
/// assert_eq!(community_id(0, 6, server, client).as_str(), expected);
/// ```
#[must_use]
pub fn community_id(seed: u16, protocol: u8, source: End, destination: End) -> CommunityId {
    let (ports, one_way) = ports(protocol, source.port, destination.port);
    let mut from = (source.address, ports.map(|it| it.0));
    let mut to = (destination.address, ports.map(|it| it.1));
    if !one_way && from > to {
        std::mem::swap(&mut from, &mut to);
    }
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    add_address(&mut hash, from.0);
    add_address(&mut hash, to.0);
    hash.update([protocol, 0]);
    if let (Some(from), Some(to)) = (from.1, to.1) {
        hash.update(from.to_be_bytes());
        hash.update(to.to_be_bytes());
    }
    CommunityId::of(&hash.finalize())
}

fn add_address(hash: &mut Sha1, address: IpAddr) {
    match address {
        IpAddr::V4(address) => hash.update(address.octets()),
        IpAddr::V6(address) => hash.update(address.octets()),
    }
}

/// What stands in the place of ports, and whether the order of the ends is kept.
fn ports(protocol: u8, source: u16, destination: u16) -> (Option<(u16, u16)>, bool) {
    let pairs: &[(u16, u16)] = match protocol {
        TCP | UDP | SCTP => return (Some((source, destination)), false),
        ICMP => &ICMP_PAIRS,
        ICMPV6 => &ICMPV6_PAIRS,
        _ => return (None, false),
    };
    let other = pairs.iter().find_map(|&(ask, answer)| match source {
        kind if kind == ask => Some(answer),
        kind if kind == answer => Some(ask),
        _ => None,
    });
    match other {
        Some(other) => (Some((source, other)), false),
        None => (Some((source, destination)), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `baseline/baseline_deflt.json` and `baseline_seed1.json` of the specification's repository, and cases of
    /// `pycommunityid`'s tests: seed, protocol, source, destination, ports or type and code, identity.
    const PUBLISHED: &str = "
        0 58 fe80::200:86ff:fe05:80da fe80::260:97ff:fe07:69ea 135 0 dGHyGvjMfljg6Bppwm3bg0LO8TY=
        1 58 fe80::200:86ff:fe05:80da fe80::260:97ff:fe07:69ea 135 0 kHa1FhMYIT6Ym2Vm2AOtoOARDzY=
        0 58 fe80::260:97ff:fe07:69ea fe80::200:86ff:fe05:80da 136 0 dGHyGvjMfljg6Bppwm3bg0LO8TY=
        0 58 fe80::260:97ff:fe07:69ea fe80::200:86ff:fe05:80da 135 0 zavyT/cezQr1fmImYCwYnMXbgck=
        0 58 3ffe:501:1800:2345::2 3ffe:507:0:1:200:86ff:fe05:80da 3 0 2ObVBgIn28oZvibYZhZMBgh7WdQ=
        0 58 3ffe:501:410:0:2c0:dfff:fe47:33e 3ffe:507:0:1:200:86ff:fe05:80da 1 4 hLZd0XGWojozrvxqE0dWB1iM6R0=
        0 58 3ffe:507:0:1:200:86ff:fe05:80da 3ffe:501:0:1001::2 128 0 +TW+HtLHvV1xnGhV1lv7XoJrqQg=
        0 58 3ffe:501:0:1001::2 3ffe:507:0:1:200:86ff:fe05:80da 129 0 +TW+HtLHvV1xnGhV1lv7XoJrqQg=
        0 58 fe80::200:86ff:fe05:80da ff02::2 133 0 hO+sN4H+MG5MY/8hIrXPqc4ZQz0=
        0 58 fe80::260:97ff:fe07:69ea ff02::1 134 0 pkvHqCL88/tg1k4cPigmZXUtL00=
        0 58 3ffe:507:0:1:260:97ff:fe07:69ea 3ffe:507:0:1:200:86ff:fe05:80da 3 0 NdobDX8PQNJbAyfkWxhtL2Pqp5w=
        0 1 192.168.0.89 192.168.0.1 8 0 X0snYXpgwiv9TZtqg64sgzUn6Dk=
        1 1 192.168.0.89 192.168.0.1 8 0 03g6IloqVBdcZlPyX8r0hgoE7kA=
        0 1 192.168.0.1 192.168.0.89 0 8 X0snYXpgwiv9TZtqg64sgzUn6Dk=
        0 1 192.168.0.1 192.168.0.89 0 20 X0snYXpgwiv9TZtqg64sgzUn6Dk=
        0 1 192.168.0.89 192.168.0.1 20 0 3o2RFccXzUgjl7zDpqmY7yJi8rI=
        0 1 192.168.0.89 192.168.0.1 20 1 tz/fHIDUHs19NkixVVoOZywde+I=
        0 1 10.0.0.1 10.0.0.2 11 0 YHxtAirCG//0OzkcVAukqKQN9xM=
        0 6 2001:470:e5bf:dead:4957:2174:e82c:4887 2607:f8b0:400c:c03::1a 63943 25 /qFaeAR+gFe1KYjMzVDsMv+wgU4=
        0 6 2607:f8b0:400c:c03::1a 2001:470:e5bf:dead:4957:2174:e82c:4887 25 63943 /qFaeAR+gFe1KYjMzVDsMv+wgU4=
        0 6 66.35.250.204 128.232.110.120 80 34855 LQU9qZlK+B5F3KDmev6m5PMibrg=
        1 6 66.35.250.204 128.232.110.120 80 34855 3V71V58M3Ksw/yuFALMcW0LAHvc=
        0 6 10.0.0.1 10.0.0.2 10 11569 SXBGMX1lBOwhhoDrZynfROxnhnM=
        0 17 192.168.1.52 8.8.8.8 54585 53 d/FP5EW3wiY1vCndhwleRRKHowQ=
        1 17 8.8.8.8 192.168.1.52 53 54585 Q9We8WO3piVF8yEQBNJF4uiSVrI=
        0 132 192.168.170.8 192.168.170.56 7 7 MP2EtRCAUIZvTw6MxJHLV7N7JDs=
        0 132 192.168.170.56 192.168.170.8 80 7 jQgCxbku+pNGw8WPbEc/TS/uTpQ=
        0 46 10.1.12.1 10.1.12.2 0 0 KHlLkgoJW7ifUTyTSgyVfkFHzKw=
        0 46 10.1.12.2 10.1.12.1 9 9 KHlLkgoJW7ifUTyTSgyVfkFHzKw=
    ";

    #[test]
    fn published_flows_have_their_published_identities() {
        let rows: Vec<&str> = PUBLISHED.trim().lines().map(str::trim).collect();
        assert_eq!(rows.len(), 29);
        for row in rows {
            let fields: Vec<&str> = row.split(' ').collect();
            let end = |address: usize, port: usize| End {
                address: fields[address].parse().unwrap(),
                port: fields[port].parse().unwrap(),
            };
            let (seed, protocol) = (fields[0].parse().unwrap(), fields[1].parse().unwrap());
            let ours = community_id(seed, protocol, end(2, 4), end(3, 5));
            assert_eq!(ours.to_string(), format!("1:{}", fields[6]), "{row}");
        }
    }
}
