//! Restarts over pins: the traffic of an independent program goes on, in order, after a SIGKILL, and over pins that do not fit.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use aya::maps::{Array, Map, MapData};
use beaconwatch_schema::flow;

use crate::{
    receiver::{Record, number, text},
    successor::{BpfFileSystem, Exporter, HttpReceiver, ask, metric, settings, until},
    support::{Cgroup, Namespace, Program},
};

/// Makes connections one after the other, each with bytes of its own, until it is told to end; prints each twentieth's number.
/// One more is open all the time. In the end it prints how many there were, the open one's client, and of each
/// connection its client (the last half of its address, and its port) and the bytes that the client sent and received.
const STEADY: &str = "import socket, threading\n\
    def end(client):\n\
    \taddress, port = client.getsockname()\n\
    \treturn int.from_bytes(socket.inet_aton(address)[2:], 'big') << 16 | port\n\
    server = socket.create_server(('127.0.0.1', 0))\n\
    address = server.getsockname()\n\
    print(address[1], flush=True)\n\
    kept = socket.create_connection(address)\n\
    far = server.accept()[0]\n\
    kept.sendall(b'k' * 100)\n\
    far.recv(100, socket.MSG_WAITALL)\n\
    over = threading.Event()\n\
    told = threading.Thread(target=lambda: (input(), over.set()))\n\
    told.start()\n\
    made = []\n\
    while not over.is_set():\n\
    \tnumber = len(made) + 2\n\
    \tsource = f'127.0.{number >> 8}.{number & 255}'\n\
    \tclient = socket.create_connection(address, source_address=(source, 0))\n\
    \taccepted = server.accept()[0]\n\
    \tsent, received = len(made) % 97 + 1, len(made) % 89 + 1\n\
    \tclient.sendall(b'q' * sent)\n\
    \taccepted.recv(sent, socket.MSG_WAITALL)\n\
    \taccepted.sendall(b'a' * received)\n\
    \tclient.recv(received, socket.MSG_WAITALL)\n\
    \tmade.append((end(client), sent, received))\n\
    \tclient.close()\n\
    \taccepted.recv(1)\n\
    \taccepted.close()\n\
    \tif len(made) % 20 == 0:\n\
    \t\tprint(len(made), flush=True)\n\
    \tover.wait(0.005)\n\
    kept.sendall(b'k' * 1000)\n\
    far.recv(1000, socket.MSG_WAITALL)\n\
    mine = end(kept)\n\
    kept.close()\n\
    far.recv(1)\n\
    far.close()\n\
    print(0, flush=True)\n\
    print(len(made), mine, flush=True)\n\
    for one in made:\n\
    \tprint(*one, flush=True)\n\
    input()\n";

/// Reads how far [`STEADY`] is until it has made `more` connections; returns how many it has.
fn until_made(program: &mut Program, more: u64, before: u64) -> u64 {
    loop {
        let made = program.numbers()[0];
        if made >= before + more {
            return made;
        }
    }
}

/// The records of each flow, by the end that initiated it, as the programs print it, and the role of the one that is told.
pub(crate) type Flows = BTreeMap<(u64, String), Vec<Record>>;

pub(crate) fn flows_to(records: &[Record], port: u64) -> Flows {
    let mut flows = Flows::new();
    let wanted = |record: &&Record| {
        record.contains_key(flow::FLOW_ID) && number(record, flow::DESTINATION_PORT) == port
    };
    for record in records.iter().filter(wanted) {
        let role = text(record, flow::ROLE).unwrap().to_owned();
        let address = text(record, flow::SOURCE_ADDRESS).unwrap();
        let [.., high, low] = address.parse::<Ipv4Addr>().unwrap().octets();
        let host = u64::from(u16::from_be_bytes([high, low]));
        let key = (host << 16 | number(record, flow::SOURCE_PORT), role);
        flows.entry(key).or_default().push(record.clone());
    }
    flows
}

