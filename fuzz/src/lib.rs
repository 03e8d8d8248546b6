//! What several fuzz targets assert.

use beaconwatch_inputs::{Format, Settings, read_bytes};

/// Reads a file of a format: every line is used or counted, and observations come in order.
pub fn read_file(format: Format, bytes: &[u8]) {
    let settings = Settings {
        format,
        line_bytes_max: 1 << 14,
        capture_connections_max: 64,
        ..Settings::default()
    };
    if let Some(reading) = read_bytes(bytes, &settings) {
        let report = reading.report;
        assert!(report.records + report.other_records + report.lines_skipped() >= report.lines);
        assert!(reading.observations.is_sorted_by_key(|it| it.time));
    }
}
