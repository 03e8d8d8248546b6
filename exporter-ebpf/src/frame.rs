//! What a frame on an interface carries: both ends of the TCP or UDP packet or ICMP echo in it, taken out of VLAN
//! tags and tunnels.
//!
//! The usual frame (no tag, no tunnel, IPv4 without options or IPv6 without extension headers, not a fragment)
//! is read directly; anything else by the helper that copies, step by step, at most [`MOST_STEPS`].
//!
//! | layer | standard |
//! |---|---|
//! | VLAN tags, also stacked | IEEE 802.1Q |
//! | MPLS labels | RFC 3032 |
//! | `PPPoE` sessions | RFC 2516 |
//! | IPv4 and IPv6 in IPv4 and IPv6 | RFC 2003, RFC 4213, RFC 2473 |
//! | GRE with checksum, key and sequence number, carrying IP or Ethernet | RFC 2784, RFC 2890 |
//! | VXLAN, ports 4789 and 8472 | RFC 7348 |
//! | Geneve, port 6081, with options | RFC 8926 |
//!
//! Limits: the ends of the innermost packet are told and not the tunnel's; a VLAN is no part of them. Of a
//! fragmented packet only the first fragment can be read. What cannot be read inside of a tunnel is not read.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use beaconwatch_records::Protocol;

use crate::{address, icmp, maps::Reading};

const ETHERTYPE_IPV4: u32 = 0x0800;
const ETHERTYPE_IPV6: u32 = 0x86dd;
const ETHERTYPE_VLAN: u32 = 0x8100;
const ETHERTYPE_SERVICE_VLAN: u32 = 0x88a8;
const ETHERTYPE_MPLS: u32 = 0x8847;
const ETHERTYPE_MPLS_MULTICAST: u32 = 0x8848;
const ETHERTYPE_PPPOE: u32 = 0x8864;
/// "Transparent Ethernet Bridging": an Ethernet frame follows.
const ETHERTYPE_ETHERNET: u32 = 0x6558;

/// An IP protocol number in the same variable as Ethernet types, which are 16 bits.
const PROTOCOL: u32 = 1 << 16;
const HOP_BY_HOP: u32 = PROTOCOL;
const ICMP: u32 = PROTOCOL | Protocol::Icmp as u32;
const ICMPV6: u32 = PROTOCOL | Protocol::Icmpv6 as u32;
const IPV4_INSIDE: u32 = PROTOCOL | 4;
const TCP: u32 = PROTOCOL | Protocol::Tcp as u32;
const UDP: u32 = PROTOCOL | Protocol::Udp as u32;
const IPV6_INSIDE: u32 = PROTOCOL | 41;
const ROUTING: u32 = PROTOCOL | 43;
const FRAGMENT: u32 = PROTOCOL | 44;
const GRE: u32 = PROTOCOL | 47;
const AUTHENTICATION: u32 = PROTOCOL | 51;
const DESTINATION_OPTIONS: u32 = PROTOCOL | 60;

const VXLAN_PORT: u16 = 4789;
/// Linux's own before the assignment; overlay networks still use it.
const VXLAN_OLD_PORT: u16 = 8472;
const GENEVE_PORT: u16 = 6081;

pub const ETHERNET_BYTES: u32 = 14;
const UDP_BYTES: u32 = 8;
/// Headers of a frame that are taken off at most: a tag, a tunnel's four and its content's three, and some
/// extension headers.
const MOST_STEPS: u32 = 12;

/// IPv4, header of five words: the usual first byte.
const IPV4_PLAIN: u8 = 0x45;
/// "More fragments" and the fragment's offset.
const FRAGMENTED: u16 = 0x3fff;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// TCP header flags (RFC 9293).
pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

/// A TCP or UDP packet or an ICMP echo within a frame.
#[repr(C)]
pub struct Frame {
    pub source: [u64; 2],
    pub destination: [u64; 2],
    /// Of ICMP the type of the request at the end that requests, and 0 at the other.
    pub source_port: u16,
    /// The same of the other end.
    pub destination_port: u16,
    /// A [`Protocol`].
    pub protocol: u8,
    /// Flags of the TCP header; 0 for others.
    pub flags: u8,
    /// Identifier of an ICMP echo; 0 for others.
    pub identifier: u16,
    /// Offset of the IP header.
    pub network: u32,
    /// Offset of the TCP, UDP or ICMP header.
    pub transport: u32,
    /// Offset of what that carries.
    pub payload: u32,
    /// Length of the IP packet.
    pub bytes: u32,
}