/// Asserts that a flow was announced once and ended once, under one identity and start, and that its deltas are whole; returns
/// its end.
pub(crate) fn whole(records: &[Record]) -> &Record {
    let numbers: Vec<u64> = records
        .iter()
        .map(|record| number(record, flow::RECORD_NUMBER))
        .collect();
    let expected: Vec<u64> = (0..records.len() as u64).collect();
    assert_eq!(numbers, expected, "{records:#?}");
    let same = |name: &str| {
        let values: BTreeSet<String> = records
            .iter()
            .map(|record| format!("{:?}", record[name]))
            .collect();
        assert_eq!(values.len(), 1, "{name}: {records:#?}");
    };
    same(flow::FLOW_ID);
    same(flow::START_TIME);
    let is_end = |record: &&Record| text(record, flow::EVENT) == Some(flow::EVENT_END);
    assert_eq!(records.iter().filter(is_end).count(), 1, "{records:#?}");
    let end = records.last().unwrap();
    assert_eq!(
        text(end, flow::EVENT),
        Some(flow::EVENT_END),
        "{records:#?}"
    );
    for (delta, total) in [
        (flow::SOURCE_BYTES_DELTA, flow::SOURCE_BYTES),
        (flow::DESTINATION_BYTES_DELTA, flow::DESTINATION_BYTES),
        (flow::SOURCE_PACKETS_DELTA, flow::SOURCE_PACKETS),
    ] {
        let deltas: u64 = records.iter().map(|record| number(record, delta)).sum();
        assert_eq!(deltas, number(end, total), "{delta}: {records:#?}");
    }
    end
}

/// Numbers of records, and that one exporter made them all.
pub(crate) fn sequence(records: &[Record]) -> BTreeSet<u64> {
    let exporters: BTreeSet<_> = records
        .iter()
        .map(|record| text(record, flow::EXPORTER_ID).unwrap())
        .collect();
    assert_eq!(exporters.len(), 1, "{exporters:?}");
    let numbers: BTreeSet<u64> = records
        .iter()
        .map(|record| number(record, flow::EXPORTER_SEQUENCE))
        .collect();
    assert_eq!(numbers.len(), records.len(), "no record comes twice");
    numbers
}

/// What a program counted itself and what a receiver was told of it, while the exporter was started anew.
struct Restarted {
    /// Bytes that each connection's client sent and got, by the client.
    expected: BTreeMap<u64, (u64, u64)>,
    /// The client whose connection was open all the time.
    kept: u64,
    /// The program's flows.
    flows: Flows,
    records: Vec<Record>,
    receiver_port: u64,
}

/// Runs [`STEADY`] while `end` ends an exporter, while none runs, and while the next one does.
async fn restart_under_traffic(end: impl FnOnce(Exporter)) -> Restarted {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());

    let first = Exporter::start(&settings);
    // Its own connection is told, too.
    cgroup.take(first.pid());
    let mut program = cgroup.python(STEADY);
    program.go_on();
    let port = u64::from(program.port());
    let mut made = until_made(&mut program, 200, 0);
    end(first);
    made = until_made(&mut program, 200, made);
    let second = Exporter::start(&settings);
    cgroup.take(second.pid());
    assert!(second.said.contains("taking over"), "{}", second.said);
    until_made(&mut program, 200, made);
    program.go_on();
    until_over(&mut program);
    let [count, kept] = program.numbers().try_into().unwrap();
    let mut expected = BTreeMap::from([(kept, (1100, 0))]);
    for _ in 0..count {
        let [client, sent, answered] = program.numbers().try_into().unwrap();
        let before = expected.insert(client, (sent, answered));
        assert_eq!(before, None, "a client came again");
    }
    program.finish();
    second.stop();

    let records = receiver.records();
    Restarted {
        expected,
        kept,
        flows: flows_to(&records, port),
        records,
        receiver_port: receiver.port.into(),
    }
}

