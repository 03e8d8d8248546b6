//! Flows in transit: seen on interfaces, of no socket that is captured.

use std::{
    collections::BTreeMap,
    io::Read,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use beaconwatch_exporter::capture::{CaptureSettings, interfaces::InterfaceSettings};
use beaconwatch_records::{
    CloseReason, FLAG_START_INFERRED, FlowRecord, LossCounter, Protocol, RecordKind, Role,
};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{Cgroup, Namespace, Program, Watch, run, unique_word};

/// Long enough for a test to send everything without a pause of this length.
const IDLE: Duration = Duration::from_secs(3);

/// Sends the frames of a classic pcap file through an interface, then says how many.
const SENDER: &str = "
import socket, struct, sys
data = open(sys.argv[2], 'rb').read()
order = '<' if data[:4] in (b'\\xd4\\xc3\\xb2\\xa1', b'\\x4d\\x3c\\xb2\\xa1') else '>'
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
at, sent = 24, 0
while at < len(data):
    length = struct.unpack(order + 'I', data[at + 8:at + 12])[0]
    out.send(data[at + 16:at + 16 + length])
    at, sent = at + 16 + length, sent + 1
print(sent, flush=True)
";

/// Lets a namespace forward.
const FORWARD: &str = "open('/proc/sys/net/ipv4/ip_forward', 'w').write('1')";

/// Switches a setting of this namespace's network on.
pub(crate) fn switch_on(setting: &str) {
    std::fs::write(format!("/proc/sys/net/{setting}"), "1").unwrap();
}

/// A pair of interfaces: one end here, the other in a namespace.
pub(crate) struct Pair {
    pub(crate) here: String,
    pub(crate) there: String,
}

impl Pair {
    pub(crate) fn to(namespace: &Namespace) -> Self {
        let word = unique_word();
        let (here, there) = (format!("{word}h"), format!("{word}t"));
        run(&format!(
            "ip link add {here} type veth peer name {there} netns {}",
            namespace.name()
        ));
        // No chatter of its own.
        switch_on(&format!("ipv6/conf/{here}/disable_ipv6"));
        run(&format!("ip link set {here} up"));
        namespace.ip(&format!("link set {there} up"));
        Self { here, there }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // The namespace's end may have taken it along.
        std::process::Command::new("ip")
            .args(["link", "delete", &self.here])
            .stderr(std::process::Stdio::null())
            .status()
            .ok();
    }
}

/// Two containers, each behind a pair of this host, which forwards between them.
pub(crate) struct Containers {
    pub(crate) hosts: [Namespace; 2],
    pub(crate) pairs: [Pair; 2],
}

impl Containers {
    pub(crate) fn new(subnet: u8) -> Self {
        let hosts = [Namespace::new(), Namespace::new()];
        let pairs = [Pair::to(&hosts[0]), Pair::to(&hosts[1])];
        for (side, (host, pair)) in hosts.iter().zip(&pairs).enumerate() {
            let net = format!("10.{subnet}.{side}");
            host.ip(&format!("address add {net}.2/24 dev {}", pair.there));
            host.ip(&format!("route add default via {net}.1"));
            run(&format!("ip address add {net}.1/24 dev {}", pair.here));
            switch_on(&format!("ipv4/conf/{}/forwarding", pair.here));
        }
        Self { hosts, pairs }
    }
}

pub(crate) fn on(include: &[&str]) -> CaptureSettings {
    CaptureSettings {
        udp_idle_timeout: IDLE,
        interfaces: InterfaceSettings {
            include: include.iter().map(|name| (*name).to_owned()).collect(),
            idle_timeout: IDLE,
            ..InterfaceSettings::default()
        },
        ..CaptureSettings::default()
    }
}

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../packets/tests/data/captures")
}

