//! Echo requests and replies that interfaces see: flows in transit, unless a socket tells of them.

use std::net::{IpAddr, Ipv6Addr};

use beaconwatch_exporter::capture::CaptureSettings;
use beaconwatch_records::{CloseReason, FlowRecord, LossCounter, Protocol, RecordKind, Role};

use crate::{
    icmp::PRELUDE,
    interfaces::{Containers, Network, Pair, on},
    support::{Cgroup, Namespace, Program, Watch, python},
};

/// An IPv4 packet of a request of this program.
const PACKET_BYTES: u64 = 20 + 8 + 56;

/// Sends requests to a host, each after the reply to the one before; says when it is done.
fn pinging(host: &str, identifier: u16, requests: usize) -> String {
    format!(
        "{PRELUDE}
with opened('{host}', socket.SOCK_RAW) as one:
    for number in range({requests}):
        request(one, '{host}', {identifier}, number)
        reply(one, '{host}', {identifier})
    print(0, flush=True)
    input()
"
    )
}

fn done(mut program: Program) {
    program.numbers();
    program.finish();
}

fn address(bytes: [u8; 16]) -> String {
    IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical().to_string()
}

/// Who asked whom, and the packets both ways.
type Told = (String, String, u64, u64);

fn told(record: &FlowRecord) -> Told {
    let it = record.counters;
    assert_eq!(it.bytes_sent, PACKET_BYTES * it.packets_sent);
    assert_eq!(it.bytes_received, PACKET_BYTES * it.packets_received);
    assert_eq!((record.local_port, record.remote_port), (8, 0));
    (
        address(record.local_address),
        address(record.remote_address),
        it.packets_sent,
        it.packets_received,
    )
}

/// The ends in transit of ICMP between addresses of this beginning.
fn closes(records: &[FlowRecord], net: &str) -> Vec<FlowRecord> {
    let wanted = |record: &&FlowRecord| {
        record.protocol == Protocol::Icmp as u8
            && record.role == Role::Transit as u8
            && record.kind == RecordKind::Close as u8
            && address(record.remote_address).starts_with(net)
    };
    records.iter().filter(wanted).copied().collect()
}

#[tokio::test]
async fn forwarded_requests_are_told_once_and_by_their_identifier() {
    let network = Network::new(211);
    let cgroup = Cgroup::new();
    let settings = CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..on(&network.names())
    };
    let mut watch = Watch::with(Protocol::Icmp, &settings);
    let [one, other] = ["10.211.0.2", "10.211.1.2"];
    for (host, to, identifier, requests) in [
        (0, other, 7, 1),
        (0, other, 8, 2),
        // The other way with the same identifier.
        (1, one, 7, 3),
        // Answered by this host's kernel.
        (0, "10.211.10.254", 9, 4),
    ] {
        done(network.hosts[host].python(&pinging(to, identifier, requests)));
    }
    watch
        .until_all(|records| closes(records, "10.211.").len() >= 4)
        .await;
    let closed = closes(watch.all(), "10.211.");
    let mut flows: Vec<Told> = closed.iter().map(told).collect();
    flows.sort();
    let flow = |from: &str, to: &str, packets| (from.to_owned(), to.to_owned(), packets, packets);
    let expected = [
        flow(one, other, 1),
        flow(one, other, 2),
        flow(one, "10.211.10.254", 4),
        flow(other, one, 3),
    ];
    assert_eq!(flows, expected);
    for record in &closed {
        assert_eq!(record.owner.pid, 0);
        assert_eq!(record.cookie >> 63, 1);
        assert_eq!(record.established, 1);
        assert_eq!(record.close_reason, CloseReason::Idle as u8);
        assert_eq!(record.flags, 0);
    }
    let mut cookies: Vec<u64> = closed.iter().map(|record| record.cookie).collect();
    cookies.sort_unstable();
    cookies.dedup();
    assert_eq!(cookies.len(), 4);
    assert_eq!(watch.capture.loss(LossCounter::TransitUnread).unwrap(), 0);
}

/// Sends, through an interface, Ethernet frames of echoes of IPv6 between `2001:db8::1` and `::2`.
const FRAMES: &str = "
import socket, struct, sys

def address(last):
    return socket.inet_pton(socket.AF_INET6, f'2001:db8::{last}')

