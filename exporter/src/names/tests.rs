use std::collections::BTreeMap;
use std::io::Read;
use std::net::IpAddr;
use std::ops::ControlFlow;

use beaconwatch_packets::link::{self, Frame};
use beaconwatch_packets::{Fragments, Packet, capture};
use beaconwatch_records::Owner;
use serde_json::Value;

use super::*;
use crate::config::{PrivacyConfig, PrivateField};

const BOOT: BootId = BootId(3);
const SECOND_NS: u64 = 1_000_000_000;

fn reader() -> NameReader {
    NameReader::new(BOOT, Privacy::default(), 1000)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The client's socket behind a packet: its port, the higher one, stands for its cookie.
fn header_of(packet: &Packet<'_>) -> SliceHeader {
    let sent = packet.sender.port > packet.receiver.port;
    let (local, remote) = if sent {
        (packet.sender, packet.receiver)
    } else {
        (packet.receiver, packet.sender)
    };
    let length = u32::try_from(packet.payload.len()).unwrap();
    SliceHeader {
        cookie: u64::from(local.port),
        netns_cookie: 7,
        start_ns: 0,
        time_ns: u64::try_from(packet.time_ns).unwrap(),
        process_start_ns: 1,
        pid: 100,
        sequence: packet.tcp.and_then(|tcp| tcp.numbers).map_or(0, |it| it.0),
        length,
        captured: length,
        local_address: octets(local.address),
        remote_address: octets(remote.address),
        local_port: local.port,
        remote_port: remote.port,
        direction: if sent {
            Direction::Sent as u8
        } else {
            Direction::Received as u8
        },
        protocol: packet.transport.number(local.address),
        role: Role::Client as u8,
        padding: 0,
    }
}

/// Reads what real clients sent and got; returns the flows by the client's port.
fn read_clients(names: &mut NameReader) -> BTreeMap<u16, SliceHeader> {
    let data = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packets/tests/data/captures/clients.pcap.gz"
    );
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(std::fs::File::open(data).unwrap())
        .read_to_end(&mut bytes)
        .unwrap();
    let mut fragments = Fragments::default();
    let mut flows = BTreeMap::new();
    let read = capture::read(&bytes[..], |captured| {
        let (link, time_ns) = (captured.link.unwrap(), captured.time_ns.unwrap());
        if let Frame::Packet(packet) = link::read(link, time_ns, captured.frame, &mut fragments)
            && !packet.payload.is_empty()
        {
            let header = header_of(&packet);
            names.read(&Slice {
                header,
                bytes: packet.payload,
            });
            flows.insert(header.local_port, header);
        }
        ControlFlow::Continue(())
    });
    assert!(read.unwrap() > 100);
    flows
}

fn record_of(header: &SliceHeader) -> FlowRecord {
    FlowRecord {
        cookie: header.cookie,
        netns_cookie: header.netns_cookie,
        start_ns: header.start_ns,
        owner: Owner {
            pid: header.pid,
            process_start_ns: header.process_start_ns,
            ..Owner::default()
        },
        local_address: header.local_address,
        remote_address: header.remote_address,
        local_port: header.local_port,
        remote_port: header.remote_port,
        role: header.role,
        protocol: header.protocol,
        ..FlowRecord::ZERO
    }
}

fn find(names: &mut NameReader, header: &SliceHeader) -> Option<Arc<FlowNames>> {
    names.find(FlowId::of_slice(BOOT, header), &record_of(header))
}

/// What tshark says of the same capture.
fn tshark(name: &str) -> Vec<Value> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../packets/tests/data/captures"
    );
    let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn first<'a>(fields: &'a Value, name: &str) -> Option<&'a str> {
    fields[name][0].as_str()
}

fn client_port(fields: &Value) -> u16 {
    let port = first(fields, "tcp.srcport").or(first(fields, "udp.srcport"));
    port.unwrap().parse().unwrap()
}

#[test]
fn every_clients_hello_is_read_as_tshark_reads_it() {
    let mut names = reader();
    let flows = read_clients(&mut names);
    let hellos = tshark("tls");
    assert!(hellos.len() >= 15);
    for fields in &hellos {
        let quic = first(fields, "udp.srcport").is_some();
        let found = find(&mut names, &flows[&client_port(fields)]);
        let found = found.unwrap_or_else(|| panic!("{fields}"));
        let server = first(fields, "tls.handshake.extensions_server_name");
        if let Some(server) = server {
            let origin = if quic { Origin::Quic } else { Origin::Tls };
            let (name, from) = found.server.clone().unwrap();
            assert_eq!((&*name, from), (&*server.to_ascii_lowercase(), origin));
        }
        let text = |value: &Option<Arc<str>>| value.as_deref().map(str::to_owned);
        let said = |name| first(fields, name).map(str::to_owned);
        assert_eq!(text(&found.ja4), said("tls.handshake.ja4"), "{fields}");
        if !quic {
            assert_eq!(text(&found.ja3), said("tls.handshake.ja3"), "{fields}");
        }
        let alpn = said("tls.handshake.extensions_alpn_str");
        assert_eq!(text(&found.alpn), alpn, "{fields}");
    }
}

