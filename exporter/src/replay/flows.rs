//! [`Flows`]: packets in, records and slices out, as the kernel part would give them.

use std::net::IpAddr;

use beaconwatch_packets::capture::Captured;
use beaconwatch_packets::link::{self, Frame};
use beaconwatch_packets::table::{Connection, Counters, Ending, Moment, Table};
use beaconwatch_packets::{Fragments, Packet, Segment, Transport};
use beaconwatch_records::{
    CloseReason, CounterSet, Direction, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord,
    MOST_SLICE_BYTES, RecordKind, Role, SLICE_HEADER_BYTES,
};

use super::look::Look;
use crate::capture::slices::SliceBatch;
use crate::config::Config;

/// The largest window of TCP (RFC 7323): a sequence number further ahead is damaged.
const MOST_AHEAD: u32 = 1 << 30;

/// What is noted of a connection beside what its packets add up to.
#[derive(Debug, Default)]
struct Note {
    look: Look,
    /// When the initiator sent payload last.
    sent_ns: Option<i64>,
    sent: Stream,
    received: Stream,
    /// Segments that the initiator sent again.
    retransmits: u32,
}

/// One direction of TCP.
#[derive(Debug, Default)]
struct Stream {
    /// The sequence number after the furthest byte.
    next: Option<u32>,
    /// Bytes up to there.
    bytes: u64,
}

impl Stream {
    /// Takes in a segment; tells whether all of it was sent before. Numbers of empty ones may count the FIN.
    fn take(&mut self, segment: Segment, bytes: u64) -> bool {
        if bytes == 0 && !segment.syn {
            return false;
        }
        let (Some((number, _)), Ok(length)) = (segment.numbers, u32::try_from(bytes)) else {
            self.bytes = self.bytes.saturating_add(bytes);
            return false;
        };
        let first = number.wrapping_add(u32::from(segment.syn));
        let end = first.wrapping_add(length);
        let known = *self.next.get_or_insert(first);
        let ahead = end.wrapping_sub(known);
        if (1..=MOST_AHEAD).contains(&ahead) {
            self.next = Some(end);
            self.bytes = self.bytes.saturating_add(u64::from(ahead));
            return false;
        }
        // A single old byte asks whether the other end lives.
        length > 1
    }
}

/// The flows of a capture that live.
#[derive(Debug)]
pub(super) struct Flows {
    table: Table<Note>,
    fragments: Fragments,
    pub(super) slices: SliceBatch,
    takes_slices: bool,
    /// 0: activity is not told.
    activity_idle_ns: i64,
    unreadable: u64,
}

impl Flows {
    pub(super) fn new(config: &Config) -> Self {
        let activity_idle_ns = i64::try_from(config.capture.activity_idle_s.as_nanos());
        Self {
            table: Table::with_notes(config.max_flows, config.udp_idle_timeout_s),
            fragments: Fragments::default(),
            slices: SliceBatch::default(),
            takes_slices: config.capture.names,
            activity_idle_ns: activity_idle_ns.unwrap_or(i64::MAX),
            unreadable: 0,
        }
    }

    pub(super) fn counters(&self) -> Counters {
        self.table.counters()
    }

    /// Packets that could not be read.
    pub(super) const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Takes a packet in, and appends what it makes known.
    pub(super) fn take(&mut self, captured: &Captured<'_>, records: &mut Vec<FlowRecord>) {
        let (Some(link), Some(time_ns)) = (captured.link, captured.time_ns) else {
            self.skip(captured, "without interface or time");
            return;
        };
        match link::read(link, time_ns, captured.frame, &mut self.fragments) {
            Frame::Packet(packet) => match packet.transport {
                Transport::Tcp | Transport::Udp => self.packet(&packet, records),
                Transport::Icmp => self.echo(packet, records),
                Transport::Other(_) => {}
            },
            Frame::Other => {}
            Frame::Broken(what) => self.skip(captured, what),
            Frame::UnknownLink => self.skip(captured, "a link layer that is not read"),
        }
    }

