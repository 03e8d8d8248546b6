//! UDP flows.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    time::Duration,
};

use beaconwatch_exporter::capture::{CaptureSettings, clock};
use beaconwatch_records::{
    CloseReason, FLAG_OWN, FLAG_START_INFERRED, FlowRecord, LossCounter, Protocol, RecordKind, Role,
};

use crate::support::{Watch, count, mapped, only, until_boot_time};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
/// Packets are timed by a clock that ticks at least a hundred times a second.
const TICK_NS: u64 = 10_000_000;
const SHORT_IDLE: Duration = Duration::from_millis(300);

fn short_idle() -> CaptureSettings {
    CaptureSettings {
        udp_idle_timeout: SHORT_IDLE,
        ..CaptureSettings::default()
    }
}

fn bind(host: IpAddr) -> (UdpSocket, u16) {
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn opened(records: &[FlowRecord]) -> bool {
    count(records, RecordKind::Open, Role::Client) == 1
        && count(records, RecordKind::Open, Role::Server) == 1
}

async fn a_question_and_its_answer_are_two_flows(listen: IpAddr, host: IpAddr, connected: bool) {
    let mut watch = Watch::udp();
    let (server, port) = bind(listen);
    let (client, client_port) = bind(host);
    if connected {
        client.connect((host, port)).unwrap();
        client.send(&[0; 100]).unwrap();
    } else {
        client.send_to(&[0; 100], (host, port)).unwrap();
    }
    let (_, from) = server.recv_from(&mut [0; 200]).unwrap();
    server.send_to(&[0; 40], from).unwrap();
    client.recv(&mut [0; 200]).unwrap();
    watch.until(port, opened).await;
    drop(client);
    drop(server);
    let records = watch.until(port, |records| records.len() == 4).await;
    let header: u64 = if host.is_ipv4() { 28 } else { 48 };
    for (role, local, remote, sent, received) in [
        (Role::Client, client_port, port, 100 + header, 40 + header),
        (Role::Server, port, client_port, 40 + header, 100 + header),
    ] {
        let open = only(&records, RecordKind::Open, role);
        let close = only(&records, RecordKind::Close, role);
        for record in [open, close] {
            assert_eq!((record.local_port, record.remote_port), (local, remote));
            assert_eq!(record.local_address, mapped(host));
            assert_eq!(record.remote_address, mapped(host));
            assert_eq!(record.protocol, Protocol::Udp as u8);
            assert_eq!(record.owner.pid, std::process::id());
            assert_ne!(record.flags & FLAG_OWN, 0);
            assert_eq!(record.flags & FLAG_START_INFERRED, 0);
        }
        assert_eq!((open.cookie, open.start_ns), (close.cookie, close.start_ns));
        let counters = close.counters;
        assert_eq!(
            (counters.bytes_sent, counters.bytes_received),
            (sent, received),
            "{role:?}"
        );
        assert_eq!((counters.packets_sent, counters.packets_received), (1, 1));
        assert_eq!(close.established, 1);
        assert_eq!(close.close_reason, CloseReason::SocketClosed as u8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_question_and_its_answer_are_two_flows() {
    a_question_and_its_answer_are_two_flows(LOCALHOST, LOCALHOST, true).await;
    a_question_and_its_answer_are_two_flows(LOCALHOST, LOCALHOST, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_question_and_its_answer_are_two_flows() {
    a_question_and_its_answer_are_two_flows(LOCALHOST_6, LOCALHOST_6, true).await;
    a_question_and_its_answer_are_two_flows(LOCALHOST_6, LOCALHOST_6, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_question_to_a_socket_of_both_families_has_ipv4_addresses() {
    let any = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    a_question_and_its_answer_are_two_flows(any, LOCALHOST, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_datagram_after_the_idle_time_starts_another_flow() {
    let mut watch = Watch::with(Protocol::Udp, &short_idle());
    let (_server, port) = bind(LOCALHOST);
    let (client, _) = bind(LOCALHOST);
    client.connect((LOCALHOST, port)).unwrap();
    client.send(b"one").unwrap();
    client.send(b"two").unwrap();
    let sent = clock::boottime_ns().unwrap();
    let idle_ns = u64::try_from(SHORT_IDLE.as_nanos()).unwrap();
    until_boot_time(sent + idle_ns + 2 * TICK_NS).await;
    client.send(b"three").unwrap();
    let records = watch.until(port, |records| records.len() == 6).await;
    for role in [Role::Client, Role::Server] {
        let of_role: Vec<_> = records
            .iter()
            .filter(|record| record.role == role as u8)
            .collect();
        let kinds: Vec<u8> = of_role.iter().map(|record| record.kind).collect();
        let [open, close] = [RecordKind::Open as u8, RecordKind::Close as u8];
        assert_eq!(kinds, [open, close, open], "{role:?}");
        let (first, end, second) = (of_role[0], of_role[1], of_role[2]);
        assert_eq!(end.start_ns, first.start_ns);
        assert_eq!(end.close_reason, CloseReason::Idle as u8);
        assert_eq!(
            end.time_ns, end.last_packet_ns,
            "it ended with its last datagram"
        );
        assert!(end.time_ns <= sent + TICK_NS);
        assert_eq!(end.counters.packets_sent + end.counters.packets_received, 2);
        assert!(second.start_ns > sent);
        assert_eq!(second.cookie, first.cookie);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_the_live_flows_ends_idle_ones_once() {
    let mut watch = Watch::with(Protocol::Udp, &short_idle());
    let (_server, port) = bind(LOCALHOST);
    let (client, _) = bind(LOCALHOST);
    client.send_to(b"one", (LOCALHOST, port)).unwrap();
    let ended = |records: &[FlowRecord]| {
        count(records, RecordKind::Close, Role::Client) > 0
            && count(records, RecordKind::Close, Role::Server) > 0
    };
    let records = watch.until_live(port, ended).await;
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(close.close_reason, CloseReason::Idle as u8);
    assert_eq!(close.time_ns, close.last_packet_ns);
    watch.live();
    watch.live();
    assert_eq!(watch.of(port).len(), records.len(), "the end is told once");
    client.send_to(b"two", (LOCALHOST, port)).unwrap();
    let again = |records: &[FlowRecord]| count(records, RecordKind::Open, Role::Client) == 2;
    let records = watch.until(port, again).await;
    assert_eq!(count(&records, RecordKind::Close, Role::Client), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_peer_of_one_socket_is_a_flow_of_its_own() {
    let mut watch = Watch::udp();
    let (server, port) = bind(LOCALHOST);
    let clients: Vec<_> = (0..50).map(|_| bind(LOCALHOST)).collect();
    for round in 0..3 {
        for (client, _) in &clients {
            client.send_to(&[round; 10], (LOCALHOST, port)).unwrap();
            let (_, from) = server.recv_from(&mut [0; 20]).unwrap();
            server.send_to(&[0; 20], from).unwrap();
        }
    }
    watch
        .until(port, |records| {
            count(records, RecordKind::Open, Role::Server) == 50
                && count(records, RecordKind::Open, Role::Client) == 50
        })
        .await;
    let before = clock::boottime_ns().unwrap();
    drop(server);
    let after = clock::boottime_ns().unwrap();
    let all = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Server) == 50;
    let records = watch.until_live(port, all).await;
    for (_, client_port) in &clients {
        let mut ends = records.iter().filter(|record| {
            record.kind == RecordKind::Close as u8
                && record.local_port == port
                && record.remote_port == *client_port
        });
        let end = ends.next().expect("one end for each peer");
        assert!(ends.next().is_none());
        assert_eq!(end.close_reason, CloseReason::SocketClosed as u8);
        assert_eq!(
            (end.counters.packets_sent, end.counters.packets_received),
            (3, 3)
        );
        assert_eq!(
            (end.counters.bytes_sent, end.counters.bytes_received),
            (3 * 48, 3 * 38)
        );
        assert!(
            (before..=after).contains(&end.time_ns),
            "the end is the closing of the socket"
        );
    }
    watch.live();
    assert_eq!(count(&watch.of(port), RecordKind::Close, Role::Server), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_several_servers_has_a_flow_to_each() {
    let mut watch = Watch::udp();
    let (client, client_port) = bind(LOCALHOST);
    let servers: Vec<_> = (0..5).map(|_| bind(LOCALHOST)).collect();
    for (_, port) in servers.iter().chain(&servers) {
        client.send_to(b"hello", (LOCALHOST, *port)).unwrap();
    }
    let five = |records: &[FlowRecord]| count(records, RecordKind::Open, Role::Client) == 5;
    let records = watch.until(client_port, five).await;
    let mut ports: Vec<u16> = records
        .iter()
        .filter(|record| record.role == Role::Client as u8)
        .map(|record| record.remote_port)
        .collect();
    let mut expected: Vec<u16> = servers.iter().map(|(_, port)| *port).collect();
    ports.sort_unstable();
    expected.sort_unstable();
    assert_eq!(ports, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_sent_from_several_threads_are_all_counted() {
    const THREADS: u64 = 4;
    const EACH: u64 = 5_000;
    let mut watch = Watch::udp();
    let (_server, port) = bind(LOCALHOST);
    let (client, client_port) = bind(LOCALHOST);
    client.connect((LOCALHOST, port)).unwrap();
    // The first datagram alone: two racing to start the flow would count as unattributed.
    client.send(&[0; 64]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..EACH {
                    client.send(&[0; 64]).unwrap();
                }
            });
        }
    });
    drop(client);
    let closed = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    let records = watch.until(client_port, closed).await;
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(close.counters.packets_sent, THREADS * EACH + 1);
    assert_eq!(close.counters.bytes_sent, (THREADS * EACH + 1) * (64 + 28));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_older_than_the_capture_has_inferred_starts_at_first() {
    let (server, port) = bind(LOCALHOST);
    let (client, client_port) = bind(LOCALHOST);
    client.connect((LOCALHOST, port)).unwrap();
    client.send(b"before").unwrap();
    server.recv_from(&mut [0; 20]).unwrap();
    let mut watch = Watch::with(Protocol::Udp, &short_idle());
    client.send(b"while").unwrap();
    let records = watch.until(client_port, opened).await;
    for role in [Role::Client, Role::Server] {
        let open = only(&records, RecordKind::Open, role);
        assert_ne!(open.flags & FLAG_START_INFERRED, 0, "{role:?}");
        assert_eq!(open.owner.pid, std::process::id());
    }
    let ended = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    watch.until_live(client_port, ended).await;
    client.send(b"after").unwrap();
    let again = |records: &[FlowRecord]| count(records, RecordKind::Open, Role::Client) == 2;
    let records = watch.until(client_port, again).await;
    let last = records
        .iter()
        .rfind(|record| record.role == Role::Client as u8)
        .unwrap();
    assert_eq!(
        last.flags & FLAG_START_INFERRED,
        0,
        "silence before it proves the start"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_beyond_the_limit_are_counted_as_lost() {
    let settings = CaptureSettings {
        max_peers: 1,
        ..CaptureSettings::default()
    };
    let mut watch = Watch::with(Protocol::Udp, &settings);
    let (_server, port) = bind(LOCALHOST);
    // One flow fits the socket itself, one the map; the kernel may grant a map some more than asked.
    for _ in 0..300 {
        let (client, _) = bind(LOCALHOST);
        client.send_to(b"x", (LOCALHOST, port)).unwrap();
    }
    let lost = watch.capture.loss(LossCounter::PeerMapFull).unwrap();
    let seen = |records: &[FlowRecord]| {
        count(records, RecordKind::Open, Role::Client) == 300
            && count(records, RecordKind::Open, Role::Server) > 1
    };
    let records = watch.until(port, seen).await;
    let opened = count(&records, RecordKind::Open, Role::Server) as u64;
    assert!(
        lost > 0 && opened + lost >= 300,
        "{opened} seen, {lost} lost"
    );
}