/// A capture made by others, unpacked.
fn unpacked(name: &str) -> tempfile::NamedTempFile {
    let packed = std::fs::File::open(captures().join(name)).unwrap();
    let mut bytes = Vec::new();
    GzDecoder::new(packed).read_to_end(&mut bytes).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

/// Both ends in the order of tshark's file, and the protocol.
type Ends = (SocketAddr, SocketAddr, u8);
/// Bytes and packets both ways.
type Traffic = [u64; 4];

fn end(address: [u8; 16], port: u16) -> SocketAddr {
    let address = IpAddr::V6(Ipv6Addr::from(address));
    SocketAddr::new(address.to_canonical(), port)
}

fn ends(record: &FlowRecord) -> Ends {
    (
        end(record.local_address, record.local_port),
        end(record.remote_address, record.remote_port),
        record.protocol,
    )
}

fn traffic(record: &FlowRecord) -> Traffic {
    let it = record.counters;
    [
        it.bytes_sent,
        it.bytes_received,
        it.packets_sent,
        it.packets_received,
    ]
}

/// What tshark counts; its bytes are those of frames, so without `link_bytes` of each.
fn conversations(capture: &str, link_bytes: u64) -> BTreeMap<Ends, Traffic> {
    let told = std::fs::read_to_string(captures().join("conversations.json")).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let rows = told[capture].as_array().unwrap().iter();
    rows.map(|row| {
        let end = |which: &str| {
            let (address, port) = row[which].as_str().unwrap().rsplit_once(':').unwrap();
            let address: IpAddr = address.parse().unwrap();
            SocketAddr::new(address.to_canonical(), port.parse().unwrap())
        };
        let number = |field: &str| row[field].as_u64().unwrap();
        let protocol = match row["transport"].as_str().unwrap() {
            "tcp" => Protocol::Tcp,
            _ => Protocol::Udp,
        };
        let (out, back) = (number("packets_to_other"), number("packets_to_one"));
        let bytes_out = number("bytes_to_other") - link_bytes * out;
        let bytes_back = number("bytes_to_one") - link_bytes * back;
        let ends = (end("one"), end("other"), protocol as u8);
        (ends, [bytes_out, bytes_back, out, back])
    })
    .collect()
}

fn transit(records: &[FlowRecord], interface: u32) -> Vec<FlowRecord> {
    let wanted =
        |record: &&FlowRecord| record.role == Role::Transit as u8 && record.interface == interface;
    records.iter().filter(wanted).copied().collect()
}

pub(crate) fn index_of(interface: &str) -> u32 {
    let index = std::fs::read_to_string(format!("/sys/class/net/{interface}/ifindex")).unwrap();
    index.trim().parse().unwrap()
}

/// Sends a capture by others through a pair and returns the ends of its flows, each once.
async fn mirrored(capture: &str, flows: usize) -> (Watch, BTreeMap<Ends, FlowRecord>) {
    let namespace = Namespace::new();
    let pair = Pair::to(&namespace);
    let mut watch = Watch::with(Protocol::Tcp, &on(&[&pair.here]));
    let file = unpacked(capture);
    let mut sender = namespace.python_with(SENDER, &[&pair.there, file.path().to_str().unwrap()]);
    assert!(sender.numbers()[0] > 20);
    let index = index_of(&pair.here);
    let closed = |records: &[FlowRecord]| -> Vec<FlowRecord> {
        let mut closed = transit(records, index);
        closed.retain(|record| record.kind == RecordKind::Close as u8);
        closed
    };
    watch
        .until_all(|records| closed(records).len() >= flows)
        .await;
    let closed = closed(watch.all());
    let by_ends: BTreeMap<Ends, FlowRecord> = closed
        .iter()
        .map(|record| (ends(record), *record))
        .collect();
    assert_eq!(by_ends.len(), closed.len(), "each flow ends once");
    (watch, by_ends)
}

#[tokio::test]
async fn flows_on_a_mirror_port_are_counted_as_tshark_counts_them() {
    let told = conversations("clients", 14);
    let (watch, flows) = mirrored("clients.pcap.gz", told.len()).await;
    let ours: BTreeMap<Ends, Traffic> = flows
        .iter()
        .map(|(ends, it)| (*ends, traffic(it)))
        .collect();
    assert!(told.len() > 45);
    assert_eq!(ours, told);
    for record in flows.values() {
        assert_eq!(record.owner.pid, 0);
        assert!(record.cookie >> 63 == 1);
        assert_eq!(record.flags & FLAG_START_INFERRED, 0, "{record:?}");
    }
    assert_eq!(watch.capture.loss(LossCounter::TransitUnread).unwrap(), 0);
}

#[tokio::test]
async fn flows_in_tunnels_are_those_that_tshark_sees_inside() {
    // Its tunnels stand beside what is inside of them, and a routing header's last stop in the place of the next.
    let is_tunnel = |ends: &Ends| ends.0.port() == 50_000;
    let told: BTreeMap<Ends, u64> = conversations("tunnels", 0)
        .into_iter()
        .filter(|(ends, _)| !is_tunnel(ends))
        .map(|(mut ends, traffic)| {
            if ends.1 == "[fd03::3]:443".parse().unwrap() {
                ends.1 = "[fd02::2]:443".parse().unwrap();
            }
            (ends, traffic[2])
        })
        .collect();
    let (_watch, flows) = mirrored("tunnels.pcap.gz", told.len()).await;
    let ours: BTreeMap<Ends, u64> = flows
        .iter()
        .map(|(ends, it)| (*ends, traffic(it)[2]))
        .collect();
    assert!(told.len() > 20);
    assert_eq!(ours, told);
}

/// Two hosts and their routers, so that packets reach this host as from the network: without a socket.
pub(crate) struct Network {
    pub(crate) hosts: [Namespace; 2],
    _routers: [Namespace; 2],
    pairs: [Pair; 2],
}

impl Network {
    /// Host `i` has 10.`number`.`i`.2 and this host forwards between 10.`number`.`i`.0/24.
    pub(crate) fn new(number: u8) -> Self {
        let hosts = [Namespace::new(), Namespace::new()];
        let routers = [Namespace::new(), Namespace::new()];
        let pairs = [Pair::to(&routers[0]), Pair::to(&routers[1])];
        for (side, ((host, router), pair)) in hosts.iter().zip(&routers).zip(&pairs).enumerate() {
            let net = format!("10.{number}.{side}");
            let link = format!("10.{number}.{}", side + 10);
            let word = unique_word();
            run(&format!(
                "ip -n {} link add {word}r type veth peer name {word}h netns {}",
                router.name(),
                host.name()
            ));
            router.python(FORWARD).finish();
            router.ip(&format!("address add {net}.1/24 dev {word}r"));
            router.ip(&format!("link set {word}r up"));
            router.ip(&format!("address add {link}.1/24 dev {}", pair.there));
            router.ip(&format!("route add default via {link}.254"));
            host.ip(&format!("address add {net}.2/24 dev {word}h"));
            host.ip(&format!("link set {word}h up"));
            host.ip(&format!("route add default via {net}.1"));
            run(&format!("ip address add {link}.254/24 dev {}", pair.here));
            switch_on(&format!("ipv4/conf/{}/forwarding", pair.here));
            run(&format!("ip route add {net}.0/24 via {link}.1"));
        }
        Self {
            hosts,
            _routers: routers,
            pairs,
        }
    }

    pub(crate) fn names(&self) -> [&str; 2] {
        [&self.pairs[0].here, &self.pairs[1].here]
    }
}

/// Serves connections one after the other: reads until the end, answers with twice as much.
const SERVER: &str = "
import socket
server = socket.create_server(('', 7000))
print(7000, flush=True)
while True:
    connection, _ = server.accept()
    data = b''
    try:
        while True:
            part = connection.recv(65536)
            if not part:
                break
            data += part
        connection.sendall(data * 2)
    except ConnectionResetError:
        pass
    connection.close()
";

fn client(host: &str, count: usize) -> String {
    format!(
        "
import socket
for size in range({count}):
    connection = socket.create_connection(('{host}', 7000))
    connection.sendall(b'x' * (size * 1000 + 10))
    connection.shutdown(socket.SHUT_WR)
    answer = b''
    while True:
        part = connection.recv(65536)
        if not part:
            break
        answer += part
    assert len(answer) == 2 * (size * 1000 + 10)
    print(connection.getsockname()[1], flush=True)
    connection.close()
"
    )
}

fn closes(records: &[FlowRecord], role: Role) -> Vec<FlowRecord> {
    let is_close =
        |record: &&FlowRecord| record.kind == RecordKind::Close as u8 && record.role == role as u8;
    records.iter().filter(is_close).copied().collect()
}

#[tokio::test]
async fn a_forwarded_connection_is_told_once_although_two_interfaces_see_it() {
    const CONNECTIONS: usize = 5;
    let network = Network::new(201);
    // Only its sockets are captured, so those of the hosts are as good as on other machines.
    let cgroup = Cgroup::new();
    let settings = CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..on(&network.names())
    };
    let mut watch = Watch::with(Protocol::Tcp, &settings);
    let mut server = network.hosts[1].python(SERVER);
    server.port();
    let mut client = network.hosts[0].python(&client("10.201.1.2", CONNECTIONS));
    let ports: Vec<u64> = (0..CONNECTIONS).map(|_| client.numbers()[0]).collect();
    client.finish();
    let records = watch
        .until(7000, |records| {
            closes(records, Role::Transit).len() >= CONNECTIONS
        })
        .await;
    assert_eq!(records.len(), CONNECTIONS, "{records:#?}");
    let first = index_of(&network.pairs[0].here);
    for (size, (record, port)) in records.iter().zip(ports).enumerate() {
        assert_eq!(u64::from(record.local_port), port);
        assert_eq!(record.remote_port, 7000);
        assert_eq!(record.interface, first);
        assert_eq!(record.close_reason, CloseReason::FinLocal as u8);
        assert_eq!(record.established, 1);
        // Payload and headers of at least 52 bytes each.
        let payload = u64::try_from(size * 1000 + 10).unwrap();
        let it = record.counters;
        let headers = |packets: u64| packets * 52..packets * 60 + 1;
        let sent = it.bytes_sent - payload;
        assert!(headers(it.packets_sent).contains(&sent), "{record:?}");
        let received = it.bytes_received - 2 * payload;
        assert!(
            headers(it.packets_received).contains(&received),
            "{record:?}"
        );
    }
    assert_eq!(
        watch.capture.interface_name(first).as_deref(),
        Some(network.pairs[0].here.as_str())
    );
}

