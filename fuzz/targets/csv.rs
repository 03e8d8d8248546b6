#![no_main]
//! Whatever stands in a file is read or counted.

use beaconwatch_inputs::{Format, Settings, read_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings {
        format: Format::Csv,
        line_bytes_max: 1 << 14,
        capture_connections_max: 64,
        ..Settings::default()
    };
    if let Some(reading) = read_bytes(bytes, &settings) {
        let report = reading.report;
        assert!(report.records + report.other_records + report.lines_skipped() >= report.lines);
        assert!(reading.observations.is_sorted_by_key(|it| it.time));
    }
});
