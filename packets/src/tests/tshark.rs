//! Fields of real packets against those that tshark tells of the same captures: see `data/captures/make.py`.

use std::collections::BTreeMap;

use super::captures::{Row, Way, each_frame, each_packet, payloads, told_by_tshark};
use crate::classify::{Classifier, Protocol, classify};
use crate::community::community_id;
use crate::dns::{self, Data};
use crate::host::host_name;
use crate::link::Frame;
use crate::table::{Moment, Table};
use crate::tls::{Carrier, ClientHello};
use crate::{Transport, Verdict};

/// What each direction is found to be.
fn found() -> BTreeMap<Way, Protocol> {
    let mut found = BTreeMap::new();
    for (way, pieces) in payloads("clients") {
        let mut classifier = Classifier::new(way.2, (way.0.port, way.1.port));
        let verdicts: Vec<_> = pieces
            .iter()
            .map(|(offset, payload)| classifier.take(*offset, payload))
            .collect();
        let settled = verdicts.iter().find_map(|it| match it {
            Verdict::Found(protocol) => Some(protocol.clone()),
            _ => None,
        });
        found.extend(settled.map(|it| (way, it)));
    }
    found
}

fn assert_hello(hello: &ClientHello, row: &Row) {
    let name = row.one("tls.handshake.extensions_server_name");
    assert_eq!(hello.server_name, name.map(str::to_lowercase));
    assert_eq!(hello.alpn, row.all("tls.handshake.extensions_alpn_str"));
    assert_eq!(Some(hello.version), row.number("tls.handshake.version"));
    let versions = row.numbers::<u16>("tls.handshake.extensions.supported_version");
    assert_eq!(hello.versions, versions);
    let ciphers = row.numbers::<u16>("tls.handshake.ciphersuite");
    assert_eq!(hello.ciphers, ciphers);
    let extensions = row.numbers::<u16>("tls.handshake.extension.type");
    assert_eq!(hello.extensions, extensions);
    assert_eq!(
        hello.ja3_raw().as_deref(),
        row.one("tls.handshake.ja3_full")
    );
    assert_eq!(hello.ja3().as_deref(), row.one("tls.handshake.ja3"));
    assert_eq!(hello.ja4_raw().as_deref(), row.one("tls.handshake.ja4_r"));
    assert_eq!(hello.ja4().as_deref(), row.one("tls.handshake.ja4"));
    assert!(hello.whole);
}

#[test]
fn every_hello_over_tcp_and_quic_has_the_fields_that_tshark_sees() {
    let found = found();
    let rows = told_by_tshark("tls");
    let mut carriers = BTreeMap::new();
    for row in &rows {
        let hello = match &found[&row.way()] {
            Protocol::Tls(hello) => {
                assert_eq!(hello.carrier, Carrier::Tcp);
                hello
            }
            Protocol::Quic(version, hello) => {
                assert_eq!(Some(version.number()), row.number("quic.version"));
                assert_eq!(hello.carrier, Carrier::Quic);
                hello
            }
            other => panic!("{other:?}"),
        };
        assert_hello(hello, row);
        *carriers.entry(row.way().2).or_insert(0) += 1;
    }
    let hellos = found
        .values()
        .filter(|it| matches!(it, Protocol::Tls(_) | Protocol::Quic(..)));
    assert_eq!(hellos.count(), rows.len());
    assert!(
        carriers[&Transport::Tcp] >= 12 && carriers[&Transport::Udp] >= 7,
        "{carriers:?}"
    );
}

#[test]
fn the_captures_have_hellos_split_over_segments_and_over_datagrams() {
    let mut split = BTreeMap::new();
    for (way, pieces) in payloads("clients") {
        if let Protocol::Tls(_) | Protocol::Quic(..) = found().get(&way).unwrap_or(&nothing()) {
            let alone = classify(&pieces[0].1, way.2, (way.0.port, way.1.port));
            *split.entry(way.2).or_insert(0) += u32::from(alone == Verdict::NeedsMore);
        }
    }
    assert!(
        split[&Transport::Tcp] > 0 && split[&Transport::Udp] > 0,
        "{split:?}"
    );
}

fn nothing() -> Protocol {
    Protocol::Http(Box::default())
}

