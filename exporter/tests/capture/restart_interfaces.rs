//! Restarts while traffic is forwarded: links of interfaces are taken over, let go or made anew, and packets are counted as the
//! hosts count them.

use std::{collections::BTreeMap, path::PathBuf};

use aya::programs::{SchedClassifier, TcAttachType};
use beaconwatch_schema::flow;

use crate::{
    interfaces::{MASQUERADE, Network, Pair, index_of, switch_on},
    receiver::{Record, number, text},
    restart::{Flows, flows_to, free_port, sequence, whole},
    successor::{BpfFileSystem, Exporter, HttpReceiver, Settings, ask, metric, settings, until},
    support::{Cgroup, Namespace, python_with, run, unique_word},
};

/// Where the far host answers.
const PORT: u64 = 7700;

/// Answers what comes over TCP and UDP with twice as much.
const SERVER: &str = "
import socket, threading
def serve(connection):
    while data := connection.recv(65536):
        connection.sendall(data * 2)
    connection.close()
def answer(peer):
    while True:
        data, end = peer.recvfrom(65536)
        peer.sendto(data * 2, end)
peer = socket.socket(type=socket.SOCK_DGRAM)
peer.bind(('', 7700))
threading.Thread(target=answer, args=(peer,), daemon=True).start()
server = socket.create_server(('', 7700))
print(7700, flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
";

/// Talks to [`SERVER`] at an address: one connection all the time, and one that lasts, of which it prints the port; when it is
/// told to go on, more on it, one that lasts from here, one that is over, and datagrams, of which it prints the ports; in the
/// end the rest.
const CLIENT: &str = "
import socket, sys, threading
far = (sys.argv[1], 7700)
def talk(connection, times):
    for size in range(100, 100 + times):
        connection.sendall(b'x' * size)
        connection.recv(2 * size, socket.MSG_WAITALL)
def finish(connection):
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b''
over_now = threading.Event()
def talk_on(connection):
    while not over_now.wait(0.0005):
        talk(connection, 2)
    finish(connection)
busy = threading.Thread(target=talk_on, args=(socket.create_connection(far),))
busy.start()
lasting = socket.create_connection(far)
talk(lasting, 50)
print(lasting.getsockname()[1], flush=True)
input()
talk(lasting, 70)
later, over = socket.create_connection(far), socket.create_connection(far)
talk(later, 20)
talk(over, 30)
finish(over)
datagrams = socket.socket(type=socket.SOCK_DGRAM)
datagrams.connect(far)
for size in range(10):
    datagrams.send(b'x' * size)
    datagrams.recv(100)
print(*[it.getsockname()[1] for it in (later, over, datagrams)], flush=True)
input()
for connection in (lasting, later):
    talk(connection, 40)
    finish(connection)
over_now.set()
busy.join()
print(0, flush=True)
input()
";

/// Counts the packets of a host itself: of each client's port protocol, port, bytes sent and received, packets sent and received.
const OBSERVER: &str = "
import select, socket, struct, sys
FORCED_BUFFER = 33
seen = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
seen.setsockopt(socket.SOL_SOCKET, FORCED_BUFFER, 32 << 20)
print(0, flush=True)
flows = {}
while True:
    if seen not in select.select([seen, sys.stdin], [], [])[0]:
        input()
        break
    data, end = seen.recvfrom(65536)
    if end[1] != 0x800 or data[9] not in (6, 17):
        continue
    length = struct.unpack('>H', data[2:4])[0]
    source, destination = struct.unpack('>HH', data[20:24])
    sent = destination == 7700
    counts = flows.setdefault((data[9], source if sent else destination), [0] * 4)
    counts[0 if sent else 1] += length
    counts[2 if sent else 3] += 1
print(len(flows), flush=True)
for key, counts in flows.items():
    print(*key, *counts, flush=True)
input()
";

/// Sends so many datagrams to a port through an interface, from the ports 2000, 2001, ...
const INJECTOR: &str = "
import socket, struct, sys
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((sys.argv[1], 0))
for source in range(2000, 2000 + int(sys.argv[3])):
    udp = struct.pack('>HHHH', source, int(sys.argv[2]), 18, 0) + b'0123456789'
    ends = bytes([10, 1, 0, 1, 10, 2, 0, 2])
    ip = struct.pack('>BBHHHBBH', 0x45, 0, 38, 1, 0, 64, 17, 0) + ends
    out.send(bytes(12) + b'\\x08\\x00' + ip + udp)
print(0, flush=True)
";

/// Sends datagrams out of a namespace's interface.
fn inject(namespace: &Namespace, interface: &str, port: &str, count: &str) {
    let mut injector = namespace.python_with(INJECTOR, &[interface, port, count]);
    injector.numbers();
    injector.finish();
}

/// How many programs there are on an interface, each way.
fn programs_on(interface: &str) -> [usize; 2] {
    [TcAttachType::Ingress, TcAttachType::Egress].map(|way| {
        let (_, programs) = SchedClassifier::query_tcx(interface, way).unwrap();
        programs.len()
    })
}

/// Pins of links on interfaces.
fn interface_pins(pins: &BpfFileSystem) -> Vec<String> {
    let mut names = pins.names();
    names.retain(|name| name.starts_with("link-interface-"));
    names
}

/// The pins that the links of these interfaces have.
fn expected_pins(indices: &[u32]) -> Vec<String> {
    let mut names: Vec<String> = indices
        .iter()
        .flat_map(|index| ["in", "out"].map(|way| format!("link-interface-{index}-{way}")))
        .collect();
    names.sort();
    names
}

/// Settings of an exporter that captures no socket, but these interfaces.
fn settings_on(
    pins: &BpfFileSystem,
    receiver: &HttpReceiver,
    cgroup: &Cgroup,
    include: &[&str],
) -> Settings {
    let mut settings = settings(&pins.pins(), receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    settings.insert("INTERFACES__INCLUDE", format!("{include:?}"));
    settings.insert("UDP_IDLE_TIMEOUT_S", "1".to_owned());
    settings
}

/// Protocol and port of the client.
type Client = (u64, u64);

/// What a host saw and what a receiver was told, while the exporter on the way between was started anew.
struct Forwarded {
    /// Bytes and packets, sent and received.
    expected: BTreeMap<Client, [u64; 4]>,
    /// The connection that was open before, meanwhile and after.
    lasting: u64,
    flows: Flows,
    records: Vec<Record>,
    first_interface: String,
}

/// Of each client's flow the records; hosts' addresses end in 0.2.
fn of_client(flows: &Flows, port: u64) -> &Vec<Record> {
    &flows[&(2 << 16 | port, flow::ROLE_TRANSIT.to_owned())]
}

fn ends_of(records: &[Record]) -> usize {
    let is_end = |record: &&Record| {
        record.contains_key(flow::FLOW_ID) && text(record, flow::EVENT) == Some(flow::EVENT_END)
    };
    records.iter().filter(is_end).count()
}

/// Runs [`CLIENT`] between two hosts, through this one, while `end` ends an exporter, while none runs, and while the next one does.
async fn restart_while_forwarding(subnet: u8, end: impl FnOnce(Exporter)) -> Forwarded {
    let network = Network::new(subnet);
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let settings = settings_on(&pins, &receiver, &cgroup, &network.names());
    let mut observer = network.hosts[0].python(OBSERVER);
    observer.numbers();
    let mut server = network.hosts[1].python(SERVER);
    server.port();

    let first = Exporter::start(&settings);
    let far = format!("10.{subnet}.1.2");
    let mut client = network.hosts[0].python_with(CLIENT, &[&far]);
    let lasting = u64::from(client.port());
    until("both connections are announced", || {
        flows_to(&receiver.records(), PORT).len() == 2
    })
    .await;
    end(first);
    for interface in network.names() {
        assert_eq!(programs_on(interface), [1, 1], "they go on");
    }
    client.go_on();
    assert_eq!(client.numbers().len(), 3);
    let second = Exporter::start(&settings);
    assert_eq!(
        second.said.matches("taken_over=true").count(),
        2,
        "{}",
        second.said
    );
    for interface in network.names() {
        assert_eq!(programs_on(interface), [1, 1], "one program each way");
    }
    client.go_on();
    client.numbers();
    observer.go_on();
    let count = observer.numbers()[0];
    let expected: BTreeMap<Client, [u64; 4]> = (0..count)
        .map(|_| {
            let [protocol, port, counts @ ..] = <[u64; 6]>::try_from(observer.numbers()).unwrap();
            ((protocol, port), counts)
        })
        .collect();
    until("everything has ended", || {
        ends_of(&receiver.records()) >= expected.len()
    })
    .await;
    client.finish();
    second.stop();
    let records = receiver.records();
    Forwarded {
        expected,
        lasting,
        flows: flows_to(&records, PORT),
        records,
        first_interface: network.names()[0].to_owned(),
    }
}

/// Asserts that each flow was told to its end, once, with what the host counted.
fn assert_counted(forwarded: &Forwarded) {
    assert_eq!(
        forwarded.expected.len(),
        5,
        "four connections and datagrams"
    );
    assert_eq!(forwarded.flows.len(), 5, "{:#?}", forwarded.flows);
    assert_eq!(ends_of(&forwarded.records), 5);
    for ((_, port), counts) in &forwarded.expected {
        let records = of_client(&forwarded.flows, *port);
        let end = records.last().unwrap();
        assert_eq!(
            text(end, flow::EVENT),
            Some(flow::EVENT_END),
            "{records:#?}"
        );
        let told = [
            flow::SOURCE_BYTES,
            flow::DESTINATION_BYTES,
            flow::SOURCE_PACKETS,
            flow::DESTINATION_PACKETS,
        ]
        .map(|name| number(end, name));
        assert_eq!(told, *counts, "{records:#?}");
        assert!(counts[2] >= 10, "{counts:?}");
        assert_eq!(end.get(flow::START_INFERRED), None, "{end:#?}");
        assert_eq!(
            text(end, flow::INTERFACE_NAME),
            Some(forwarded.first_interface.as_str())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_over_an_orderly_restart_is_told_once_as_the_hosts_count_it() {
    let forwarded = restart_while_forwarding(211, Exporter::stop).await;
    assert_counted(&forwarded);
    for records in forwarded.flows.values() {
        whole(records);
    }
    let lasting = of_client(&forwarded.flows, forwarded.lasting);
    assert!(lasting.len() > 1, "announced by the first: {lasting:#?}");
    let numbers = sequence(&forwarded.records);
    assert_eq!(numbers.last(), Some(&(numbers.len() as u64 - 1)), "no gap");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forwarded_over_a_sigkill_is_told_once_as_the_hosts_count_it() {
    let forwarded = restart_while_forwarding(212, Exporter::kill).await;
    assert_counted(&forwarded);
    let lasting = of_client(&forwarded.flows, forwarded.lasting);
    assert!(lasting.len() > 1, "announced by the first: {lasting:#?}");
    for records in forwarded.flows.values() {
        let id = text(&records[0], flow::FLOW_ID);
        assert!(records.iter().all(|it| text(it, flow::FLOW_ID) == id));
        let numbers = records.iter().map(|it| number(it, flow::RECORD_NUMBER));
        assert!(numbers.is_sorted_by(|a, b| a < b), "{records:#?}");
    }
    sequence(&forwarded.records);
}

/// A pair of interfaces, one end of a given name here.
struct Named {
    name: String,
    there: String,
}

impl Named {
    fn new(name: String, namespace: &Namespace) -> Self {
        Self::with(name, namespace, "")
    }

    fn with(name: String, namespace: &Namespace, index: &str) -> Self {
        let there = unique_word();
        run(&format!(
            "ip link add {name}{index} type veth peer name {there} netns {}",
            namespace.name()
        ));
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1").unwrap();
        run(&format!("ip link set {name} up"));
        namespace.ip(&format!("link set {there} up"));
        Self { name, there }
    }

    fn rename(&mut self, name: String) {
        run(&format!("ip link set {} name {name}", self.name));
        self.name = name;
    }

    /// Sends datagrams to a port into it.
    fn receive(&self, namespace: &Namespace, port: u16, count: u32) {
        inject(
            namespace,
            &self.there,
            &port.to_string(),
            &count.to_string(),
        );
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        std::process::Command::new("ip")
            .args(["link", "delete", &self.name])
            .stderr(std::process::Stdio::null())
            .status()
            .ok();
    }
}

/// Interfaces on which flows to a port were told to have been seen, with the packets of each.
fn seen_on(receiver: &HttpReceiver, port: u64) -> Vec<(String, u64)> {
    let flows = flows_to(&receiver.records(), port);
    let mut seen: Vec<(String, u64)> = flows
        .values()
        .map(|records| {
            let end = records.last().unwrap();
            let name = text(end, flow::INTERFACE_NAME).unwrap_or_default();
            (name.to_owned(), number(end, flow::SOURCE_PACKETS))
        })
        .collect();
    seen.sort();
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn interfaces_that_went_came_or_changed_while_no_exporter_ran_are_sorted_out_by_the_next() {
    let far = Namespace::new();
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let word = unique_word();
    let named = |letter: char| format!("{word}-{letter}");
    let settings = settings_on(&pins, &receiver, &cgroup, &[&format!("{word}-?")]);
    let gone = Named::new(named('a'), &far);
    let replaced = Named::new(named('b'), &far);
    let mut renamed = Named::new(named('c'), &far);
    let mut left = Named::new(named('d'), &far);
    let moved = Named::new(named('e'), &far);
    let all = [&gone, &replaced, &renamed, &left, &moved].map(|it| index_of(&it.name));
    Exporter::start(&settings).stop();
    assert_eq!(interface_pins(&pins), expected_pins(&all));

    drop(gone);
    let [_, index, ..] = all;
    drop(replaced);
    let other = Named::with(named('f'), &far, &format!(" index {index}"));
    renamed.rename(named('g'));
    left.rename(unique_word());
    run(&format!("ip link set {} netns {}", moved.name, far.name()));
    let came = Named::new(named('h'), &far);
    other.receive(&far, 9001, 1);
    renamed.receive(&far, 9002, 2);
    left.receive(&far, 9003, 3);
    came.receive(&far, 9004, 4);

    let second = Exporter::start(&settings);
    let kept = [&other, &renamed, &came].map(|it| index_of(&it.name));
    assert_eq!(
        interface_pins(&pins),
        expected_pins(&kept),
        "{}",
        second.said
    );
    assert_eq!(second.said.matches("taken_over=true").count(), 1);
    assert_eq!(programs_on(&left.name), [0, 0], "no longer chosen");
    for interface in [&other, &renamed, &came] {
        assert_eq!(programs_on(&interface.name), [1, 1], "{}", interface.name);
    }
    other.receive(&far, 9005, 1);
    left.receive(&far, 9006, 1);
    came.receive(&far, 9007, 1);
    renamed.receive(&far, 9008, 1);
    until("what the captured interfaces saw", || {
        [(9002, 2), (9003, 3), (9005, 1), (9007, 1), (9008, 1)]
            .iter()
            .all(|(port, count)| seen_on(&receiver, *port).len() == *count)
    })
    .await;
    second.stop();
    let one = |name: &Named| vec![(name.name.clone(), 1)];
    assert_eq!(seen_on(&receiver, 9005), one(&other));
    assert_eq!(seen_on(&receiver, 9007), one(&came));
    assert_eq!(seen_on(&receiver, 9008), one(&renamed));
    assert_eq!(seen_on(&receiver, 9006), [], "no longer chosen");
    // While none ran: what was pinned counted, what came did not.
    let twice = vec![(renamed.name.clone(), 1); 2];
    assert_eq!(seen_on(&receiver, 9002), twice);
    assert_eq!(seen_on(&receiver, 9001), []);
    assert_eq!(seen_on(&receiver, 9004), []);
    // Counted under its pin, and told although it is no longer chosen.
    assert_eq!(seen_on(&receiver, 9003), vec![(left.name.clone(), 1); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_follow_interfaces_that_come_and_go_while_the_exporter_runs() {
    let far = Namespace::new();
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let word = unique_word();
    let settings = settings_on(&pins, &receiver, &cgroup, &[&format!("{word}-?")]);
    let exporter = Exporter::start(&settings);
    assert_eq!(interface_pins(&pins), Vec::<String>::new());
    let mut first = Named::new(format!("{word}-a"), &far);
    let second = Named::new(format!("{word}-b"), &far);
    let both = [&first, &second].map(|it| index_of(&it.name));
    until("both are pinned", || {
        interface_pins(&pins) == expected_pins(&both)
    })
    .await;
    drop(second);
    until("only the first is pinned", || {
        interface_pins(&pins) == expected_pins(&both[..1])
    })
    .await;
    first.rename(unique_word());
    until("none is pinned", || interface_pins(&pins).is_empty()).await;
    until("nothing hangs there", || programs_on(&first.name) == [0, 0]).await;
    first.rename(format!("{word}-c"));
    until("it is pinned again", || {
        interface_pins(&pins) == expected_pins(&both[..1])
    })
    .await;
    exporter.kill();
    assert_eq!(programs_on(&first.name), [1, 1], "it goes on");
    first.receive(&far, 9010, 5);
    let next = Exporter::start(&settings);
    until("what came while none ran is told", || {
        seen_on(&receiver, 9010).len() == 5
    })
    .await;
    next.stop();
}

/// A pair that is captured with pins, and an exporter that has ended.
struct Left {
    namespace: Namespace,
    pair: Pair,
    pins: BpfFileSystem,
    receiver: HttpReceiver,
    _cgroup: Cgroup,
    settings: Settings,
}

impl Left {
    async fn behind() -> Self {
        let namespace = Namespace::new();
        let pair = Pair::to(&namespace);
        let pins = BpfFileSystem::new();
        let receiver = HttpReceiver::start().await;
        let cgroup = Cgroup::new();
        let settings = settings_on(&pins, &receiver, &cgroup, &[&pair.here]);
        Exporter::start(&settings).stop();
        assert_eq!(programs_on(&pair.here), [1, 1]);
        Self {
            namespace,
            pair,
            pins,
            receiver,
            _cgroup: cgroup,
            settings,
        }
    }

    fn pin(&self, way: &str) -> PathBuf {
        let index = index_of(&self.pair.here);
        self.pins
            .pins()
            .join(format!("link-interface-{index}-{way}"))
    }

    fn receive(&self, port: &str, count: &str) {
        inject(&self.namespace, &self.pair.there, port, count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_is_none_of_its_interface_is_said_and_its_link_made_anew() {
    let left = Left::behind().await;
    let expected = interface_pins(&left.pins);
    let between = left.pins.pins().join("link-interface-0");
    for (from, to) in [
        (left.pin("in"), between.clone()),
        (left.pin("out"), left.pin("in")),
        (between, left.pin("out")),
    ] {
        std::fs::rename(from, to).unwrap();
    }
    let next = Exporter::start(&left.settings);
    let said = &next.said;
    assert_eq!(
        said.matches("does not hang on the interface").count(),
        2,
        "{said}"
    );
    assert!(said.contains("taken_over=false"), "{said}");
    assert_eq!(programs_on(&left.pair.here), [1, 1]);
    assert_eq!(interface_pins(&left.pins), expected);
    left.receive("9020", "3");
    until("what came is told", || {
        seen_on(&left.receiver, 9020).len() == 3
    })
    .await;
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn half_of_the_links_of_an_interface_is_taken_over_and_the_other_made() {
    let left = Left::behind().await;
    let expected = interface_pins(&left.pins);
    std::fs::remove_file(left.pin("in")).unwrap();
    until("only what leaves is seen", || {
        programs_on(&left.pair.here) == [0, 1]
    })
    .await;
    let next = Exporter::start(&left.settings);
    assert_eq!(programs_on(&left.pair.here), [1, 1]);
    assert_eq!(interface_pins(&left.pins), expected);
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exporter_that_captures_no_interface_any_more_ends_what_is_on_them_and_takes_over_the_rest()
 {
    let mut left = Left::behind().await;
    let mut others = left.pins.names();
    others.retain(|name| !name.starts_with("link-interface-"));
    left.settings.remove("INTERFACES__INCLUDE");
    let next = Exporter::start(&left.settings);
    assert!(next.said.contains("taking over"), "{}", next.said);
    assert_eq!(left.pins.names(), others);
    assert_eq!(programs_on(&left.pair.here), [0, 0]);
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_of_another_layout_leave_one_program_each_way_on_an_interface() {
    let mut left = Left::behind().await;
    left.settings
        .insert("CAPTURE__RING_BYTES", (64 << 10).to_string());
    let next = Exporter::start(&left.settings);
    assert!(next.said.contains("are replaced"), "{}", next.said);
    assert_eq!(programs_on(&left.pair.here), [1, 1]);
    left.receive("9030", "2");
    until("what came is told by the new kernel part", || {
        seen_on(&left.receiver, 9030).len() == 2
    })
    .await;
    next.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn unpin_takes_the_programs_off_interfaces() {
    let left = Left::behind().await;
    let removed = ask(&left.settings, &["unpin"]);
    assert!(removed.status.success());
    assert_eq!(left.pins.names(), Vec::<String>::new());
    until("nothing hangs there", || {
        programs_on(&left.pair.here) == [0, 0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forwarded_flows_that_find_no_room_while_no_exporter_runs_are_counted_by_the_next() {
    const SENT: u64 = 100;
    let mut left = Left::behind().await;
    let scraped = free_port();
    left.settings
        .insert("INTERFACES__MAX_FLOWS", "8".to_owned());
    left.settings.insert(
        "METRICS__PROMETHEUS__LISTEN",
        format!("127.0.0.1:{scraped}"),
    );
    Exporter::start(&left.settings).stop();
    left.receive("9040", "100");
    let next = Exporter::start(&left.settings);
    assert!(next.said.contains("taken_over=true"), "{}", next.said);
    let mut told = 0;
    let mut lost = 0;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    while told + lost < SENT {
        told = seen_on(&left.receiver, 9040).len() as u64;
        lost = metric(scraped, "beaconwatch_exporter_lost_total").await;
        assert!(
            tokio::time::Instant::now() < deadline,
            "{told} told, {lost} lost"
        );
        tokio::task::yield_now().await;
    }
    next.stop();
    assert!(told >= 8 && lost > 0, "{told} told, {lost} lost");
    assert_eq!(told + lost, SENT);
}

/// Makes an interface without link headers and, each time it is told to, lets a datagram arrive there, to the ports 9061, 9062, ...
const BARE: &str = "
import fcntl, socket, struct, subprocess, sys
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454ca, 1, 0x1000
tun = open('/dev/net/tun', 'r+b', buffering=0)
fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', sys.argv[1].encode(), IFF_TUN | IFF_NO_PI))
open('/proc/sys/net/ipv6/conf/' + sys.argv[1] + '/disable_ipv6', 'w').write('1')
subprocess.run(['ip', 'link', 'set', sys.argv[1], 'up'], check=True)
print(0, flush=True)
for port in range(9061, 9064):
    input()
    udp = struct.pack('>HHHH', 4000, port, 18, 0) + b'0123456789'
    ends = bytes([10, 1, 0, 1, 10, 2, 0, 2])
    tun.write(struct.pack('>BBHHHBBH', 0x45, 0, 38, 1, 0, 64, 17, 0) + ends + udp)
    print(port, flush=True)
input()
";

#[tokio::test(flavor = "multi_thread")]
async fn an_interface_without_link_headers_is_taken_over_with_the_programs_for_such() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let name = unique_word();
    let settings = settings_on(&pins, &receiver, &cgroup, &[&name]);
    let mut bare = python_with(BARE, &[&name]);
    bare.numbers();
    let mut arrives = || {
        bare.go_on();
        bare.numbers();
    };
    let first = Exporter::start(&settings);
    arrives();
    first.stop();
    arrives();
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taken_over=true"), "{}", second.said);
    assert_eq!(programs_on(&name), [1, 1]);
    arrives();
    let each = [9061, 9062, 9063];
    until("all are told", || {
        each.iter()
            .all(|port| !seen_on(&receiver, *port).is_empty())
    })
    .await;
    second.stop();
    for port in each {
        assert_eq!(seen_on(&receiver, port), [(name.clone(), 1)]);
    }
    bare.finish();
}

/// Two containers, each behind a pair of this host, which forwards between them.
struct Containers {
    hosts: [Namespace; 2],
    pairs: [Pair; 2],
}

impl Containers {
    fn new(subnet: u8) -> Self {
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

/// How many flows to the server a receiver was told in a role.
fn in_role(receiver: &HttpReceiver, role: &str) -> usize {
    let flows = flows_to(&receiver.records(), PORT);
    flows.keys().filter(|(_, of)| of == role).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_behind_address_translation_is_told_by_its_socket_alone_over_a_restart() {
    let containers = Containers::new(213);
    // The server has no way back to the container but by translation.
    containers.hosts[1].ip("route delete default");
    let captured = containers.pairs[1].here.as_str();
    let mut masquerade = python_with(MASQUERADE, &[&unique_word(), captured]);
    masquerade.numbers();
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    // Only the container's program is captured: the server is as good as on another machine.
    let cgroup = Cgroup::new();
    let settings = settings_on(&pins, &receiver, &cgroup, &[captured]);
    let mut server = containers.hosts[1].python(SERVER);
    server.port();

    let first = Exporter::start(&settings);
    let text = format!("input()\n{CLIENT}");
    let mut client = containers.hosts[0].python_with(&text, &["10.213.1.2"]);
    cgroup.take(client.pid());
    client.go_on();
    client.port();
    first.stop();
    client.go_on();
    client.numbers();
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taken_over=true"), "{}", second.said);
    client.go_on();
    client.numbers();
    until("the container's flows are told", || {
        in_role(&receiver, flow::ROLE_CLIENT) == 5
    })
    .await;
    client.finish();
    second.stop();
    masquerade.finish();
    assert_eq!(in_role(&receiver, flow::ROLE_TRANSIT), 0);
    assert_eq!(in_role(&receiver, flow::ROLE_CLIENT), 5);
}

/// Accepts one connection on port 7700 and, when it is told to, sends on it until it has an answer.
const SPEAKS_FIRST: &str = "
import socket
server = socket.create_server(('', 7700))
print(7700, flush=True)
connection = server.accept()[0]
input()
connection.sendall(b'x' * 100)
connection.recv(50, socket.MSG_WAITALL)
print(0, flush=True)
connection.recv(1)
";

/// Connects to an address and answers.
const LISTENS_FIRST: &str = "
import socket, sys
input()
connection = socket.create_connection((sys.argv[1], 7700))
print(connection.getsockname()[1], flush=True)
connection.recv(100, socket.MSG_WAITALL)
connection.sendall(b'x' * 50)
input()
";

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_containers_that_are_older_than_the_capture_of_interfaces_are_not_told_by_those()
{
    let containers = Containers::new(214);
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let both = [0, 1].map(|side: usize| containers.pairs[side].here.as_str());
    let mut settings = settings_on(&pins, &receiver, &cgroup, &both);
    settings.insert("INTERFACES__IDLE_TIMEOUT_S", "1".to_owned());
    let include = settings.remove("INTERFACES__INCLUDE").unwrap();
    let mut server = containers.hosts[1].python(SPEAKS_FIRST);
    server.port();

    let first = Exporter::start(&settings);
    let mut client = containers.hosts[0].python_with(LISTENS_FIRST, &["10.214.1.2"]);
    cgroup.take(client.pid());
    client.go_on();
    client.port();
    first.stop();
    settings.insert("INTERFACES__INCLUDE", include);
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taking over"), "{}", second.said);
    server.go_on();
    server.numbers();
    // Sent later and told when it is silent for as long: so would be what interfaces saw of the connection.
    inject(
        &containers.hosts[0],
        &containers.pairs[0].there,
        "9050",
        "1",
    );
    until("what came later is told", || {
        !seen_on(&receiver, 9050).is_empty()
    })
    .await;
    client.finish();
    server.finish();
    until("the connection has ended", || {
        let flows = flows_to(&receiver.records(), PORT);
        flows.values().any(|records| ends_of(records) == 1)
    })
    .await;
    second.stop();
    assert_eq!(in_role(&receiver, flow::ROLE_CLIENT), 1);
    assert_eq!(in_role(&receiver, flow::ROLE_TRANSIT), 0);
}
