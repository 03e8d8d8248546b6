//! The fields of one line, read by the rules of its dialect. What is wrong and needed is an error, what is wrong and not
//! needed is kept beside ([`Fields::ignored`]).

use std::net::IpAddr;
use std::time::Duration;

use beaconwatch_detector::{ConnectionId, Timestamp, Transport};
use beaconwatch_packets::host::host_name;
use xxhash_rust::xxh3::xxh3_128;

use super::value::{TIME_MAX_S, is_plausible, number, port, text_time, transport, whole};
use super::{Dialect, Log};
use crate::report::Problem;
use crate::row::{Column, Row, Scalar};

/// Longest duration that a record may have: about 31 years.
const DURATION_MAX_S: f64 = 1e9;
/// Largest number of bytes that a record may have: 2^53, up to which JSON numbers are exact.
const BYTES_MAX: f64 = 9_007_199_254_740_992.0;
/// Longest server name: the limit of the domain name system, and some room.
const NAME_BYTES_MAX: usize = 300;
/// Times in parts of a second, by the nanoseconds of one part.
const SCALED_TIMES: [(Column, i64); 3] = [
    (Column::TimeMillis, 1_000_000),
    (Column::TimeMicros, 1_000),
    (Column::TimeNanos, 1),
];

const TIME_EXPECTED: &str = "seconds since 1970 from 0 to 7258118400, or a time such as \
     2024-04-19T00:00:01Z";

/// One line.
pub(super) struct Fields<'r, 'a> {
    row: &'r Row<'a>,
    dialect: Dialect,
    /// Problems that do not cost the record.
    pub(super) ignored: Vec<Problem>,
}

impl<'r, 'a> Fields<'r, 'a> {
    pub(super) fn of(row: &'r Row<'a>, dialect: Dialect) -> Self {
        Self {
            row,
            dialect,
            ignored: Vec::new(),
        }
    }
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
    pub(super) fn times(&mut self, log: Log) -> Result<(Timestamp, Option<Duration>), Problem> {
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
    pub(super) fn identity(&self) -> Option<ConnectionId> {
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

    pub(super) fn short_text(&mut self, column: Column) -> Option<String> {
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

    pub(super) fn time(&mut self) -> Result<Timestamp, Problem> {
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

    pub(super) fn address(&self, column: Column) -> Result<IpAddr, Problem> {
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

    pub(super) fn destination_port(&self) -> Result<u16, Problem> {
        const EXPECTED: &str = "a port from 0 to 65535";
        let value = self.needed(Column::DestinationPort, EXPECTED)?;
        port(value)
            .ok_or_else(|| Problem::invalid(self.name(Column::DestinationPort), EXPECTED, value))
    }

    pub(super) fn source_port(&mut self) -> u16 {
        let Some(value) = self.row.get(Column::SourcePort) else {
            return 0;
        };
        port(value).unwrap_or_else(|| {
            self.ignore(Column::SourcePort, "a port from 0 to 65535", value);
            0
        })
    }

    /// Logs of what a connection carried do not all name the protocol below.
    pub(super) fn transport(&self, log: Log) -> Result<Transport, Problem> {
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

    pub(super) fn server_name(&mut self, column: Column) -> Option<String> {
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
    pub(super) fn bytes(&mut self, column: Column) -> Option<u64> {
        let value = self.row.get(column)?;
        let bytes = number(value).filter(|bytes| (0.0..=BYTES_MAX).contains(bytes));
        if bytes.is_none() {
            self.ignore(column, "a number of bytes from 0 to 2^53", value);
        }
        bytes.map(|bytes| bytes as u64)
    }
}
