//! Slices of payload: what the kernel part hands out, and where it stops.

use beaconwatch_exporter::capture::CaptureSettings;
use beaconwatch_records::{Direction, FlowRecord, Protocol, RecordKind, Role};

use crate::support::{Namespace, OwnedSlice, Watch, count};

/// Starts a client and a server that exchange what `text` says; prints the port of the server first, then
/// lines of hexadecimal digits.
const PAIR: &str = "import socket, ssl, threading\n\
    listener = socket.create_server((HOST, PORT), family=FAMILY)\n\
    client = socket.create_connection(listener.getsockname()[:2])\n\
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n\
    server = listener.accept()[0]\n\
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n\
    def sent(sender, receiver, data):\n\
    \tsender.sendall(data)\n\
    \tgot = b''\n\
    \twhile len(got) < len(data):\n\
    \t\tgot += receiver.recv(65536)\n\
    def hello(name, protocols):\n\
    \tcontext = ssl.create_default_context()\n\
    \tcontext.set_alpn_protocols(protocols)\n\
    \tout = ssl.MemoryBIO()\n\
    \ttls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)\n\
    \ttry:\n\
    \t\ttls.do_handshake()\n\
    \texcept ssl.SSLWantReadError:\n\
    \t\tpass\n\
    \treturn out.read()\n\
    print(listener.getsockname()[1], flush=True)\n";

const END: &str = "\nclient.close()\nserver.close()\ninput()\n";

fn pair(text: &str, host: &str, port: u16) -> String {
    let family = if host.contains(':') {
        "AF_INET6"
    } else {
        "AF_INET"
    };
    let pair = PAIR
        .replace("HOST", &format!("'{host}'"))
        .replace("PORT", &port.to_string())
        .replace("FAMILY", &format!("socket.{family}"));
    format!("{pair}{text}{END}")
}

fn closed(records: &[FlowRecord]) -> bool {
    count(records, RecordKind::Close, Role::Client) == 1
        && count(records, RecordKind::Close, Role::Server) == 1
}

/// The bytes of one end's slices of one direction, in the order of the stream.
fn stream(slices: &[OwnedSlice], role: Role, direction: Direction) -> Vec<u8> {
    let mut found: Vec<&OwnedSlice> = slices
        .iter()
        .filter(|slice| {
            slice.header.role == role as u8 && slice.header.direction == direction as u8
        })
        .collect();
    let first = found.first().map_or(0, |slice| slice.header.sequence);
    found.sort_by_key(|slice| slice.header.sequence.wrapping_sub(first));
    for two in found.windows(2) {
        let next = two[0].header.sequence.wrapping_add(two[0].header.length);
        assert_eq!(next, two[1].header.sequence, "slices follow each other");
    }
    found.iter().flat_map(|slice| slice.bytes.clone()).collect()
}

/// Runs a pair; returns its slices and the lines of bytes that it printed.
async fn exchange(
    text: &str,
    host: &str,
    port: u16,
    lines: usize,
) -> (Vec<OwnedSlice>, Vec<Vec<u8>>) {
    let namespace = Namespace::new();
    let mut watch = Watch::tcp().inside(&namespace);
    let mut program = namespace.python(&pair(text, host, port));
    let port = program.port();
    let printed = (0..lines).map(|_| program.bytes()).collect();
    watch.until(port, closed).await;
    let slices = watch.slices(port);
    program.finish();
    (slices, printed)
}

