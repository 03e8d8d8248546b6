//! Where a packet's transport header and payload begin.
//!
//! The usual packet (IPv4 without options, IPv6 without extension headers) is read directly; anything else
//! by the helper that copies, which also reaches what does not lie in the linear part.

use aya_ebpf::{bindings::__sk_buff, helpers::generated::bpf_skb_load_bytes};
use beaconwatch_records::Protocol;

/// IPv4, as `protocol` of a packet has it.
pub const ETH_P_IP: u32 = (0x0800_u16.to_be()) as u32;
/// IPv4, header of five words: the usual first byte.
const IPV4_PLAIN: u8 = 0x45;
const IPV6_HEADER_BYTES: u32 = 40;
/// Extension headers that are walked at most.
const MOST_EXTENSIONS: u32 = 6;

// Next-header values of IPv6 extension headers (RFC 8200; IANA protocol numbers).
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// One byte of the packet; 0 past its end.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn byte(skb: *mut __sk_buff, offset: u32) -> u8 {
    let mut value = 0u8;
    // SAFETY: the context; the helper checks the range.
    unsafe {
        bpf_skb_load_bytes(skb.cast(), offset, (&raw mut value).cast(), 1);
    }
    value
}

/// Offset of the transport header. 0 where an IPv6 packet carries something else than `protocol`.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn transport(skb: *mut __sk_buff, protocol: Protocol) -> u32 {
    // SAFETY: the context; the verifier proves every read to lie inside the packet.
    unsafe {
        let start = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        if (*skb).protocol == ETH_P_IP {
            if start + 20 <= end && *(start as *const u8) == IPV4_PLAIN {
                return 20;
            }
            return u32::from(byte(skb, 0) & 15) * 4;
        }
        if start + 40 <= end && *((start + 6) as *const u8) == protocol as u8 {
            return IPV6_HEADER_BYTES;
        }
        behind_extensions(skb, protocol as u8)
    }
}

/// Walks IPv6 extension headers to the transport header of `protocol`; 0 when it does not come.
#[inline(never)]
unsafe fn behind_extensions(skb: *mut __sk_buff, protocol: u8) -> u32 {
    // SAFETY: the context; the helper checks the range.
    let mut next = unsafe { byte(skb, 6) };
    let mut offset = IPV6_HEADER_BYTES;
    let mut walked = 0;
    while walked < MOST_EXTENSIONS {
        if next == protocol {
            return offset;
        }
        let mut head = [0u8; 4];
        // SAFETY: the context; the helper checks the range.
        let failed =
            unsafe { bpf_skb_load_bytes(skb.cast(), offset, (&raw mut head).cast(), 4) != 0 };
        if failed {
            return 0;
        }
        let [following, length, fragment, low] = head;
        offset += match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => (u32::from(length) + 1) * 8,
            AUTHENTICATION => (u32::from(length) + 2) * 4,
            // Only the first fragment has a transport header.
            FRAGMENT if fragment == 0 && low & 0xf8 == 0 => 8,
            _ => return 0,
        };
        next = following;
        walked += 1;
    }
    0
}

/// A byte of the TCP header, and where that header begins.
#[inline(always)]
unsafe fn tcp_byte<const AT: u32>(skb: *mut __sk_buff) -> (u32, u8) {
    // SAFETY: the context; the verifier proves every read to lie inside the packet.
    unsafe {
        let start = (*skb).data as usize;
        let end = (*skb).data_end as usize;
        if (*skb).protocol == ETH_P_IP {
            if start + 40 <= end && *(start as *const u8) == IPV4_PLAIN {
                return (20, *((start + 20 + AT as usize) as *const u8));
            }
        } else if start + 60 <= end && *((start + 6) as *const u8) == Protocol::Tcp as u8 {
            return (
                IPV6_HEADER_BYTES,
                *((start + 40 + AT as usize) as *const u8),
            );
        }
        let transport = transport(skb, Protocol::Tcp);
        (transport, byte(skb, transport + AT))
    }
}

/// Offset of what a TCP packet carries; at or past the packet's end when that is nothing.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn tcp_payload(skb: *mut __sk_buff) -> u32 {
    // SAFETY: the context.
    let (transport, words) = unsafe { tcp_byte::<12>(skb) };
    transport + u32::from(words >> 4) * 4
}

/// Whether a TCP packet has the FIN flag.
///
/// # Safety
///
/// `skb` is the program's context.
#[inline(always)]
pub unsafe fn is_fin(skb: *mut __sk_buff) -> bool {
    // SAFETY: the context.
    unsafe { tcp_byte::<13>(skb).1 & 1 != 0 }
}
