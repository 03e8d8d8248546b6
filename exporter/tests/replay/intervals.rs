//! At full speed intervals count by the capture's clock.

use beaconwatch_exporter::replay::Speed;
use beaconwatch_schema::flow;

use crate::receiver::{Record, number, text};
use crate::support::{BEGIN_NS, SECOND_NS, datagram, datagram_of, export, file, pcap, settings};

async fn told(packets: &[(u64, Vec<u8>)]) -> Vec<Record> {
    let (_folder, path) = file(&pcap(packets));
    let (exported, records) = export(settings(&[path], Speed::Max)).await;
    assert!(exported.unwrap().losses.iter().all(|(_, lost)| *lost == 0));
    records
}

#[tokio::test]
async fn a_long_flow_is_announced_and_updated_while_it_lives() {
    let mut packets = vec![(0, datagram(true, 41001, b"subscribe"))];
    packets.extend((1..40).map(|it| (it * 5 * SECOND_NS, datagram(false, 41001, b"news"))));
    let records = told(&packets).await;
    let said: Vec<_> = records
        .iter()
        .map(|it| {
            (
                text(it, flow::EVENT).unwrap(),
                number(it, "time") - BEGIN_NS,
            )
        })
        .collect();
    let events: Vec<&str> = said.iter().map(|it| it.0).collect();
    assert_eq!(events, ["start", "update", "update", "update", "update"]);
    // The first is told with the counters of its first second, the last is the capture's end.
    for (at, minute) in [(1, 60), (2, 120), (3, 180)] {
        let late_s = (said[at].1 / SECOND_NS).abs_diff(minute);
        assert!(late_s <= 30, "{said:?}");
    }
    assert_eq!(number(&records[4], flow::DESTINATION_PACKETS), 39);
}

/// An answer that gives a name the server's address.
fn answer(name: &str) -> Vec<u8> {
    let mut message = b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0".to_vec();
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend(b"\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\x0a\0\0\x02");
    message
}

#[tokio::test]
async fn flows_to_an_address_that_names_share_have_the_one_that_was_asked_for_before_them() {
    let mut packets = Vec::new();
    for (at_s, port, name) in [(0, 41001, "one.test"), (20, 41002, "two.test")] {
        let at = at_s * SECOND_NS;
        packets.push((at, datagram_of(true, port + 100, 53, b"?")));
        packets.push((at + 1, datagram_of(false, port + 100, 53, &answer(name))));
        packets.push((at + 2, datagram(true, port, b"hello")));
    }
    let records = told(&packets).await;
    let named = |port: u64| {
        let of_port = |it: &&Record| number(it, flow::SOURCE_PORT) == port;
        let names = records.iter().filter(of_port);
        let names: Vec<_> = names.map(|it| text(it, flow::SERVER_ADDRESS)).collect();
        assert!(!names.is_empty());
        names
    };
    assert!(named(41001).iter().all(|it| *it == Some("one.test")));
    assert!(named(41002).iter().all(|it| *it == Some("two.test")));
}