/// Asserts that an end says of a connection what its client counted.
fn assert_counted(restarted: &Restarted, client: u64, end: &Record) {
    let (sent, answered) = restarted.expected[&client];
    assert_eq!(number(end, flow::SOURCE_PAYLOAD_BYTES), sent, "{end:#?}");
    let received = number(end, flow::DESTINATION_PAYLOAD_BYTES);
    assert_eq!(received, answered, "{end:#?}");
    assert_eq!(end.get(flow::START_INFERRED), None, "{end:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_restart_under_traffic_tells_every_connection_once_and_whole() {
    let restarted = restart_under_traffic(Exporter::stop).await;
    let flows = &restarted.flows;
    assert_eq!(
        flows.len(),
        2 * restarted.expected.len(),
        "both ends of each"
    );
    for ((client, _), records) in flows {
        assert_counted(&restarted, *client, whole(records));
    }
    let open = &flows[&(restarted.kept, flow::ROLE_CLIENT.to_owned())];
    assert!(open.len() > 1, "its start was told before: {open:#?}");

    let numbers = sequence(&restarted.records);
    assert_eq!(numbers.first(), Some(&0));
    let last = numbers.len() as u64 - 1;
    assert_eq!(numbers.last(), Some(&last), "no gap");
    let own = flows_to(&restarted.records, restarted.receiver_port);
    let clients: Vec<_> = own
        .iter()
        .filter(|((_, role), _)| role == flow::ROLE_CLIENT)
        .collect();
    assert!(!clients.is_empty());
    for (_, records) in clients {
        let marked = |record: &Record| record.contains_key(flow::OWN);
        assert!(records.iter().all(marked), "of either run: {records:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sigkill_under_traffic_loses_no_more_flows_than_numbers_are_missing() {
    let restarted = restart_under_traffic(Exporter::kill).await;
    let numbers = sequence(&restarted.records);
    let missing = numbers.last().unwrap() + 1 - numbers.len() as u64;
    let mut damaged = 2 * restarted.expected.len() - restarted.flows.len();
    for ((client, _), records) in &restarted.flows {
        let of_flow: Vec<u64> = records
            .iter()
            .map(|record| number(record, flow::RECORD_NUMBER))
            .collect();
        let distinct: BTreeSet<&u64> = of_flow.iter().collect();
        assert_eq!(distinct.len(), of_flow.len(), "told twice: {records:#?}");
        let whole_numbers = of_flow.iter().copied().eq(0..of_flow.len() as u64);
        let last = records.last().unwrap();
        if whole_numbers && text(last, flow::EVENT) == Some(flow::EVENT_END) {
            assert_counted(&restarted, *client, whole(records));
        } else {
            damaged += 1;
        }
    }
    assert!(
        damaged as u64 <= missing,
        "{damaged} flows damaged, {missing} numbers missing"
    );
    let open = &restarted.flows[&(restarted.kept, flow::ROLE_CLIENT.to_owned())];
    assert_eq!(
        text(open.last().unwrap(), flow::EVENT),
        Some(flow::EVENT_END)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_of_the_whole_host_that_takes_over_does_not_open_what_is_open() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("DRAIN_TIMEOUT_S", "60".to_owned());
    let namespace = Namespace::new();
    let first = Exporter::start(&settings);
    let mut program = namespace.python(
        "import socket\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         client = socket.create_connection(server.getsockname())\n\
         accepted = server.accept()[0]\n\
         print(server.getsockname()[1], flush=True)\n\
         input()\n\
         client.close()\n\
         accepted.recv(1)\n\
         accepted.close()\n",
    );
    let port = u64::from(program.port());
    first.stop();
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taking over"), "{}", second.said);
    program.finish();
    second.stop();
    let records = receiver.records();
    let cookie = namespace.cookie.to_string();
    let is_programs = |record: &&Record| text(record, flow::NETWORK_NAMESPACE) == Some(&cookie);
    let of_program: Vec<Record> = records.iter().filter(is_programs).cloned().collect();
    let flows = flows_to(&of_program, port);
    assert_eq!(flows.len(), 2);
    for records in flows.values() {
        let end = whole(records);
        assert_eq!(end.get(flow::START_INFERRED), None, "{end:#?}");
        assert!(records.len() > 1, "announced by the first: {records:#?}");
    }
}

/// Skips the progress that came before the end.
fn until_over(program: &mut Program) {
    while program.numbers() != [0] {}
}

/// Makes so many connections and one exchange of datagrams each time it is told to, and prints their clients.
const BURSTS: &str = "import socket\n\
    def end(client):\n\
    \taddress, port = client.getsockname()\n\
    \treturn int.from_bytes(socket.inet_aton(address)[2:], 'big') << 16 | port\n\
    server = socket.create_server(('127.0.0.1', 0))\n\
    peer = socket.socket(type=socket.SOCK_DGRAM)\n\
    peer.bind(('127.0.0.1', 0))\n\
    print(server.getsockname()[1], peer.getsockname()[1], flush=True)\n\
    while True:\n\
    \tinput()\n\
    \tports = []\n\
    \tfor _ in range(30):\n\
    \t\tclient = socket.create_connection(server.getsockname())\n\
    \t\taccepted = server.accept()[0]\n\
    \t\tclient.sendall(b'q')\n\
    \t\taccepted.recv(1)\n\
    \t\tports.append(end(client))\n\
    \t\tclient.close()\n\
    \t\taccepted.recv(1)\n\
    \t\taccepted.close()\n\
    \tudp = socket.socket(type=socket.SOCK_DGRAM)\n\
    \tudp.connect(peer.getsockname())\n\
    \tudp.send(b'x')\n\
    \tports.append(end(udp))\n\
    \tudp.close()\n\
    \tprint(*ports, flush=True)\n";

const BURST: usize = 30;
const FLOWS_SEEN: &str = "beaconwatch_network_flow_count_total";
const FLOWS_LIVE: &str = "beaconwatch_network_flow_active";
/// The kernel part's records of a connection at one end that nobody reads meanwhile: its end.
const RECORDS: u64 = 1;

/// A program in a cgroup of its own.
struct Bursts {
    program: Program,
    tcp: u64,
    udp: u64,
}

impl Bursts {
    fn start(cgroup: &Cgroup) -> Self {
        Self::with(cgroup, BURSTS)
    }

    fn with(cgroup: &Cgroup, text: &str) -> Self {
        let mut program = cgroup.python(text);
        program.go_on();
        let [tcp, udp] = program.numbers().try_into().unwrap();
        Self { program, tcp, udp }
    }

    /// Clients of the connections, and that of the datagram.
    fn burst(&mut self) -> (BTreeSet<u64>, u64) {
        self.program.go_on();
        let ports = self.program.numbers();
        let (udp, tcp) = ports.split_last().unwrap();
        assert_eq!(tcp.len(), BURST);
        (tcp.iter().copied().collect(), *udp)
    }
}

/// Clients of the flows that ended.
fn ended(records: &[Record], port: u64, role: &str) -> BTreeSet<u64> {
    let flows = flows_to(records, port).into_iter();
    let ended = flows.filter(|((_, of), records)| {
        of == role
            && records
                .iter()
                .any(|record| text(record, flow::EVENT) == Some(flow::EVENT_END))
    });
    ended.map(|((client, _), _)| client).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_sigkill_takes_is_a_gap_and_what_happens_meanwhile_comes_out() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    let scraped = free_port();
    settings.insert(
        "METRICS__PROMETHEUS__LISTEN",
        format!("127.0.0.1:{scraped}"),
    );
    let mut bursts = Bursts::start(&cgroup);
    let (tcp, udp) = (bursts.tcp, bursts.udp);

    let first = Exporter::start(&settings);
    let (told, _) = bursts.burst();
    until("the first burst is told", || {
        let records = receiver.records();
        [flow::ROLE_CLIENT, flow::ROLE_SERVER]
            .iter()
            .all(|role| told.is_subset(&ended(&records, tcp, role)))
    })
    .await;
    receiver.hold();
    let (taken, _) = bursts.burst();
    // Each TCP connection is a flow at either end; the datagrams' flows end with their sockets, but for the peer's.
    let flows = 2 * (2 * BURST as u64) + 2 + 2;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    loop {
        let seen = metric(scraped, FLOWS_SEEN).await;
        let live = metric(scraped, FLOWS_LIVE).await;
        if seen == flows && live <= 2 {
            break;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "{seen} flows, {live} live"
        );
        tokio::task::yield_now().await;
    }
    let before = receiver.records();
    let made = metric(scraped, "beaconwatch_exporter_records_total").await;
    first.kill();
    let (unattended, datagram) = bursts.burst();
    receiver.go_on();
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taking over"), "{}", second.said);
    let (after, _) = bursts.burst();
    second.stop();

    let records = receiver.records();
    let numbers = sequence(&records);
    let missing = numbers.last().unwrap() + 1 - numbers.len() as u64;
    // A request that was held is either lost with the connection or taken by the receiver after all.
    let late = records.iter().filter(|record| {
        number(record, flow::EXPORTER_SEQUENCE) < made && !before.contains(record)
    });
    let lost = made - before.len() as u64 - late.count() as u64;
    assert!(lost > 0, "the receiver took nothing of the second burst");
    assert_eq!(missing, lost, "the gap is what was made and lost");

    let flows = flows_to(&records, tcp);
    for role in [flow::ROLE_CLIENT, flow::ROLE_SERVER] {
        let gone = taken
            .iter()
            .filter(|client| !flows.contains_key(&(**client, role.to_owned())))
            .count();
        assert!(
            gone as u64 <= missing,
            "{gone} flows lost, {missing} numbers missing"
        );
        for client in told.iter().chain(&unattended).chain(&after) {
            whole(&flows[&(*client, role.to_owned())]);
        }
    }
    let datagrams = flows_to(&records, udp);
    whole(&datagrams[&(datagram, flow::ROLE_CLIENT.to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_full_ring_loses_while_no_exporter_runs_is_counted_once_by_the_next() {
    const UNATTENDED: u64 = 6;
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    settings.insert("CAPTURE__RING_BYTES", (64 << 10).to_string());
    let scraped = free_port();
    settings.insert(
        "METRICS__PROMETHEUS__LISTEN",
        format!("127.0.0.1:{scraped}"),
    );
    let without_datagrams = BURSTS.replace("\tudp.send(b'x')\n", "");
    assert_ne!(without_datagrams, BURSTS);
    let mut bursts = Bursts::with(&cgroup, &without_datagrams);
    Exporter::start(&settings).stop();
    for _ in 0..UNATTENDED {
        bursts.burst();
    }
    let second = Exporter::start(&settings);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_mins(1);
    while metric(scraped, FLOWS_SEEN).await == 0 || metric(scraped, FLOWS_LIVE).await > 0 {
        assert!(tokio::time::Instant::now() < deadline, "flows live on");
        tokio::task::yield_now().await;
    }
    let lost = metric(scraped, "beaconwatch_exporter_lost_total").await;
    second.stop();

    let flows = flows_to(&receiver.records(), bursts.tcp);
    let known = flows.values().map(|records| {
        let end = whole(records);
        // Without a reason the end was lost, and the kernel no longer knew the flow.
        if end.contains_key(flow::CLOSE_REASON) {
            RECORDS
        } else {
            1
        }
    });
    let known: u64 = known.sum();
    assert!(lost > 0 && known > 0);
    assert_eq!(known + lost, UNATTENDED * 2 * BURST as u64 * RECORDS);

    let third = Exporter::start(&settings);
    bursts.burst();
    while metric(scraped, FLOWS_SEEN).await == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(metric(scraped, "beaconwatch_exporter_lost_total").await, 0);
    third.stop();
}

pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Changes the version of the layout that pins say they have: the eighth word of the ledger.
fn spoil_layout(pins: &BpfFileSystem) {
    let map = MapData::from_pin(pins.pins().join("ledger-state")).unwrap();
    let mut state = Array::<_, [u64; 43]>::try_from(Map::Array(map)).unwrap();
    let mut words = state.get(&0, 0).unwrap();
    words[7] += 1;
    state.set(0, words, 0).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pins_that_do_not_fit_are_replaced_and_what_nobody_read_is_counted() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    let mut bursts = Bursts::start(&cgroup);
    Exporter::start(&settings).stop();

    let (first, _) = bursts.burst();
    spoil_layout(&pins);
    let other_layout = Exporter::start(&settings);
    let said = &other_layout.said;
    assert!(
        said.contains("replaced") && said.contains("layout"),
        "{said}"
    );
    assert!(said.contains("never read"), "{said}");
    let (second, _) = bursts.burst();
    other_layout.stop();

    let names = pins.names();
    settings.insert("CAPTURE__RING_BYTES", (64 << 10).to_string());
    let other_size = Exporter::start(&settings);
    let said = &other_size.said;
    assert!(said.contains("map RECORDS has another size"), "{said}");
    let (third, _) = bursts.burst();
    other_size.stop();
    assert_eq!(pins.names(), names, "nothing is left over");

    let last = Exporter::start(&settings);
    assert!(last.said.contains("taking over"), "{}", last.said);
    let (fourth, _) = bursts.burst();
    last.stop();

    let records = receiver.records();
    let flows = flows_to(&records, bursts.tcp);
    for role in [flow::ROLE_CLIENT, flow::ROLE_SERVER] {
        for client in second.iter().chain(&third).chain(&fourth) {
            whole(&flows[&(*client, role.to_owned())]);
        }
        let told = first
            .iter()
            .filter(|it| flows.contains_key(&(**it, role.to_owned())));
        assert_eq!(told.count(), 0, "counted as never read");
    }
    let numbers = sequence(&records);
    assert_eq!(numbers.last(), Some(&(numbers.len() as u64 - 1)), "no gap");
}

/// What hangs at the hooks of a cgroup, as the doctor sees it.
fn hooks(settings: &crate::successor::Settings) -> Vec<String> {
    let output = ask(settings, &["doctor", "--format", "json", "--log", "off"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap().iter();
    let hooks = checks.filter(|check| check["name"].as_str().unwrap().starts_with("hook "));
    hooks
        .map(|check| check["finding"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn unpin_ends_the_kernel_part_but_not_below_a_running_exporter() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    let free = hooks(&settings);
    assert_eq!(free.len(), 5);

    let exporter = Exporter::start(&settings);
    let refused = ask(&settings, &["unpin"]);
    assert_eq!(refused.status.code(), Some(1));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(message.contains("in use by another exporter"), "{message}");
    exporter.stop();
    assert_ne!(hooks(&settings), free, "the kernel part goes on");
    let count = pins.names().len();
    assert!(count > 10, "{:?}", pins.names());

    let removed = ask(&settings, &["unpin"]);
    assert!(removed.status.success());
    let message = String::from_utf8(removed.stdout).unwrap();
    assert!(
        message.starts_with(&format!("{count} pins removed")),
        "{message}"
    );
    assert_eq!(pins.names(), Vec::<String>::new());
    until("nothing hangs at the hooks", || hooks(&settings) == free).await;
    let again = ask(&settings, &["unpin", pins.pins().to_str().unwrap()]);
    assert!(
        String::from_utf8(again.stdout)
            .unwrap()
            .starts_with("0 pins")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_exporter_and_an_ordinary_directory_are_refused() {
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    let _running = Exporter::start(&settings);
    let second = ask(&settings, &[]);
    let message = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(message.contains("in use by another exporter"), "{message}");

    let ordinary = tempfile::tempdir().unwrap();
    let path = ordinary.path().display().to_string();
    settings.insert("CAPTURE__PIN_DIRECTORY", path.clone());
    let refused = ask(&settings, &[]);
    let message = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        message.contains(&format!("{path} is not in a BPF file system")),
        "{message}"
    );
}
