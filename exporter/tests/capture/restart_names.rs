//! Restarts and names: what an earlier run read of a connection, and what DNS answers said, is known to the next.

use beaconwatch_schema::flow;

use crate::{
    receiver::{Record, text},
    restart::flows_to,
    successor::{BpfFileSystem, Exporter, HttpReceiver, settings, until},
    support::{Cgroup, Namespace},
};

/// Asks a name server for `named.test`, which has 127.0.0.9, and sends a request on a connection that lasts. When it is told to go on, the
/// connection ends and another goes to 127.0.0.9. Prints the ports of both servers first.
const PROGRAM: &str = "import socket, struct, threading
input()
dns = socket.socket(type=socket.SOCK_DGRAM)
dns.bind(('127.0.0.1', 53))
def answer():
    question, asker = dns.recvfrom(512)
    dns.sendto(question[:2] + b'\\x81\\x80\\x00\\x01\\x00\\x01\\x00\\x00\\x00\\x00' + question[12:]
        + b'\\xc0\\x0c\\x00\\x01\\x00\\x01' + struct.pack('>IH', 300, 4) + bytes([127, 0, 0, 9]), asker)
threading.Thread(target=answer).start()
asker = socket.socket(type=socket.SOCK_DGRAM)
asker.connect(('127.0.0.1', 53))
asker.send(b'\\x12\\x34\\x01\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x05named\\x04test\\x00\\x00\\x01\\x00\\x01')
asker.recv(512)
web, later = (socket.create_server((address, 0)) for address in ('127.0.0.1', '127.0.0.9'))
client = socket.create_connection(web.getsockname())
far = web.accept()[0]
client.sendall(b'GET / HTTP/1.1\\r\\nHost: kept.example.com\\r\\nUser-Agent: probe/1\\r\\n\\r\\n')
far.recv(1000)
print(web.getsockname()[1], later.getsockname()[1], flush=True)
input()
client.close()
far.recv(1)
far.close()
client = socket.create_connection(later.getsockname())
far = later.accept()[0]
client.sendall(b'hello')
far.recv(5)
client.close()
far.recv(1)
far.close()
print(0, flush=True)
input()
";

/// The last record of the client's flow to a port.
fn last(receiver: &HttpReceiver, port: u64) -> Option<Record> {
    let flows = flows_to(&receiver.records(), port);
    let mut flows = flows.into_iter();
    let (_, records) = flows.find(|((_, role), _)| role == flow::ROLE_CLIENT)?;
    records.last().cloned()
}

fn has_ended(receiver: &HttpReceiver, port: u64) -> bool {
    last(receiver, port).is_some_and(|it| text(&it, flow::EVENT) == Some(flow::EVENT_END))
}

/// Runs [`PROGRAM`] over a restart that `end` begins, the second run with one setting more; returns the ends of its connections.
async fn ends_over_a_restart(
    end: impl FnOnce(Exporter),
    setting: Option<(&'static str, &str)>,
) -> [Record; 2] {
    let namespace = Namespace::new();
    let pins = BpfFileSystem::new();
    let receiver = HttpReceiver::start().await;
    let cgroup = Cgroup::new();
    let mut settings = settings(&pins.pins(), &receiver);
    settings.insert("CAPTURE__CGROUP", cgroup.path.display().to_string());
    let first = Exporter::start(&settings);
    let mut program = namespace.python(PROGRAM);
    cgroup.take(program.pid());
    program.go_on();
    let [web, later] = program.numbers().try_into().unwrap();
    until("the connection is announced with its name", || {
        last(&receiver, web)
            .is_some_and(|it| text(&it, flow::SERVER_ADDRESS) == Some("kept.example.com"))
    })
    .await;
    assert!(!has_ended(&receiver, web));
    end(first);
    if let Some((name, value)) = setting {
        settings.insert(name, value.to_owned());
    }
    let second = Exporter::start(&settings);
    assert!(second.said.contains("taking over"), "{}", second.said);
    program.go_on();
    program.numbers();
    until("both have ended", || {
        has_ended(&receiver, web) && has_ended(&receiver, later)
    })
    .await;
    program.finish();
    second.stop();
    [web, later].map(|port| last(&receiver, port).unwrap())
}

fn assert_named([web, later]: &[Record; 2]) {
    assert_eq!(text(web, flow::SERVER_ADDRESS), Some("kept.example.com"));
    assert_eq!(text(web, flow::SERVER_NAME_ORIGIN), Some("http"));
    assert_eq!(text(web, flow::USER_AGENT), Some("probe/1"));
    assert_eq!(text(web, flow::HTTP_REQUEST_METHOD), Some("GET"));
    assert_eq!(text(later, flow::SERVER_ADDRESS), Some("named.test"));
    assert_eq!(text(later, flow::SERVER_NAME_ORIGIN), Some("dns"));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_connection_and_of_dns_answers_are_known_after_an_orderly_restart() {
    assert_named(&ends_over_a_restart(Exporter::stop, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_of_a_connection_and_of_dns_answers_are_known_after_a_sigkill() {
    assert_named(&ends_over_a_restart(Exporter::kill, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_were_kept_under_other_settings_of_privacy_are_not_told() {
    let omit = ("PRIVACY__OMIT", r#"["server_name"]"#);
    for end in ends_over_a_restart(Exporter::stop, Some(omit)).await {
        for name in [flow::SERVER_ADDRESS, flow::USER_AGENT] {
            assert_eq!(end.get(name), None, "{end:#?}");
        }
    }
}