async fn a_hello_is_handed_out_whole(host: &str, parts: usize) {
    let text = format!(
        "data = hello('beacon.example.org', ['h2', 'http/1.1'])\n\
         size = -(-len(data) // {parts})\n\
         for at in range(0, len(data), size):\n\
         \tsent(client, server, data[at:at + size])\n\
         print(data.hex(), flush=True)\n\
         sent(server, client, b'answer' * 1000)\n\
         for _ in range(50):\n\
         \tsent(client, server, b'secret' * 100)\n"
    );
    let (slices, printed) = exchange(&text, host, 0, 1).await;
    for (role, direction) in [
        (Role::Client, Direction::Sent),
        (Role::Server, Direction::Received),
    ] {
        let bytes = stream(&slices, role, direction);
        assert!(
            bytes.starts_with(&printed[0]),
            "{role:?}: {} of {} bytes of the hello",
            bytes.len(),
            printed[0].len()
        );
        // A little more than the hello may be looked at, never the conversation.
        assert!(
            bytes.len() <= printed[0].len() + 600,
            "{role:?}: {}",
            bytes.len()
        );
    }
    assert!(stream(&slices, Role::Client, Direction::Received).is_empty());
    assert!(stream(&slices, Role::Server, Direction::Sent).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_in_one_segment_is_handed_out_whole() {
    a_hello_is_handed_out_whole("127.0.0.1", 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_over_ipv6_in_four_segments_is_handed_out_whole() {
    a_hello_is_handed_out_whole("::1", 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hello_that_begins_with_a_single_byte_is_handed_out_whole() {
    let text = "data = hello('beacon.example.org', ['h2'])\n\
         sent(client, server, data[:1])\n\
         sent(client, server, data[1:])\n\
         print(data.hex(), flush=True)\n";
    let (slices, printed) = exchange(text, "127.0.0.1", 0, 1).await;
    let bytes = stream(&slices, Role::Client, Direction::Sent);
    assert!(bytes.starts_with(&printed[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_http_the_first_request_is_handed_out() {
    let text = "sent(client, server, b'POST /submit HTTP/1.1\\r\\nHost: beacon.example.org\\r\\n\\r\\n')\n\
         sent(server, client, b'HTTP/1.1 204 No Content\\r\\n\\r\\n')\n\
         sent(client, server, b'GET /second HTTP/1.1\\r\\nHost: other.example.org\\r\\n\\r\\n')\n";
    let (slices, _) = exchange(text, "127.0.0.1", 0, 0).await;
    let request = b"POST /submit HTTP/1.1\r\nHost: beacon.example.org\r\n\r\n";
    assert_eq!(stream(&slices, Role::Client, Direction::Sent), request);
    assert_eq!(stream(&slices, Role::Server, Direction::Received), request);
    assert_eq!(slices.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_none_of_these_is_not_handed_out() {
    for text in [
        "sent(client, server, b'SSH-2.0-client\\r\\n')\n",
        "sent(server, client, b'220 mail\\r\\n')\nsent(client, server, hello('a.example', ['h2']))\n",
        "sent(client, server, b'\\x16\\x03\\x01\\x00\\x04\\x02\\x00\\x00\\x00no hello')\n",
    ] {
        let (slices, _) = exchange(text, "127.0.0.1", 0, 0).await;
        assert_eq!(slices, [], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_over_tcp_is_handed_out_both_ways() {
    let text = "sent(client, server, b'\\x00\\x08question')\n\
         sent(server, client, b'\\x00\\x06answer' + bytes(3000))\n\
         sent(client, server, b'\\x00\\x06second')\n";
    let (slices, _) = exchange(text, "127.0.0.1", 53, 0).await;
    let asked = b"\x00\x08question\x00\x06second";
    assert_eq!(stream(&slices, Role::Client, Direction::Sent), asked);
    assert_eq!(stream(&slices, Role::Server, Direction::Received), asked);
    let answered = [b"\x00\x06answer".as_slice(), &[0; 3000]].concat();
    assert_eq!(stream(&slices, Role::Client, Direction::Received), answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_is_handed_out() {
    let namespace = Namespace::new();
    let settings = CaptureSettings {
        take_slices: false,
        ..CaptureSettings::default()
    };
    let mut watch = Watch::with(Protocol::Tcp, &settings).inside(&namespace);
    let text = "sent(client, server, hello('beacon.example.org', ['h2']))\n";
    let mut program = namespace.python(&pair(text, "127.0.0.1", 0));
    let port = program.port();
    watch.until(port, closed).await;
    assert_eq!(watch.slices(port), []);
    program.finish();
}

/// Datagrams from a client to a server at `port` and back; each end's in order.
const DATAGRAMS: &str = "import socket\n\
    server = socket.socket(type=socket.SOCK_DGRAM)\n\
    server.bind(('127.0.0.1', PORT))\n\
    client = socket.socket(type=socket.SOCK_DGRAM)\n\
    client.connect(server.getsockname())\n\
    for data in ASKED:\n\
    \tclient.send(data)\n\
    \taddress = server.recvfrom(65536)[1]\n\
    \tserver.sendto(b'answer', address)\n\
    \tclient.recv(100)\n\
    print(server.getsockname()[1], flush=True)\n\
    client.close()\n\
    server.close()\n\
    input()\n";

async fn datagrams(port: u16, asked: &str) -> Vec<OwnedSlice> {
    let namespace = Namespace::new();
    let mut watch = Watch::udp().inside(&namespace);
    let text = DATAGRAMS
        .replace("PORT", &port.to_string())
        .replace("ASKED", asked);
    let mut program = namespace.python(&text);
    let port = program.port();
    watch.until(port, closed).await;
    let slices = watch.slices(port);
    program.finish();
    slices
}

fn bytes_of(slices: &[OwnedSlice], role: Role, direction: Direction) -> Vec<Vec<u8>> {
    slices
        .iter()
        .filter(|slice| {
            slice.header.role == role as u8 && slice.header.direction == direction as u8
        })
        .map(|slice| slice.bytes.clone())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dns_message_over_udp_is_handed_out() {
    let slices = datagrams(53, "[bytes([i]) * 40 for i in range(10)]").await;
    let asked: Vec<Vec<u8>> = (0..10).map(|i| vec![i; 40]).collect();
    assert_eq!(bytes_of(&slices, Role::Client, Direction::Sent), asked);
    assert_eq!(bytes_of(&slices, Role::Server, Direction::Received), asked);
    let answers = bytes_of(&slices, Role::Client, Direction::Received);
    assert_eq!(answers, vec![b"answer".to_vec(); 10]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_quic_the_first_initial_packets_are_handed_out() {
    let initial = "b'\\xc3\\x00\\x00\\x00\\x01' + bytes([i]) * 1195";
    let slices = datagrams(0, &format!("[{initial} for i in range(6)]")).await;
    let expected: Vec<Vec<u8>> = (0..4)
        .map(|i| [b"\xc3\x00\x00\x00\x01".as_slice(), &[i; 1195]].concat())
        .collect();
    assert_eq!(bytes_of(&slices, Role::Client, Direction::Sent), expected);
    assert_eq!(
        bytes_of(&slices, Role::Server, Direction::Received),
        expected
    );
    assert_eq!(slices.len(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_datagrams_are_not_handed_out() {
    let slices = datagrams(
        0,
        "[b'\\x40short header', b'\\xc3\\x00\\x00\\x00\\x01late']",
    )
    .await;
    assert_eq!(slices, []);
}
