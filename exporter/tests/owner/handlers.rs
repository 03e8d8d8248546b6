//! Processes that use another's socket: what records say of them, against what they say of themselves.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use beaconwatch_exporter::Config;
use beaconwatch_records::{FlowRecord, RecordKind};
use beaconwatch_schema::flow as names;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use super::support::{Running, owner_of, record, text};

/// A server whose forked child answers under a name of its own, and says who it is.
const FORKING: &str = "import os, socket\n\
    server = socket.create_server(('127.0.0.1', 0))\n\
    client = socket.create_connection(server.getsockname())\n\
    if os.fork() == 0:\n\
    \topen('/proc/self/comm', 'w').write('answerer')\n\
    \tserver.accept()[0].send(b'answer')\n\
    \tprint(os.getpid(), open('/proc/self/comm').read().strip(), os.readlink('/proc/self/exe'), flush=True)\n\
    \tos.read(0, 1)\n\
    \tos._exit(0)\n\
    client.recv(100)\n\
    os.wait()\n";

/// The program; pid, name and executable of its child.
fn forking() -> (Child, u32, String, String) {
    let mut program = Command::new("python3")
        .args(["-c", FORKING])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let mut words = line.trim().splitn(3, ' ').map(str::to_owned);
    let mut word = || words.next().unwrap();
    let pid = word().parse().unwrap();
    (program, pid, word(), word())
}

fn handled(record: FlowRecord, handler: u32) -> FlowRecord {
    FlowRecord {
        handler_pid: handler,
        handler_start_ns: owner_of(handler, 0).process_start_ns,
        ..record
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_is_known_after_the_opening_is_named_and_stays_so_after_its_end() {
    let (mut program, child, name, executable) = forking();
    let owner = owner_of(program.id(), 0);
    let exporter = Running::start(Config::default());
    exporter.send(vec![record(1, RecordKind::Open, owner)]);
    exporter.came(1).await;
    exporter.send(vec![
        handled(record(1, RecordKind::Close, owner), child),
        handled(record(2, RecordKind::Open, owner), child),
    ]);
    exporter.came(3).await;
    let close = handled(record(2, RecordKind::Close, owner), child);
    program.stdin.take().unwrap().write_all(b"x").unwrap();
    program.wait().unwrap();
    exporter.send(vec![close]);
    let records = exporter.came(4).await;
    exporter.stop().await;

    let (unhandled, handled): (Vec<_>, Vec<_>) = records
        .iter()
        .partition(|record| !record.contains_key(names::HANDLER_PID));
    assert_eq!((unhandled.len(), handled.len()), (1, 3));
    assert_eq!(text(unhandled[0], names::EVENT), Some(names::EVENT_START));
    assert!(!unhandled[0].contains_key(names::HANDLER_NAME));
    for record in handled {
        assert_eq!(record[names::HANDLER_PID], Value::IntValue(child.into()));
        assert_eq!(text(record, names::HANDLER_NAME), Some(name.as_str()));
        let told = text(record, names::HANDLER_EXECUTABLE);
        assert_eq!(told, Some(executable.as_str()));
        assert_ne!(text(record, names::PROCESS_EXECUTABLE_NAME), Some(&*name));
    }
}
