#![no_main]
//! A hello over TCP: read or refused, the same wherever it is cut (which the first byte says), with fingerprints of the published form.

use beaconwatch_packets::classify::{Classifier, Protocol, classify};
use beaconwatch_packets::tls::{self, ClientHello};
use beaconwatch_packets::{Transport, Verdict};
use libfuzzer_sys::fuzz_target;

const PORTS: (u16, u16) = (40_000, 443);

fuzz_target!(|input: &[u8]| {
    let Some((cut, bytes)) = input.split_first() else {
        return;
    };
    let whole = classify(bytes, Transport::Tcp, PORTS);
    if let Verdict::Found(Protocol::Tls(hello)) = &whole {
        assert_form(hello);
        assert_eq!(tls::client_hello_so_far(bytes).as_ref(), Some(&**hello));
    }
    let at = bytes.len() * usize::from(*cut) / 256;
    let (first, second) = bytes.split_at(at);
    let mut classifier = Classifier::new(Transport::Tcp, PORTS);
    let mut verdict = classifier.take(0, first);
    if verdict == Verdict::NeedsMore {
        verdict = classifier.take(at, second);
    }
    if let Verdict::Found(Protocol::Tls(_)) = whole {
        assert_eq!(verdict, whole);
    }
});

fn assert_form(hello: &ClientHello) {
    if let Some(name) = &hello.server_name {
        assert!((1..=253).contains(&name.len()), "{name:?}");
    }
    assert_eq!(hello.ja4().is_some(), hello.whole);
    if let (Some(ja3), Some(ja4)) = (hello.ja3(), hello.ja4()) {
        assert_eq!((ja3.len(), ja4.len()), (32, 36), "{ja4}");
        assert!(ja4.is_ascii() && ja4.starts_with('t'));
    }
}
