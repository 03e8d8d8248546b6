//! What must hold for any bytes, and for any way in which real hellos are cut.

use super::captures::{Way, payloads};
use crate::classify::{Classifier, Protocol, classify};
use crate::link;
use crate::quic::Initials;
use crate::tls::ClientHello;
use crate::{Fragments, Transport, Verdict, assembly::Assembly, dns, http, tls};
use proptest::prelude::*;
use std::sync::LazyLock;

/// The beginnings of streams with a hello or a request.
static STREAMS: LazyLock<Vec<(Way, Vec<u8>)>> = LazyLock::new(|| {
    let ways = payloads("clients").into_iter();
    let streams = ways.filter(|(way, _)| way.2 == Transport::Tcp && way.1.port != 53);
    streams
        .map(|(way, pieces)| {
            let mut stream = Assembly::default();
            for (offset, piece) in &pieces {
                stream.insert(*offset, piece);
            }
            (way, stream.prefix().to_vec())
        })
        .filter(|(way, stream)| matches!(of(*way, stream), Verdict::Found(_)))
        .collect()
});

/// The datagrams of each QUIC client to the identity that it gave its server first, and their hello.
static CLIENTS: LazyLock<Vec<(Vec<Vec<u8>>, ClientHello)>> = LazyLock::new(|| {
    let ways = payloads("clients").into_iter();
    let clients = ways.filter(|(way, _)| way.2 == Transport::Udp && way.1.port % 1000 == 443);
    clients
        .map(|(_, pieces)| {
            let identity = pieces[0].1[1..14].to_vec();
            let datagrams = pieces.into_iter().map(|it| it.1);
            datagrams.filter(|it| it[1..14] == identity).collect()
        })
        .filter_map(|datagrams: Vec<Vec<u8>>| {
            let mut initials = Initials::default();
            let mut verdicts = datagrams.iter().map(|it| initials.take(it));
            let found = verdicts.find_map(|it| match it {
                Verdict::Found(hello) => Some(hello),
                _ => None,
            });
            found.map(|it| (datagrams, it))
        })
        .collect()
});

fn of(way: Way, stream: &[u8]) -> Verdict<Protocol> {
    classify(stream, way.2, (way.0.port, way.1.port))
}

proptest! {
    #[test]
    fn any_cut_and_order_of_a_real_hello_or_request_gives_the_same(
        which in any::<prop::sample::Index>(),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        order in any::<u64>(),
    ) {
        let (way, stream) = which.get(&STREAMS);
        let mut ends: Vec<usize> = cuts.iter().map(|it| it.index(stream.len())).collect();
        ends.extend([0, stream.len()]);
        ends.sort_unstable();
        let mut pieces: Vec<(usize, &[u8])> =
            ends.windows(2).map(|it| (it[0], &stream[it[0]..it[1]])).collect();
        // Some order that the number tells.
        pieces.sort_by_key(|it| (it.0 as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut classifier = Classifier::new(way.2, (way.0.port, way.1.port));
        let verdicts = pieces.iter().map(|(at, piece)| classifier.take(*at, piece));
        let found = verdicts.into_iter().find(|it| *it != Verdict::NeedsMore);
        // A request is found as soon as it names host and agent, a hello when it is whole.
        prop_assert_eq!(found, Some(of(*way, stream)));
    }

    #[test]
    fn any_order_of_the_datagrams_of_a_real_quic_client_gives_the_same(
        which in any::<prop::sample::Index>(),
        order in any::<u64>(),
        repeated in any::<prop::sample::Index>(),
    ) {
        let (datagrams, hello) = which.get(&CLIENTS);
        let mut numbered: Vec<(usize, &Vec<u8>)> = datagrams.iter().enumerate().collect();
        numbered.push((datagrams.len(), repeated.get(datagrams)));
        numbered.sort_by_key(|it| (it.0 as u64 ^ order).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut initials = Initials::default();
        let verdicts = numbered.iter().map(|it| initials.take(it.1));
        let found = verdicts.into_iter().find(|it| *it != Verdict::NeedsMore);
        prop_assert_eq!(found, Some(Verdict::Found(hello.clone())));
        prop_assert!(CLIENTS.len() >= 7 && CLIENTS.iter().any(|it| it.0.len() > 1));
    }

    #[test]
    fn the_beginning_of_a_real_hello_needs_more_and_tells_only_what_is_there(
        which in any::<prop::sample::Index>(),
        end in any::<prop::sample::Index>(),
    ) {
        let hellos: Vec<_> = STREAMS.iter().filter(|it| it.1[0] == 0x16).collect();
        let (way, stream) = which.get(&hellos);
        let Verdict::Found(Protocol::Tls(whole)) = of(*way, stream) else {
            panic!("{way:?}");
        };
        let part = &stream[..end.index(stream.len())];
        let verdict = of(*way, part);
        if verdict == Verdict::NeedsMore {
            if let Some(so_far) = tls::client_hello_so_far(part) {
                prop_assert!(whole.extensions.starts_with(&so_far.extensions));
                prop_assert!(so_far.server_name.is_none() || so_far.server_name == whole.server_name);
                prop_assert_eq!((so_far.ja3(), so_far.ja4(), so_far.whole), (None, None, false));
            }
        } else {
            prop_assert_eq!(verdict, Verdict::Found(Protocol::Tls(whole)));
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        link in prop::sample::select(vec![0, 1, 12, 101, 113, 276, 999]),
        head in prop::sample::select(vec![
            &b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n", b"\xc3\0\0\0\x01\x08", b"\0\x01\x81\x80\0\x01\0\x05\0\0\0\0",
            b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x88\x47", b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x86\xdd\x60\0\0\0\x01\0\0\x40",
        ]),
    ) {
        let bytes = [head, &bytes].concat();
        link::read(link, 0, &bytes, &mut Fragments::default());
        for (transport, port) in [(Transport::Tcp, 1), (Transport::Tcp, 53), (Transport::Udp, 1), (Transport::Udp, 53)] {
            let verdict = classify(&bytes, transport, (2, port));
            let mut classifier = Classifier::new(transport, (2, port));
            prop_assert_eq!(classifier.take(0, &bytes), verdict);
        }
        let _hello = tls::client_hello_so_far(&bytes);
        let _request = http::request_so_far(&bytes);
        if let Some(message) = dns::parse(&bytes) {
            // Each of at most 255 bytes may stand as four characters.
            prop_assert!(message.answers.len() <= dns::ANSWERS_MAX && message.name.len() <= 1020);
            prop_assert!(message.addresses().len() <= 64 * 300);
        }
    }

    #[test]
    fn any_bytes_that_are_cut_anywhere_give_the_same_dns_messages(
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 1..6),
        cut in 1_usize..50,
    ) {
        let framed: Vec<u8> = messages
            .iter()
            .flat_map(|it| [&u16::try_from(it.len()).unwrap().to_be_bytes()[..], it].concat())
            .collect();
        let expected: Vec<_> = messages.iter().filter_map(|it| dns::parse(it)).collect();
        let mut stream = dns::Stream::default();
        let ours: Vec<_> = framed.chunks(cut).flat_map(|it| stream.take(it)).collect();
        prop_assert_eq!(ours, expected);
    }
}
