//! The network layer of a packet: ends without ports, what is above, and fragments.

use std::net::IpAddr;

use etherparse::{IpNumber, LaxIpPayloadSlice, LaxNetSlice};

/// The network layer: ends without ports, and what is above it.
pub(super) struct Network<'a> {
    pub(super) sender: IpAddr,
    pub(super) receiver: IpAddr,
    pub(super) payload: LaxIpPayloadSlice<'a>,
    /// Bytes above the network layer, as its header states them.
    pub(super) bytes: u64,
    /// Bytes of the whole packet.
    pub(super) packet_bytes: u64,
    /// Of a fragment its identity, and whether it is the first.
    pub(super) fragment: Option<(u32, bool)>,
}

/// What an IP header says; `None` of ARP.
pub(super) fn network<'a>(net: &LaxNetSlice<'a>) -> Option<Network<'a>> {
    match net {
        LaxNetSlice::Ipv4(ip) => {
            let header = ip.header();
            let above = ip.payload();
            let extensions = ip.extensions().auth.map_or(0, |it| it.slice().len());
            let headers = header.slice().len() + extensions;
            let bytes = stated(header.total_len().into(), headers, above);
            Some(Network {
                sender: canonical(header.source_addr()),
                receiver: canonical(header.destination_addr()),
                bytes,
                packet_bytes: bytes + headers as u64,
                fragment: above.fragmented.then(|| {
                    let first = header.fragments_offset().value() == 0;
                    (header.identification().into(), first)
                }),
                payload: above.clone(),
            })
        }
        LaxNetSlice::Ipv6(ip) => {
            let header = ip.header();
            let above = ip.payload();
            let extensions = ip.extensions().slice().len();
            let fragment = fragment_header(header.next_header(), ip.extensions().slice());
            let bytes = stated(header.payload_length().into(), extensions, above);
            let headers = header.slice().len() + extensions;
            Some(Network {
                sender: canonical(header.source_addr()),
                receiver: canonical(header.destination_addr()),
                bytes,
                packet_bytes: bytes + headers as u64,
                fragment: fragment.filter(|_| above.fragmented),
                payload: above.clone(),
            })
        }
        LaxNetSlice::Arp(_) => None,
    }
}

/// An IPv4 address inside of an IPv6 one stands as IPv4.
fn canonical(address: impl Into<IpAddr>) -> IpAddr {
    address.into().to_canonical()
}

/// Identity of a fragment and whether it is the first, out of the extension headers (RFC 8200).
///
/// Walked here, because the crate's own iterator reads past the end of headers that were cut.
fn fragment_header(first: IpNumber, mut extensions: &[u8]) -> Option<(u32, bool)> {
    let mut kind = first;
    while let [next, length, ..] = *extensions {
        let bytes = match kind {
            IpNumber::IPV6_FRAGMENTATION_HEADER => {
                let offset = u16::from_be_bytes(extensions.get(2..4)?.try_into().ok()?) >> 3;
                let identity = u32::from_be_bytes(extensions.get(4..8)?.try_into().ok()?);
                return Some((identity, offset == 0));
            }
            IpNumber::AUTHENTICATION_HEADER => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        extensions = extensions.get(bytes..)?;
        kind = IpNumber(next);
    }
    None
}

/// Payload of a packet whose header states `length`. Zero stands for more than the field can hold.
fn stated(length: usize, headers: usize, above: &LaxIpPayloadSlice<'_>) -> u64 {
    let bytes = if length == 0 {
        above.payload.len()
    } else {
        length.saturating_sub(headers)
    };
    bytes as u64
}
