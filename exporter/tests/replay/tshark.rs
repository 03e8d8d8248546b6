//! Real captures end to end, against tshark's words.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use beaconwatch_exporter::replay::Speed;
use beaconwatch_schema::flow;
use serde_json::Value;

use crate::receiver::{Record, number, text};
use crate::support::{export, real, settings};

/// Initiator, other end, transport.
type Ends = (SocketAddr, SocketAddr, String);

fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(real(name)).unwrap()).unwrap()
}

fn end(address: &str, port: u16) -> SocketAddr {
    let address: IpAddr = address.parse().unwrap();
    SocketAddr::new(address.to_canonical(), port)
}

fn ends(record: &Record) -> Ends {
    let end = |address, port| {
        let port = u16::try_from(number(record, port)).unwrap();
        end(text(record, address).unwrap(), port)
    };
    (
        end(flow::SOURCE_ADDRESS, flow::SOURCE_PORT),
        end(flow::DESTINATION_ADDRESS, flow::DESTINATION_PORT),
        text(record, flow::TRANSPORT).unwrap().to_owned(),
    )
}

/// The last record of each flow of a capture.
async fn flows(capture: &str) -> BTreeMap<Ends, Record> {
    let (exported, records) = export(settings(&[real(capture)], Speed::Max)).await;
    let counters = exported.unwrap();
    assert_eq!(counters.made, counters.delivered);
    assert!(counters.losses.iter().all(|(_, lost)| *lost == 0));
    let mut flows: BTreeMap<String, Record> = BTreeMap::new();
    for record in records {
        let id = text(&record, flow::FLOW_ID).unwrap().to_owned();
        let before = flows.get(&id);
        let is_next = before.map_or(0, |it| number(it, flow::RECORD_NUMBER) + 1);
        assert_eq!(number(&record, flow::RECORD_NUMBER), is_next);
        flows.insert(id, record);
    }
    let count = flows.len();
    let by_ends: BTreeMap<Ends, Record> = flows.into_values().map(|it| (ends(&it), it)).collect();
    assert_eq!(by_ends.len(), count, "one flow between the same ends");
    by_ends
}

/// All values of a field of a packet.
fn all<'a>(row: &'a Value, field: &str) -> Vec<&'a str> {
    let values = row.get(field).and_then(Value::as_array);
    let values = values.into_iter().flatten();
    values.map(|it| it.as_str().unwrap()).collect()
}

fn one<'a>(row: &'a Value, field: &str) -> Option<&'a str> {
    all(row, field).first().copied()
}

fn ends_of_packet(row: &Value) -> Ends {
    let transport = if row.get("tcp.srcport").is_some() {
        "tcp"
    } else {
        "udp"
    };
    let end = |which: &str| {
        let four = one(row, &format!("ip.{which}"));
        let address = four.or_else(|| one(row, &format!("ipv6.{which}")));
        let port = one(row, &format!("{transport}.{which}port")).unwrap();
        end(address.unwrap(), port.parse().unwrap())
    };
    (end("src"), end("dst"), transport.to_owned())
}

#[tokio::test]
async fn names_and_fingerprints_of_flows_are_those_that_tshark_sees() {
    let flows = flows("clients.pcap.gz").await;
    let hellos = json("tls.json");
    for row in hellos.as_array().unwrap() {
        let record = &flows[&ends_of_packet(row)];
        let ja4 = one(row, "tls.handshake.ja4");
        assert_eq!(text(record, flow::TLS_CLIENT_JA4), ja4);
        let ja3 = one(row, "tls.handshake.ja3");
        assert_eq!(text(record, flow::TLS_CLIENT_JA3), ja3);
        let alpn = one(row, "tls.handshake.extensions_alpn_str");
        assert_eq!(text(record, flow::TLS_NEXT_PROTOCOL), alpn);
        if let Some(name) = one(row, "tls.handshake.extensions_server_name") {
            let name = name.to_lowercase();
            assert_eq!(text(record, flow::SERVER_ADDRESS), Some(name.as_str()));
        }
    }
    let fingerprints = flows
        .values()
        .filter(|it| it.contains_key(flow::TLS_CLIENT_JA4));
    assert_eq!(fingerprints.count(), hellos.as_array().unwrap().len());
}