#[test]
fn every_request_is_read_as_tshark_reads_it() {
    let mut names = reader();
    let flows = read_clients(&mut names);
    for fields in &tshark("http") {
        let found = find(&mut names, &flows[&client_port(fields)]).unwrap();
        let host = first(fields, "http.host").unwrap().split(':').next();
        let server = found.server.as_ref().map(|(name, _)| &**name);
        assert_eq!(server, host);
        let method = first(fields, "http.request.method");
        assert_eq!(found.method.as_deref(), method);
        let user_agent = first(fields, "http.user_agent");
        assert_eq!(found.user_agent.as_deref(), user_agent);
    }
}

#[test]
fn a_dns_flow_tells_its_first_question() {
    let mut names = reader();
    let flows = read_clients(&mut names);
    let mut asked: BTreeMap<u16, String> = BTreeMap::new();
    for fields in &tshark("dns") {
        let over_udp_to_53 = first(fields, "udp.dstport") == Some("53");
        if over_udp_to_53 && first(fields, "dns.flags.response") == Some("False") {
            let name = first(fields, "dns.qry.name").unwrap().to_ascii_lowercase();
            asked.entry(client_port(fields)).or_insert(name);
        }
    }
    assert!(asked.len() >= 5);
    for (port, name) in asked {
        let found = find(&mut names, &flows[&port]).unwrap();
        let question = found.question.as_deref().unwrap().to_ascii_lowercase();
        assert_eq!(question.trim_end_matches('.'), name.trim_end_matches('.'));
        assert_eq!(found.server, None, "the question is no server's name");
    }
}