/// Outcome of reading a frame.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Content {
    /// The frame was filled in.
    Found = 0,
    /// It carries neither TCP nor UDP nor an ICMP echo.
    Other = 1,
    /// Its headers are cut, or it is a later fragment.
    Unread = 2,
}

impl Frame {
    /// Whether anything follows the headers. Of an echo its identifier and number count.
    #[inline(always)]
    pub fn carries_payload(&self) -> bool {
        self.network + self.bytes > self.payload
    }

    /// Whether it answers an echo request.
    #[inline(always)]
    pub const fn is_reply(&self) -> bool {
        let icmp = self.protocol == Protocol::Icmp as u8 || self.protocol == Protocol::Icmpv6 as u8;
        icmp && self.source_port == 0
    }

    /// Bytes and packets as on the wire: a segmented buffer stands for several packets, each with headers of
    /// its own. The padding of a short frame does not count.
    ///
    /// # Safety
    ///
    /// `skb` is the program's context, from which the frame was read.
    #[inline(always)]
    pub unsafe fn size(&self, skb: *mut __sk_buff) -> (u64, u64) {
        // SAFETY: the context.
        unsafe {
            let segments = u64::from((*skb).gso_segs);
            if segments <= 1 {
                return (u64::from(self.bytes), 1);
            }
            // The length in the header is 0 for buffers of more than 64 KiB.
            let bytes = u64::from((*skb).len - self.network);
            let headers = u64::from(self.payload - self.network);
            (bytes + (segments - 1) * headers, segments)
        }
    }
}

/// Reads the frame of a packet whose link header has `LINK` bytes (14 for Ethernet, 0 for none).
///
/// # Safety
///
/// `skb` is the program's context, `reading` may be written.
#[inline(always)]
pub unsafe fn read<const LINK: u32>(skb: *mut __sk_buff, reading: *mut Reading) -> Content {
    // SAFETY: the context; the verifier proves every read to lie inside the packet.
    unsafe {
        let frame = &raw mut (*reading).frame;
        let start = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        let ip = start + LINK as usize;
        let plain = if ip + 40 > end {
            false
        } else if is_ethertype::<LINK>(skb, start, ETHERTYPE_IPV4) {
            plain_ipv4::<LINK>(ip, frame)
        } else {
            ip + 60 <= end
                && is_ethertype::<LINK>(skb, start, ETHERTYPE_IPV6)
                && plain_ipv6::<LINK>(ip, frame)
        };
        if plain {
            return Content::Found;
        }
        by_steps(skb, LINK, reading)
    }
}

/// The caller has checked that 14 bytes can be read at `start`, if the link header has any.
#[inline(always)]
unsafe fn is_ethertype<const LINK: u32>(skb: *mut __sk_buff, start: usize, kind: u32) -> bool {
    let wanted = (kind as u16).to_be();
    // SAFETY: as the caller says.
    unsafe {
        if LINK == 0 {
            (*skb).protocol == u32::from(wanted)
        } else {
            *((start + 12) as *const u16) == wanted
        }
    }
}

/// 40 bytes can be read at `ip`.
#[inline(always)]
unsafe fn plain_ipv4<const LINK: u32>(ip: usize, frame: *mut Frame) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        let protocol = *((ip + 9) as *const u8);
        let fragment = u16::from_be(*((ip + 6) as *const u16)) & FRAGMENTED;
        if *(ip as *const u8) != IPV4_PLAIN || fragment != 0 {
            return false;
        }
        (*frame).source = address::mapped(*((ip + 12) as *const u32));
        (*frame).destination = address::mapped(*((ip + 16) as *const u32));
        (*frame).bytes = u32::from(u16::from_be(*((ip + 2) as *const u16)));
        plain_transport::<LINK>(ip + 20, 20, protocol, frame)
    }
}

/// 60 bytes can be read at `ip`.
#[inline(always)]
unsafe fn plain_ipv6<const LINK: u32>(ip: usize, frame: *mut Frame) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        let protocol = *((ip + 6) as *const u8);
        (*frame).source = words(ip + 8);
        (*frame).destination = words(ip + 24);
        (*frame).bytes = 40 + u32::from(u16::from_be(*((ip + 4) as *const u16)));
        plain_transport::<LINK>(ip + 40, 40, protocol, frame)
    }
}

/// Reads two words that are not aligned.
#[inline(always)]
unsafe fn words(at: usize) -> [u64; 2] {
    // SAFETY: as the caller says; the kernel allows it on packets.
    unsafe { [*(at as *const u64), *((at + 8) as *const u64)] }
}

