//! Flows of ICMP: echo requests of ping sockets and raw ones, and their replies.

use std::time::Duration;

use beaconwatch_exporter::capture::{CaptureSettings, clock};
use beaconwatch_records::{
    CloseReason, FLAG_START_INFERRED, FlowRecord, LossCounter, Protocol, RecordKind, Role,
};

use crate::support::{Cgroup, Namespace, Program, Watch, count, mapped, only, until_boot_time};

const SHORT_IDLE: Duration = Duration::from_millis(300);
/// Packets are timed by a clock that ticks at least a hundred times a second.
const TICK_NS: u64 = 10_000_000;
const HOST: &str = "127.0.0.1";
/// Of each request above its ICMP header.
const PAYLOAD_BYTES: u64 = 56;

/// What the programs below begin with: sockets, requests with a checksum of RFC 1071, and replies.
pub(crate) const PRELUDE: &str = "
import os, socket, struct

with open('/proc/sys/net/ipv4/ping_group_range', 'w') as file:
    file.write('0 2147483647')

def is_ipv6(host):
    return ':' in host

def opened(host, kind):
    if is_ipv6(host):
        return socket.socket(socket.AF_INET6, kind, socket.IPPROTO_ICMPV6)
    return socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)

def message(kind, identifier, number):
    body = struct.pack('>HH', identifier, number) + bytes(56)
    words = struct.unpack('>32H', struct.pack('>BBH', kind, 0, 0) + body)
    total = sum(words)
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return struct.pack('>BBH', kind, 0, ~total & 0xffff) + body

def request(socket_, host, identifier=0, number=1):
    kind = 128 if is_ipv6(host) else 8
    socket_.sendto(message(kind, identifier, number), (host, 0))

def reply(socket_, host, identifier=None):
    'Waits for a reply, of this identifier if it is given.'
    wanted = 129 if is_ipv6(host) else 0
    while True:
        data, _ = socket_.recvfrom(2000)
        if socket_.type == socket.SOCK_RAW and not is_ipv6(host):
            data = data[20:]
        kind, _, _, found = struct.unpack('>BBHH', data[:6])
        if kind == wanted and identifier in (None, found):
            return
";

const ONE_SOCKET: &str = "
input()
with opened(HOST, KIND) as one:
    for number in range(3):
        request(one, HOST, 77, number)
        reply(one, HOST)
    print(0, flush=True)
    input()
";

fn program(namespace: &Namespace, host: &str, kind: &str, text: &str) -> Program {
    namespace.python(&format!(
        "{PRELUDE}\nHOST = '{host}'\nKIND = socket.{kind}\n{text}"
    ))
}

/// Runs a program in a namespace of its own that pings [`HOST`]; returns what is captured there once a flow has ended.
async fn after(kind: &str, text: &str) -> (Watch, Vec<FlowRecord>) {
    let namespace = Namespace::new();
    let mut watch = watch(HOST, &namespace, &CaptureSettings::default());
    let mut program = program(&namespace, HOST, kind, text);
    program.numbers();
    program.finish();
    let records = watch.until(8, |records| closes(records) > 0).await;
    (watch, records)
}

fn request_type(host: &str) -> u16 {
    if host.contains(':') { 128 } else { 8 }
}

fn watch(host: &str, namespace: &Namespace, settings: &CaptureSettings) -> Watch {
    let protocol = if host.contains(':') {
        Protocol::Icmpv6
    } else {
        Protocol::Icmp
    };
    Watch::with(protocol, settings).inside(namespace)
}

fn packet_bytes(host: &str) -> u64 {
    let header = if host.contains(':') { 40 } else { 20 };
    header + 8 + PAYLOAD_BYTES
}

fn closes(records: &[FlowRecord]) -> usize {
    count(records, RecordKind::Close, Role::Client)
}

/// Packets and bytes, sent and received.
fn traffic(record: &FlowRecord) -> [u64; 4] {
    let it = record.counters;
    [
        it.packets_sent,
        it.packets_received,
        it.bytes_sent,
        it.bytes_received,
    ]
}

