//! From real sockets through the whole exporter to what a receiver reads.

use std::time::Duration;

use beaconwatch_exporter::Config;
use beaconwatch_schema::flow;

use crate::{
    receiver::{Record, number, text},
    running::Running,
    support::{Namespace, Program},
};

fn of_port(records: &[Record], port: u64, event: &str) -> Vec<Record> {
    let wanted = |record: &&Record| {
        number(record, flow::DESTINATION_PORT) == port
            && text(record, flow::EVENT) == Some(event)
            && text(record, flow::ROLE) == Some(flow::ROLE_CLIENT)
    };
    records.iter().filter(wanted).cloned().collect()
}

fn only(records: &[Record], port: u64, event: &str) -> Record {
    let found = of_port(records, port, event);
    assert_eq!(found.len(), 1, "{event} to {port}: {found:#?}");
    found[0].clone()
}

/// A name server for `named.test` and a process that asks it, another that does not, and a TLS client.
const NAMED: &str = "import socket, ssl, struct, subprocess, sys, threading\n\
    dns = socket.socket(type=socket.SOCK_DGRAM)\n\
    dns.bind(('127.0.0.1', 53))\n\
    def answer():\n\
    \tquestion, asker = dns.recvfrom(512)\n\
    \tdns.sendto(question[:2] + b'\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00' + question[12:]\n\
    \t\t+ b'\\xc0\\x0c\\x00\\x01\\x00\\x01' + struct.pack('>IH', 300, 4) + bytes([127, 0, 0, 9]), asker)\n\
    threading.Thread(target=answer).start()\n\
    def listener(address):\n\
    \treturn socket.create_server((address, 0))\n\
    def talk(server, data):\n\
    \tclient = socket.create_connection(server.getsockname())\n\
    \taccepted = server.accept()[0]\n\
    \tclient.sendall(data)\n\
    \taccepted.recv(65536)\n\
    \tclient.close()\n\
    \taccepted.close()\n\
    asker = socket.socket(type=socket.SOCK_DGRAM)\n\
    asker.connect(('127.0.0.1', 53))\n\
    asker.send(b'\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x05named\\x04test\\x00\\x00\\x01\\x00\\x01')\n\
    asker.recv(512)\n\
    asker.close()\n\
    by_name, other, tls, web = listener('127.0.0.9'), listener('127.0.0.8'), listener('127.0.0.9'), listener('127.0.0.9')\n\
    talk(by_name, b'hello')\n\
    talk(other, b'hello')\n\
    out = ssl.MemoryBIO()\n\
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname='beacon.example.org')\n\
    try:\n\
    \tclient.do_handshake()\n\
    except ssl.SSLWantReadError:\n\
    \tpass\n\
    talk(tls, out.read())\n\
    talk(web, b'GET /x HTTP/1.1\\r\\nHost: Shop.example.org:8080\\r\\nUser-Agent: probe/1\\r\\n\\r\\n')\n\
    print(*(server.getsockname()[1] for server in (by_name, other, tls, web)), flush=True)\n\
    input()\n";

#[tokio::test(flavor = "multi_thread")]
async fn flows_have_the_names_that_clients_asked_for_or_were_led_by() {
    let namespace = Namespace::new();
    let running = Running::start(&namespace, Config::default());
    let mut program: Program = namespace.python(NAMED);
    let [by_name, other, tls, web] = program.numbers().try_into().unwrap();
    program.finish();
    let records = running.finish().await;

    let end = only(&records, by_name, flow::EVENT_END);
    assert_eq!(text(&end, flow::SERVER_ADDRESS), Some("named.test"));
    assert_eq!(text(&end, flow::SERVER_NAME_ORIGIN), Some("dns"));
    let end = only(&records, other, flow::EVENT_END);
    assert_eq!(text(&end, flow::SERVER_ADDRESS), None);
    let end = only(&records, tls, flow::EVENT_END);
    assert_eq!(text(&end, flow::SERVER_ADDRESS), Some("beacon.example.org"));
    assert_eq!(text(&end, flow::SERVER_NAME_ORIGIN), Some("tls"));
    assert!(
        text(&end, flow::TLS_CLIENT_JA4)
            .unwrap()
            .starts_with("t13d")
    );
    assert_eq!(text(&end, flow::TLS_CLIENT_JA3).unwrap().len(), 32);
    let end = only(&records, web, flow::EVENT_END);
    assert_eq!(text(&end, flow::SERVER_ADDRESS), Some("shop.example.org"));
    assert_eq!(text(&end, flow::USER_AGENT), Some("probe/1"));
    assert_eq!(text(&end, flow::HTTP_REQUEST_METHOD), Some("GET"));
    let end = only(&records, 53, flow::EVENT_END);
    assert_eq!(text(&end, flow::DNS_QUESTION_NAME), Some("named.test"));
    assert_eq!(text(&end, flow::SERVER_ADDRESS), None);
}

