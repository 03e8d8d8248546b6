//! From the fields of a line to a record of a connection, whatever the format.

use std::net::IpAddr;
use std::time::Duration;

use beaconwatch_detector::{ConnectionId, Timestamp, Transport};
use xxhash_rust::xxh3::xxh3_128;

use super::report::Problem;
use super::row::{Column, Hint, Row, Scalar};
use crate::packets::{End, Segment};
use crate::telemetry::Event;

/// Latest time that a record may have: 2200-01-01. Later ones are milliseconds taken for seconds, or
/// broken.
const TIME_MAX_S: f64 = 7_258_118_400.0;
/// Longest duration that a record may have: about 31 years.
const DURATION_MAX_S: f64 = 1e9;
/// Largest number of bytes that a record may have: 2^53, up to which JSON numbers are exact.
const BYTES_MAX: f64 = 9_007_199_254_740_992.0;
/// Longest server name: the limit of the domain name system, and some room.
const NAME_BYTES_MAX: usize = 300;

const TIME_EXPECTED: &str = "seconds since 1970 from 0 to 7258118400, or a time such as \
     2024-04-19T00:00:01Z";

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
    let log = match dialect {
        Dialect::Flows => Log::of_flow(row),
        Dialect::Eve => match Log::of_eve(row) {
            Some(log) => log,
            None => return Ok(Classified::OtherLog),
        },
        Dialect::Csv | Dialect::BeaconHunter | Dialect::Telemetry | Dialect::Packets => Log::Flow,
        Dialect::Zeek => match Log::of_zeek(row, stream) {
            Some(log) => log,
            None => return Ok(Classified::OtherLog),
        },
    };
    let mut fields = Fields {
        row,
        dialect,
        ignored: Vec::new(),
    };
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
        sensor: fields.short_text(Column::Sensor),
        duration,
        established: row.text(Column::State).and_then(established),
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

/// Whether both ends spoke, from the connection state of Zeek or Suricata; `None` when it does not say.
fn established(state: &str) -> Option<bool> {
    match state {
        "established" | "SF" | "S1" | "S2" | "S3" | "RSTO" | "RSTR" => Some(true),
        "new" | "S0" | "REJ" | "RSTOS0" | "RSTRH" | "SH" | "SHR" => Some(false),
        _ => None,
    }
}

struct Fields<'r, 'a> {
    row: &'r Row<'a>,
    dialect: Dialect,
    ignored: Vec<Problem>,
}

