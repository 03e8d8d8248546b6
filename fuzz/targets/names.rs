#![no_main]
//! Names in TLS, HTTP and DNS: none is longer than names are.

use beaconwatch_packets::dns;
use beaconwatch_packets::names::{Found, name_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let in_head = match name_of(bytes) {
        Found::Name(name) => Some(name),
        Found::NeedsMore | Found::Nothing => None,
    };
    let in_dns = dns::parse(bytes).map(|message| message.name);
    for name in [in_head, in_dns].into_iter().flatten() {
        assert!((1..=255).contains(&name.len()), "{name:?}");
    }
});