/// A worker that answers under its own name and lives, and a program that is executed with a socket and ends. Port and process
/// of each.
const HANDLING: &str = "import os, socket, sys\n\
    def serve(work):\n\
    \tserver = socket.create_server(('127.0.0.1', 0))\n\
    \tclient = socket.create_connection(server.getsockname())\n\
    \tpid = os.fork()\n\
    \tif pid == 0:\n\
    \t\tclient.close()\n\
    \t\twork(server.accept()[0])\n\
    \tclient.sendall(b'hello')\n\
    \tassert client.recv(100) == b'hello'\n\
    \treturn client, server.getsockname()[1], pid\n\
    def answer(accepted):\n\
    \topen('/proc/self/comm', 'w').write('answerer')\n\
    \taccepted.sendall(accepted.recv(100))\n\
    \taccepted.close()\n\
    \tos.read(0, 1)\n\
    \tos._exit(0)\n\
    def execute(accepted):\n\
    \tos.dup2(accepted.fileno(), 0)\n\
    \tos.dup2(accepted.fileno(), 1)\n\
    \tos.execv('PROGRAM', ['head', '-c', '5'])\n\
    client, executed, gone = serve(execute)\n\
    os.waitpid(gone, 0)\n\
    client.recv(100)\n\
    client.close()\n\
    client, answered, lives = serve(answer)\n\
    client.recv(100)\n\
    client.close()\n\
    print(answered, lives, executed, gone, flush=True)\n\
    os.waitpid(lives, 0)\n";

