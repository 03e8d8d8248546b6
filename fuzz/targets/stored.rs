#![no_main]
//! Stored values, the first byte says of which kind: what is read is written as it will be read again. A state of a
//! series that a detector takes can be analysed and is given back as it was.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use beaconwatch_detector::{
    Context, Detector, SeriesKey, SeriesState, Settings, Timestamp, Transport,
};
use beaconwatch_sidecar::fuzzing::{KINDS, stored};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, value)) = bytes.split_first() else {
        return;
    };
    let kind = usize::from(*kind) % (KINDS + 1);
    if kind == KINDS {
        if let Ok(state) = postcard::from_bytes(value) {
            restore(state);
        }
    } else if let Some(once) = stored(kind, value) {
        let twice = stored(kind, &once).expect("what was written");
        assert_eq!(once, twice);
    }
});

fn restore(state: SeriesState) {
    let key = SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        destination: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let mut detector = Detector::new(Settings::default()).expect("defaults");
    if detector.restore(key.clone(), state).is_err() {
        return;
    }
    for nanos in [i64::MIN, 0, 1_700_000_000_000_000_000, i64::MAX] {
        let now = Timestamp::from_unix_nanos(nanos);
        if let Some(assessment) = detector.assess(&key, now, &Context::default()) {
            assert!(
                (0.0..=1.0).contains(&assessment.score),
                "{}",
                assessment.score
            );
        }
    }
}