#[tokio::test]
async fn refused_unanswered_and_reset_connections_in_transit_say_so() {
    let network = Network::new(202);
    let cgroup = Cgroup::new();
    let settings = CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..on(&network.names())
    };
    let mut watch = Watch::with(Protocol::Tcp, &settings);
    let mut server = network.hosts[1].python(SERVER);
    server.port();
    let client = network.hosts[0].python(
        "
import socket, struct
try:
    socket.create_connection(('10.202.1.2', 7001))
except ConnectionRefusedError:
    pass
connection = socket.create_connection(('10.202.1.2', 7000))
connection.sendall(b'x')
connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
connection.close()
",
    );
    client.finish();
    let refused = watch.until(7001, |records| !records.is_empty()).await;
    let reset = watch.until(7000, |records| !records.is_empty()).await;
    let told = |records: &[FlowRecord]| {
        assert_eq!(records.len(), 1, "{records:#?}");
        (records[0].close_reason, records[0].established)
    };
    assert_eq!(told(&refused), (CloseReason::Refused as u8, 0));
    assert_eq!(told(&reset), (CloseReason::Reset as u8, 1));
}

#[tokio::test]
async fn what_sockets_of_this_kernel_tell_no_interface_tells_again() {
    let Containers { hosts, pairs } = Containers::new(203);
    let both = [pairs[0].here.as_str(), pairs[1].here.as_str()];
    // All are captured; only the far one is; only the near one is.
    for chosen in [&both[..], &both[1..], &both[..1]] {
        let mut watch = Watch::with(Protocol::Tcp, &on(chosen));
        let mut server = hosts[1].python(SERVER);
        server.port();
        let mut client_program = hosts[0].python(&client("10.203.1.2", 3));
        for _ in 0..3 {
            client_program.numbers();
        }
        client_program.finish();
        // This host's own connection over a captured interface.
        let mut own = crate::support::python(&client("10.203.1.2", 1));
        own.numbers();
        own.finish();
        question_and_answer(&hosts);
        let told = |records: &[FlowRecord], role| {
            let mut closes = closes(records, role);
            closes.retain(|record| {
                record.protocol == Protocol::Tcp as u8
                    && (record.remote_port == 7000 || record.local_port == 7000)
            });
            closes.len()
        };
        watch
            .until_all(|records| {
                told(records, Role::Client) >= 4 && told(records, Role::Server) >= 4
            })
            .await;
        watch.live();
        let records = watch.all();
        assert_eq!(told(records, Role::Client), 4);
        let indices: Vec<u32> = both.iter().map(|name| index_of(name)).collect();
        let again: Vec<_> = records
            .iter()
            .filter(|record| indices.contains(&record.interface))
            .collect();
        assert!(again.is_empty(), "captured on {chosen:?}: {again:#?}");
    }
}