#[tokio::test(flavor = "multi_thread")]
async fn who_answers_through_anothers_socket_is_named_also_when_it_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("a-long-named-program");
    std::fs::copy("/usr/bin/head", &copy).unwrap();
    let namespace = Namespace::new();
    let running = Running::start(&namespace, Config::default());
    let text_of = HANDLING.replace("PROGRAM", copy.to_str().unwrap());
    let mut program: Program = namespace.python(&text_of);
    let [answered, lives, executed, gone] = program.numbers().try_into().unwrap();
    let python = std::fs::read_link(format!("/proc/{lives}/exe")).unwrap();
    let records = running.finish().await;
    program.finish();

    let of = |port| {
        let is_end = |it: &&Record| {
            number(it, flow::DESTINATION_PORT) == port
                && text(it, flow::ROLE) == Some(flow::ROLE_SERVER)
                && text(it, flow::EVENT) == Some(flow::EVENT_END)
        };
        let record = records.iter().find(is_end).unwrap();
        (
            number(record, flow::HANDLER_PID),
            text(record, flow::HANDLER_NAME),
            text(record, flow::HANDLER_EXECUTABLE),
        )
    };
    assert_eq!(of(answered), (lives, Some("answerer"), python.to_str()));
    assert_eq!(of(executed), (gone, Some("a-long-named-pr"), copy.to_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn activity_in_a_kept_open_connection_is_told_with_what_was_exchanged() {
    let namespace = Namespace::new();
    let mut config = Config::default();
    config.capture.activity_idle_s = Duration::from_millis(300);
    let running = Running::start(&namespace, config);
    let mut program = namespace.python(
        "import socket, time\n\
         listener = socket.create_server(('127.0.0.1', 0))\n\
         client = socket.create_connection(listener.getsockname())\n\
         server = listener.accept()[0]\n\
         print(listener.getsockname()[1], flush=True)\n\
         for size in (10, 1000, 2000):\n\
         \tbefore = time.time_ns()\n\
         \tclient.sendall(b'q' * size)\n\
         \tprint(before, time.time_ns(), flush=True)\n\
         \tserver.recv(65536)\n\
         \tserver.sendall(b'a' * 5 * size)\n\
         \tgot = 0\n\
         \twhile got < 5 * size:\n\
         \t\tgot += len(client.recv(65536))\n\
         \ttime.sleep(0.5)\n\
         client.close()\n\
         server.close()\n\
         input()\n",
    );
    let port = u64::from(program.port());
    let sends: Vec<Vec<u64>> = (0..3).map(|_| program.numbers()).collect();
    program.finish();
    let records = running.finish().await;
    let activities = of_port(&records, port, flow::EVENT_ACTIVITY);
    assert_eq!(
        activities.len(),
        2,
        "the first exchange is the start: {activities:#?}"
    );
    for (activity, (send, size)) in activities.iter().zip(sends[1..].iter().zip([1000, 2000])) {
        // Both clocks are read one after the other: a millisecond is more than they differ.
        let time = number(activity, "time");
        let range = send[0] - 1_000_000..=send[1] + 1_000_000;
        assert!(range.contains(&time), "{time} in {range:?}");
        let sent = number(activity, flow::ACTIVITY_SOURCE_BYTES);
        let received = number(activity, flow::ACTIVITY_DESTINATION_BYTES);
        // Headers and bare acknowledgements are counted, too.
        assert!((size..size + 1500).contains(&sent), "{sent}");
        assert!(
            (5 * size..5 * size + 1500).contains(&received),
            "{received}"
        );
    }
    let end = only(&records, port, flow::EVENT_END);
    let events = records.iter().filter(|record| {
        number(record, flow::DESTINATION_PORT) == port
            && text(record, flow::ROLE) == Some(flow::ROLE_CLIENT)
    });
    let deltas: u64 = events
        .map(|record| number(record, flow::SOURCE_BYTES_DELTA))
        .sum();
    assert_eq!(deltas, number(&end, flow::SOURCE_BYTES));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_lives_on_is_announced_with_the_next_reading_of_the_live_flows() {
    let namespace = Namespace::new();
    let config = Config {
        snapshot_interval_s: Duration::from_secs(2),
        // Nothing else announces.
        flush_interval_s: Duration::from_mins(2),
        ..Config::default()
    };
    let mut running = Running::start(&namespace, config);
    let mut program = namespace.python(
        "import socket\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         ends = [socket.create_connection(server.getsockname()) for _ in range(2)]\n\
         print(ends[1].getsockname()[1], flush=True)\n\
         input()\n",
    );
    let second = u64::from(program.port());
    let start = running
        .until(|record| {
            number(record, flow::SOURCE_PORT) == second
                && text(record, flow::ROLE) == Some(flow::ROLE_CLIENT)
        })
        .await;
    assert_eq!(text(&start, flow::EVENT), Some(flow::EVENT_START));
    assert_eq!(number(&start, flow::RECORD_NUMBER), 0);
    let delay_ns = number(&start, "observed") - number(&start, "time");
    // A busy machine may be late; the flush would be later by far.
    assert!(delay_ns < 10_000_000_000, "{delay_ns}");
    program.finish();
    running.finish().await;
}

/// A process that lives for a connection only, by a link, and one that was born of it and executes nothing.
const SOON_GONE: &str = "import os, socket, sys\n\
    if len(sys.argv) > 1:\n\
    \tsocket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()\n\
    \tif os.fork() == 0:\n\
    \t\tsocket.create_connection(('127.0.0.1', int(sys.argv[1]))).close()\n\
    \tos._exit(0)\n";

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_were_gone_before_anybody_looked_have_their_executable() {
    let folder = tempfile::tempdir().unwrap();
    let python = std::fs::canonicalize("/usr/bin/python3").unwrap();
    let link = folder.path().join("python-by-another-name");
    std::os::unix::fs::symlink(&python, &link).unwrap();
    let script = folder.path().join("soon_gone.py");
    std::fs::write(&script, SOON_GONE).unwrap();
    let namespace = Namespace::new();
    let mut config = Config::default();
    // Nothing is read before all is over.
    config.process.proc_directory = folder.path().to_owned();
    let running = Running::start(&namespace, config);
    let mut program = namespace.python(&format!(
        "import socket, subprocess\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         port = server.getsockname()[1]\n\
         subprocess.run(['{}', '{}', str(port)], check=True)\n\
         server.accept(), server.accept()\n\
         print(port, flush=True)\n\
         input()\n",
        link.display(),
        script.display()
    ));
    let port = u64::from(program.port());
    program.finish();
    let ends = of_port(&running.finish().await, port, flow::EVENT_END);
    assert_eq!(ends.len(), 2, "{ends:#?}");
    for end in ends {
        let executable = text(&end, flow::PROCESS_EXECUTABLE_PATH);
        assert_eq!(executable, python.to_str());
    }
}