/// 20 bytes can be read at `at`, behind an IP header of `ip_bytes`.
#[inline(always)]
unsafe fn plain_transport<const LINK: u32>(
    at: usize,
    ip_bytes: u32,
    protocol: u8,
    frame: *mut Frame,
) -> bool {
    // SAFETY: as the caller says.
    unsafe {
        let destination_port = u16::from_be(*((at + 2) as *const u16));
        let transport = LINK + ip_bytes;
        if protocol == Protocol::Tcp as u8 {
            (*frame).flags = *((at + 13) as *const u8);
            (*frame).payload = transport + u32::from(*((at + 12) as *const u8) >> 4) * 4;
        } else if protocol == Protocol::Udp as u8 && !is_tunnel(destination_port) {
            (*frame).flags = 0;
            (*frame).payload = transport + UDP_BYTES;
        } else {
            return false;
        }
        (*frame).protocol = protocol;
        (*frame).identifier = 0;
        (*frame).source_port = u16::from_be(*(at as *const u16));
        (*frame).destination_port = destination_port;
        (*frame).network = LINK;
        (*frame).transport = transport;
        true
    }
}

#[inline(always)]
const fn is_tunnel(port: u16) -> bool {
    matches!(port, VXLAN_PORT | VXLAN_OLD_PORT | GENEVE_PORT)
}

/// Where the next header lies and what it is.
#[derive(Clone, Copy)]
struct Next {
    kind: u32,
    offset: u32,
}

/// Takes header by header off.
#[inline(never)]
unsafe fn by_steps(skb: *mut __sk_buff, link: u32, reading: *mut Reading) -> Content {
    // SAFETY: the context; the helper checks the range.
    unsafe {
        if reading.is_null() {
            return Content::Other;
        }
        let first = if link == ETHERNET_BYTES {
            // The tag that the kernel took off is not in the frame; further ones are.
            match ethertype(skb, link - 2) {
                Some(next) => next,
                None => return Content::Unread,
            }
        } else {
            Next {
                kind: u32::from(u16::from_be((*skb).protocol as u16)),
                offset: link,
            }
        };
        first.note(reading);
        let mut step = 0;
        while step < MOST_STEPS {
            step += 1;
            let Some(after) = behind(skb, Next::noted(reading), &raw mut (*reading).frame) else {
                return Content::Unread;
            };
            match after.kind {
                DONE => return Content::Found,
                NOT_OURS => return Content::Other,
                _ => after.note(reading),
            }
        }
        Content::Unread
    }
}

/// Takes one header off; `None` when it is cut.
#[inline(always)]
unsafe fn behind(skb: *mut __sk_buff, next: Next, frame: *mut Frame) -> Option<Next> {
    // SAFETY: the caller's promise.
    unsafe {
        match next.kind {
            TCP => tcp(skb, next.offset, frame),
            UDP => udp(skb, next.offset, frame),
            ICMP => icmp(skb, next.offset, Protocol::Icmp, frame),
            ICMPV6 => icmp(skb, next.offset, Protocol::Icmpv6, frame),
            ETHERTYPE_IPV4 | IPV4_INSIDE => ipv4(skb, next.offset, frame),
            ETHERTYPE_IPV6 | IPV6_INSIDE => ipv6(skb, next.offset, frame),
            GRE => gre(skb, next.offset),
            ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN => ethertype(skb, next.offset + 2),
            ETHERTYPE_ETHERNET => ethertype(skb, next.offset + 12),
            ETHERTYPE_MPLS | ETHERTYPE_MPLS_MULTICAST => label(skb, next),
            ETHERTYPE_PPPOE => point_to_point(skb, next.offset),
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | AUTHENTICATION | FRAGMENT => {
                extension(skb, next)
            }
            _ => Some(Next {
                kind: NOT_OURS,
                ..next
            }),
        }
    }
}

impl Next {
    #[inline(always)]
    unsafe fn note(self, reading: *mut Reading) {
        // SAFETY: the caller's promise.
        unsafe {
            (&raw mut (*reading).kind).write_volatile(self.kind);
            (&raw mut (*reading).offset).write_volatile(self.offset);
        }
    }

    #[inline(always)]
    unsafe fn noted(reading: *const Reading) -> Self {
        // SAFETY: the caller's promise.
        unsafe {
            Self {
                kind: (&raw const (*reading).kind).read_volatile(),
                offset: (&raw const (*reading).offset).read_volatile(),
            }
        }
    }
}

/// The frame is filled in.
const DONE: u32 = u32::MAX;
/// Neither TCP nor UDP nor an ICMP echo.
const NOT_OURS: u32 = u32::MAX - 1;

