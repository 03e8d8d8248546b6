#![no_main]
//! Labels: read or refused, never taken for none.

use beaconwatch_learning::Labels;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = Labels::read(bytes) {
        assert!(!labels.is_empty());
    }
});
