#![no_main]
//! Datagrams of a client, each behind its length in two bytes; and, as nobody guesses what authenticates, the frames inside.

use beaconwatch_packets::quic::Initials;
use beaconwatch_packets::{Verdict, fuzzing};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut initials = Initials::default();
    let mut rest = bytes;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length)).min(after.len());
        let (datagram, after) = after.split_at(length);
        if let Verdict::Found(hello) = initials.take(datagram) {
            assert!(initials.version().is_some());
            assert_eq!(initials.so_far().as_ref(), Some(&hello));
        }
        rest = after;
    }
    if let Verdict::Found(hello) = fuzzing::hello_in_frames(bytes) {
        assert!(hello.ja4().is_none_or(|it| it.starts_with('q')));
    }
});
