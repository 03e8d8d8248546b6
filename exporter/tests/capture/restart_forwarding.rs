//! Restarts while traffic is forwarded: packets are counted as the hosts count them, and what sockets tell is told by them alone.

use std::collections::BTreeMap;

use beaconwatch_schema::flow;

use crate::{
    interfaces::{Containers, MASQUERADE, Network},
    receiver::{Record, number, text},
    restart::{Flows, flows_to, sequence, whole},
    restart_interfaces::{inject, programs_on, seen_on, settings_on},
    successor::{BpfFileSystem, Exporter, HttpReceiver, until},
    support::{Cgroup, python_with, unique_word},
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
