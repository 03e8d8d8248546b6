#![no_main]
//! BeaconHunter's tables: a line is an event with finite features, or counted as skipped.

use beaconwatch_learning::{EventReader, RiskSets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(read) = EventReader::default().read(bytes) else {
        return;
    };
    assert!(read.problems.len() as u64 <= read.skipped);
    let sets = RiskSets::read(b"{}").expect("no list is a set of lists");
    for event in &read.events {
        assert!(event.features(&sets).iter().all(|it| it.is_finite()));
    }
});
