use beaconwatch_records::ProgramSettings;

use super::*;

#[test]
fn the_default_settings_are_valid() {
    CaptureSettings::default().check().unwrap();
}

#[test]
fn a_setting_out_of_range_is_refused_with_value_and_expectation() {
    let default = CaptureSettings::default;
    let message = |settings: CaptureSettings| settings.check().unwrap_err().to_string();
    assert_eq!(
        message(CaptureSettings {
            udp_idle_timeout: Duration::ZERO,
            ..default()
        }),
        "udp_idle_timeout is 0ns, expected more than 0 and at most a day"
    );
    assert_eq!(
        message(CaptureSettings {
            ring_bytes: 100_000,
            ..default()
        }),
        "ring_bytes is 100000, expected a power of two of at least 65536"
    );
    assert_eq!(
        message(CaptureSettings {
            ring_bytes: 4096,
            ..default()
        }),
        "ring_bytes is 4096, expected a power of two of at least 65536"
    );
    assert_eq!(
        message(CaptureSettings {
            slice_ring_bytes: 65_535,
            ..default()
        }),
        "slice_ring_bytes is 65535, expected a power of two of at least 65536"
    );
    assert_eq!(
        message(CaptureSettings {
            activity_idle: Duration::from_millis(9),
            ..default()
        }),
        "activity_idle is 9ms, expected 0 or at least 10ms"
    );
    assert_eq!(
        message(CaptureSettings {
            max_peers: 0,
            ..default()
        }),
        "max_peers is 0, expected at least 1"
    );
    assert_eq!(
        message(CaptureSettings {
            max_latency: Duration::ZERO,
            ..default()
        }),
        "max_latency is 0ns, expected more than 0 and at most a minute"
    );
    assert_eq!(
        message(CaptureSettings {
            batch_records: 0,
            ..default()
        }),
        "batch_records is 0, expected at least 1"
    );
}

#[test]
fn an_object_with_another_record_layout_is_refused() {
    let symbol = beaconwatch_records::SETTINGS_SYMBOL.as_bytes();
    let mut object = OBJECT.to_vec();
    let places: Vec<usize> = object
        .windows(symbol.len())
        .enumerate()
        .filter_map(|(at, window)| (window == symbol).then_some(at))
        .collect();
    assert!(!places.is_empty(), "the object carries its layout version");
    for at in places {
        object[at + symbol.len() - 1] = b'9';
    }
    let error = aya::EbpfLoader::new()
        .override_global(
            beaconwatch_records::SETTINGS_SYMBOL,
            ProgramSettings::default().to_bytes().as_slice(),
            true,
        )
        .load(&object)
        .unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}

/// What outlives an exporter in maps, as the source of both sides has it.
fn kept_types() -> String {
    let sources = [
        include_str!("../../../exporter-ebpf/src/maps.rs"),
        include_str!("../../../records/src/flow.rs"),
    ];
    let code = sources.concat();
    let code: Vec<&str> = code
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
        .collect();
    let code = code.join("\n");
    [
        "FlowState",
        "PeerKey",
        "ListenKey",
        "EndsKey",
        "CounterSet",
        "Owner",
    ]
    .map(|name| {
        let (_, rest) = code.split_once(&format!("pub struct {name} {{")).unwrap();
        let (members, _) = rest.split_once('}').unwrap();
        members.to_owned()
    })
    .concat()
}

#[test]
fn storage_that_changes_has_another_version() {
    let digest = xxhash_rust::xxh3::xxh3_64(kept_types().as_bytes());
    assert_eq!(
        (beaconwatch_records::STORAGE_VERSION, digest),
        (3, 18_398_528_394_372_750_041),
        "raise STORAGE_VERSION and put the new digest here: an exporter must not take over maps that it misreads"
    );
}