#[test]
fn every_http_request_has_the_fields_that_tshark_sees() {
    let found = found();
    let rows = told_by_tshark("http");
    assert_eq!(rows.len(), 3);
    for row in &rows {
        let Protocol::Http(request) = &found[&row.way()] else {
            panic!("{:?}", row.way());
        };
        assert_eq!(
            Some(request.method.as_str()),
            row.one("http.request.method")
        );
        assert_eq!(Some(request.target.as_str()), row.one("http.request.uri"));
        assert_eq!(request.host, row.one("http.host").map(host_name));
        assert_eq!(request.user_agent.as_deref(), row.one("http.user_agent"));
    }
    let requests = found.values().filter(|it| matches!(it, Protocol::Http(_)));
    assert_eq!(requests.count(), rows.len());
}

/// All DNS messages of each direction, in order.
fn messages() -> BTreeMap<Way, Vec<dns::Message>> {
    let mut messages = BTreeMap::new();
    for (way, pieces) in payloads("clients") {
        if way.0.port != 53 && way.1.port != 53 {
            continue;
        }
        let mut stream = dns::Stream::default();
        let all = pieces.iter().flat_map(|(_, payload)| match way.2 {
            Transport::Tcp => stream.take(payload),
            _ => dns::parse(payload).into_iter().collect(),
        });
        messages.insert(way, all.collect());
    }
    messages
}

#[test]
fn every_dns_message_has_the_fields_that_tshark_sees() {
    let mut ours: BTreeMap<Way, std::vec::IntoIter<dns::Message>> = messages()
        .into_iter()
        .map(|(way, all)| (way, all.into_iter()))
        .collect();
    let rows = told_by_tshark("dns");
    let mut services = 0;
    for row in &rows {
        let message = ours.get_mut(&row.way()).unwrap().next().unwrap();
        assert_eq!(Some(message.id), row.number("dns.id"));
        assert_eq!(message.response, row.flag("dns.flags.response"));
        assert_eq!(message.truncated, row.flag("dns.flags.truncated"));
        let code = row.number("dns.flags.rcode").unwrap_or(0);
        assert_eq!(message.code, code);
        assert_eq!(vec![message.name.clone()], lower(&row.all("dns.qry.name")));
        assert_eq!(Some(message.kind), row.number("dns.qry.type"));
        services += assert_answers(&message, row);
    }
    assert!(ours.values().all(|it| it.len() == 0));
    assert!(
        rows.len() >= 60 && services >= 2,
        "{} {services}",
        rows.len()
    );
}

fn lower(names: &[&str]) -> Vec<String> {
    let name = |name: &&str| match *name {
        "<Root>" => ".".to_owned(),
        other => other.to_lowercase(),
    };
    names.iter().map(name).collect()
}

/// The records of the answer; tshark lists those of other sections behind them. Gives the number of services.
fn assert_answers(message: &dns::Message, row: &Row) -> usize {
    let answers = &message.answers;
    assert_eq!(Some(answers.len()), row.number("dns.count.answers"));
    let names = lower(&row.all("dns.resp.name"));
    let ttls = row.numbers::<u32>("dns.resp.ttl");
    for (at, answer) in answers.iter().enumerate() {
        assert_eq!(answer.name, names[at]);
        assert_eq!(answer.ttl_s, ttls[at]);
    }
    let (mut addresses, mut aliases, mut services) = (vec![], vec![], vec![]);
    for answer in answers {
        match &answer.data {
            Data::Address(address) => addresses.push(address.to_string()),
            Data::Alias(name) => aliases.push(name.clone()),
            Data::Service(service) => services.push(service),
            Data::Other(kind) => assert_eq!(*kind, 16),
        }
    }
    let told = [row.all("dns.a"), row.all("dns.aaaa")].concat();
    assert_eq!(addresses, told);
    assert_eq!(aliases, lower(&row.all("dns.cname")));
    for service in &services {
        assert_eq!(Some(service.priority), row.number("dns.svcb.svcpriority"));
        let targets = lower(&row.all("dns.svcb.targetname"));
        assert_eq!(vec![service.target.clone()], targets);
        assert_eq!(service.alpn, row.all("dns.svcb.svcparam.alpn"));
        let port = row.number("dns.svcb.svcparam.port");
        assert_eq!(service.port, port);
        let hints: Vec<String> = service.hints.iter().map(ToString::to_string).collect();
        let v4 = row.all("dns.svcb.svcparam.ipv4hint.ip");
        assert_eq!(
            hints,
            [v4, row.all("dns.svcb.svcparam.ipv6hint.ip")].concat()
        );
        let keys = row.numbers::<u16>("dns.svcb.svcparam.key");
        assert_eq!(service.encrypted_hello, keys.contains(&5));
    }
    services.len()
}

