//! Instants as text.

use beaconwatch_detector::Timestamp;

/// RFC 3339 in UTC with as many digits as needed, for example `2025-11-22T08:26:30.5Z`.
pub(crate) fn rfc3339(timestamp: Timestamp) -> String {
    // Every i64 of nanoseconds lies inside jiff's range (years -9999 to 9999).
    jiff::Timestamp::from_nanosecond(i128::from(timestamp.unix_nanos()))
        .map_or_else(|_out_of_range| String::new(), |time| time.to_string())
}