/// A datagram and its answer between two hosts.
fn question_and_answer(hosts: &[Namespace; 2]) {
    let mut server = hosts[1].python(
        "
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(('', 7000))
print(7000, flush=True)
data, peer = server.recvfrom(100)
server.sendto(data, peer)
",
    );
    server.port();
    let client: Program = hosts[0].python(
        "
import socket
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
client.sendto(b'question', ('10.203.1.2', 7000))
client.recv(100)
",
    );
    client.finish();
    server.finish();
}

/// Has this host put its own address in the place of the sender's, on what leaves through one interface: a table of
/// nftables, by its netlink messages, because no program that writes them is everywhere.
pub(crate) const MASQUERADE: &str = "
import socket, struct, sys
def attribute(kind, data, nested=False):
    length = 4 + len(data)
    return struct.pack('HH', length, kind | (0x8000 if nested else 0)) + data + bytes(-length % 4)
def text(kind, value):
    return attribute(kind, value.encode() + b'\\0')
def number(kind, value):
    return attribute(kind, struct.pack('>I', value))
def expression(name, data):
    return attribute(1, text(1, name) + attribute(2, data, True), True)
def message(kind, body, family=2, subsystem=0):
    header = struct.pack('IHHIIBBH', 20 + len(body), kind, 1 | 0x400, 0, 0, family, 0, subsystem)
    return header + body
