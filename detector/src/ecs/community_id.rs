//! Community ID, version 1: one name for a connection that every tool computes alike.
//!
//! Specification: <https://github.com/corelight/community-id-spec>. Only protocols with ports are covered;
//! ICMP maps its types to ports and a detection has none.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// Seed of the hash; sites that use another one cannot join on these identities.
const SEED: u16 = 0;

/// Community ID of a connection of a protocol with ports (TCP 6, UDP 17, SCTP 132), the same from either
/// end; `None` when the addresses are of different families.
#[must_use]
pub fn community_id(one: (IpAddr, u16), other: (IpAddr, u16), protocol: u8) -> Option<String> {
    if one.0.is_ipv4() != other.0.is_ipv4() {
        return None;
    }
    let (low, high) = if one <= other {
        (one, other)
    } else {
        (other, one)
    };
    let mut hash = Sha1::new();
    hash.update(SEED.to_be_bytes());
    for (address, _) in [low, high] {
        match address {
            IpAddr::V4(address) => hash.update(address.octets()),
            IpAddr::V6(address) => hash.update(address.octets()),
        }
    }
    hash.update([protocol, 0]);
    hash.update(low.1.to_be_bytes());
    hash.update(high.1.to_be_bytes());
    Some(format!("1:{}", STANDARD.encode(hash.finalize())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the specification's published baseline (`baseline/baseline_deflt.json`).
    const PUBLISHED: [(u8, &str, &str, u16, u16, &str); 9] = [
        (
            6,
            "128.232.110.120",
            "66.35.250.204",
            34855,
            80,
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        ),
        (
            6,
            "66.35.250.204",
            "128.232.110.120",
            80,
            34855,
            "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        ),
        (
            17,
            "192.168.1.52",
            "8.8.8.8",
            54585,
            53,
            "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        ),
        (
            17,
            "8.8.8.8",
            "192.168.1.52",
            53,
            54585,
            "1:d/FP5EW3wiY1vCndhwleRRKHowQ=",
        ),
        (
            6,
            "2001:470:e5bf:dead:4957:2174:e82c:4887",
            "2607:f8b0:400c:c03::1a",
            63943,
            25,
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        ),
        (
            6,
            "2607:f8b0:400c:c03::1a",
            "2001:470:e5bf:dead:4957:2174:e82c:4887",
            25,
            63943,
            "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=",
        ),
        (
            132,
            "192.168.170.8",
            "192.168.170.56",
            7,
            7,
            "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
        ),
        (
            132,
            "192.168.170.56",
            "192.168.170.8",
            7,
            7,
            "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=",
        ),
        // ICMP echo and its reply, whose types the baseline writes as ports.
        (
            1,
            "192.168.0.89",
            "192.168.0.1",
            8,
            0,
            "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=",
        ),
    ];

    #[test]
    fn the_published_identities_come_out() {
        for (protocol, source, destination, source_port, destination_port, expected) in PUBLISHED {
            let source = (source.parse().unwrap(), source_port);
            let destination = (destination.parse().unwrap(), destination_port);
            assert_eq!(
                community_id(source, destination, protocol).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn ends_of_different_families_have_no_identity() {
        let v4 = ("192.0.2.1".parse().unwrap(), 1);
        let v6 = ("2001:db8::1".parse().unwrap(), 2);
        assert_eq!(community_id(v4, v6, 6), None);
    }
}