async fn requests_and_their_replies_are_one_flow(host: &str, kind: &str) {
    let namespace = Namespace::new();
    let mut watch = watch(host, &namespace, &CaptureSettings::default());
    let mut program = program(&namespace, host, kind, ONE_SOCKET);
    let pid = program.pid();
    program.go_on();
    program.numbers();
    program.finish();
    let records = watch
        .until(request_type(host), |records| closes(records) > 0)
        .await;
    assert_eq!(count(&records, RecordKind::Open, Role::Server), 0);
    let open = only(&records, RecordKind::Open, Role::Client);
    let close = only(&records, RecordKind::Close, Role::Client);
    let address = mapped(host.parse().unwrap());
    for record in [open, close] {
        let ends = (record.local_address, record.remote_address);
        assert_eq!(ends, (address, address));
        let ports = (record.local_port, record.remote_port);
        assert_eq!(ports, (request_type(host), 0), "type and code");
        assert_eq!(record.owner.pid, pid);
        assert_eq!(record.flags, 0);
    }
    assert_eq!((open.cookie, open.start_ns), (close.cookie, close.start_ns));
    let bytes = 3 * packet_bytes(host);
    assert_eq!(traffic(&close), [3, 3, bytes, bytes]);
    assert_eq!(close.established, 1);
    assert_eq!(close.close_reason, CloseReason::SocketClosed as u8);
}

#[tokio::test]
async fn requests_of_a_ping_socket_and_their_replies_are_one_flow() {
    requests_and_their_replies_are_one_flow("127.0.0.1", "SOCK_DGRAM").await;
    requests_and_their_replies_are_one_flow("::1", "SOCK_DGRAM").await;
}

#[tokio::test]
async fn requests_of_a_raw_socket_and_their_replies_are_one_flow() {
    requests_and_their_replies_are_one_flow("127.0.0.1", "SOCK_RAW").await;
    requests_and_their_replies_are_one_flow("::1", "SOCK_RAW").await;
}

async fn a_raw_socket_counts_its_own_replies_alone(host: &str) {
    let namespace = Namespace::new();
    let cgroup = Cgroup::new();
    let settings = CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..CaptureSettings::default()
    };
    let mut watch = watch(host, &namespace, &settings);
    let mut program = program(
        &namespace,
        host,
        "SOCK_RAW",
        "
input()
one, other, silent = opened(HOST, KIND), opened(HOST, KIND), opened(HOST, KIND)
for number in range(5):
    request(one, HOST, 1000, number)
    reply(one, HOST, 1000)
    reply(other, HOST, 1000)
for number in range(2):
    request(other, HOST, 2000, number)
    reply(one, HOST, 2000)
    reply(silent, HOST, 2000)
print(0, flush=True)
input()
",
    );
    cgroup.take(program.pid());
    program.go_on();
    program.numbers();
    program.finish();
    let records = watch
        .until(request_type(host), |records| closes(records) == 2)
        .await;
    let mut told: Vec<[u64; 4]> = records
        .iter()
        .filter(|record| record.kind == RecordKind::Close as u8)
        .map(traffic)
        .collect();
    told.sort_unstable();
    let bytes = packet_bytes(host);
    let expected = [2, 5].map(|count| [count, count, count * bytes, count * bytes]);
    assert_eq!(told, expected);
    assert_eq!(records.len(), 4, "the third socket has no flow");
    for counter in [LossCounter::Unattributed, LossCounter::CloseUnseen] {
        assert_eq!(watch.capture.loss(counter).unwrap(), 0, "{counter:?}");
    }
}

#[tokio::test]
async fn a_raw_socket_passes_over_what_answers_others_and_that_is_no_loss() {
    a_raw_socket_counts_its_own_replies_alone("127.0.0.1").await;
    a_raw_socket_counts_its_own_replies_alone("::1").await;
}

#[tokio::test]
async fn a_request_without_a_reply_is_a_flow_that_is_not_established() {
    let (_, records) = after(
        "SOCK_DGRAM",
        "
with open('/proc/sys/net/ipv4/icmp_echo_ignore_all', 'w') as file:
    file.write('1')
with opened(HOST, KIND) as one:
    request(one, HOST)
    print(0, flush=True)
    input()
",
    )
    .await;
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(traffic(&close), [1, 0, packet_bytes(HOST), 0]);
    assert_eq!(close.established, 0);
    assert_eq!(close.remote_address, mapped(HOST.parse().unwrap()));
}

