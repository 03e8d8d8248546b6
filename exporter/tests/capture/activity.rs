//! Activity inside live connections.

use std::time::Duration;

use beaconwatch_exporter::capture::CaptureSettings;
use beaconwatch_records::{FlowRecord, Protocol, RecordKind, Role};

use crate::support::{Namespace, Watch, count, is};

/// Long enough that no pause between two sends of one exchange reaches it on a busy machine.
const IDLE: Duration = Duration::from_millis(400);

/// Two ends of one connection. The server sends a byte every 20 ms all the time; the client sends after the
/// pauses and prints before and after each send what the boot clock says, then its port.
const KEPT_OPEN: &str = "import socket, threading, time\n\
    clock = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)\n\
    listener = socket.create_server(('127.0.0.1', 0))\n\
    over = threading.Event()\n\
    def serve():\n\
    \taccepted = listener.accept()[0]\n\
    \taccepted.setblocking(False)\n\
    \twhile not over.wait(0.02):\n\
    \t\taccepted.send(b'.')\n\
    \taccepted.close()\n\
    server = threading.Thread(target=serve)\n\
    server.start()\n\
    client = socket.create_connection(listener.getsockname())\n\
    print(client.getsockname()[1], flush=True)\n\
    client.send(b'x' * 200)\n\
    for pause, length in PAUSES:\n\
    \tend = time.monotonic() + pause\n\
    \twhile time.monotonic() < end:\n\
    \t\tclient.recv(100)\n\
    \tbefore = clock()\n\
    \tclient.send(b'y' * length)\n\
    \tprint(before, clock(), flush=True)\n\
    input()\n\
    over.set()\n\
    server.join()\n\
    client.close()\n";

fn watch(protocol: Protocol, namespace: &Namespace) -> Watch {
    let settings = CaptureSettings {
        activity_idle: IDLE,
        ..CaptureSettings::default()
    };
    Watch::with(protocol, &settings).inside(namespace)
}

fn activities(records: &[FlowRecord]) -> Vec<FlowRecord> {
    records
        .iter()
        .filter(|record| is(record, RecordKind::Activity, Role::Client))
        .copied()
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_kept_open_connection_sends_after_an_idle_time_is_told_at_its_time() {
    let namespace = Namespace::new();
    let mut watch = watch(Protocol::Tcp, &namespace);
    let pauses = "[(0.6, 50), (0.7, 3000), (0.5, 1)]";
    let mut program = namespace.python(&KEPT_OPEN.replace("PAUSES", pauses));
    let port = program.port();
    let sends: Vec<Vec<u64>> = (0..3).map(|_| program.numbers()).collect();
    let records = watch
        .until(port, |records| activities(records).len() == 3)
        .await;
    for (activity, send) in activities(&records).iter().zip(&sends) {
        assert!(
            (send[0]..=send[1]).contains(&activity.time_ns),
            "{} is not within the send, {send:?}",
            activity.time_ns
        );
        // The server never stopped: its bytes hide nothing and are counted.
        assert!(activity.counters.bytes_received > 0);
    }
    let [first, second, third] = activities(&records).try_into().unwrap();
    let payload = |later: &FlowRecord, sooner: &FlowRecord| {
        later.counters.bytes_sent - sooner.counters.bytes_sent
    };
    assert!(payload(&second, &first) >= 50);
    assert!(payload(&third, &second) >= 3000);
    program.finish();
    let closed = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    let records = watch.until(port, closed).await;
    assert_eq!(activities(&records).len(), 3, "closing is no activity");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_never_pauses_has_no_activity() {
    let namespace = Namespace::new();
    let mut watch = watch(Protocol::Tcp, &namespace);
    let pauses = "[(0.01, 50)] * 100";
    let mut program = namespace.python(&KEPT_OPEN.replace("PAUSES", pauses));
    let port = program.port();
    let sends: Vec<Vec<u64>> = (0..100).map(|_| program.numbers()).collect();
    program.finish();
    let closed = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    let records = watch.until(port, closed).await;
    // A busy machine may have made pauses that were not asked for; the program's clock tells.
    let longest = sends.windows(2).map(|two| two[1][1] - two[0][0]).max();
    if longest.unwrap() < u64::try_from(IDLE.as_nanos()).unwrap() {
        assert_eq!(activities(&records), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn datagrams_after_an_idle_time_are_activity_too() {
    let namespace = Namespace::new();
    let mut watch = watch(Protocol::Udp, &namespace);
    let mut program = namespace.python(
        "import socket, time\n\
         clock = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)\n\
         server = socket.socket(type=socket.SOCK_DGRAM)\n\
         server.bind(('127.0.0.1', 0))\n\
         client = socket.socket(type=socket.SOCK_DGRAM)\n\
         client.connect(server.getsockname())\n\
         print(server.getsockname()[1], flush=True)\n\
         for pause in [0, 0.6, 0.6]:\n\
         \ttime.sleep(pause)\n\
         \tbefore = clock()\n\
         \tclient.send(b'question')\n\
         \tprint(before, clock(), flush=True)\n\
         input()\n",
    );
    let port = program.port();
    let sends: Vec<Vec<u64>> = (0..3).map(|_| program.numbers()).collect();
    let records = watch
        .until(port, |records| activities(records).len() == 2)
        .await;
    for (activity, send) in activities(&records).iter().zip(&sends[1..]) {
        assert!((send[0]..=send[1]).contains(&activity.time_ns));
    }
    program.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_no_activity_is_told() {
    let namespace = Namespace::new();
    let settings = CaptureSettings {
        activity_idle: Duration::ZERO,
        ..CaptureSettings::default()
    };
    let mut watch = Watch::with(Protocol::Tcp, &settings).inside(&namespace);
    let mut program = namespace.python(&KEPT_OPEN.replace("PAUSES", "[(1.2, 50)]"));
    let port = program.port();
    program.numbers();
    program.finish();
    let closed = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    let records = watch.until(port, closed).await;
    assert_eq!(activities(&records), []);
}