impl Fields<'_, '_> {
    fn name(&self, column: Column) -> &'static str {
        column.name(self.dialect)
    }

    fn needed(&self, column: Column, expected: &str) -> Result<&Scalar<'_>, Problem> {
        self.row
            .get(column)
            .ok_or_else(|| Problem::missing(self.name(column), expected))
    }

    /// Keeps a problem that does not cost the record.
    fn ignore(&mut self, column: Column, expected: &str, got: &Scalar<'_>) {
        self.ignored
            .push(Problem::invalid(self.name(column), expected, got));
    }

    /// When the connection began, and how long it lasted.
    fn times(&mut self, log: Log) -> Result<(Timestamp, Option<Duration>), Problem> {
        if self.dialect != Dialect::Eve || log != Log::Conn {
            return Ok((self.time()?, self.duration()));
        }
        let value = self.needed(Column::Start, TIME_EXPECTED)?;
        let start = self
            .instant(value)
            .ok_or_else(|| Problem::invalid(self.name(Column::Start), TIME_EXPECTED, value))?;
        let end = self.row.get(Column::End);
        let duration = end
            .and_then(|end| self.instant(end))
            .map(|end| end.saturating_since(start));
        if let (Some(end), None) = (end, duration) {
            self.ignore(Column::End, TIME_EXPECTED, end);
        }
        Ok((start, duration))
    }

    /// Suricata numbers its flows anew on each sensor; all others name them.
    fn identity(&self) -> Option<ConnectionId> {
        let text = match self.row.get(Column::Uid)? {
            Scalar::Text(text) => text.clone().into_owned(),
            number @ (Scalar::Number(_) | Scalar::Whole(_)) => number.shown(),
            Scalar::Bool(_) | Scalar::Nested => return None,
        };
        let sensor = self.row.text(Column::Sensor).unwrap_or_default();
        let hash = match self.dialect {
            Dialect::Eve => xxh3_128(format!("eve\0{sensor}\0{text}").as_bytes()),
            Dialect::BeaconHunter => xxh3_128(format!("{sensor}\0{text}").as_bytes()),
            _ => xxh3_128(text.as_bytes()),
        };
        Some(ConnectionId(hash))
    }

    fn short_text(&mut self, column: Column) -> Option<String> {
        let text = match self.row.get(column)? {
            Scalar::Text(text) => text.clone().into_owned(),
            number @ (Scalar::Number(_) | Scalar::Whole(_)) => number.shown(),
            other => {
                self.ignore(column, "text", other);
                return None;
            }
        };
        if text.len() > NAME_BYTES_MAX {
            self.ignore(
                column,
                "text of at most 300 bytes",
                &Scalar::Text(text.into()),
            );
            return None;
        }
        Some(text)
    }

    fn time(&mut self) -> Result<Timestamp, Problem> {
        for (column, nanos) in SCALED_TIMES {
            if self.row.get(Column::Time).is_none()
                && let Some(value) = self.row.get(column)
            {
                return whole(value)
                    .and_then(|count| count.checked_mul(nanos))
                    .map(Timestamp::from_unix_nanos)
                    .filter(|time| is_plausible(*time))
                    .ok_or_else(|| {
                        Problem::invalid(self.name(column), "time since 1970, whole", value)
                    });
            }
        }
        let value = self.needed(Column::Time, TIME_EXPECTED)?;
        self.instant(value)
            .ok_or_else(|| Problem::invalid(self.name(Column::Time), TIME_EXPECTED, value))
    }

    /// An instant as seconds since 1970 or as text.
    fn instant(&self, value: &Scalar<'_>) -> Option<Timestamp> {
        let time = match value {
            Scalar::Text(text) if text.contains(['T', ':']) => {
                text_time(text, self.dialect.has_local_times())?
            }
            other => Timestamp::from_unix_seconds(number(other).filter(|it| *it <= TIME_MAX_S)?)?,
        };
        is_plausible(time).then_some(time)
    }

    fn address(&self, column: Column) -> Result<IpAddr, Problem> {
        const EXPECTED: &str = "an IPv4 or IPv6 address";
        let value = self.needed(column, EXPECTED)?;
        let Scalar::Text(text) = value else {
            return Err(Problem::invalid(self.name(column), EXPECTED, value));
        };
        // A zone (`fe80::1%eth0`) names an interface of the sensor: no part of the address.
        let address = text
            .split_once('%')
            .map_or(text.as_ref(), |(address, _)| address);
        address
            .parse::<IpAddr>()
            .map(|address| address.to_canonical())
            .map_err(|_error| Problem::invalid(self.name(column), EXPECTED, value))
    }

    fn destination_port(&self) -> Result<u16, Problem> {
        const EXPECTED: &str = "a port from 0 to 65535";
        let value = self.needed(Column::DestinationPort, EXPECTED)?;
        port(value)
            .ok_or_else(|| Problem::invalid(self.name(Column::DestinationPort), EXPECTED, value))
    }

    fn source_port(&mut self) -> u16 {
        let Some(value) = self.row.get(Column::SourcePort) else {
            return 0;
        };
        port(value).unwrap_or_else(|| {
            self.ignore(Column::SourcePort, "a port from 0 to 65535", value);
            0
        })
    }

    /// Logs of what a connection carried do not all name the protocol below.
    fn transport(&self, log: Log) -> Result<Transport, Problem> {
        const EXPECTED: &str = "tcp, udp, icmp or another protocol's name or number";
        let value = match (self.row.get(Column::Protocol), log) {
            (Some(value), _) => value,
            (None, Log::Quic) => return Ok(Transport::Udp),
            (None, Log::Tls) => return Ok(self.transport_below_tls()),
            (None, Log::Http) => return Ok(Transport::Tcp),
            (None, _) => return Err(Problem::missing(self.name(Column::Protocol), EXPECTED)),
        };
        transport(value)
            .ok_or_else(|| Problem::invalid(self.name(Column::Protocol), EXPECTED, value))
    }

    fn transport_below_tls(&self) -> Transport {
        let datagrams = self
            .row
            .text(Column::Version)
            .is_some_and(|it| it.starts_with("DTLS"));
        if datagrams {
            Transport::Udp
        } else {
            Transport::Tcp
        }
    }

    fn server_name(&mut self, column: Column) -> Option<String> {
        let value = self.row.get(column)?;
        let name = match value {
            Scalar::Text(text) if text.len() <= NAME_BYTES_MAX => host_name(text),
            _ => {
                self.ignore(column, "a name of at most 300 bytes", value);
                return None;
            }
        };
        (!name.is_empty()).then_some(name)
    }

    fn duration(&mut self) -> Option<Duration> {
        let value = self.row.get(Column::Duration)?;
        let seconds = number(value).filter(|seconds| (0.0..=DURATION_MAX_S).contains(seconds));
        let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if duration.is_none() {
            self.ignore(Column::Duration, "seconds from 0 to 1e9", value);
        }
        duration
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range is checked before the cast"
    )]
    fn bytes(&mut self, column: Column) -> Option<u64> {
        let value = self.row.get(column)?;
        let bytes = number(value).filter(|bytes| (0.0..=BYTES_MAX).contains(bytes));
        if bytes.is_none() {
            self.ignore(column, "a number of bytes from 0 to 2^53", value);
        }
        bytes.map(|bytes| bytes as u64)
    }
}

