//! Sockets that are older than the capture: found once, right after the programs were attached.
//!
//! Two iterators, in this order: over the open files of every process, which tells who owns each socket; over
//! the TCP sockets, which opens their flows and has the kernel report their close. Listening sockets come
//! first in the second, so that it is known who was called. A UDP or ICMP socket's flow begins with its next datagram or request.
//!
//! Limits: a socket that no process holds open (it closes, or lies in a queue) has no owner; where several
//! processes hold one, the first that is met owns it. Without [`SocketOffsets`] nothing is done here, and
//! such sockets are met with their next packet (see `packet`).

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_ANY, file, socket, task_struct},
    helpers::generated::{bpf_setsockopt, bpf_skc_to_tcp_sock, bpf_sock_from_file},
};
use beaconwatch_records::{
    CloseReason, FLAG_START_INFERRED, Protocol, RecordKind, Role, SocketOffsets,
};

use crate::{
    address, atomic, clock,
    emit::emit,
    icmp,
    iterator::Meta,
    maps::{
        FlowState, LISTENING, ListenKey, PHASE_FILLING, PHASE_NEW, PHASE_OPEN, REPORTS_CLOSE,
        SOCKETS, socket_offsets,
    },
    memory::member,
    owner, payload,
    transit::{self, Teller},
};

/// `struct bpf_iter__task_file`
#[repr(C)]
pub struct FileItem {
    meta: *mut Meta,
    task: *mut task_struct,
    number: u32,
    file: *mut file,
}

/// `struct bpf_iter__tcp`
#[repr(C)]
pub struct TcpItem {
    meta: *mut Meta,
    socket: *mut c_void,
}

const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const TCP_TIME_WAIT: u8 = 6;
const TCP_CLOSE: u8 = 7;
const TCP_LISTEN: u8 = 10;
const TCP_NEW_SYN_RECV: u8 = 12;

const SOL_TCP: i32 = 6;
const TCP_BPF_SOCK_OPS_CB_FLAGS: i32 = 1008;
const STATE_CB_FLAG: i32 = 4;

/// Notes the owner of the socket behind an open file, if it is one of ours.
///
/// # Safety
///
/// `item` is the program's context.
#[inline(always)]
pub unsafe fn file(item: *mut FileItem) {
    let offsets = socket_offsets();
    if !offsets.is_complete() {
        return;
    }
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let task = (*item).task;
        let file = (*item).file;
        if task.is_null() || file.is_null() {
            return;
        }
        let socket: *mut socket = bpf_sock_from_file(file);
        if socket.is_null() {
            return;
        }
        // The offset is constant to the verifier, which so knows what the member points to.
        let place = socket.cast::<u8>().add(offsets.sk as usize);
        let sock = *place.cast::<*mut c_void>();
        if sock.is_null() {
            return;
        }
        let Some(protocol) = protocol_of(sock as u64, &offsets) else {
            return;
        };
        let flow = SOCKETS.find_or_make(sock);
        if flow.is_null() || (*flow).owner.pid != 0 {
            return;
        }
        owner::take_holder(flow, task.cast());
        (*flow).protocol = protocol as u8;
        identify(flow, sock as u64, &offsets);
        if protocol as u8 != Protocol::Tcp as u8 && (*flow).adopted_ns == 0 {
            (*flow).adopted_ns = clock::exact_ns();
        }
    }
}

#[inline(always)]
unsafe fn protocol_of(sock: u64, offsets: &SocketOffsets) -> Option<Protocol> {
    // SAFETY: as `member`.
    unsafe {
        let family: u16 = member(sock, offsets.family);
        let kind: u16 = member(sock, offsets.kind);
        let protocol: u16 = member(sock, offsets.protocol);
        if family != AF_INET && family != AF_INET6 {
            None
        } else if kind == SOCK_STREAM && protocol == Protocol::Tcp as u16 {
            Some(Protocol::Tcp)
        } else if kind == SOCK_DGRAM && protocol == Protocol::Udp as u16 {
            Some(Protocol::Udp)
        } else if icmp::sends_requests(u32::from(kind), u32::from(protocol)) {
            Some(icmp::protocol_in(u32::from(family)))
        } else {
            None
        }
    }
}

