//! TCP flows.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use beaconwatch_exporter::capture::namespace;
use beaconwatch_records::{
    CloseReason, FLAG_OWN, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord, LOSS_COUNTERS,
    Protocol, RecordKind, Role,
};

use crate::support::{Namespace, Program, Watch, count, is, mapped, only, python};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn both_closed(records: &[FlowRecord]) -> bool {
    count(records, RecordKind::Close, Role::Client) == 1
        && count(records, RecordKind::Close, Role::Server) == 1
}

fn opened(records: &[FlowRecord]) -> usize {
    [Role::Client, Role::Server]
        .map(|role| count(records, RecordKind::Open, role))
        .into_iter()
        .sum()
}

/// Sends `request`, answers `response`; the client closes first. Returns the client's port.
fn exchange(server: &TcpListener, host: IpAddr, request: usize, response: usize) -> u16 {
    let address = SocketAddr::new(host, server.local_addr().unwrap().port());
    let mut client = TcpStream::connect(address).unwrap();
    let port = client.local_addr().unwrap().port();
    let (mut accepted, _) = server.accept().unwrap();
    let answering = std::thread::spawn(move || {
        let mut received = vec![0; request];
        accepted.read_exact(&mut received).unwrap();
        accepted.write_all(&vec![7; response]).unwrap();
        let mut rest = Vec::new();
        accepted.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    });
    client.write_all(&vec![5; request]).unwrap();
    let mut received = vec![0; response];
    client.read_exact(&mut received).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    answering.join().unwrap();
    port
}

