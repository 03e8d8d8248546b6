//! [`FlowRecord`]: what happened to one socket (TCP), one socket and peer (UDP, ICMP), or one flow in transit.
//!
//! Counters are totals since the start of the flow, never deltas: a lost record then costs time
//! resolution and no bytes. Times are nanoseconds of `CLOCK_BOOTTIME`; user space turns them into Unix
//! time. Addresses are 16 bytes in network order; IPv4 is stored as `::ffff:a.b.c.d`.

/// What a record says of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// The flow began: a first datagram or echo request was seen, or of a process's first TCP flow, a connect sent or a connection
    /// accepted. Other TCP flows have no such record.
    Open = 1,
    /// The flow lives; counters as of `time_ns`.
    Update = 2,
    /// The flow ended; counters are final.
    Close = 3,
    /// Payload is sent after an idle time; the counters do not hold it yet.
    Activity = 4,
}

/// Which end of the flow the local socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Role {
    /// The local socket initiated: it called connect, or sent the first datagram or echo request.
    Client = 1,
    /// The local socket answered: it was accepted, or received the first datagram.
    Server = 2,
    /// No socket of this kernel: the flow was seen on an interface. Its "local" end is the one that initiated,
    /// and there is no owner.
    Transit = 3,
}

/// Transport protocol by its IANA number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// ICMP: echo requests and their replies.
    Icmp = 1,
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
    /// `ICMPv6`: echo requests and their replies.
    Icmpv6 = 58,
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// Not ended.
    None = 0,
    /// TCP: the local end sent the first FIN.
    FinLocal = 1,
    /// TCP: the remote end sent the first FIN.
    FinRemote = 2,
    /// TCP: an established connection ended without the FIN exchange.
    Reset = 3,
    /// TCP: the connect was answered by a reset.
    Refused = 4,
    /// TCP: the connect was given up without any answer.
    NoReply = 5,
    /// UDP, ICMP, and TCP in transit: no packet for the idle timeout.
    Idle = 6,
    /// The socket was closed by its owner (UDP, ICMP).
    SocketClosed = 7,
}

/// The flow belongs to the exporter's own process.
pub const FLAG_OWN: u8 = 1;
/// The socket is older than the capture: `start_ns` is when it was first seen.
pub const FLAG_START_INFERRED: u8 = 2;
/// Payload bytes, round-trip time and retransmits come from the TCP socket itself.
pub const FLAG_TCP_TOTALS: u8 = 4;

/// Totals of one direction pair, seen from the local socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct CounterSet {
    /// IP-layer bytes sent (headers included).
    pub bytes_sent: u64,
    /// IP-layer bytes received (headers included).
    pub bytes_received: u64,
    /// IP packets sent.
    pub packets_sent: u64,
    /// IP packets received.
    pub packets_received: u64,
}

impl CounterSet {
    /// Nothing counted.
    pub const ZERO: Self = Self {
        bytes_sent: 0,
        bytes_received: 0,
        packets_sent: 0,
        packets_received: 0,
    };
}

/// The process that owns a socket, as it was when the flow began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Owner {
    /// Start of the process, nanoseconds of `CLOCK_BOOTTIME`; 0 when unknown.
    pub process_start_ns: u64,
    /// cgroup v2 id; 0 when unknown.
    pub cgroup_id: u64,
    /// Process id (thread group id) in the initial pid namespace; 0 when unknown.
    pub pid: u32,
    /// User id; meaningful only when `pid` is not 0.
    pub uid: u32,
    /// Command name, NUL padded.
    pub comm: [u8; 16],
}

/// One event of one flow.
///
/// The identity of a flow is (`cookie`, `start_ns`, remote address and port).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct FlowRecord {
    /// Socket cookie: unique among live sockets of this boot. Of a flow in transit: a hash of its ends with the
    /// highest bit set.
    pub cookie: u64,
    /// Network namespace cookie; 0 when unknown.
    pub netns_cookie: u64,
    /// When the flow began.
    pub start_ns: u64,
    /// When this record was made; for [`RecordKind::Close`] the end of the flow.
    pub time_ns: u64,
    /// When the last packet was counted, to the kernel's tick (at most 10 ms); 0 when none was.
    pub last_packet_ns: u64,
    /// Totals since `start_ns`.
    pub counters: CounterSet,
    /// Payload bytes sent and acknowledged (TCP, with [`FLAG_TCP_TOTALS`]).
    pub payload_sent: u64,
    /// Payload bytes received (TCP, with [`FLAG_TCP_TOTALS`]).
    pub payload_received: u64,
    /// Who owns the socket.
    pub owner: Owner,
    /// Start of the process that uses an accepted or passed socket and is not its owner; 0 when there is none.
    pub handler_start_ns: u64,
    /// Local address.
    pub local_address: [u8; 16],
    /// Remote address.
    pub remote_address: [u8; 16],
    /// Smoothed round-trip time in microseconds; 0 when unknown.
    pub smoothed_rtt_us: u32,
    /// Segments retransmitted.
    pub retransmits: u32,
    /// Local port, host order; of ICMP the type of the echo request.
    pub local_port: u16,
    /// Remote port, host order; of ICMP the code of the echo request.
    pub remote_port: u16,
    /// A [`RecordKind`].
    pub kind: u8,
    /// A [`Role`].
    pub role: u8,
    /// A [`Protocol`].
    pub protocol: u8,
    /// A [`CloseReason`].
    pub close_reason: u8,
    /// Process id of the handler (see `handler_start_ns`); 0 when there is none.
    pub handler_pid: u32,
    /// `FLAG_*` bits.
    pub flags: u8,
    /// 1 once a TCP connection was established; for UDP and ICMP 1 once packets went both ways.
    pub established: u8,
    /// Zero.
    pub padding: [u8; 2],
    /// Index of the interface on which a flow in transit is counted; 0 for flows of sockets.
    pub interface: u32,
    /// Zero.
    pub unused: u32,
}

impl FlowRecord {
    /// Zero everywhere. Not a valid record: its kind, role and protocol are none.
    pub const ZERO: Self = Self {
        cookie: 0,
        netns_cookie: 0,
        start_ns: 0,
        time_ns: 0,
        last_packet_ns: 0,
        counters: CounterSet::ZERO,
        payload_sent: 0,
        payload_received: 0,
        owner: Owner {
            process_start_ns: 0,
            cgroup_id: 0,
            pid: 0,
            uid: 0,
            comm: [0; 16],
        },
        handler_start_ns: 0,
        local_address: [0; 16],
        remote_address: [0; 16],
        smoothed_rtt_us: 0,
        retransmits: 0,
        local_port: 0,
        remote_port: 0,
        kind: 0,
        role: 0,
        protocol: 0,
        close_reason: 0,
        handler_pid: 0,
        flags: 0,
        established: 0,
        padding: [0; 2],
        interface: 0,
        unused: 0,
    };
}

const _: () = assert!(size_of::<CounterSet>() == 32);
const _: () = assert!(size_of::<Owner>() == 40);
const _: () = assert!(size_of::<FlowRecord>() == 200);
const _: () = assert!(align_of::<FlowRecord>() == 8);
