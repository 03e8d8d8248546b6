#![no_main]
//! The head of a request: read or refused, and what was found does not change with what follows.

use beaconwatch_packets::Verdict;
use beaconwatch_packets::http;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let verdict = http::request(bytes);
    let so_far = http::request_so_far(bytes);
    match verdict {
        Verdict::Found(request) => {
            if let Some(name) = &request.host {
                assert!((1..=253).contains(&name.len()), "{name:?}");
            }
            let longer = [bytes, b"\r\nHost: other.test\r\n\r\n"].concat();
            assert_eq!(http::request(&longer), Verdict::Found(request.clone()));
            assert_eq!(so_far, Some(request));
        }
        Verdict::NeedsMore => {}
        Verdict::Nothing => assert_eq!(so_far, None),
    }
});