    fn skip(&mut self, captured: &Captured<'_>, reason: &str) {
        self.unreadable += 1;
        tracing::debug!(packet = captured.number, reason, "packet skipped");
    }

    /// Takes in an echo request, or a reply to one that was seen. Its identifier stands in the requester's port, so that
    /// the table tells the requests of several programs and of both ends apart.
    fn echo(&mut self, mut packet: Packet<'_>, records: &mut Vec<FlowRecord>) {
        let Some(echo) = packet.icmp.and_then(|it| it.echo) else {
            return;
        };
        if echo.is_request {
            packet.sender.port = echo.identifier;
        } else {
            packet.receiver.port = echo.identifier;
        }
        if echo.is_request || self.table.knows(&packet) {
            self.packet(&packet, records);
        }
    }

    fn packet(&mut self, packet: &Packet<'_>, records: &mut Vec<FlowRecord>) {
        let Self {
            table,
            slices,
            takes_slices,
            activity_idle_ns,
            ..
        } = self;
        let mut activity = None;
        table.take_noting(packet, &mut |moment, it| tell(moment, it, records), |it| {
            let outward = packet.sender == it.source;
            if outward && note_sent(it, packet, *activity_idle_ns) {
                activity = Some(record(it, RecordKind::Activity, packet.time_ns));
            }
            note_segment(it, packet, outward);
            let wanted = it.note.look.wants(packet, outward, it.destination.port);
            if wanted && *takes_slices {
                slices.push(&slice(it, packet, outward));
            }
        });
        records.extend(activity);
    }

    /// Appends what ended up to `now_ns` and the present counters of what lives.
    pub(super) fn snapshot(&mut self, now_ns: i64, records: &mut Vec<FlowRecord>) {
        self.table
            .expire(now_ns, &mut |moment, it| tell(moment, it, records));
        let mut living: Vec<_> = self.table.connections().collect();
        living.sort_unstable_by_key(|it| it.number);
        let living = living.into_iter();
        records.extend(living.map(|it| record(it, RecordKind::Update, now_ns)));
    }

    /// Appends the ends that only waited for stragglers.
    pub(super) fn settle(&mut self, records: &mut Vec<FlowRecord>) {
        self.table
            .settle(&mut |moment, it| tell(moment, it, records));
    }
}

fn tell(moment: Moment, connection: &Connection<Note>, records: &mut Vec<FlowRecord>) {
    match moment {
        Moment::Opened => records.push(record(connection, RecordKind::Open, connection.first_ns)),
        Moment::Closed => records.push(record(connection, RecordKind::Close, connection.last_ns)),
        // That of either end, and after a fixed time.
        Moment::Active => {}
    }
}

/// Notes what the initiator sends; tells whether it is activity.
fn note_sent(connection: &mut Connection<Note>, packet: &Packet<'_>, idle_ns: i64) -> bool {
    if packet.tcp.is_some() && packet.payload_bytes == 0 {
        return false;
    }
    let before = connection.note.sent_ns.replace(packet.time_ns);
    idle_ns > 0 && before.is_some_and(|it| packet.time_ns.saturating_sub(it) >= idle_ns)
}

fn note_segment(connection: &mut Connection<Note>, packet: &Packet<'_>, outward: bool) {
    let Some(segment) = packet.tcp else {
        return;
    };
    let syn_again = segment.syn && outward && connection.packets_out > 0;
    let note = &mut connection.note;
    let stream = if outward {
        &mut note.sent
    } else {
        &mut note.received
    };
    let again = stream.take(segment, packet.payload_bytes);
    note.retransmits += u32::from(outward && again || syn_again);
}