#[inline(always)]
unsafe fn load<const N: usize>(skb: *mut __sk_buff, offset: u32) -> Option<[u8; N]> {
    let mut bytes = [0u8; N];
    // SAFETY: the context; the helper checks the range.
    let failed =
        unsafe { bpf_skb_load_bytes(skb.cast(), offset, (&raw mut bytes).cast(), N as u32) != 0 };
    (!failed).then_some(bytes)
}

/// An Ethernet type and what it is the type of, right behind.
#[inline(always)]
unsafe fn ethertype(skb: *mut __sk_buff, offset: u32) -> Option<Next> {
    // SAFETY: the context.
    let kind = unsafe { load::<2>(skb, offset) }?;
    Some(Next {
        kind: u32::from(u16::from_be_bytes(kind)),
        offset: offset + 2,
    })
}

/// One label of a stack; below the last is IP.
#[inline(always)]
unsafe fn label(skb: *mut __sk_buff, next: Next) -> Option<Next> {
    // SAFETY: the context.
    let [_, _, bottom, _, version] = unsafe { load::<5>(skb, next.offset) }?;
    let kind = match (bottom & 1, version >> 4) {
        (0, _) => next.kind,
        (_, 4) => ETHERTYPE_IPV4,
        (_, 6) => ETHERTYPE_IPV6,
        _ => NOT_OURS,
    };
    Some(Next {
        kind,
        offset: next.offset + 4,
    })
}

#[inline(always)]
unsafe fn point_to_point(skb: *mut __sk_buff, offset: u32) -> Option<Next> {
    const SESSION: u16 = 0x1100;
    // SAFETY: the context.
    let [version, code, _, _, _, _, high, low] = unsafe { load::<8>(skb, offset) }?;
    let kind = match u16::from_be_bytes([high, low]) {
        0x21 => ETHERTYPE_IPV4,
        0x57 => ETHERTYPE_IPV6,
        _ => NOT_OURS,
    };
    (u16::from_be_bytes([version, code]) == SESSION).then_some(Next {
        kind,
        offset: offset + 8,
    })
}

#[inline(always)]
unsafe fn ipv4(skb: *mut __sk_buff, offset: u32, frame: *mut Frame) -> Option<Next> {
    // SAFETY: the context; the caller's promise.
    unsafe {
        let header = load::<12>(skb, offset)?;
        let mut ends = [0u32; 2];
        let at = (&raw mut ends).cast();
        if bpf_skb_load_bytes(skb.cast(), offset + 12, at, 8) != 0 {
            return None;
        }
        let [
            first,
            _,
            high,
            low,
            _,
            _,
            fragment_high,
            fragment_low,
            _,
            protocol,
            ..,
        ] = header;
        let header_bytes = u32::from(first & 15) * 4;
        let fragment = u16::from_be_bytes([fragment_high, fragment_low]) & FRAGMENT_OFFSET;
        if first >> 4 != 4 || header_bytes < 20 || fragment != 0 {
            return None;
        }
        let [source, destination] = ends;
        (*frame).source = address::mapped(source);
        (*frame).destination = address::mapped(destination);
        (*frame).bytes = u32::from(u16::from_be_bytes([high, low]));
        (*frame).network = offset;
        Some(Next {
            kind: PROTOCOL | u32::from(protocol),
            offset: offset + header_bytes,
        })
    }
}

#[inline(always)]
unsafe fn ipv6(skb: *mut __sk_buff, offset: u32, frame: *mut Frame) -> Option<Next> {
    // SAFETY: the context; the caller's promise.
    unsafe {
        let header = load::<8>(skb, offset)?;
        let [first, _, _, _, high, low, protocol, _] = header;
        if first >> 4 != 6 {
            return None;
        }
        let at = (&raw mut (*frame).source).cast();
        if bpf_skb_load_bytes(skb.cast(), offset + 8, at, 32) != 0 {
            return None;
        }
        (*frame).bytes = 40 + u32::from(u16::from_be_bytes([high, low]));
        (*frame).network = offset;
        Some(Next {
            kind: PROTOCOL | u32::from(protocol),
            offset: offset + 40,
        })
    }
}

/// One IPv6 extension header (RFC 8200), also of what IPv4 carries by the same number.
#[inline(always)]
unsafe fn extension(skb: *mut __sk_buff, next: Next) -> Option<Next> {
    // SAFETY: the context.
    let header = unsafe { load::<4>(skb, next.offset) }?;
    let [following, length, fragment, low] = header;
    let bytes = match next.kind {
        AUTHENTICATION => (u32::from(length) + 2) * 4,
        // Only the first fragment has a transport header.
        FRAGMENT if fragment == 0 && low & 0xf8 == 0 => 8,
        FRAGMENT => return None,
        _ => (u32::from(length) + 1) * 8,
    };
    Some(Next {
        kind: PROTOCOL | u32::from(following),
        offset: next.offset + bytes,
    })
}

