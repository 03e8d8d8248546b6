//! Packets to connections, whoever saw them: captures, and batches of other sensors.
//!
//! # Rules
//! - **TCP**: a SYN begins a connection; another initial sequence number on the same addresses and ports
//!   begins the next one. A connection whose SYN was not seen is *mid-stream*: it begins with its first
//!   packet and is counted apart. It ends with a reset, with both FINs, or after an hour of silence (five
//!   minutes where nobody answered).
//! - **UDP, ICMP and others**: packets between the same ends are one connection until
//!   [`table::DATAGRAM_IDLE`] passes without one.
//! - **Who initiated**: whoever sent the SYN. Without a SYN in TCP the end with the higher port. In other
//!   protocols whoever sent the first packet, unless its port is below 1024 and the other's is not: then
//!   that was an answer. A group or broadcast address never initiates.
//! - **Bytes** are the payload above TCP, UDP or ICMP, each way, as the headers state them: a packet cut by
//!   the capture counts whole, a retransmitted segment counts again.
//! - **Activity**: payload after [`table::QUIET`] without any, inside a connection.
//! - **Names**: the TLS `ClientHello`, the HTTP `Host` header, or the question of a DNS query; else the name
//!   whose DNS answer gave this client the server's address.

pub(crate) mod capture;
mod fragments;
mod link;
pub(crate) mod names;
pub(crate) mod table;

use std::net::IpAddr;

use beaconwatch_detector::{Timestamp, Transport};

/// One packet, as far as it matters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) time: Timestamp,
    pub(crate) sender: End,
    pub(crate) receiver: End,
    pub(crate) transport: Transport,
    pub(crate) tcp: Option<Segment>,
    /// Bytes above the transport header, as the headers state them.
    pub(crate) payload_bytes: u64,
    /// What of them was captured.
    pub(crate) payload: &'a [u8],
}

/// Address and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct End {
    pub(crate) address: IpAddr,
    pub(crate) port: u16,
}

/// What a TCP header says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "they are TCP's own flags")]
pub(crate) struct Segment {
    pub(crate) syn: bool,
    pub(crate) ack: bool,
    pub(crate) fin: bool,
    pub(crate) reset: bool,
    /// Sequence and acknowledged number, when known.
    pub(crate) numbers: Option<(u32, u32)>,
}
