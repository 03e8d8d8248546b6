#![no_main]
//! A batch is decoded or refused; its packets become connections within the limits.

use beaconwatch_inputs::telemetry::{Connections, Limits, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(batch) = decode(bytes, 1000) {
        assert_eq!(
            batch.events_received,
            batch.events.len() as u64 + batch.events_skipped
        );
        let mut connections = Connections::new(Limits {
            nodes_max: 2,
            connections_max: 4,
        });
        assert!(!connections.take(&batch).repeated);
        assert!(connections.take(&batch).repeated);
    }
});