table, index = sys.argv[1], socket.if_nametoindex(sys.argv[2])
begin = message(16, b'', 0, socket.htons(10))
end = message(17, b'', 0, socket.htons(10))
def nft(kind):
    return 10 << 8 | kind
leaves_there = expression('meta', number(1, 1) + number(2, 5)) + expression(
    'cmp', number(1, 1) + number(2, 0) + attribute(3, attribute(1, struct.pack('I', index)), True))
rule = attribute(4, leaves_there + expression('masq', b''), True)
make = (message(nft(0), text(1, table))
    + message(nft(3), text(1, table) + text(3, 'out')
        + attribute(4, number(1, 4) + number(2, 100), True) + text(7, 'nat'))
    + message(nft(6), text(1, table) + text(2, 'out') + rule))
remove = message(nft(2), text(1, table))
netfilter = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
netfilter.bind((0, 0))
netfilter.send(begin + make + end)
netfilter.settimeout(0.2)
try:
    answer = netfilter.recv(65536)
    raise SystemExit('refused: %d' % struct.unpack('i', answer[16:20]))
except TimeoutError:
    pass
print(index, flush=True)
input()
netfilter.send(begin + remove + end)
";

#[tokio::test]
async fn a_container_behind_address_translation_is_told_by_its_socket_alone() {
    let hosts = [Namespace::new(), Namespace::new()];
    let pairs = [Pair::to(&hosts[0]), Pair::to(&hosts[1])];
    for (side, (host, pair)) in hosts.iter().zip(&pairs).enumerate() {
        let net = format!("10.204.{side}");
        host.ip(&format!("address add {net}.2/24 dev {}", pair.there));
        run(&format!("ip address add {net}.1/24 dev {}", pair.here));
        switch_on(&format!("ipv4/conf/{}/forwarding", pair.here));
    }
    // The server has no way back to the container but by translation.
    hosts[0].ip("route add default via 10.204.0.1");
    let mut masquerade = crate::support::python_with(MASQUERADE, &[&unique_word(), &pairs[1].here]);
    masquerade.numbers();
    // Only the container's program is captured: the server is as good as on another machine.
    let cgroup = Cgroup::new();
    let settings = CaptureSettings {
        cgroup: Some(cgroup.path.clone()),
        ..on(&[&pairs[1].here])
    };
    let mut watch = Watch::with(Protocol::Tcp, &settings).inside(&hosts[0]);
    let mut server = hosts[1].python(SERVER);
    server.port();
    let text = format!("input()\n{}", client("10.204.1.2", 3));
    let mut client = hosts[0].python(&text);
    cgroup.take(client.pid());
    client.go_on();
    for _ in 0..3 {
        client.numbers();
    }
    client.finish();
    let told = watch
        .until(7000, |records| closes(records, Role::Client).len() >= 3)
        .await;
    watch.live();
    masquerade.finish();
    assert_eq!(closes(&told, Role::Client).len(), 3);
    let captured = transit(watch.all(), index_of(&pairs[1].here));
    assert!(captured.is_empty(), "{captured:#?}");
}