/// Cookies of the socket and its network namespace. A socket without a cookie gets one with its first packet.
#[inline(always)]
unsafe fn identify(flow: *mut FlowState, sock: u64, offsets: &SocketOffsets) {
    // SAFETY: as `member`; `flow` is valid.
    unsafe {
        if (*flow).cookie == 0 {
            (*flow).cookie = member(sock, offsets.cookie);
        }
        if (*flow).netns_cookie == 0 {
            (*flow).netns_cookie = namespace(sock, offsets);
        }
    }
}

#[inline(always)]
unsafe fn namespace(sock: u64, offsets: &SocketOffsets) -> u64 {
    // SAFETY: as `member`.
    unsafe {
        let namespace: u64 = member(sock, offsets.namespace);
        member(namespace, offsets.namespace_cookie)
    }
}

/// Opens the flow of a TCP socket, or notes a listening one.
///
/// # Safety
///
/// `item` is the program's context.
#[inline(always)]
pub unsafe fn tcp(item: *mut TcpItem) {
    let offsets = socket_offsets();
    if !offsets.is_complete() {
        return;
    }
    // SAFETY: the context; the verifier checks every access.
    unsafe {
        let common = (*item).socket;
        if common.is_null() {
            return;
        }
        let state: u8 = member(common as u64, offsets.state);
        if state == TCP_LISTEN {
            return note_listener(common as u64, &offsets);
        }
        if matches!(state, TCP_TIME_WAIT | TCP_CLOSE | TCP_NEW_SYN_RECV) {
            return;
        }
        let socket = bpf_skc_to_tcp_sock(common.cast());
        if socket.is_null() {
            return;
        }
        let flow = SOCKETS.find_or_make(socket.cast());
        if flow.is_null() || !adopt(flow, common as u64, &offsets) {
            return;
        }
        let mut flags = STATE_CB_FLAG;
        let failed = bpf_setsockopt(
            socket.cast(),
            SOL_TCP,
            TCP_BPF_SOCK_OPS_CB_FLAGS,
            (&raw mut flags).cast(),
            4,
        ) != 0;
        if !failed {
            (*flow).state |= REPORTS_CLOSE;
        }
    }
}

#[inline(always)]
unsafe fn note_listener(common: u64, offsets: &SocketOffsets) {
    // SAFETY: as `member`.
    unsafe {
        let key = ListenKey {
            namespace: namespace(common, offsets),
            port: u64::from(member::<u16>(common, offsets.local_port)),
        };
        // Full: the ports decide who was called, as they do without this map.
        let _full = LISTENING.insert(key, 1, u64::from(BPF_ANY));
    }
}

/// Opens the flow unless it is open; says whether its start was not seen.
#[inline(always)]
unsafe fn adopt(flow: *mut FlowState, common: u64, offsets: &SocketOffsets) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        if !atomic::replace(&raw mut (*flow).phase, PHASE_NEW, PHASE_FILLING) {
            return (*flow).flags & FLAG_START_INFERRED != 0;
        }
        (*flow).protocol = Protocol::Tcp as u8;
        (*flow).flags |= FLAG_START_INFERRED;
        identify(flow, common, offsets);
        ends(flow, common, offsets);
        let key = ListenKey {
            namespace: (*flow).netns_cookie,
            port: u64::from((*flow).local_port),
        };
        let called = LISTENING.get_ptr(&key).is_some();
        (*flow).role = if called {
            Role::Server as u8
        } else {
            Role::Client as u8
        };
        let now = clock::exact_ns();
        clock::begin_by_fine(flow, now);
        (*flow).sent_at = 0;
        payload::begin(flow);
        (*flow).phase = PHASE_OPEN;
        transit::told_by_socket(
            flow,
            Teller::Existing,
            now.wrapping_sub((*flow).clock_offset_ns),
        );
        emit(flow, RecordKind::Open, CloseReason::None, now);
        true
    }
}

#[inline(always)]
unsafe fn ends(flow: *mut FlowState, common: u64, offsets: &SocketOffsets) {
    // SAFETY: as `member`; `flow` is valid.
    unsafe {
        if member::<u16>(common, offsets.family) == AF_INET {
            (*flow).local_address = address::mapped(member(common, offsets.local_address));
            (*flow).remote_address = address::mapped(member(common, offsets.remote_address));
        } else {
            (*flow).local_address = member(common, offsets.local_address_6);
            (*flow).remote_address = member(common, offsets.remote_address_6);
        }
        (*flow).local_port = member(common, offsets.local_port);
        (*flow).remote_port = u16::from_be(member(common, offsets.remote_port));
    }
}
