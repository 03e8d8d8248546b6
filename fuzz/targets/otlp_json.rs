#![no_main]
//! OTLP requests in JSON become requests that the decoder reads, and compressed bodies stay within the limit.

use beaconwatch_detector::Timestamp;
use beaconwatch_sidecar::fuzzing::{gunzip, otlp_json};
use beaconwatch_sidecar::receive::{DecodeError, DecodeLimits, decode};
use libfuzzer_sys::fuzz_target;

const BODY_BYTES_MAX: usize = 1 << 16;
/// A log record is longer than this in JSON, with its comma.
const BYTES_PER_RECORD: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    if let Some(plain) = gunzip(bytes, BODY_BYTES_MAX) {
        assert!(plain.len() <= BODY_BYTES_MAX);
    }
    let Some(request) = otlp_json(bytes, BODY_BYTES_MAX) else {
        return;
    };
    let limits = DecodeLimits {
        records: 100,
        attributes: 64,
        string_bytes: 256,
    };
    let now = Timestamp::from_unix_nanos(1_700_000_000_000_000_000);
    match decode(&request, now, limits) {
        Ok(decoded) => assert!(decoded.batch.records.len() <= bytes.len() / BYTES_PER_RECORD),
        Err(error) => assert_eq!(
            error,
            DecodeError::TooManyRecords {
                limit: limits.records
            }
        ),
    }
});