async fn a_connection_is_seen_from_both_ends(listen: IpAddr, host: IpAddr) {
    let mut watch = Watch::tcp();
    let server = TcpListener::bind((listen, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let client_port = exchange(&server, host, 1_000, 300_000);
    let records = watch.until(port, both_closed).await;
    assert!(
        opened(&records) <= 1,
        "only the first of this process is told when it opens: {records:#?}"
    );
    assert_eq!(records.len(), 2 + opened(&records), "{records:#?}");
    for (role, local, remote, sent, received) in [
        (Role::Client, client_port, port, 1_000, 300_000),
        (Role::Server, port, client_port, 300_000, 1_000),
    ] {
        let close = only(&records, RecordKind::Close, role);
        for record in records.iter().filter(|record| record.role == role as u8) {
            assert_eq!((record.local_port, record.remote_port), (local, remote));
            assert_eq!(record.local_address, mapped(host));
            assert_eq!(record.remote_address, mapped(host));
            assert_eq!(record.protocol, Protocol::Tcp as u8);
            assert_ne!(
                record.flags & FLAG_OWN,
                0,
                "the sockets of this process are its own"
            );
            assert_eq!(record.flags & FLAG_START_INFERRED, 0);
            assert_eq!(
                (record.cookie, record.start_ns),
                (close.cookie, close.start_ns)
            );
        }
        assert!(close.start_ns <= close.last_packet_ns && close.last_packet_ns <= close.time_ns);
        assert_eq!(close.established, 1);
        assert_ne!(close.flags & FLAG_TCP_TOTALS, 0);
        assert_eq!(
            (close.payload_sent, close.payload_received),
            (sent, received),
            "{role:?}"
        );
        assert!(
            close.smoothed_rtt_us > 0,
            "a connection with answers has a round-trip time"
        );
        let counters = close.counters;
        // A segment that came twice counts twice as packet and once as payload.
        let once = records.iter().all(|record| record.retransmits == 0);
        let most = if once { 100 } else { u64::MAX };
        for (bytes, payload, packets) in [
            (counters.bytes_sent, sent, counters.packets_sent),
            (counters.bytes_received, received, counters.packets_received),
        ] {
            let headers = bytes - payload;
            let each = headers / packets;
            assert!(
                (40..=most).contains(&each),
                "{headers} on {packets} packets"
            );
        }
    }
    let reason = |role| only(&records, RecordKind::Close, role).close_reason;
    assert_eq!(reason(Role::Client), CloseReason::FinLocal as u8);
    assert_eq!(reason(Role::Server), CloseReason::FinRemote as u8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_connection_is_two_flows_with_exact_payload() {
    a_connection_is_seen_from_both_ends(LOCALHOST, LOCALHOST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_connection_is_two_flows_with_exact_payload() {
    a_connection_is_seen_from_both_ends(LOCALHOST_6, LOCALHOST_6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_connection_to_a_listener_of_both_families_has_ipv4_addresses() {
    a_connection_is_seen_from_both_ends(IpAddr::V6(Ipv6Addr::UNSPECIFIED), LOCALHOST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_connect_is_a_client_flow_that_was_refused() {
    let mut watch = Watch::tcp();
    let port = {
        let gone = TcpListener::bind((LOCALHOST, 0)).unwrap();
        gone.local_addr().unwrap().port()
    };
    let error = TcpStream::connect((LOCALHOST, port)).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let closed = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    let records = watch.until(port, closed).await;
    assert!(
        records
            .iter()
            .all(|record| record.role == Role::Client as u8),
        "no server flow: {records:#?}"
    );
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(close.close_reason, CloseReason::Refused as u8);
    assert_eq!(close.established, 0);
    assert_eq!((close.payload_sent, close.payload_received), (0, 0));
    assert_eq!(
        (close.counters.packets_sent, close.counters.packets_received),
        (1, 1)
    );
}

/// A program whose connect gets no answer; prints its port, and gives up when it is let go on.
fn unanswered(namespace: &Namespace) -> Program {
    namespace.ip("link add near type veth peer name far");
    namespace.ip("address add 192.0.2.1/24 dev near");
    namespace.ip("link set near up");
    namespace.ip("link set far up");
    namespace.python(
        "import socket\n\
         s = socket.socket()\n\
         s.setblocking(False)\n\
         s.connect_ex(('192.0.2.9', 9))\n\
         print(s.getsockname()[1], flush=True)\n\
         input()\n\
         s.close()\n",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connect_without_an_answer_that_is_given_up_had_no_reply() {
    let namespace = Namespace::new();
    let mut watch = Watch::tcp().inside(&namespace);
    let mut program = unanswered(&namespace);
    let port = program.port();
    let opened = watch.until(port, |records| !records.is_empty()).await;
    assert!(
        is(&opened[0], RecordKind::Open, Role::Client),
        "a process's first connection is told at once"
    );
    program.finish();
    let records = watch.until(port, |records| records.len() == 2).await;
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(close.close_reason, CloseReason::NoReply as u8);
    assert_eq!(close.established, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_aborted_was_reset_on_both_ends() {
    let mut watch = Watch::tcp();
    let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut client = TcpStream::connect((LOCALHOST, port)).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"hello").unwrap();
    accepted.read_exact(&mut [0; 5]).unwrap();
    abort(client);
    let records = watch.until(port, both_closed).await;
    for role in [Role::Client, Role::Server] {
        let close = only(&records, RecordKind::Close, role);
        assert_eq!(close.close_reason, CloseReason::Reset as u8, "{role:?}");
        assert_eq!(close.payload_sent + close.payload_received, 5, "{role:?}");
    }
}

/// Closes with a reset.
#[expect(unsafe_code, reason = "a system call")]
fn abort(stream: TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the kernel reads one linger.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            libc::socklen_t::try_from(size_of::<libc::linger>()).unwrap(),
        )
    };
    assert_eq!(result, 0);
    drop(stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_closes_first_the_payload_is_exact() {
    let mut watch = Watch::tcp();
    // The server closes without waiting: its socket is orphaned while the client still sends.
    for (sent, received) in [(0usize, 0usize), (1, 0), (0, 1), (10, 20_000)] {
        let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
        let port = server.local_addr().unwrap().port();
        let mut client = TcpStream::connect((LOCALHOST, port)).unwrap();
        let (mut accepted, _) = server.accept().unwrap();
        client.write_all(&vec![1; sent]).unwrap();
        accepted.read_exact(&mut vec![0; sent]).unwrap();
        accepted.write_all(&vec![2; received]).unwrap();
        drop(accepted);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), received);
        drop(client);
        let records = watch.until(port, both_closed).await;
        let ends = [Role::Client, Role::Server].map(|role| {
            let close = only(&records, RecordKind::Close, role);
            (
                close.payload_sent,
                close.payload_received,
                close.close_reason,
            )
        });
        let (sent, received) = (sent as u64, received as u64);
        let (remote, local) = (CloseReason::FinRemote as u8, CloseReason::FinLocal as u8);
        assert_eq!(ends, [(sent, received, remote), (received, sent, local)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_short_connections_are_two_thousand_flows_of_each_role() {
    let namespace = Namespace::new();
    let mut watch = Watch::tcp().inside(&namespace);
    let mut program = namespace.python(
        "import socket, threading\n\
         server = socket.create_server(('127.0.0.1', 0), backlog=4096)\n\
         port = server.getsockname()[1]\n\
         print(port, flush=True)\n\
         def serve():\n\
         \tfor _ in range(2000):\n\
         \t\tend, _ = server.accept()\n\
         \t\tend.sendall(end.recv(100))\n\
         \t\tend.close()\n\
         thread = threading.Thread(target=serve)\n\
         thread.start()\n\
         for number in range(2000):\n\
         \tclient = socket.create_connection(('127.0.0.1', port))\n\
         \tclient.sendall(b'x' * (number % 100 + 1))\n\
         \twhile client.recv(100): pass\n\
         \tclient.close()\n\
         thread.join()\n",
    );
    let port = program.port();
    let records = watch
        .until(port, |records| {
            count(records, RecordKind::Close, Role::Client) >= 2000
                && count(records, RecordKind::Close, Role::Server) >= 2000
        })
        .await;
    program.finish();
    let payload: u64 = (0..2000).map(|number| number % 100 + 1).sum();
    for role in [Role::Client, Role::Server] {
        let mut flows: Vec<_> = records
            .iter()
            .filter(|record| is(record, RecordKind::Close, role))
            .map(|record| (record.cookie, record.start_ns))
            .collect();
        flows.sort_unstable();
        flows.dedup();
        assert_eq!(flows.len(), 2000, "{role:?}");
        let closes = records
            .iter()
            .filter(|record| is(record, RecordKind::Close, role));
        let (sent, received) = closes.fold((0, 0), |(sent, received), record| {
            (
                sent + record.payload_sent,
                received + record.payload_received,
            )
        });
        assert_eq!((sent, received), (payload, payload), "{role:?}");
    }
    // Another process may drive this one out of its place among those that were told.
    assert!((1..10).contains(&opened(&records)), "one process");
    assert_eq!(records.len(), 4000 + opened(&records), "nothing else");
    assert_eq!(watch.capture.losses().unwrap(), [0; LOSS_COUNTERS as usize]);
    assert_eq!(watch.capture.malformed(), 0);
}

/// Start of a process in clock ticks, as `/proc` shows it.
fn start_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').nth(19).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_names_process_user_cgroup_and_network_namespace() {
    let namespace = Namespace::new();
    let mut watch = Watch::tcp().inside(&namespace);
    let mut program = namespace.python(
        "import encodings.idna, os, socket\n\
         os.setuid(65534)\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         client = socket.create_connection(server.getsockname())\n\
         end, _ = server.accept()\n\
         print(server.getsockname()[1], flush=True)\n\
         input()\n",
    );
    let port = program.port();
    let records = watch
        .until_live(port, |records| {
            count(records, RecordKind::Update, Role::Server) >= 1
                && count(records, RecordKind::Update, Role::Client) >= 1
        })
        .await;
    let pid = program.pid();
    let cgroup = cgroup_of(pid);
    assert_eq!(count(&records, RecordKind::Open, Role::Client), 1);
    for record in &records {
        assert_eq!(record.owner.pid, pid);
        assert_eq!(record.owner.uid, 65534);
        assert_eq!(&record.owner.comm[..8], b"python3\0");
        assert_eq!(record.owner.cgroup_id, cgroup);
        assert_eq!(record.owner.process_start_ns / 10_000_000, start_ticks(pid));
        assert_eq!(record.netns_cookie, namespace.cookie);
        assert_ne!(record.netns_cookie, namespace::own_cookie().unwrap());
        assert_eq!(record.flags & FLAG_OWN, 0);
    }
    program.finish();
}

/// Id of the cgroup v2 directory of a process: its inode.
fn cgroup_of(pid: u32) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::"))
        .unwrap();
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .unwrap();
    let root = root.split(' ').nth(1).unwrap();
    std::fs::metadata(format!("{root}{path}")).unwrap().ino()
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_of_this_process_have_the_cookie_of_its_namespace() {
    let mut watch = Watch::tcp();
    let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    exchange(&server, LOCALHOST, 1, 1);
    let records = watch.until(port, both_closed).await;
    let own = namespace::own_cookie().unwrap();
    assert!(records.iter().all(|record| record.netns_cookie == own));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_is_who_connects_and_not_who_made_the_socket() {
    let mut watch = Watch::tcp();
    let mut program = python(
        "import os, socket\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         client = socket.socket()\n\
         child = os.fork()\n\
         if child == 0:\n\
         \topen('/proc/self/comm', 'w').write('connector')\n\
         \tos.setuid(1234)\n\
         \tclient.connect(server.getsockname())\n\
         \tos._exit(0)\n\
         os.waitpid(child, 0)\n\
         print(server.getsockname()[1], child, flush=True)\n\
         input()\n",
    );
    let numbers = program.numbers();
    let port = u16::try_from(numbers[0]).unwrap();
    let records = watch.until(port, |records| records.len() >= 2).await;
    let client = only(&records, RecordKind::Open, Role::Client);
    assert_eq!(u64::from(client.owner.pid), numbers[1]);
    assert_eq!(client.owner.uid, 1234);
    assert_eq!(&client.owner.comm[..10], b"connector\0");
    assert!(client.owner.process_start_ns > 0 && client.owner.process_start_ns < client.start_ns);
    let server = only(&records, RecordKind::Open, Role::Server);
    assert_eq!(server.owner.pid, program.pid());
    program.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_accepts_from_anothers_listener_is_the_handler() {
    let mut watch = Watch::tcp();
    let mut program = python(
        "import os, socket\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         def child(work):\n\
         \tpid = os.fork()\n\
         \tif pid == 0:\n\
         \t\twork()\n\
         \t\tos._exit(0)\n\
         \treturn pid\n\
         def answer():\n\
         \taccepted = server.accept()[0]\n\
         \taccepted.recv(100)\n\
         \taccepted.send(b'answer')\n\
         \taccepted.recv(100)\n\
         worker = child(answer)\n\
         client = socket.create_connection(server.getsockname())\n\
         client.send(b'question')\n\
         client.recv(100)\n\
         client.close()\n\
         os.waitpid(worker, 0)\n\
         print(server.getsockname()[1], worker, flush=True)\n\
         input()\n",
    );
    let numbers = program.numbers();
    let port = u16::try_from(numbers[0]).unwrap();
    let records = watch.until(port, both_closed).await;
    let server = only(&records, RecordKind::Close, Role::Server);
    assert_eq!(server.owner.pid, program.pid());
    assert_eq!(u64::from(server.handler_pid), numbers[1]);
    assert!(server.handler_start_ns > server.owner.process_start_ns);
    assert!(server.handler_start_ns < server.time_ns);
    let client = only(&records, RecordKind::Close, Role::Client);
    assert_eq!((client.handler_pid, client.handler_start_ns), (0, 0));
    program.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_left_with_a_passed_socket_is_the_handler() {
    let mut watch = Watch::tcp();
    let mut program = python(
        "import os, socket\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         client = socket.create_connection(server.getsockname())\n\
         accepted = server.accept()[0]\n\
         child = os.fork()\n\
         if child == 0:\n\
         \taccepted.close()\n\
         \tclient.recv(100)\n\
         \tos._exit(0)\n\
         client.close()\n\
         accepted.send(b'x')\n\
         os.waitpid(child, 0)\n\
         accepted.close()\n\
         print(server.getsockname()[1], child, flush=True)\n\
         input()\n",
    );
    let numbers = program.numbers();
    let port = u16::try_from(numbers[0]).unwrap();
    let records = watch.until(port, both_closed).await;
    let client = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(client.owner.pid, program.pid());
    assert_eq!(u64::from(client.handler_pid), numbers[1]);
    program.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn live_flows_are_told_at_once_and_with_growing_counters() {
    let mut watch = Watch::tcp();
    let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut client = TcpStream::connect((LOCALHOST, port)).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    watch.live();
    let first = watch.of(port);
    client.write_all(&[0; 5000]).unwrap();
    accepted.read_exact(&mut [0; 5000]).unwrap();
    let received = |record: &FlowRecord| {
        is(record, RecordKind::Update, Role::Server) && record.counters.bytes_received > 5000
    };
    let records = watch
        .until_live(port, |records| records.iter().any(received))
        .await;
    for role in [Role::Client, Role::Server] {
        only(&first, RecordKind::Update, role);
        let updates: Vec<_> = records
            .iter()
            .filter(|record| is(record, RecordKind::Update, role))
            .collect();
        assert!(
            updates
                .windows(2)
                .all(|pair| pair[0].time_ns <= pair[1].time_ns)
        );
        assert!(updates.iter().all(|record| record.established == 1));
        let (first, last) = (updates[0], updates[updates.len() - 1]);
        let bytes =
            |record: &FlowRecord| record.counters.bytes_sent + record.counters.bytes_received;
        assert!(bytes(last) >= bytes(first) + 5000, "{role:?}");
        assert_eq!((first.cookie, first.start_ns), (last.cookie, last.start_ns));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_process_the_first_connection_is_told_when_it_opens_and_after_a_new_name_again() {
    let namespace = Namespace::new();
    let mut watch = Watch::tcp().inside(&namespace);
    let mut program = namespace.python(
        "import socket\n\
         server = socket.create_server(('127.0.0.1', 0))\n\
         ends = []\n\
         def connect():\n\
         \tends.append(socket.create_connection(server.getsockname()))\n\
         \tends.append(server.accept()[0])\n\
         \treturn ends[-2].getsockname()[1]\n\
         first = connect()\n\
         second = connect()\n\
         open('/proc/self/comm', 'w').write('another')\n\
         third = connect()\n\
         print(server.getsockname()[1], first, second, third, flush=True)\n\
         input()\n",
    );
    let numbers = program.numbers();
    let [port, first, second, third] = numbers[..] else {
        panic!("{numbers:?}")
    };
    let port = u16::try_from(port).unwrap();
    let live = |records: &[FlowRecord]| count(records, RecordKind::Update, Role::Server) >= 3;
    let records = watch.until_live(port, live).await;
    let opened: Vec<u64> = records
        .iter()
        .filter(|record| is(record, RecordKind::Open, Role::Client))
        .map(|record| u64::from(record.local_port))
        .collect();
    assert!(opened.contains(&first) && opened.contains(&third));
    assert!(!opened.contains(&second), "{opened:?}");
    program.finish();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_older_than_the_capture_is_told_at_once_and_to_its_end() {
    let server = TcpListener::bind((LOCALHOST, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut client = TcpStream::connect((LOCALHOST, port)).unwrap();
    let (mut accepted, _) = server.accept().unwrap();
    client.write_all(b"before").unwrap();
    accepted.read_exact(&mut [0; 6]).unwrap();
    let mut watch = Watch::tcp();
    let records = watch.until(port, |records| records.len() == 2).await;
    for role in [Role::Client, Role::Server] {
        let open = only(&records, RecordKind::Open, role);
        assert_ne!(open.flags & FLAG_START_INFERRED, 0);
        assert_eq!(open.owner.pid, std::process::id());
        assert_eq!(open.local_address, mapped(LOCALHOST));
        assert_eq!(open.netns_cookie, namespace::own_cookie().unwrap());
        let local_is_service = open.local_port == port;
        assert_eq!(
            local_is_service,
            role == Role::Server,
            "who listens was called"
        );
    }
    client.write_all(b"while").unwrap();
    accepted.read_exact(&mut [0; 5]).unwrap();
    drop(client);
    accepted.read_to_end(&mut Vec::new()).unwrap();
    drop(accepted);
    let records = watch.until(port, both_closed).await;
    for (role, reason, sent, received) in [
        (Role::Client, CloseReason::FinLocal, 11, 0),
        (Role::Server, CloseReason::FinRemote, 0, 11),
    ] {
        let close = only(&records, RecordKind::Close, role);
        assert_eq!(close.close_reason, reason as u8);
        assert_eq!(
            (close.payload_sent, close.payload_received),
            (sent, received)
        );
        assert!(close.counters.packets_sent > 0 && close.counters.packets_received > 0);
    }
    assert_eq!(count(&records, RecordKind::Open, Role::Client), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_its_way_when_the_capture_starts_is_told_once() {
    let namespace = Namespace::new();
    let mut program = unanswered(&namespace);
    let port = program.port();
    let mut watch = Watch::tcp().inside(&namespace);
    let records = watch.until(port, |records| !records.is_empty()).await;
    let open = only(&records, RecordKind::Open, Role::Client);
    assert_ne!(open.flags & FLAG_START_INFERRED, 0);
    assert_ne!(open.owner.pid, 0);
    program.finish();
    let closed = |records: &[FlowRecord]| count(records, RecordKind::Close, Role::Client) == 1;
    let records = watch.until(port, closed).await;
    let close = only(&records, RecordKind::Close, Role::Client);
    assert_eq!(close.close_reason, CloseReason::NoReply as u8);
    assert_eq!(close.established, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_older_than_the_capture_still_gives_whole_flows() {
    let server = TcpListener::bind((LOCALHOST_6, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let mut watch = Watch::tcp();
    exchange(&server, LOCALHOST_6, 10, 20);
    let records = watch.until(port, both_closed).await;
    let close = only(&records, RecordKind::Close, Role::Server);
    assert_eq!((close.payload_sent, close.payload_received), (20, 10));
    assert_eq!(close.flags & FLAG_START_INFERRED, 0, "the start was seen");
    assert_eq!(
        close.owner.pid,
        std::process::id(),
        "who holds the listener"
    );
    assert_eq!(close.netns_cookie, namespace::own_cookie().unwrap());
}
