#![no_main]
//! OTLP requests: within the limits, and never more records than were sent.

use beaconwatch_detector::Timestamp;
use beaconwatch_sidecar::receive::{DecodeLimits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits {
        records: 100,
        attributes: 64,
        string_bytes: 256,
    };
    let now = Timestamp::from_unix_nanos(1_700_000_000_000_000_000);
    if let Ok(decoded) = decode(bytes, now, limits) {
        assert!(decoded.batch.records.len() <= limits.records);
    }
});