def echo(kind, source, destination, identifier, extensions=b''):
    body = struct.pack('>BBHHH', kind, 0, 0, identifier, 1) + b'0123'
    inside = extensions + body
    head = struct.pack('>IHBB', 6 << 28, len(inside), 0 if extensions else 58, 64)
    return head + address(source) + address(destination) + inside

def frame(packet, tag=b''):
    return bytes(6) + b'\\x02' + bytes(5) + tag + b'\\x86\\xdd' + packet

out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
options = bytes([58, 0, 1, 4, 0, 0, 0, 0])
for packet in (
    # A reply that nobody asked for, and another message.
    frame(echo(129, 1, 2, 5)),
    frame(echo(1, 1, 2, 5)),
    frame(echo(128, 1, 2, 6)),
    frame(echo(129, 2, 1, 6)),
    # In a VLAN, behind hop-by-hop options.
    frame(echo(128, 1, 2, 6, options), b'\\x81\\0\\0\\x07'),
):
    out.send(packet)
print(0, flush=True)
input()
";

#[tokio::test]
async fn echoes_of_ipv6_are_read_behind_tags_and_extensions_and_begin_with_a_request() {
    let namespace = Namespace::new();
    let pair = Pair::to(&namespace);
    let mut watch = Watch::with(Protocol::Icmpv6, &on(&[&pair.here]));
    done(namespace.python_with(FRAMES, &[&pair.there]));
    let closes = |records: &[FlowRecord]| -> Vec<FlowRecord> {
        let wanted = |record: &&FlowRecord| {
            record.protocol == Protocol::Icmpv6 as u8
                && record.kind == RecordKind::Close as u8
                && address(record.remote_address).starts_with("2001:db8:")
        };
        records.iter().filter(wanted).copied().collect()
    };
    watch.until_all(|records| !closes(records).is_empty()).await;
    let told = closes(watch.all());
    assert_eq!(told.len(), 1, "{told:#?}");
    let it = told[0].counters;
    assert_eq!((it.packets_sent, it.packets_received), (2, 1));
    assert_eq!((it.bytes_sent, it.bytes_received), (52 + 60, 52));
    assert_eq!((told[0].local_port, told[0].remote_port), (128, 0));
    assert_eq!(address(told[0].local_address), "2001:db8::1");
    assert_eq!(told[0].role, Role::Transit as u8);
    assert_eq!(watch.capture.loss(LossCounter::TransitUnread).unwrap(), 0);
}

#[tokio::test]
async fn requests_that_a_socket_of_this_kernel_tells_no_interface_tells_again() {
    let Containers { hosts, pairs } = Containers::new(212);
    let settings = on(&[&pairs[0].here, &pairs[1].here]);
    let mut watch = Watch::with(Protocol::Icmp, &settings);
    done(hosts[0].python(&pinging("10.212.1.2", 5, 2)));
    // To this host and from it.
    done(hosts[1].python(&pinging("10.212.1.1", 6, 3)));
    done(python(&pinging("10.212.0.2", 7, 4)));
    // Its last request has another identifier than its first.
    let changing = pinging("10.212.0.2", 8, 5)
        .replace(
            "request(one, '10.212.0.2', 8",
            "request(one, '10.212.0.2', 8 + number",
        )
        .replace(
            "reply(one, '10.212.0.2', 8)",
            "reply(one, '10.212.0.2', 8 + number)",
        );
    done(hosts[1].python(&changing));
    let clients = |records: &[FlowRecord]| -> Vec<FlowRecord> {
        let wanted = |record: &&FlowRecord| {
            record.protocol == Protocol::Icmp as u8
                && record.role == Role::Client as u8
                && record.kind == RecordKind::Close as u8
                && address(record.remote_address).starts_with("10.212.")
        };
        records.iter().filter(wanted).copied().collect()
    };
    watch.until_all(|records| clients(records).len() >= 4).await;
    let flows: Vec<Told> = clients(watch.all()).iter().map(told).collect();
    let packets: Vec<(u64, u64)> = flows.iter().map(|it| (it.2, it.3)).collect();
    assert_eq!(packets, [(2, 2), (3, 3), (4, 4), (5, 5)]);
    // Time enough for what an interface would tell.
    tokio::time::sleep(settings.interfaces.idle_timeout + settings.udp_idle_timeout).await;
    watch.live();
    let again = watch.all().iter().filter(|record| {
        record.protocol == Protocol::Icmp as u8
            && record.role == Role::Transit as u8
            && address(record.remote_address).starts_with("10.212.")
    });
    assert_eq!(again.count(), 0);
}
