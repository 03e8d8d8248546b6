#![no_main]
//! Frames of any link layer, with their tags and tunnels: the first byte says which.

use beaconwatch_packets::link::{self, Frame};
use beaconwatch_packets::{Fragments, Transport};
use libfuzzer_sys::fuzz_target;

const LINKS: [i32; 6] = [1, 101, 113, 276, 0, 12];

fuzz_target!(|bytes: &[u8]| {
    let Some((which, frame)) = bytes.split_first() else {
        return;
    };
    let link = LINKS[usize::from(*which) % LINKS.len()];
    let mut fragments = Fragments::default();
    let first = link::read(link, 1, frame, &mut fragments);
    if let Frame::Packet(packet) = first {
        assert!(packet.payload.len() < frame.len());
        assert_eq!(packet.time_ns, 1);
        assert_eq!(packet.tcp.is_some(), packet.transport == Transport::Tcp);
        for end in [packet.sender, packet.receiver] {
            assert_eq!(end.address, end.address.to_canonical());
        }
    }
    assert_eq!(link::read(link, 1, frame, &mut Fragments::default()), first);
    // Once more, now that its fragments are known.
    let _again = link::read(link, 1, frame, &mut fragments);
});