#[tokio::test]
async fn interfaces_that_come_are_captured_and_those_that_go_leave_their_name() {
    let namespace = Namespace::new();
    let word = unique_word();
    let pattern = format!("{word}*");
    let mut settings = on(&[&pattern]);
    settings.interfaces.exclude = vec![format!("{word}no")];
    let mut watch = Watch::with(Protocol::Tcp, &settings);
    let file = unpacked("tunnels.pcap.gz");
    for (name, renamed, captured) in [
        (format!("{word}yes"), None, true),
        (format!("{word}no"), None, false),
        (unique_word(), Some(format!("{word}late")), true),
    ] {
        let there = unique_word();
        run(&format!(
            "ip link add {name} type veth peer name {there} netns {}",
            namespace.name()
        ));
        let index = index_of(&name);
        let name = renamed.map_or(name.clone(), |new| {
            run(&format!("ip link set {name} name {new}"));
            new
        });
        run(&format!("ip link set {name} up"));
        namespace.ip(&format!("link set {there} up"));
        if captured {
            watch
                .until_true(|watch| {
                    watch.capture.interface_name(index).as_deref() == Some(name.as_str())
                })
                .await;
        }
        let mut sender = namespace.python_with(SENDER, &[&there, file.path().to_str().unwrap()]);
        sender.numbers();
        run(&format!("ip link delete {name}"));
        if captured {
            let told = |records: &[FlowRecord]| !transit(records, index).is_empty();
            watch.until_all(told).await;
            assert_eq!(watch.capture.interface_name(index), Some(name.into()));
        } else {
            watch.live();
            assert!(transit(watch.all(), index).is_empty());
            assert_eq!(watch.capture.interface_name(index), None);
        }
    }
}

#[tokio::test]
async fn flows_without_room_are_counted_as_lost_packet_by_packet() {
    let namespace = Namespace::new();
    let pair = Pair::to(&namespace);
    let mut settings = on(&[&pair.here]);
    settings.interfaces.max_flows = 8;
    let mut watch = Watch::with(Protocol::Udp, &settings);
    let mut sender = namespace.python_with(
        "
import socket, struct, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for port in range(2000, 2100):
    udp = struct.pack('>HHHH', port, 9999, 18, 0) + b'0123456789'
    ip = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 38, 1, 0, 64, 17, 0, bytes([10, 1, 1, 1]), bytes([10, 2, 2, 2]))
    out.send(bytes(12) + b'\\x08\\x00' + ip + udp)
    later = struct.pack('>BBHHHBBH4s4s', 0x45, 0, 38, 1, 5, 64, 17, 0, bytes([10, 1, 1, 1]), bytes([10, 2, 2, 2]))
    out.send(bytes(12) + b'\\x08\\x00' + later + udp)
print(100, flush=True)
",
        &[&pair.there],
    );
    sender.numbers();
    let index = index_of(&pair.here);
    watch
        .until_all(|records| !transit(records, index).is_empty())
        .await;
    let told: u64 = closes(&transit(watch.all(), index), Role::Transit)
        .iter()
        .map(|record| record.counters.packets_sent)
        .sum();
    let lost = watch.capture.loss(LossCounter::TransitMapFull).unwrap();
    assert_eq!(told + lost, 100);
    assert!(told >= 8 && lost > 0, "{told} {lost}");
    let later_fragments = watch.capture.loss(LossCounter::TransitUnread).unwrap();
    assert_eq!(later_fragments, 100);
}
