#![no_main]
//! OTLP requests: within the limits, and every log record that the generated types see is counted once.

use beaconwatch_detector::Timestamp;
use beaconwatch_sidecar::receive::{DecodeError, DecodeLimits, WireError, decode};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use prost::Message;

const LIMITS: DecodeLimits = DecodeLimits {
    records: 100,
    attributes: 64,
    string_bytes: 256,
};

fuzz_target!(|bytes: &[u8]| {
    let now = Timestamp::from_unix_nanos(1_700_000_000_000_000_000);
    let decoded = decode(bytes, now, LIMITS);
    if let Ok(decoded) = &decoded {
        let records = &decoded.batch.records;
        assert!(records.len() <= LIMITS.records);
        assert_eq!(
            decoded.rejected() == 0,
            decoded.rejection_message().is_empty()
        );
        for record in records {
            assert!(
                decoded
                    .batch
                    .exporters
                    .get(record.exporter as usize)
                    .is_some()
            );
            let Some(observation) = &record.observation else {
                continue;
            };
            let names = [&observation.server_name, &observation.host_name];
            let kept = names.into_iter().flatten().chain([&observation.key.host]);
            assert!(
                kept.into_iter()
                    .all(|name| name.len() <= LIMITS.string_bytes)
            );
        }
    }
    let Ok(request) = ExportLogsServiceRequest::decode(bytes) else {
        return;
    };
    let scopes = request.resource_logs.iter().flat_map(|it| &it.scope_logs);
    let sent: usize = scopes.map(|it| it.log_records.len()).sum();
    match decoded {
        Ok(decoded) => {
            let records = decoded.batch.records.iter();
            let good = records.filter(|it| it.observation.is_some()).count() as u64;
            assert_eq!(
                good + decoded.heartbeats + decoded.rejected() + decoded.foreign,
                sent as u64
            );
        }
        Err(DecodeError::TooManyRecords { .. }) => assert!(sent > LIMITS.records),
        // Groups are deprecated, and the generated types pass over them.
        Err(DecodeError::Wire(WireError::WireType(3 | 4))) => {}
        Err(error) => panic!("the generated types can read it: {error}"),
    }
});