#[inline(always)]
unsafe fn gre(skb: *mut __sk_buff, offset: u32) -> Option<Next> {
    /// Checksum, key and sequence number each take four bytes.
    const PARTS: [u8; 3] = [0x80, 0x20, 0x10];
    // SAFETY: the context.
    let [flags, version, high, low] = unsafe { load::<4>(skb, offset) }?;
    if version & 7 != 0 {
        return None;
    }
    let mut bytes = 4;
    for part in PARTS {
        if flags & part != 0 {
            bytes += 4;
        }
    }
    Some(Next {
        kind: u32::from(u16::from_be_bytes([high, low])),
        offset: offset + bytes,
    })
}

/// Fills the frame in.
#[inline(always)]
unsafe fn tcp(skb: *mut __sk_buff, offset: u32, frame: *mut Frame) -> Option<Next> {
    // SAFETY: the context; the caller's promise.
    unsafe {
        let header = load::<14>(skb, offset)?;
        let [a, b, c, d, _, _, _, _, _, _, _, _, words, flags] = header;
        (*frame).flags = flags;
        (*frame).protocol = Protocol::Tcp as u8;
        (*frame).identifier = 0;
        (*frame).source_port = u16::from_be_bytes([a, b]);
        (*frame).destination_port = u16::from_be_bytes([c, d]);
        (*frame).transport = offset;
        (*frame).payload = offset + u32::from(words >> 4) * 4;
        Some(Next { kind: DONE, offset })
    }
}

/// Fills the frame in, or goes into a tunnel.
#[inline(always)]
unsafe fn udp(skb: *mut __sk_buff, offset: u32, frame: *mut Frame) -> Option<Next> {
    // SAFETY: the context; the caller's promise.
    unsafe {
        let [a, b, c, d] = load::<4>(skb, offset)?;
        let port = u16::from_be_bytes([c, d]);
        if is_tunnel(port)
            && let Some(inside) = tunnel(skb, port, offset + UDP_BYTES)
        {
            return Some(inside);
        }
        (*frame).flags = 0;
        (*frame).protocol = Protocol::Udp as u8;
        (*frame).identifier = 0;
        (*frame).source_port = u16::from_be_bytes([a, b]);
        (*frame).destination_port = port;
        (*frame).transport = offset;
        (*frame).payload = offset + UDP_BYTES;
        Some(Next { kind: DONE, offset })
    }
}

/// Fills the frame in when it is an echo; other messages are no flows.
#[inline(always)]
unsafe fn icmp(
    skb: *mut __sk_buff,
    offset: u32,
    protocol: Protocol,
    frame: *mut Frame,
) -> Option<Next> {
    // SAFETY: the context; the caller's promise.
    unsafe {
        let Some(echo) = icmp::echo(skb, offset, protocol) else {
            return Some(Next {
                kind: NOT_OURS,
                offset,
            });
        };
        let asks = u16::from(echo.request);
        (*frame).flags = 0;
        (*frame).protocol = protocol as u8;
        (*frame).identifier = echo.identifier;
        (*frame).source_port = if echo.is_request { asks } else { 0 };
        (*frame).destination_port = if echo.is_request { 0 } else { asks };
        (*frame).transport = offset;
        // The identifier and the number are what a request carries at least.
        (*frame).payload = offset + icmp::HEADER_BYTES / 2;
        Some(Next { kind: DONE, offset })
    }
}

/// What a tunnel's header is followed by; `None` when it is no tunnel after all.
#[inline(always)]
unsafe fn tunnel(skb: *mut __sk_buff, port: u16, offset: u32) -> Option<Next> {
    // SAFETY: the context.
    let [first, _, high, low, .., last] = unsafe { load::<8>(skb, offset) }?;
    if port != GENEVE_PORT {
        /// The network's number is valid.
        const HAS_NETWORK: u8 = 8;
        return (first & HAS_NETWORK != 0 && last == 0).then_some(Next {
            kind: ETHERTYPE_ETHERNET,
            offset: offset + 8,
        });
    }
    // Version 0, the length of the options, and nothing but what is read here.
    let kind = u32::from(u16::from_be_bytes([high, low]));
    let known = matches!(kind, ETHERTYPE_ETHERNET | ETHERTYPE_IPV4 | ETHERTYPE_IPV6);
    (first >> 6 == 0 && known).then_some(Next {
        kind,
        offset: offset + 8 + u32::from(first & 63) * 4,
    })
}
