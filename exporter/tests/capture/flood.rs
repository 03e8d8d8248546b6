//! Tens of thousands of short connections of several processes, which count for themselves.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use beaconwatch_exporter::Config;
use beaconwatch_schema::flow;

use crate::{
    receiver::{Record, number, text},
    running::Running,
    support::{Namespace, Program},
};

const CLIENTS: u64 = 4;
const CONNECTIONS: u64 = 12_500;

/// Listens on four ports of IPv4 and four of IPv6 and prints them; each connection asks with one byte for each
/// that it wants and is closed by the server. Prints how many there were, and bytes received and sent.
const SERVER: &str = "import socket, threading\n\
    listeners = [socket.create_server(('127.0.0.1', 0), backlog=4096) for _ in range(4)]\n\
    listeners += [socket.create_server(('::1', 0), family=socket.AF_INET6, backlog=4096) for _ in range(4)]\n\
    print(*(listener.getsockname()[1] for listener in listeners), flush=True)\n\
    counts = []\n\
    def serve(listener):\n\
    \tmade = received = sent = 0\n\
    \twhile True:\n\
    \t\taccepted = listener.accept()[0]\n\
    \t\tasked = accepted.recv(4096)\n\
    \t\tif asked == b'end':\n\
    \t\t\tbreak\n\
    \t\taccepted.sendall(b'a' * len(asked))\n\
    \t\taccepted.close()\n\
    \t\tmade, received, sent = made + 1, received + len(asked), sent + len(asked)\n\
    \tcounts.append((made, received, sent))\n\
    threads = [threading.Thread(target=serve, args=(listener,)) for listener in listeners]\n\
    for thread in threads:\n\
    \tthread.start()\n\
    input()\n\
    for listener in listeners:\n\
    \tsocket.create_connection(listener.getsockname()[:2]).sendall(b'end')\n\
    for thread in threads:\n\
    \tthread.join()\n\
    print(*(sum(column) for column in zip(*counts)), flush=True)\n\
    input()\n";

/// Connects to the ports in turn; prints how many connections it made, and bytes sent and received.
const CLIENT: &str = "import socket\n\
    ports = PORTS\n\
    made = sent = received = 0\n\
    for i in range(COUNT):\n\
    \tplace = i % len(ports)\n\
    \thost = '127.0.0.1' if place % 8 < 4 else '::1'\n\
    \tclient = socket.create_connection((host, ports[place]))\n\
    \tasked = b'q' * (i % 97 + 1)\n\
    \tclient.sendall(asked)\n\
    \twhile answer := client.recv(4096):\n\
    \t\treceived += len(answer)\n\
    \tclient.close()\n\
    \tmade, sent = made + 1, sent + len(asked)\n\
    print(made, sent, received, flush=True)\n\
    input()\n";

/// What the ends of a process's flows add up to: how many, payload sent and received.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    flows: u64,
    sent: u64,
    received: u64,
}

/// By process and role; every flow once.
fn sums(records: &[Record]) -> BTreeMap<(u64, String), Sum> {
    let mut seen = HashSet::new();
    let mut sums: BTreeMap<(u64, String), Sum> = BTreeMap::new();
    for record in records {
        if text(record, flow::EVENT) != Some(flow::EVENT_END)
            || text(record, flow::TRANSPORT) != Some("tcp")
        {
            continue;
        }
        let id = text(record, flow::FLOW_ID).unwrap().to_owned();
        assert!(seen.insert(id), "a flow ended twice: {record:#?}");
        let role = text(record, flow::ROLE).unwrap();
        let (sent, received) = if role == flow::ROLE_CLIENT {
            (flow::SOURCE_PAYLOAD_BYTES, flow::DESTINATION_PAYLOAD_BYTES)
        } else {
            (flow::DESTINATION_PAYLOAD_BYTES, flow::SOURCE_PAYLOAD_BYTES)
        };
        let process = number(record, flow::PROCESS_PID);
        let sum = sums.entry((process, role.to_owned())).or_default();
        sum.flows += 1;
        sum.sent += number(record, sent);
        sum.received += number(record, received);
    }
    sums
}

fn sum_of(program: &mut Program) -> Sum {
    let [flows, first, second] = program.numbers().try_into().unwrap();
    Sum {
        flows,
        sent: first,
        received: second,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_connections_are_told_once_each_with_process_and_bytes() {
    let namespace = Namespace::new();
    let mut config = Config::default();
    // Room for all: how fast this machine reads while it floods itself is no matter here.
    config.capture.ring_bytes = 64 << 20;
    config.queue.max_records = 1_000_000;
    config.queue.max_bytes = 1 << 30;
    config.drain_timeout_s = Duration::from_mins(5);
    let running = Running::start(&namespace, config);
    let mut servers: Vec<Program> = (0..2).map(|_| namespace.python(SERVER)).collect();
    let ports: Vec<u64> = servers.iter_mut().flat_map(Program::numbers).collect();
    let client = CLIENT
        .replace("PORTS", &format!("{ports:?}"))
        .replace("COUNT", &CONNECTIONS.to_string());
    let mut clients: Vec<Program> = (0..CLIENTS).map(|_| namespace.python(&client)).collect();
    let mut expected = BTreeMap::new();
    for client in &mut clients {
        let sum = sum_of(client);
        assert_eq!(sum.flows, CONNECTIONS);
        let key = (u64::from(client.pid()), flow::ROLE_CLIENT.to_owned());
        expected.insert(key, sum);
    }
    for server in &mut servers {
        server.go_on();
        let pid = u64::from(server.pid());
        let counted = sum_of(server);
        // It counts received bytes first. Eight connections end its eight threads, three bytes each.
        let accepted = Sum {
            flows: counted.flows + 8,
            sent: counted.received,
            received: counted.sent + 24,
        };
        let ending = Sum {
            flows: 8,
            sent: 24,
            received: 0,
        };
        expected.insert((pid, flow::ROLE_SERVER.to_owned()), accepted);
        expected.insert((pid, flow::ROLE_CLIENT.to_owned()), ending);
    }
    for program in clients.into_iter().chain(servers) {
        program.finish();
    }
    assert_eq!(sums(&running.finish().await), expected);
}
