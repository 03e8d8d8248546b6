//! From the fields of a line to a record of a connection, whatever the format.

mod fields;
mod value;

use std::net::IpAddr;
use std::time::Duration;

use beaconwatch_detector::{ConnectionId, Timestamp, Transport};
use beaconwatch_packets::{End, Segment};

use super::report::Problem;
use super::row::{Column, Hint, Row};
use crate::telemetry::Event;
use fields::Fields;

/// Whose names the fields have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Flows,
    Zeek,
    /// Suricata's EVE.
    Eve,
    /// Tables of connections with a header line.
    Csv,
    /// BeaconHunter's tables.
    BeaconHunter,
    /// Packets that another sensor reports.
    Telemetry,
    /// Packets, put together here.
    Packets,
}

impl Dialect {
    /// Whether times may lack their offset from UTC, which is then taken to be none.
    const fn has_local_times(self) -> bool {
        matches!(self, Self::Csv | Self::BeaconHunter | Self::Telemetry)
    }

    /// Whether an identity is never used again for another connection.
    pub(crate) const fn has_unique_ids(self) -> bool {
        matches!(self, Self::Zeek | Self::Eve)
    }
}

/// What a record tells of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The connection itself.
    Connection,
    /// Activity inside a connection, with the bytes of this moment.
    Activity,
    /// Something that the connection carried: it names the server.
    Carried,
}

/// One record of one connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub(crate) kind: Kind,
    pub(crate) dialect: Dialect,
    pub(crate) time: Timestamp,
    pub(crate) id: Option<ConnectionId>,
    pub(crate) source: IpAddr,
    pub(crate) source_port: u16,
    pub(crate) destination: IpAddr,
    pub(crate) destination_port: u16,
    pub(crate) transport: Transport,
    pub(crate) server_name: Option<String>,
    /// JA4, or JA3.
    pub(crate) client_fingerprint: Option<String>,
    /// The sensor, when the log names it.
    pub(crate) sensor: Option<String>,
    pub(crate) duration: Option<Duration>,
    pub(crate) bytes_out: Option<u64>,
    pub(crate) bytes_in: Option<u64>,
    pub(crate) established: Option<bool>,
    /// The process at the initiating end, when the log names it.
    pub(crate) process_name: Option<String>,
}

impl Record {
    /// A record that says nothing more than this.
    pub(crate) fn new(
        kind: Kind,
        dialect: Dialect,
        time: Timestamp,
        source: IpAddr,
        (destination, destination_port): (IpAddr, u16),
        transport: Transport,
    ) -> Self {
        Self {
            kind,
            dialect,
            time,
            id: None,
            source: source.to_canonical(),
            source_port: 0,
            destination: destination.to_canonical(),
            destination_port,
            transport,
            server_name: None,
            client_fingerprint: None,
            sensor: None,
            duration: None,
            bytes_out: None,
            bytes_in: None,
            established: None,
            process_name: None,
        }
    }
}

/// What a line is.
#[derive(Debug)]
pub(crate) enum Classified {
    /// A record, and what of it was not used.
    Record(Box<Record>, Vec<Problem>),
    /// A record of a log that tells of no connection.
    OtherLog,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Log {
    Flow,
    Activity,
    Conn,
    Http,
    Tls,
    Quic,
    Dns,
}

impl Log {
    /// None for a log that tells of no connection.
    fn of(row: &Row<'_>, dialect: Dialect, stream: Option<&str>) -> Option<Self> {
        match dialect {
            Dialect::Flows => Some(Self::of_flow(row)),
            Dialect::Eve => Self::of_eve(row),
            Dialect::Zeek => Self::of_zeek(row, stream),
            Dialect::Csv | Dialect::BeaconHunter | Dialect::Telemetry | Dialect::Packets => {
                Some(Self::Flow)
            }
        }
    }

    fn of_flow(row: &Row<'_>) -> Self {
        let sized = row.names(Column::BytesOut) || row.names(Column::BytesIn);
        let whole = [Column::SourcePort, Column::Duration, Column::State]
            .into_iter()
            .any(|column| row.names(column));
        if row.get(Column::Uid).is_some() && sized && !whole {
            Self::Activity
        } else {
            Self::Flow
        }
    }