#[tokio::test]
async fn each_peer_of_one_socket_is_a_flow_of_its_own() {
    let namespace = Namespace::new();
    let mut watch = watch("127.0.0.1", &namespace, &CaptureSettings::default());
    let mut program = program(
        &namespace,
        "127.0.0.1",
        "SOCK_DGRAM",
        "
with opened(HOST, KIND) as one:
    for number in range(3):
        for last in range(1, 21):
            host = f'127.0.0.{last}'
            request(one, host, 0, number)
            reply(one, host)
    print(0, flush=True)
    input()
",
    );
    program.numbers();
    program.finish();
    let records = watch.until_live(8, |records| closes(records) == 20).await;
    let mut peers: Vec<[u8; 16]> = records
        .iter()
        .filter(|record| record.kind == RecordKind::Close as u8)
        .map(|record| {
            let bytes = 3 * packet_bytes("127.0.0.1");
            assert_eq!(traffic(record), [3, 3, bytes, bytes]);
            assert_eq!(record.close_reason, CloseReason::SocketClosed as u8);
            record.remote_address
        })
        .collect();
    peers.sort_unstable();
    let expected: Vec<[u8; 16]> = (1..=20)
        .map(|last| mapped([127, 0, 0, last].into()))
        .collect();
    assert_eq!(peers, expected);
}

#[tokio::test]
async fn a_request_with_another_identifier_goes_on_with_the_flow() {
    let (_, records) = after(
        "SOCK_RAW",
        "
with opened(HOST, KIND) as one:
    for identifier in range(4):
        request(one, HOST, identifier)
        reply(one, HOST, identifier)
    print(0, flush=True)
    input()
",
    )
    .await;
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(traffic(&close)[..2], [4, 4]);
}

#[tokio::test]
async fn messages_that_are_no_requests_are_no_flows() {
    let (watch, records) = after(
        "SOCK_RAW",
        "
with opened(HOST, KIND) as one:
    for kind in (0, 3, 11, 13):
        one.sendto(message(kind, 1, 1), (HOST, 0))
    request(one, '127.0.0.2', 5)
    reply(one, '127.0.0.2', 5)
    print(0, flush=True)
    input()
",
    )
    .await;
    assert_eq!(records.len(), 2);
    assert_eq!(traffic(&records[1])[..2], [1, 1]);
    let of_others = watch.of(0);
    assert_eq!(of_others.len(), 2, "the code of the request is 0, too");
}

#[tokio::test]
async fn silence_ends_a_flow_and_the_next_request_begins_another() {
    let namespace = Namespace::new();
    let settings = CaptureSettings {
        udp_idle_timeout: SHORT_IDLE,
        ..CaptureSettings::default()
    };
    let mut watch = watch("127.0.0.1", &namespace, &settings);
    let mut program = program(
        &namespace,
        "127.0.0.1",
        "SOCK_DGRAM",
        "
one = opened(HOST, KIND)
for number in range(2):
    request(one, HOST, 0, number)
    reply(one, HOST)
    print(0, flush=True)
    input()
",
    );
    program.numbers();
    let sent = clock::boottime_ns().unwrap();
    let idle_ns = u64::try_from(SHORT_IDLE.as_nanos()).unwrap();
    until_boot_time(sent + idle_ns + 2 * TICK_NS).await;
    program.go_on();
    program.numbers();
    program.finish();
    let records = watch.until(8, |records| closes(records) == 2).await;
    let reasons: Vec<(u8, [u64; 2])> = records
        .iter()
        .filter(|record| record.kind == RecordKind::Close as u8)
        .map(|it| {
            let packets = [it.counters.packets_sent, it.counters.packets_received];
            (it.close_reason, packets)
        })
        .collect();
    let (idle, closed) = (CloseReason::Idle as u8, CloseReason::SocketClosed as u8);
    assert_eq!(reasons, [(idle, [1, 1]), (closed, [1, 1])]);
    assert_eq!(count(&records, RecordKind::Open, Role::Client), 2);
}

#[tokio::test]
async fn a_socket_older_than_the_capture_has_an_owner_and_an_inferred_start() {
    for kind in ["SOCK_DGRAM", "SOCK_RAW"] {
        let namespace = Namespace::new();
        let mut program = program(
            &namespace,
            "127.0.0.1",
            kind,
            "
one = opened(HOST, KIND)
request(one, HOST, 9)
reply(one, HOST)
print(0, flush=True)
input()
request(one, HOST, 9)
reply(one, HOST)
print(0, flush=True)
input()
",
        );
        program.numbers();
        let mut watch = watch("127.0.0.1", &namespace, &CaptureSettings::default());
        program.go_on();
        program.numbers();
        let pid = program.pid();
        program.finish();
        let records = watch.until(8, |records| closes(records) > 0).await;
        let close = only(&records, RecordKind::Close, Role::Client);
        assert_ne!(close.flags & FLAG_START_INFERRED, 0, "{kind}");
        assert_eq!(close.owner.pid, pid, "{kind}");
        assert_eq!(traffic(&close)[..2], [1, 1], "{kind}");
    }
}