#[test]
fn addresses_hold_for_the_name_that_was_asked_for_as_long_as_the_shortest_link() {
    let all: Vec<dns::Message> = messages().into_values().flatten().collect();
    let of = |name: &str, kind: u16| {
        let is_it = |it: &&dns::Message| it.response && it.name == name && it.kind == kind;
        let message = all.iter().filter(is_it).max_by_key(|it| it.answers.len());
        let told = message.unwrap().addresses().into_iter();
        told.map(|(address, ttl_s)| (address.to_string(), ttl_s))
            .collect::<Vec<_>>()
    };
    let told = |address: &str, ttl_s| (address.to_owned(), ttl_s);
    assert_eq!(of("alias.example.test", 1), [told("10.77.0.1", 60)]);
    assert_eq!(of("alias.example.test", 28), [told("fd77::1", 60)]);
    assert_eq!(
        of("service.example.test", 65),
        [
            told("10.77.0.1", 120),
            told("10.77.0.9", 120),
            told("fd77::1", 120)
        ]
    );
    assert_eq!(of("many.example.test", 1).len(), 40);
    assert_eq!(of("missing.example.test", 1), []);
}

#[test]
fn community_ids_are_those_of_wireshark() {
    let mut rows = told_by_tshark("tls");
    rows.extend(told_by_tshark("dns"));
    assert!(rows.len() > 80);
    for row in rows {
        let (sender, receiver, transport) = row.way();
        let protocol = transport.number(sender.address);
        let ours = community_id(0, protocol, sender, receiver);
        assert_eq!(Some(ours.as_str()), row.one("communityid"));
    }
}

#[test]
fn tunnels_and_tags_are_taken_off_down_to_the_ends_that_tshark_sees_inside() {
    let rows = told_by_tshark("tunnels");
    let mut packets = 0;
    each_frame("tunnels", |number, frame| {
        let row = &rows[usize::try_from(number).unwrap() - 1];
        let protocols = row.one("frame.protocols").unwrap();
        let Frame::Packet(packet) = frame else {
            assert!(protocols.ends_with("arp"), "{protocols}: {frame:?}");
            return;
        };
        packets += 1;
        let total = row.number_in_innermost("ip.len");
        let above = row.number_in_innermost("ipv6.plen").map(|it| it + 40);
        assert_eq!(total.or(above), Some(packet.network_bytes), "{protocols}");
        let (sender, receiver) = row.innermost();
        assert_eq!(packet.sender.address, sender.to_canonical(), "{protocols}");
        assert_eq!(
            packet.receiver.address,
            receiver.to_canonical(),
            "{protocols}"
        );
        let is_tcp = packet.transport == Transport::Tcp;
        let layer = if is_tcp { "tcp" } else { "udp" };
        let port = |which: &str| {
            let ports = row.numbers::<u16>(&format!("{layer}.{which}port"));
            *ports.last().unwrap()
        };
        assert_eq!(
            (packet.sender.port, packet.receiver.port),
            (port("src"), port("dst"))
        );
        let bytes = if is_tcp {
            *row.numbers::<u64>("tcp.len").last().unwrap()
        } else {
            row.numbers::<u64>("udp.length").last().unwrap() - 8
        };
        assert_eq!(packet.payload_bytes, bytes, "{protocols}");
        assert_eq!(packet.payload.len() as u64, bytes, "{protocols}");
    });
    assert_eq!((packets, rows.len()), (26, 27));
}

#[test]
fn connections_have_the_name_and_the_fingerprints_of_their_hello() {
    let mut table = Table::new(1000);
    let mut told = BTreeMap::new();
    let mut tell = |moment: Moment, connection: &crate::table::Connection| {
        if moment == Moment::Closed {
            let way = (
                connection.source,
                connection.destination,
                connection.transport,
            );
            told.insert(way, (connection.name.clone(), connection.carried.clone()));
        }
    };
    each_packet("clients", |packet| table.take(packet, &mut tell));
    table.finish(&mut tell);
    for row in told_by_tshark("tls") {
        let (name, carried) = &told[&row.way()];
        let carried = carried.as_ref().unwrap();
        assert_eq!(carried.ja4.as_deref(), row.one("tls.handshake.ja4"));
        assert_eq!(carried.ja3.as_deref(), row.one("tls.handshake.ja3"));
        if let Some(server_name) = row.one("tls.handshake.extensions_server_name") {
            assert_eq!(name.as_deref(), Some(server_name.to_lowercase().as_str()));
        }
    }
    // The name that DNS over TCP was asked for first.
    let over_tcp = told
        .iter()
        .find(|(way, _)| way.1.port == 53 && way.2 == Transport::Tcp);
    assert_eq!(over_tcp.unwrap().1.0.as_deref(), Some("many.example.test"));
}