    fn of_zeek(row: &Row<'_>, stream: Option<&str>) -> Option<Self> {
        if let Some(name) = stream.or_else(|| row.text(Column::Stream)) {
            return match name.strip_prefix("open_").unwrap_or(name) {
                "conn" => Some(Self::Conn),
                "http" => Some(Self::Http),
                "ssl" => Some(Self::Tls),
                "quic" => Some(Self::Quic),
                "dns" => Some(Self::Dns),
                _ => None,
            };
        }
        if !(row.names(Column::Source) || row.names(Column::Destination)) {
            return None;
        }
        row.hint.map(|hint| match hint {
            Hint::Http => Self::Http,
            Hint::Dns => Self::Dns,
            Hint::Conn => Self::Conn,
            Hint::Tls => Self::Tls,
        })
    }

    fn of_eve(row: &Row<'_>) -> Option<Self> {
        match row.text(Column::Stream)? {
            "flow" | "netflow" => Some(Self::Conn),
            "http" => Some(Self::Http),
            "tls" => Some(Self::Tls),
            "quic" => Some(Self::Quic),
            // An answer's ends may be swapped, and its question was there before it.
            "dns" => match row.text(Column::QueryType) {
                Some("answer" | "response") => None,
                _ => Some(Self::Dns),
            },
            _ => None,
        }
    }

    fn name_column(self) -> Column {
        match self {
            Self::Http => Column::Host,
            Self::Dns => Column::Query,
            _ => Column::ServerName,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Flow | Self::Conn => Kind::Connection,
            Self::Activity => Kind::Activity,
            Self::Http | Self::Tls | Self::Quic | Self::Dns => Kind::Carried,
        }
    }
}

/// Makes a record of the fields of a line. `stream` is the log that the file's header names.
pub(crate) fn classify(
    row: &Row<'_>,
    dialect: Dialect,
    stream: Option<&str>,
) -> Result<Classified, Problem> {
    let Some(log) = Log::of(row, dialect, stream) else {
        return Ok(Classified::OtherLog);
    };
    let mut fields = Fields::of(row, dialect);
    let name = log.name_column();
    let (time, duration) = fields.times(log)?;
    let source = fields.address(Column::Source)?;
    let destination = fields.address(Column::Destination)?;
    let destination_port = fields.destination_port()?;
    let transport = fields.transport(log)?;
    let mut record = Record {
        id: fields.identity(),
        source_port: fields.source_port(),
        server_name: fields.server_name(name),
        client_fingerprint: fields
            .short_text(Column::Ja4)
            .or_else(|| fields.short_text(Column::Ja3)),
        sensor: fields.short_text(Column::Sensor),
        duration,
        established: row.text(Column::State).and_then(value::established),
        process_name: fields.short_text(Column::Process),
        ..Record::new(
            log.kind(),
            dialect,
            time,
            source,
            (destination, destination_port),
            transport,
        )
    };
    // In EVE what a connection carried tells sizes of the connection so far.
    if dialect != Dialect::Eve || log == Log::Conn {
        record.bytes_out = fields.bytes(Column::BytesOut);
        record.bytes_in = fields.bytes(Column::BytesIn);
    }
    Ok(Classified::Record(Box::new(record), fields.ignored))
}

/// The packet that an event of a telemetry batch tells of.
pub(crate) fn packet_of_telemetry(row: &Row<'_>) -> Result<Event, Problem> {
    let mut fields = Fields::of(row, Dialect::Telemetry);
    let time = fields.time()?;
    let transport = fields.transport(Log::Flow)?;
    let has_ports = matches!(transport, Transport::Tcp | Transport::Udp);
    let port = if has_ports {
        fields.destination_port()?
    } else {
        0
    };
    let sender = End {
        address: fields.address(Column::Source)?,
        port: if has_ports { fields.source_port() } else { 0 },
    };
    let receiver = End {
        address: fields.address(Column::Destination)?,
        port,
    };
    let flags = row
        .get(Column::Flags)
        .and_then(value::number)
        .unwrap_or_default();
    Ok(Event {
        time,
        sender,
        receiver,
        transport,
        tcp: (transport == Transport::Tcp).then(|| segment(flags)),
        bytes: fields.bytes(Column::BytesOut).unwrap_or_default(),
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates, and flags are eight bits"
)]
fn segment(flags: f64) -> Segment {
    let flags = flags as u8;
    Segment {
        fin: flags & 1 != 0,
        syn: flags & 2 != 0,
        reset: flags & 4 != 0,
        ack: flags & 16 != 0,
        numbers: None,
    }
}
