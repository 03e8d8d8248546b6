//! Single values, as logs write them.

use beaconwatch_detector::{Timestamp, Transport};

use crate::row::Scalar;

/// Latest time that a record may have: 2200-01-01. Later ones are milliseconds taken for seconds, or
/// broken.
pub(super) const TIME_MAX_S: f64 = 7_258_118_400.0;

/// Whether both ends spoke, from the connection state of Zeek or Suricata; `None` when it does not say.
pub(super) fn established(state: &str) -> Option<bool> {
    match state {
        "established" | "SF" | "S1" | "S2" | "S3" | "RSTO" | "RSTR" => Some(true),
        "new" | "S0" | "REJ" | "RSTOS0" | "RSTRH" | "SH" | "SHR" => Some(false),
        _ => None,
    }
}

pub(super) fn is_plausible(time: Timestamp) -> bool {
    (0.0..=TIME_MAX_S).contains(&time.unix_seconds())
}

/// Reads RFC 3339 and what is common beside it: a space for the `T`; without an offset it is UTC where
/// `zone_optional`.
pub(super) fn text_time(text: &str, zone_optional: bool) -> Option<Timestamp> {
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
pub(super) fn whole(value: &Scalar<'_>) -> Option<i64> {
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
pub(super) fn number(value: &Scalar<'_>) -> Option<f64> {
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
pub(super) fn port(value: &Scalar<'_>) -> Option<u16> {
    number(value)
        .filter(|port| (0.0..=65535.0).contains(port) && port.fract() == 0.0)
        .map(|port| port as u16)
}

/// Names as Zeek writes them, and IANA numbers. `unknown_transport` becomes 255, which is reserved.
pub(super) fn transport(value: &Scalar<'_>) -> Option<Transport> {
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