#[tokio::test]
async fn requests_and_questions_of_flows_are_those_that_tshark_sees() {
    let flows = flows("clients.pcap.gz").await;
    for row in json("http.json").as_array().unwrap() {
        let record = &flows[&ends_of_packet(row)];
        let method = one(row, "http.request.method");
        if method == Some("PROPFIND") {
            // None of the methods that the kernel part looks for.
            assert!(!record.contains_key(flow::HTTP_REQUEST_METHOD));
            continue;
        }
        assert_eq!(text(record, flow::HTTP_REQUEST_METHOD), method);
        let host = one(row, "http.host").map(|it| it.split(':').next().unwrap());
        assert_eq!(text(record, flow::SERVER_ADDRESS), host);
        let agent = one(row, "http.user_agent");
        assert_eq!(text(record, flow::USER_AGENT), agent);
    }
    let mut questions = BTreeMap::new();
    for row in json("dns.json").as_array().unwrap() {
        if one(row, "dns.flags.response") == Some("False") {
            let name = one(row, "dns.qry.name").unwrap().to_lowercase();
            questions.entry(ends_of_packet(row)).or_insert(name);
        }
    }
    assert!(questions.len() > 20);
    for (ends, name) in questions {
        let told = text(&flows[&ends], flow::DNS_QUESTION_NAME);
        assert_eq!(told, Some(name.as_str()));
    }
}

#[tokio::test]
async fn community_ids_of_flows_are_those_that_tshark_gives_their_packets() {
    let flows = flows("clients.pcap.gz").await;
    let mut seen = std::collections::BTreeSet::new();
    for name in ["tls.json", "http.json", "dns.json"] {
        for row in json(name).as_array().unwrap() {
            let (source, destination, transport) = ends_of_packet(row);
            let back = (destination, source, transport.clone());
            let ends = (source, destination, transport);
            let record = flows.get(&ends).unwrap_or_else(|| &flows[&back]);
            let told = one(row, "communityid").unwrap();
            assert_eq!(text(record, flow::COMMUNITY_ID), Some(told), "{ends:?}");
            seen.insert(told.to_owned());
        }
    }
    assert!(seen.len() > 40, "{}", seen.len());
}

/// Bytes and packets to and from the initiator.
type Traffic = [u64; 4];

fn traffic(record: &Record) -> Traffic {
    [
        flow::SOURCE_BYTES,
        flow::DESTINATION_BYTES,
        flow::SOURCE_PACKETS,
        flow::DESTINATION_PACKETS,
    ]
    .map(|name| number(record, name))
}

/// What tshark counts between the same ends; its bytes are those of frames, so without `link_bytes` of each.
fn conversations(capture: &str, link_bytes: u64) -> BTreeMap<Ends, Traffic> {
    let told = json("conversations.json");
    let rows = told[capture].as_array().unwrap().iter();
    rows.map(|row| {
        let end = |which: &str| {
            let (address, port) = row[which].as_str().unwrap().rsplit_once(':').unwrap();
            end(address, port.parse().unwrap())
        };
        let number = |field: &str| row[field].as_u64().unwrap();
        let (out, back) = (number("packets_to_other"), number("packets_to_one"));
        let ends = (
            end("one"),
            end("other"),
            row["transport"].as_str().unwrap().to_owned(),
        );
        let bytes_out = number("bytes_to_other") - link_bytes * out;
        let bytes_back = number("bytes_to_one") - link_bytes * back;
        (ends, [bytes_out, bytes_back, out, back])
    })
    .collect()
}

#[tokio::test]
async fn flows_and_their_bytes_and_packets_both_ways_are_those_that_tshark_counts() {
    const ETHERNET_BYTES: u64 = 14;
    let flows = flows("clients.pcap.gz").await;
    let ours: BTreeMap<Ends, Traffic> = flows
        .iter()
        .map(|(ends, it)| (ends.clone(), traffic(it)))
        .collect();
    let told = conversations("clients", ETHERNET_BYTES);
    assert!(told.len() > 45);
    assert_eq!(ours, told);
}

#[tokio::test]
async fn flows_in_tunnels_are_those_that_tshark_sees_inside() {
    let flows = flows("tunnels.pcap.gz").await;
    let ours: BTreeMap<Ends, u64> = flows
        .iter()
        .map(|(ends, it)| (ends.clone(), traffic(it)[2]))
        .collect();
    // Its tunnels stand beside what is inside of them, and a routing header's last stop in the place of the next.
    let is_tunnel = |ends: &Ends| ends.0.port() == 50_000;
    let routed = |(mut ends, traffic): (Ends, Traffic)| {
        if ends.1 == "[fd03::3]:443".parse().unwrap() {
            ends.1 = "[fd02::2]:443".parse().unwrap();
        }
        (ends, traffic[2])
    };
    let told: BTreeMap<Ends, u64> = conversations("tunnels", 0)
        .into_iter()
        .filter(|(ends, _)| !is_tunnel(ends))
        .map(routed)
        .collect();
    assert!(told.len() > 20);
    assert_eq!(ours, told);
}

