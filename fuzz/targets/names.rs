#![no_main]
//! Names in TLS, HTTP and DNS: none is longer than names are.

use beaconwatch_inputs::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for name in [fuzzing::name_in_head(bytes), fuzzing::name_in_dns(bytes)] {
        if let Some(name) = name {
            assert!((1..=255).contains(&name.len()), "{name:?}");
        }
    }
});
