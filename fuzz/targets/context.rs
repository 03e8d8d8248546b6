#![no_main]
//! Catalogues and intelligence lists: the first byte says which format. Entries that mark are as strict as is said, what
//! a list accepts is found again, and what it skips is counted.

use beaconwatch_detector::Timestamp;
use beaconwatch_detector::context::{Catalogue, IntelligenceBuilder, MOST_BENIGN};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((format, rest)) = bytes.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(rest) else {
        return;
    };
    if format % 4 == 0 {
        if let Ok(catalogue) = Catalogue::parse(text) {
            for entry in catalogue.entries() {
                assert!((-MOST_BENIGN..=0.0).contains(&entry.contribution()));
                assert!(!entry.id().is_empty() && !entry.reason().trim().is_empty());
            }
        }
        return;
    }
    let mut builder = IntelligenceBuilder::default();
    let now = Timestamp::from_unix_nanos(0);
    let report = match format % 4 {
        1 => Ok(builder.add_plain("list", 0.5, text.lines())),
        2 => builder.add_csv("list", 0.5, text, None),
        _ => builder.add_stix("list", 0.5, text, now),
    };
    let Ok(report) = report else {
        return;
    };
    let lists = builder.build();
    assert!(lists.len() as u64 <= report.accepted);
    assert_eq!(lists.is_empty(), report.accepted == 0);
    assert!(report.errors.len() <= 20);
    for hit in lists.find([198, 51, 100, 7].into(), Some("c2.example.net"), now) {
        assert!((0.0..=1.0).contains(&hit.confidence) && !hit.indicator.is_empty());
    }
});
