//! Flows in transit that go on over another interface.

use std::time::Duration;

use beaconwatch_exporter::capture::clock;
use beaconwatch_records::{FlowRecord, LossCounter, Protocol, RecordKind, Role};

use crate::{
    interfaces::{Pair, on},
    support::{Namespace, Program, Watch, until_boot_time},
};

/// Longer than a packet takes from one interface to the next.
const PAUSE: Duration = Duration::from_millis(1200);
/// Bytes of the IP packets that are sent.
const PACKET_BYTES: u64 = 38;

/// For each line `INTERFACE COUNT` sends so many datagrams of one flow through an interface, `-INTERFACE` those that answer;
/// then says so.
const SENDER: &str = "
import socket, struct, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
ends = [(bytes([10, 3, 0, 1]), 2000), (bytes([10, 4, 0, 2]), int(sys.argv[1]))]
for line in sys.stdin:
    interface, count = line.split()
    (source, here), (destination, there) = ends if interface[0] != '-' else ends[::-1]
    udp = struct.pack('>HHHH', here, there, 18, 0) + b'0123456789'
    ip = struct.pack('>BBHHHBBH', 0x45, 0, 38, 1, 0, 64, 17, 0) + source + destination
    for _ in range(int(count)):
        out.sendto(bytes(12) + b'\\x08\\x00' + ip + udp, (interface.lstrip('-'), 0))
    print(0, flush=True)
";

struct Sender(Program);

impl Sender {
    fn new(namespace: &Namespace, port: &str) -> Self {
        Self(namespace.python_with(SENDER, &[port]))
    }

    fn send(&mut self, interface: &str, count: usize) {
        self.0.say(&format!("{interface} {count}"));
        self.0.numbers();
    }
}

fn latest(records: &[FlowRecord], kind: RecordKind) -> Option<FlowRecord> {
    let wanted = |record: &&FlowRecord| {
        record.kind == kind as u8 && record.role == Role::Transit as u8 && record.local_port == 2000
    };
    records.iter().rev().find(wanted).copied()
}

#[tokio::test]
async fn a_flow_that_passes_another_interface_after_a_pause_is_counted_there() {
    let namespace = Namespace::new();
    let [first, second] = [Pair::to(&namespace), Pair::to(&namespace)];
    let mut watch = Watch::with(Protocol::Udp, &on(&[&first.here, &second.here]));
    let mut sender = Sender::new(&namespace, "9101");
    sender.send(&first.there, 3);
    // At once: that would be the same packets once more.
    sender.send(&second.there, 3);
    let pause = u64::try_from(PAUSE.as_nanos()).unwrap();
    until_boot_time(clock::boottime_ns().unwrap() + pause).await;
    sender.send(&second.there, 4);
    sender.send(&first.there, 4);
    watch
        .until_true(|watch| latest(&watch.of(9101), RecordKind::Close).is_some())
        .await;
    let close = latest(&watch.of(9101), RecordKind::Close).unwrap();
    let it = close.counters;
    assert_eq!((it.packets_sent, it.packets_received), (7, 0));
    assert_eq!(it.bytes_sent, 7 * PACKET_BYTES);
    assert_eq!(watch.capture.loss(LossCounter::TransitUnread).unwrap(), 0);
}

#[tokio::test]
async fn a_flow_whose_interface_goes_is_counted_on_another_though_its_answers_never_pause() {
    let namespace = Namespace::new();
    let [first, second, third] = [(); 3].map(|()| Pair::to(&namespace));
    let names = [&first.here, &second.here, &third.here].map(|it| &**it);
    let mut watch = Watch::with(Protocol::Udp, &on(&names));
    let mut sender = Sender::new(&namespace, "9102");
    let answering = format!("-{}", third.there);
    sender.send(&first.there, 3);
    sender.send(&answering, 3);
    drop(first);
    let (mut sent, mut answered) = (0, 3);
    let counted = loop {
        sender.send(&answering, 1);
        sender.send(&second.there, 1);
        (sent, answered) = (sent + 1, answered + 1);
        watch.live();
        let counted = latest(&watch.of(9102), RecordKind::Update);
        match counted.map(|it| it.counters.packets_sent) {
            Some(packets) if packets > 3 => break packets,
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
        assert!(answered < 100_000, "never counted again");
    };
    assert!(counted <= 3 + sent);
    sender.send(&second.there, 5);
    watch
        .until_true(|watch| latest(&watch.of(9102), RecordKind::Close).is_some())
        .await;
    let close = latest(&watch.of(9102), RecordKind::Close).unwrap();
    let it = close.counters;
    assert_eq!(it.packets_sent, counted + 5);
    assert_eq!(it.packets_received, answered);
}