fn record(connection: &Connection<Note>, kind: RecordKind, time_ns: i64) -> FlowRecord {
    let tcp = connection.transport == Transport::Tcp;
    let packets = connection.packets_out + connection.packets_in;
    let mut record = FlowRecord {
        cookie: cookie(connection),
        start_ns: unsigned(connection.first_ns),
        time_ns: unsigned(time_ns),
        last_packet_ns: if packets == 0 {
            0
        } else {
            unsigned(connection.last_ns)
        },
        counters: CounterSet {
            bytes_sent: connection.network_bytes_out,
            bytes_received: connection.network_bytes_in,
            packets_sent: connection.packets_out,
            packets_received: connection.packets_in,
        },
        local_address: octets(connection.source.address),
        remote_address: octets(connection.destination.address),
        local_port: connection
            .icmp
            .map_or(connection.source.port, |it| u16::from(it.kind)),
        remote_port: connection
            .icmp
            .map_or(connection.destination.port, |it| u16::from(it.code)),
        kind: kind as u8,
        role: Role::Client as u8,
        protocol: protocol(connection),
        flags: if connection.mid_stream {
            FLAG_START_INFERRED
        } else {
            0
        },
        established: u8::from(connection.established() == Some(true)),
        ..FlowRecord::ZERO
    };
    if kind == RecordKind::Close {
        record.close_reason = close_reason(connection) as u8;
        if tcp {
            record.flags |= FLAG_TCP_TOTALS;
            record.payload_sent = connection.note.sent.bytes;
            record.payload_received = connection.note.received.bytes;
            record.retransmits = connection.note.retransmits;
        }
    }
    record
}

/// Of TCP that fell silent without an end it is none.
fn close_reason(connection: &Connection<Note>) -> CloseReason {
    if connection.transport != Transport::Tcp {
        return CloseReason::Idle;
    }
    match connection.ending() {
        Ending::SourceClosed => CloseReason::FinLocal,
        Ending::DestinationClosed => CloseReason::FinRemote,
        Ending::Reset => CloseReason::Reset,
        Ending::Refused => CloseReason::Refused,
        Ending::Unanswered if !connection.mid_stream => CloseReason::NoReply,
        Ending::Unanswered | Ending::Silent => CloseReason::None,
    }
}

/// A slice as the kernel part lays it out (`SliceHeader`, fields in their order).
fn slice(connection: &Connection<Note>, packet: &Packet<'_>, outward: bool) -> Vec<u8> {
    let captured = packet.payload.get(..MOST_SLICE_BYTES);
    let captured = captured.unwrap_or(packet.payload);
    let number = packet.tcp.and_then(|segment| {
        let (number, _) = segment.numbers?;
        Some(number.wrapping_add(u32::from(segment.syn)))
    });
    let mut bytes = Vec::with_capacity(SLICE_HEADER_BYTES + captured.len());
    for long in [
        cookie(connection),
        0,
        unsigned(connection.first_ns),
        unsigned(packet.time_ns),
        0,
    ] {
        bytes.extend(long.to_ne_bytes());
    }
    let length = u32::try_from(packet.payload_bytes).unwrap_or(u32::MAX);
    let captured_length = u32::try_from(captured.len()).unwrap_or(0);
    for word in [0, number.unwrap_or(0), length, captured_length] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(octets(connection.source.address));
    bytes.extend(octets(connection.destination.address));
    bytes.extend(connection.source.port.to_ne_bytes());
    bytes.extend(connection.destination.port.to_ne_bytes());
    let direction = if outward {
        Direction::Sent
    } else {
        Direction::Received
    };
    bytes.extend([direction as u8, protocol(connection), Role::Client as u8, 0]);
    bytes.extend(captured);
    bytes
}

/// Never 0, which a kernel gives to no socket.
const fn cookie(connection: &Connection<Note>) -> u64 {
    connection.number + 1
}

const fn protocol(connection: &Connection<Note>) -> u8 {
    connection.transport.number(connection.source.address)
}

/// Captures have no packet from before 1970.
fn unsigned(time_ns: i64) -> u64 {
    u64::try_from(time_ns).unwrap_or(0)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
