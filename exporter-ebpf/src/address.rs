//! Addresses as two words in network order, IPv4 as `::ffff:a.b.c.d`.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_sock, bpf_sock_ops},
    helpers::generated::bpf_skb_load_bytes,
};

use crate::{headers::ETH_P_IP, maps::FlowState};

const AF_INET: u32 = 2;

/// `::ffff:a.b.c.d` from the four bytes as they lie in memory (little-endian target).
#[inline(always)]
pub fn mapped(address: u32) -> [u64; 2] {
    [0, 0xffff_0000 | (u64::from(address) << 32)]
}

/// Four words of a context. It allows reads of 32 bits only, so the compiler must not join them.
#[inline(always)]
unsafe fn joined(words: *const u32) -> [u64; 2] {
    // SAFETY: the caller's promise, checked by the verifier.
    let word = |index| u64::from(unsafe { words.add(index).read_volatile() });
    [word(0) | (word(1) << 32), word(2) | (word(3) << 32)]
}

/// Takes the addresses of a socket operation.
///
/// # Safety
///
/// `ops` is the program's context, `flow` valid.
#[inline(always)]
pub unsafe fn of_operation(ops: *mut bpf_sock_ops, flow: *mut FlowState) {
    // SAFETY: the verifier checks every access.
    unsafe {
        if (*ops).family == AF_INET {
            (*flow).local_address = mapped((*ops).local_ip4);
            (*flow).remote_address = mapped((*ops).remote_ip4);
        } else {
            (*flow).local_address = joined((&raw const (*ops).local_ip6).cast());
            (*flow).remote_address = joined((&raw const (*ops).remote_ip6).cast());
        }
        (*flow).local_port = (*ops).local_port as u16;
        // 32 bits in network order.
        (*flow).remote_port = u32::from_be((*ops).remote_port) as u16;
    }
}

/// Takes the addresses of a connected socket.
///
/// # Safety
///
/// `socket` is a full socket, `flow` valid.
#[inline(always)]
pub unsafe fn of_socket(socket: *const bpf_sock, flow: *mut FlowState) {
    // SAFETY: the verifier checks every access.
    unsafe {
        if (*socket).family == AF_INET {
            (*flow).local_address = mapped((*socket).src_ip4);
            (*flow).remote_address = mapped((*socket).dst_ip4);
        } else {
            (*flow).local_address = joined((&raw const (*socket).src_ip6).cast());
            (*flow).remote_address = joined((&raw const (*socket).dst_ip6).cast());
        }
        (*flow).local_port = (*socket).src_port as u16;
        (*flow).remote_port = u16::from_be((*socket).dst_port);
    }
}

/// Copies the addresses of a packet that begins with its IP header; says whether it has them.
///
/// # Safety
///
/// `skb` is the program's context, both others may be written.
#[inline(always)]
pub unsafe fn of_packet(
    skb: *mut __sk_buff,
    source: *mut [u64; 2],
    destination: *mut [u64; 2],
) -> bool {
    // SAFETY: the caller's promise; the helper checks the range.
    unsafe {
        if (*skb).protocol == ETH_P_IP {
            let mut short = [0u32; 2];
            let failed = bpf_skb_load_bytes(skb.cast(), 12, (&raw mut short).cast(), 8) != 0;
            let [from, to] = short;
            *source = mapped(from);
            *destination = mapped(to);
            return !failed;
        }
        bpf_skb_load_bytes(skb.cast(), 8, source.cast(), 16) == 0
            && bpf_skb_load_bytes(skb.cast(), 24, destination.cast(), 16) == 0
    }
}
