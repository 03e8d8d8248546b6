//! From the fields of a line to a record of a connection, whatever the format.

use std::net::IpAddr;
use std::time::Duration;

use beaconwatch_detector::{ConnectionId, Timestamp, Transport};
use xxhash_rust::xxh3::xxh3_128;

use super::report::Problem;
use super::row::{Column, Hint, Row, Scalar};

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
pub(super) enum Dialect {
    Flows,
    Zeek,
}

/// What a record tells of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The connection itself.
    Connection,
    /// Activity inside a connection, with the bytes of this moment.
    Activity,
    /// Something that the connection carried: it names the server.
    Carried,
}

/// One record of one connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) kind: Kind,
    pub(super) dialect: Dialect,
    pub(super) time: Timestamp,
    pub(super) id: Option<ConnectionId>,
    pub(super) source: IpAddr,
    pub(super) source_port: u16,
    pub(super) destination: IpAddr,
    pub(super) destination_port: u16,
    pub(super) transport: Transport,
    pub(super) server_name: Option<String>,
    /// The sensor, when the log names it.
    pub(super) sensor: Option<String>,
    pub(super) duration: Option<Duration>,
    pub(super) bytes_out: Option<u64>,
    pub(super) bytes_in: Option<u64>,
    pub(super) established: Option<bool>,
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Classified {
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
pub(super) fn classify(
    row: &Row<'_>,
    dialect: Dialect,
    stream: Option<&str>,
) -> Result<Classified, Problem> {
    let log = match dialect {
        Dialect::Flows => Log::of_flow(row),
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
    let record = Record {
        kind: log.kind(),
        dialect,
        time: fields.time()?,
        id: row
            .text(Column::Uid)
            .map(|uid| ConnectionId(xxh3_128(uid.as_bytes()))),
        source: fields.address(Column::Source)?,
        source_port: fields.source_port(),
        destination: fields.address(Column::Destination)?,
        destination_port: fields.destination_port()?,
        transport: fields.transport(log)?,
        server_name: fields.server_name(name),
        sensor: row.text(Column::Sensor).map(str::to_owned),
        duration: fields.duration(),
        bytes_out: fields.bytes(Column::BytesOut),
        bytes_in: fields.bytes(Column::BytesIn),
        established: row.text(Column::State).and_then(established),
    };
    Ok(Classified::Record(Box::new(record), fields.ignored))
}

/// Whether both ends spoke, from Zeek's connection state; `None` when it does not say.
fn established(state: &str) -> Option<bool> {
    match state {
        "SF" | "S1" | "S2" | "S3" | "RSTO" | "RSTR" => Some(true),
        "S0" | "REJ" | "RSTOS0" | "RSTRH" | "SH" | "SHR" => Some(false),
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

    fn time(&self) -> Result<Timestamp, Problem> {
        let value = self.needed(Column::Time, TIME_EXPECTED)?;
        let seconds = match value {
            Scalar::Text(text) if text.contains('T') => text
                .parse::<jiff::Timestamp>()
                .ok()
                .and_then(|time| i64::try_from(time.as_nanosecond()).ok())
                .map(|nanos| Timestamp::from_unix_nanos(nanos).unix_seconds()),
            other => number(other),
        };
        seconds
            .filter(|seconds| (0.0..=TIME_MAX_S).contains(seconds))
            .and_then(Timestamp::from_unix_seconds)
            .ok_or_else(|| Problem::invalid(self.name(Column::Time), TIME_EXPECTED, value))
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

fn number(value: &Scalar<'_>) -> Option<f64> {
    match value {
        Scalar::Number(number) => Some(*number),
        Scalar::Text(text) => text.trim().parse().ok(),
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
fn host_name(text: &str) -> String {
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