/// An answer with one address, written by RFC 1035: question `name` A, answer by a pointer.
fn answer(labels: &[&str], ttl_s: u32, address: [u8; 4]) -> Vec<u8> {
    let mut message = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for label in labels {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message.extend([0xc0, 12, 0, 1, 0, 1]);
    message.extend(ttl_s.to_be_bytes());
    message.extend([0, 4]);
    message.extend(address);
    message
}

fn dns_header(pid: u32, namespace: u64, time_ns: u64, role: Role) -> SliceHeader {
    let (local_port, remote_port) = if role == Role::Client {
        (40_000, 53)
    } else {
        (53, 40_000)
    };
    SliceHeader {
        cookie: 1,
        netns_cookie: namespace,
        start_ns: 1,
        time_ns,
        process_start_ns: 1,
        pid,
        sequence: 0,
        length: 0,
        captured: 0,
        local_address: octets("10.0.0.1".parse().unwrap()),
        remote_address: octets("10.0.0.53".parse().unwrap()),
        local_port,
        remote_port,
        direction: Direction::Received as u8,
        protocol: IpProtocol::Udp as u8,
        role: role as u8,
        padding: 0,
    }
}

fn told(names: &mut NameReader, header: SliceHeader, message: &[u8]) {
    names.read(&Slice {
        header,
        bytes: message,
    });
}

/// A client's flow to 198.51.100.7 that begins at a time.
fn flow(cookie: u64, pid: u32, namespace: u64, start_ns: u64) -> FlowRecord {
    FlowRecord {
        cookie,
        start_ns,
        netns_cookie: namespace,
        owner: Owner {
            pid,
            process_start_ns: 1,
            ..Owner::default()
        },
        remote_address: octets("198.51.100.7".parse().unwrap()),
        remote_port: 443,
        role: Role::Client as u8,
        protocol: IpProtocol::Tcp as u8,
        ..FlowRecord::ZERO
    }
}

fn name_of(names: &mut NameReader, record: &FlowRecord) -> Option<String> {
    let found = names.find(FlowId::of(BOOT, record), record)?;
    let (name, origin) = found.server.clone()?;
    assert_eq!(origin, Origin::Dns);
    Some(name.to_string())
}

#[test]
fn an_answer_names_later_flows_of_the_process_and_of_its_namespace() {
    let mut names = reader();
    let asked = |pid, time| dns_header(pid, 7, time, Role::Client);
    let address = [198, 51, 100, 7];
    told(
        &mut names,
        asked(1, SECOND_NS),
        &answer(&["a", "test"], 300, address),
    );
    told(
        &mut names,
        asked(2, 2 * SECOND_NS),
        &answer(&["b", "test"], 300, address),
    );
    let mut name = |cookie, pid, namespace| {
        let record = flow(cookie, pid, namespace, 3 * SECOND_NS);
        name_of(&mut names, &record)
    };
    assert_eq!(name(1, 1, 7).as_deref(), Some("a.test"), "its own answer");
    assert_eq!(name(2, 2, 7).as_deref(), Some("b.test"));
    assert_eq!(
        name(3, 3, 7).as_deref(),
        Some("b.test"),
        "the latest of the others'"
    );
    assert_eq!(name(4, 1, 8), None, "another namespace has other addresses");
}

#[test]
fn a_name_holds_as_long_as_its_answer_says_and_a_flow_keeps_it() {
    let mut names = reader();
    let header = dns_header(1, 7, 0, Role::Client);
    let message = answer(&["a", "test"], 300, [198, 51, 100, 7]);
    told(&mut names, header, &message);
    let kept = flow(1, 1, 7, 300 * SECOND_NS);
    assert_eq!(name_of(&mut names, &kept).as_deref(), Some("a.test"));
    assert_eq!(name_of(&mut names, &flow(2, 1, 7, 301 * SECOND_NS)), None);
    let other = answer(&["b", "test"], 300, [198, 51, 100, 7]);
    told(
        &mut names,
        dns_header(1, 7, 400 * SECOND_NS, Role::Client),
        &other,
    );
    assert_eq!(name_of(&mut names, &kept).as_deref(), Some("a.test"));
    names.forget(FlowId::of(BOOT, &kept));
    assert_eq!(name_of(&mut names, &kept).as_deref(), Some("b.test"));
}

#[test]
fn names_of_more_flows_than_there_is_room_for_are_counted_as_lost() {
    let mut names = NameReader::new(BOOT, Privacy::default(), 2);
    let message = answer(&["cdn", "test"], 300, [198, 51, 100, 7]);
    told(&mut names, dns_header(1, 7, 0, Role::Client), &message);
    for cookie in 1..=9 {
        let record = flow(cookie, 1, 7, 0);
        let id = FlowId::of(BOOT, &record);
        assert!(names.find(id, &record).is_some());
        if cookie <= 4 {
            names.forget(id);
        }
    }
    assert_eq!(names.lost(), 2, "of five that live four have room");
}

#[test]
fn what_a_server_here_answers_names_nothing() {
    let mut names = reader();
    let mut header = dns_header(1, 7, 0, Role::Server);
    let message = answer(&["a", "test"], 300, [198, 51, 100, 7]);
    told(&mut names, header, &message);
    header.direction = Direction::Sent as u8;
    told(&mut names, header, &message);
    assert_eq!(name_of(&mut names, &flow(1, 1, 7, SECOND_NS)), None);
}

#[test]
fn what_a_client_asked_for_beats_what_dns_said() {
    let mut names = reader();
    let message = answer(&["cdn", "test"], 300, [198, 51, 100, 7]);
    told(&mut names, dns_header(1, 7, 0, Role::Client), &message);
    let record = flow(9, 1, 7, SECOND_NS);
    let header = SliceHeader {
        cookie: 9,
        start_ns: SECOND_NS,
        remote_address: record.remote_address,
        remote_port: 443,
        protocol: IpProtocol::Tcp as u8,
        direction: Direction::Sent as u8,
        ..dns_header(1, 7, SECOND_NS, Role::Client)
    };
    assert_eq!(name_of(&mut names, &record).as_deref(), Some("cdn.test"));
    told(
        &mut names,
        header,
        b"GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n",
    );
    let found = names.find(FlowId::of(BOOT, &record), &record).unwrap();
    assert_eq!(found.server, Some(("shop.test".into(), Origin::Http)));
}

#[test]
fn names_that_the_settings_hide_are_kept_nowhere() {
    let config = PrivacyConfig {
        omit: vec![PrivateField::ServerName, PrivateField::UserAgent],
        ..PrivacyConfig::default()
    };
    let mut names = NameReader::new(BOOT, Privacy::new(&config).unwrap(), 1000);
    read_clients(&mut names);
    let kept = format!("{names:?}");
    for hidden in ["example.test", "curl/", "Mozilla"] {
        assert!(!kept.contains(hidden), "{hidden}");
    }
    let message = answer(&["a", "test"], 300, [198, 51, 100, 7]);
    told(&mut names, dns_header(1, 7, 0, Role::Client), &message);
    assert_eq!(name_of(&mut names, &flow(1, 1, 7, SECOND_NS)), None);
}