/// Requester, who answers, identifier.
type Asked = (String, String, String);

/// Packets and bytes of both ways that tshark shows of each identifier, and the community id.
fn echoes() -> BTreeMap<Asked, (Traffic, String)> {
    let mut first_of = BTreeMap::new();
    let mut told: BTreeMap<Asked, (Traffic, String)> = BTreeMap::new();
    for row in json("pings.json").as_array().unwrap() {
        let either = |four, six| one(row, four).or_else(|| one(row, six));
        let end = |four, six| either(four, six).unwrap().to_owned();
        let (source, destination) = (end("ip.src", "ipv6.src"), end("ip.dst", "ipv6.dst"));
        let packet = (source.clone(), one(row, "ip.id").map(str::to_owned));
        let fragmented = first_of.get(&packet).cloned();
        let (asks, identifier) = match either("icmp.type", "icmpv6.type") {
            Some(kind @ ("8" | "0" | "128" | "129")) => {
                let identifier = either("icmp.ident", "icmpv6.echo.identifier").unwrap();
                (matches!(kind, "8" | "128"), identifier.to_owned())
            }
            None => fragmented.expect("a later fragment"),
            Some(_) => continue,
        };
        if packet.1.is_some() {
            first_of.insert(packet, (asks, identifier.clone()));
        }
        let bytes: u64 = match one(row, "ip.len") {
            Some(bytes) => bytes.parse().unwrap(),
            None => 40 + one(row, "ipv6.plen").unwrap().parse::<u64>().unwrap(),
        };
        let asked = if asks {
            (source, destination, identifier)
        } else {
            (destination, source, identifier)
        };
        let (traffic, community) = told.entry(asked).or_default();
        let way = usize::from(!asks);
        traffic[way] += bytes;
        traffic[way + 2] += 1;
        if one(row, "icmp.type").or(one(row, "icmpv6.type")).is_some() {
            one(row, "communityid").unwrap().clone_into(community);
        }
    }
    told
}

#[tokio::test]
async fn echoes_of_ping_and_raw_sockets_are_the_flows_that_tshark_shows() {
    let (exported, records) = export(settings(&[real("pings.pcap.gz")], Speed::Max)).await;
    assert!(exported.unwrap().losses.iter().all(|(_, lost)| *lost == 0));
    let mut last: BTreeMap<String, Record> = BTreeMap::new();
    for record in records {
        last.insert(text(&record, flow::FLOW_ID).unwrap().to_owned(), record);
    }
    let told = echoes();
    assert_eq!(told.len(), 7);
    // The identifier is no attribute: by ends and traffic each is found.
    let mut expected: Vec<_> = told
        .into_iter()
        .map(|((from, to, _), (traffic, community))| (from, to, traffic, community))
        .collect();
    let mut ours: Vec<_> = last
        .values()
        .map(|record| {
            let of = |name| text(record, name).unwrap().to_owned();
            let six = of(flow::NETWORK_TYPE) == "ipv6";
            assert_eq!(of(flow::TRANSPORT), "icmp");
            assert_eq!(number(record, flow::SOURCE_PORT), if six { 128 } else { 8 });
            assert_eq!(number(record, flow::DESTINATION_PORT), 0);
            (
                of(flow::SOURCE_ADDRESS),
                of(flow::DESTINATION_ADDRESS),
                traffic(record),
                of(flow::COMMUNITY_ID),
            )
        })
        .collect();
    expected.sort();
    ours.sort();
    assert_eq!(ours, expected);
}

#[tokio::test]
async fn two_replays_tell_the_same_but_for_the_exporters_identity() {
    let files = [real("clients.pcap.gz"), real("tunnels.pcap.gz")];
    let run = || async {
        let (_, mut records) = export(settings(&files, Speed::Max)).await;
        for record in &mut records {
            let id = record.remove(beaconwatch_schema::exporter_record::EXPORTER_ID);
            assert!(id.is_some());
        }
        records
    };
    let (one, other) = (run().await, run().await);
    assert!(one.len() > 70);
    assert_eq!(one, other);
}
