//! The kernel part of the Beaconwatch exporter: what every socket of the host does that speaks TCP, UDP or ICMP.
//!
//! Programs, all attached to the root of the cgroup v2 tree:
//!
//! | program | hook | does |
//! |---|---|---|
//! | `socket_created` | `cgroup/sock_create` | keeps the owner in the socket's storage |
//! | `socket_released` | `cgroup/sock_release` | ends UDP and ICMP flows |
//! | `socket_operation` | `sockops` | opens and ends TCP flows |
//! | `packet_received`, `packet_sent` | `cgroup_skb` | count; open UDP and ICMP flows |
//! | `frame_received`, `frame_sent`, `bare_received`, `bare_sent` | TCX of chosen interfaces, with Ethernet header and without | count flows in transit |
//! | `live_sockets`, `live_peers`, `live_transit` | `iter/*` | tell the live flows when user space asks |
//! | `existing_owners`, `existing_tcp` | `iter/*` | find the sockets that were there before, once |
//! | `process_executes`, `process_is_born` | `tp_btf` | tell what processes execute |
//!
//! Output are `FlowRecord`s: closes, activity and some openings (see `tcp`) through a ring buffer, live flows
//! through the iterators. What cannot be told is counted (`LossCounter`). No program changes or drops traffic.
//!
//! Oldest kernel: 5.15, which gave socket programs `bpf_get_netns_cookie` and `bpf_get_current_task_btf`.
//! Limits: little-endian; the owner of an accepted connection is who created the listener, its handler who
//! answers.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod activity;
mod address;
mod atomic;
mod clock;
mod emit;
mod existing;
mod frame;
mod headers;
mod icmp;
mod iterator;
mod maps;
mod memory;
mod owner;
mod packet;
mod payload;
mod process;
mod tcp;
mod transit;
mod udp;
mod words;

use aya_ebpf::{
    bindings::bpf_sock,
    helpers::generated::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    macros::{btf_tracepoint, cgroup_skb, cgroup_sock, classifier, sock_ops},
    programs::{BtfTracePointContext, SkBuffContext, SockContext, SockOpsContext, TcContext},
};
use beaconwatch_records::{Direction, Protocol};

use crate::{
    frame::ETHERNET_BYTES,
    maps::{FlowState, SOCKETS},
};

const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
/// The verdict of the programs on cgroups: let it pass.
const PASS: i32 = 1;
/// The verdict of the programs on interfaces (`TCX_NEXT`): whatever the others say.
const NEXT: i32 = -1;

#[cgroup_sock(sock_create)]
pub fn socket_created(context: SockContext) -> i32 {
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let socket = context.sock;
        let tcp = (*socket).type_ == SOCK_STREAM && (*socket).protocol == Protocol::Tcp as u32;
        let udp = (*socket).type_ == SOCK_DGRAM && (*socket).protocol == Protocol::Udp as u32;
        let protocol = if tcp {
            Some(Protocol::Tcp)
        } else if udp {
            Some(Protocol::Udp)
        } else {
            icmp::protocol_of(socket)
        };
        if let Some(protocol) = protocol {
            let flow = SOCKETS.find_or_make(socket.cast());
            if !flow.is_null() {
                prepare(socket, flow, protocol);
                if !tcp {
                    // Of TCP it is made when the flow opens: a listener needs none.
                    (*flow).cookie = bpf_get_socket_cookie(socket.cast());
                }
            }
        }
    }
    PASS
}

#[inline(always)]
unsafe fn prepare(socket: *mut bpf_sock, flow: *mut FlowState, protocol: Protocol) {
    // SAFETY: the caller's promise; the verifier checks every access.
    unsafe {
        (*flow).protocol = protocol as u8;
        (*flow).netns_cookie = bpf_get_netns_cookie(socket.cast());
        owner::take_creator(flow);
    }
}

#[cgroup_sock(sock_release)]
pub fn socket_released(context: SockContext) -> i32 {
    // SAFETY: the context.
    unsafe { udp::released(context.sock) };
    PASS
}

#[sock_ops]
pub fn socket_operation(context: SockOpsContext) -> u32 {
    // SAFETY: the context.
    unsafe { tcp::operation(context.ops) };
    PASS as u32
}

#[cgroup_skb]
pub fn packet_received(context: SkBuffContext) -> i32 {
    // SAFETY: the context.
    unsafe { packet::packet(context.skb.skb, Direction::Received) };
    PASS
}

#[cgroup_skb]
pub fn packet_sent(context: SkBuffContext) -> i32 {
    // SAFETY: the context.
    unsafe { packet::packet(context.skb.skb, Direction::Sent) };
    PASS
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_sk_storage_map")]
pub extern "C" fn live_sockets(item: *mut iterator::SocketItem) -> i32 {
    // SAFETY: the context.
    unsafe { iterator::socket(item) };
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub extern "C" fn live_peers(item: *mut iterator::PeerItem) -> i32 {
    // SAFETY: the context.
    unsafe { iterator::peer(item) };
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/bpf_map_elem")]
pub extern "C" fn live_transit(item: *mut iterator::TransitItem) -> i32 {
    // SAFETY: the context.
    unsafe { iterator::transit(item) };
    0
}

#[classifier]
pub fn frame_received(context: TcContext) -> i32 {
    // SAFETY: the context.
    unsafe { transit::packet::<ETHERNET_BYTES>(context.skb.skb, false) };
    NEXT
}

#[classifier]
pub fn frame_sent(context: TcContext) -> i32 {
    // SAFETY: the context.
    unsafe { transit::packet::<ETHERNET_BYTES>(context.skb.skb, true) };
    NEXT
}

#[classifier]
pub fn bare_received(context: TcContext) -> i32 {
    // SAFETY: the context.
    unsafe { transit::packet::<0>(context.skb.skb, false) };
    NEXT
}

#[classifier]
pub fn bare_sent(context: TcContext) -> i32 {
    // SAFETY: the context.
    unsafe { transit::packet::<0>(context.skb.skb, true) };
    NEXT
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_file")]
pub extern "C" fn existing_owners(item: *mut existing::FileItem) -> i32 {
    // SAFETY: the context.
    unsafe { existing::file(item) };
    0
}

#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/tcp")]
pub extern "C" fn existing_tcp(item: *mut existing::TcpItem) -> i32 {
    // SAFETY: the context.
    unsafe { existing::tcp(item) };
    0
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn process_executes(context: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's arguments: the task, its process id before, the program.
    unsafe { process::executes(context.arg(0), context.arg(2)) };
    0
}

#[btf_tracepoint(function = "sched_process_fork")]
pub fn process_is_born(context: BtfTracePointContext) -> i32 {
    // SAFETY: the tracepoint's arguments: the parent and the child.
    unsafe { process::is_born(context.arg(0), context.arg(1)) };
    0
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 7] = *b"GPL v2\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
