#![no_main]
//! Records of the kernel part: what is accepted is written again as it was read.

use beaconwatch_records::FlowRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(record) = FlowRecord::from_bytes(bytes) {
        let again = FlowRecord::from_bytes(&record.to_bytes());
        assert!(again.is_ok_and(|again| again.to_bytes() == record.to_bytes()));
    }
});