/// Times in parts of a second, by the nanoseconds of one part.
const SCALED_TIMES: [(Column, i64); 3] = [
    (Column::TimeMillis, 1_000_000),
    (Column::TimeMicros, 1_000),
    (Column::TimeNanos, 1),
];

fn is_plausible(time: Timestamp) -> bool {
    (0.0..=TIME_MAX_S).contains(&time.unix_seconds())
}

/// Reads RFC 3339 and what is common beside it: a space for the `T`; without an offset it is UTC where
/// `zone_optional`.
fn text_time(text: &str, zone_optional: bool) -> Option<Timestamp> {
    let text = text.trim();
    let nanos = match text.parse::<jiff::Timestamp>() {
        Ok(time) => time.as_nanosecond(),
        Err(_) if zone_optional => {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            zoned.timestamp().as_nanosecond()
        }
        Err(_) => return None,
    };
    i64::try_from(nanos).ok().map(Timestamp::from_unix_nanos)
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: &Scalar<'_>) -> Option<i64> {
    match value {
        Scalar::Whole(number) => i64::try_from(*number).ok(),
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Number(number) if number.abs() < 9e18 => Some(*number as i64),
        _ => None,
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "what needs every digit is read by `whole`"
)]
fn number(value: &Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Number(number) => Some(*number),
        Scalar::Text(text) => text.trim().parse().ok(),
        Scalar::Whole(number) => Some(*number as f64),
        Scalar::Bool(_) | Scalar::Nested => None,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the range is checked before the cast"
)]
fn port(value: &Scalar<'_>) -> Option<u16> {
    number(value)
        .filter(|port| (0.0..=65535.0).contains(port) && port.fract() == 0.0)
        .map(|port| port as u16)
}

/// Names as Zeek writes them, and IANA numbers. `unknown_transport` becomes 255, which is reserved.
fn transport(value: &Scalar<'_>) -> Option<Transport> {
    let number = match value {
        Scalar::Number(number) if number.fract() == 0.0 => number.to_string().parse().ok()?,
        Scalar::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "tcp" => 6,
            "udp" => 17,
            "icmp" => 1,
            "icmp6" | "ipv6-icmp" => 58,
            "igmp" => 2,
            "gre" => 47,
            "esp" => 50,
            "ah" => 51,
            "sctp" => 132,
            "unknown_transport" | "unknown" => 255,
            digits => digits.parse().ok()?,
        },
        _ => return None,
    };
    Some(match number {
        6 => Transport::Tcp,
        17 => Transport::Udp,
        1 | 58 => Transport::Icmp,
        other => Transport::Other(other),
    })
}

/// A host's name from a header such as `Www.Example.com:8080` or `[2001:db8::1]:80`.
pub(crate) fn host_name(text: &str) -> String {
    let text = text.trim();
    let host = if let Some(rest) = text.strip_prefix('[') {
        rest.split_once(']').map_or(rest, |(address, _)| address)
    } else {
        match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
            _ => text,
        }
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// The packet that an event of a telemetry batch tells of.
pub(crate) fn packet_of_telemetry(row: &Row<'_>) -> Result<Event, Problem> {
    let mut fields = Fields {
        row,
        dialect: Dialect::Telemetry,
        ignored: Vec::new(),
    };
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
    let flags = row.get(Column::Flags).and_then(number).unwrap_or_default();
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
