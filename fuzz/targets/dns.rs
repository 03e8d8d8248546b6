#![no_main]
//! A DNS message: read within the limits, the same over TCP, and cut it tells no other records.

use beaconwatch_packets::dns::{self, ANSWERS_MAX, Stream};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some(message) = dns::parse(bytes) else {
        return;
    };
    assert!((1..=4 * 255).contains(&message.name.len()));
    assert!(message.answers.len() <= ANSWERS_MAX);
    let longest = message.answers.iter().map(|it| it.ttl_s).max();
    for (_, holds_s) in message.addresses() {
        assert!(Some(holds_s) <= longest);
    }
    let half = dns::parse(&bytes[..bytes.len() / 2]);
    if let Some(half) = half.filter(|it| it.name == message.name) {
        assert!(half.answers.len() <= message.answers.len());
    }
    if let Ok(length) = u16::try_from(bytes.len())
        && bytes.len() < 16 << 10
    {
        let framed = [&length.to_be_bytes(), bytes].concat();
        let mut stream = Stream::default();
        let read: Vec<_> = framed.chunks(7).flat_map(|it| stream.take(it)).collect();
        assert_eq!(read, [message]);
    }
});
