#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::string_slice,
    reason = "the numbers and texts are those of this file"
)]

use beaconwatch_detector::Phase;
use etherparse::PacketBuilder;

use super::*;

/// A connection as tshark tells it.
#[derive(Debug, PartialEq)]
struct Told {
    start: String,
    duration_us: u128,
    ends: String,
    bytes: (u64, u64),
    name: String,
}

fn told_by_tshark(table: &str) -> Vec<Told> {
    let micros = |time: &str| {
        let (seconds, parts) = time.split_once('.').unwrap();
        format!("{seconds}{}", &parts[..6]).parse::<u128>().unwrap()
    };
    let row = |line: &str| {
        let [
            first,
            last,
            transport,
            src,
            sport,
            dst,
            dport,
            out,
            back,
            name,
        ] = line.split('\t').collect::<Vec<_>>().try_into().unwrap();
        Told {
            start: micros(first).to_string(),
            duration_us: micros(last) - micros(first),
            ends: format!("{transport} {src} {sport} {dst} {dport}"),
            bytes: (out.parse().unwrap(), back.parse().unwrap()),
            name: name.to_owned(),
        }
    };
    let mut told: Vec<Told> = table.lines().map(row).collect();
    told.sort_by(|one, other| (&one.start, &one.ends).cmp(&(&other.start, &other.ends)));
    told
}

fn told_by_us(bytes: &[u8]) -> (Vec<Told>, Report) {
    let reading = read_bytes(bytes, &Settings::default()).unwrap();
    let told = reading.observations.iter().map(|it| {
        assert_eq!(it.phase, Phase::Whole);
        let key = &it.key;
        let (transport, source, port) = (key.transport.name(), key.source, it.source_port);
        let (destination, to) = (key.destination, key.destination_port);
        let micros = it.time.unix_nanos() / 1000;
        let end = it.time.unix_nanos() + it.duration.unwrap().as_nanos() as i64;
        Told {
            start: micros.to_string(),
            duration_us: (end / 1000 - micros) as u128,
            ends: format!("{transport} {source} {port} {destination} {to}"),
            bytes: (it.bytes_out.unwrap(), it.bytes_in.unwrap()),
            name: it.server_name.as_deref().unwrap_or("-").to_owned(),
        }
    });
    let mut told: Vec<Told> = told.filter(|it| !it.ends.starts_with("icmp")).collect();
    told.sort_by(|one, other| (&one.start, &one.ends).cmp(&(&other.start, &other.ends)));
    (told, reading.report)
}

/// Where tshark knows no name of the connection itself, ours comes from the DNS answer before it.
fn with_resolved_names(mut told: Vec<Told>) -> Vec<Told> {
    for it in &mut told {
        let carried_no_name = it.name == "-";
        if carried_no_name && it.ends.contains("10.9.0.3") {
            "resolved.test".clone_into(&mut it.name);
        }
    }
    told
}

#[test]
fn real_captures_give_the_connections_that_tshark_sees() {
    let ethernet = include_str!("data/ethernet.tsv");
    let cooked = include_str!("data/cooked.tsv");
    for (capture, table) in [
        (&include_bytes!("data/ethernet.pcap.gz")[..], ethernet),
        (include_bytes!("data/cooked.pcap.gz"), cooked),
        (include_bytes!("data/cooked.pcapng.gz"), cooked),
    ] {
        let (ours, report) = told_by_us(capture);
        let truth = with_resolved_names(told_by_tshark(table));
        assert_eq!(truth.len(), 14);
        assert_eq!(ours, truth);
        assert_eq!((report.lines_skipped(), report.file_problems.len()), (0, 0));
        assert_eq!((report.mid_stream, report.evicted), (0, 0));
    }
}

const CLIENT: ([u8; 4], u16) = ([10, 0, 0, 1], 40_000);
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 443);

/// One packet of a capture.
struct Made {
    at_s: f64,
    frame: Vec<u8>,
}

fn tcp(at_s: f64, from: ([u8; 4], u16), to: ([u8; 4], u16), flags: &str, payload: &[u8]) -> Made {
    tcp_numbered(at_s, from, to, flags, 1000, payload)
}

fn tcp_numbered(
    at_s: f64,
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
    flags: &str,
    number: u32,
    payload: &[u8],
) -> Made {
    let mut builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4(from.0, to.0, 64)
        .tcp(from.1, to.1, number, 64_000);
    for flag in flags.chars() {
        builder = match flag {
            'S' => builder.syn(),
            'A' => builder.ack(5000),
            'F' => builder.fin(),
            _ => builder.rst(),
        };
    }
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    Made { at_s, frame }
}

fn udp(at_s: f64, from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Made {
    let builder = PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4(from.0, to.0, 64)
        .udp(from.1, to.1);
    let mut frame = Vec::new();
    builder.write(&mut frame, payload).unwrap();
    Made { at_s, frame }
}

fn pcap(link: u32, packets: &[Made]) -> Vec<u8> {
    pcap_in(link, packets, u32::to_le_bytes, u16::to_le_bytes)
}

fn pcap_in(
    link: u32,
    packets: &[Made],
    long: fn(u32) -> [u8; 4],
    short: fn(u16) -> [u8; 2],
) -> Vec<u8> {
    let mut file = long(0xa1b2_c3d4).to_vec();
    file.extend([short(2), short(4)].concat());
    file.extend([long(0), long(0), long(65_535), long(link)].concat());
    for Made { at_s, frame } in packets {
        let micros = (at_s * 1e6).round() as u64 + 1_700_000_000_000_000;
        let (seconds, parts) = (micros / 1_000_000, micros % 1_000_000);
        let length = frame.len() as u32;
        file.extend(
            [
                long(seconds as u32),
                long(parts as u32),
                long(length),
                long(length),
            ]
            .concat(),
        );
        file.extend(frame);
    }
    file
}

fn read_packets(packets: &[Made]) -> Reading {
    read_bytes(&pcap(1, packets), &Settings::default()).unwrap()
}

fn starts(reading: &Reading) -> Vec<f64> {
    let begun = |it: &&Observation| matches!(it.phase, Phase::Opened | Phase::Whole);
    let at = |it: &Observation| it.time.unix_seconds() - 1.7e9;
    reading.observations.iter().filter(begun).map(at).collect()
}

#[test]
fn a_syn_with_another_number_begins_the_next_connection_and_the_same_one_does_not() {
    let reading = read_packets(&[
        tcp_numbered(0.0, CLIENT, SERVER, "S", 1, &[]),
        tcp_numbered(1.0, CLIENT, SERVER, "S", 1, &[]),
        tcp_numbered(60.0, CLIENT, SERVER, "S", 2, &[]),
        tcp_numbered(60.1, SERVER, CLIENT, "SA", 9, &[]),
    ]);
    assert_eq!(starts(&reading), [0.0, 60.0]);
    let established: Vec<_> = reading
        .observations
        .iter()
        .map(|it| it.established)
        .collect();
    assert_eq!(established, [Some(false), Some(true)]);
}

#[test]
fn a_connection_whose_syn_was_not_captured_is_told_by_ports_and_counted() {
    let reading = read_packets(&[
        tcp(0.0, SERVER, CLIENT, "A", b"answer"),
        tcp(0.1, CLIENT, SERVER, "A", b"ask"),
    ]);
    let [one] = reading.observations.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!((one.source_port, one.key.destination_port), (40_000, 443));
    assert_eq!((one.bytes_out, one.bytes_in), (Some(3), Some(6)));
    assert_eq!(reading.report.mid_stream, 1);
}

#[test]
fn datagrams_after_a_minute_of_silence_are_another_connection_and_an_answer_tells_the_roles() {
    let service = ([192, 0, 2, 1], 123);
    let reading = read_packets(&[
        udp(0.0, service, CLIENT, b"four"),
        udp(59.0, CLIENT, service, b"ask"),
        udp(120.0, CLIENT, service, b"ask"),
    ]);
    assert_eq!(starts(&reading), [0.0, 120.0]);
    let first = reading
        .observations
        .iter()
        .find(|it| it.phase == Phase::Closed)
        .unwrap();
    assert_eq!(
        (first.key.destination_port, first.source_port),
        (123, 40_000)
    );
    assert_eq!((first.bytes_out, first.bytes_in), (Some(3), Some(4)));
}

#[test]
fn payload_after_silence_is_activity_inside_of_the_connection() {
    let mut packets = vec![tcp(0.0, CLIENT, SERVER, "S", &[])];
    packets.extend((1..4).map(|n| tcp(f64::from(n) * 30.0, CLIENT, SERVER, "A", b"beat")));
    packets.push(tcp(90.5, SERVER, CLIENT, "R", &[]));
    let reading = read_packets(&packets);
    assert_eq!(
        phases(&reading.observations),
        [
            Phase::Opened,
            Phase::Activity,
            Phase::Activity,
            Phase::Closed
        ]
    );
    let out: Vec<_> = reading.observations.iter().map(|it| it.bytes_out).collect();
    assert_eq!(out, [None, Some(8), Some(12), Some(12)]);
}

#[test]
fn every_link_layer_and_byte_order_gives_the_same_connection() {
    let whole = || tcp(0.0, CLIENT, SERVER, "S", b"hello");
    let expected = read_packets(&[whole()]).observations;
    assert_eq!(expected.len(), 1);
    let ip = whole().frame[14..].to_vec();
    let mut tagged = whole().frame[..12].to_vec();
    tagged.extend([0x81, 0, 0, 5]);
    tagged.extend(&whole().frame[12..]);
    let mut cooked = vec![0; 14];
    cooked.extend([8, 0]);
    cooked.extend(&ip);
    let mut cooked_again = vec![8, 0];
    cooked_again.extend([0; 18]);
    cooked_again.extend(&ip);
    let mut loopback = vec![2, 0, 0, 0];
    loopback.extend(&ip);
    for (link, frame) in [
        (1, tagged),
        (101, ip.clone()),
        (228, ip),
        (113, cooked),
        (276, cooked_again),
        (0, loopback),
    ] {
        let packets = [Made { at_s: 0.0, frame }];
        let little = read_bytes(&pcap(link, &packets), &Settings::default()).unwrap();
        let big = pcap_in(link, &packets, u32::to_be_bytes, u16::to_be_bytes);
        let big = read_bytes(&big, &Settings::default()).unwrap();
        assert_eq!(little.observations, expected, "link {link}");
        assert_eq!(big.observations, expected, "link {link}");
    }
}

#[test]
fn a_packet_cut_by_the_capture_counts_whole_and_a_cut_header_is_counted() {
    let mut cut = tcp(0.0, CLIENT, SERVER, "S", &[7; 1000]);
    cut.frame.truncate(60);
    let mut broken = tcp(1.0, CLIENT, SERVER, "A", &[]);
    broken.frame.truncate(40);
    let reading = read_packets(&[cut, broken]);
    assert_eq!(reading.observations[0].bytes_out, Some(1000));
    assert_eq!(reading.report.skipped, [(Reason::UnusablePacket, 1)].into());
    let skip = &reading.report.kept[0];
    assert_eq!((skip.line, skip.field.as_deref()), (2, Some("packet")));
}

#[test]
fn a_capture_that_ends_inside_of_a_packet_gives_what_stands_before() {
    let mut file = pcap(
        1,
        &[
            tcp(0.0, CLIENT, SERVER, "S", &[]),
            udp(1.0, CLIENT, SERVER, b"x"),
        ],
    );
    file.truncate(file.len() - 5);
    let reading = read_bytes(&file, &Settings::default()).unwrap();
    assert_eq!(reading.observations.len(), 1);
    assert!(
        reading.report.file_problems[0]
            .to_string()
            .contains("after packet 1: the file ends inside of a packet"),
        "{:?}",
        reading.report.file_problems
    );
}

#[test]
fn the_table_of_connections_stays_within_its_limit() {
    let packets: Vec<Made> = (0..100)
        .map(|n| {
            tcp(
                f64::from(n),
                ([10, 0, 0, 1], 1024 + n as u16),
                SERVER,
                "S",
                &[],
            )
        })
        .collect();
    let settings = Settings {
        capture_connections_max: 10,
        ..Settings::default()
    };
    let reading = read_bytes(&pcap(1, &packets), &settings).unwrap();
    assert_eq!(
        (reading.observations.len(), reading.report.evicted),
        (100, 90)
    );
}

#[test]
fn the_same_capture_twice_counts_once_and_parts_of_one_are_joined() {
    let packets = [
        tcp(0.0, CLIENT, SERVER, "S", &[]),
        tcp(0.5, SERVER, CLIENT, "SA", &[]),
        tcp(1.0, CLIENT, SERVER, "R", &[]),
    ];
    let file = pcap(1, &packets);
    let twice = read_folder(&[("a.pcap", &file), ("b.pcap", &gzip(&file))]);
    assert_eq!((twice.observations.len(), twice.report.duplicates), (1, 1));
    let parts = [pcap(1, &packets[..1]), pcap(1, &packets[1..])];
    let joined = read_folder(&[("1.pcap", &parts[0]), ("2.pcap", &parts[1])]);
    assert_eq!(joined.observations.len(), 1);
    assert_eq!(
        joined.observations[0].duration,
        Some(Duration::from_secs(1))
    );
}

/// Found by fuzzing: the iterator of another crate read past the end.
#[test]
fn extension_headers_of_ipv6_that_are_cut_are_read_within_their_bounds() {
    let capture = include_bytes!("data/ipv6-extensions-cut.pcap");
    let reading = read_bytes(capture, &Settings::default()).unwrap();
    assert!(reading.report.lines > 0);
}

#[test]
fn fragments_of_ipv6_are_told_by_their_first_one_behind_other_extensions() {
    let address = |last: u8| [[0xfd; 15].as_slice(), &[last]].concat();
    let fragment = |offset: u16, payload: &[u8]| {
        let mut frame = vec![0x60, 0, 0, 0];
        frame.extend((16 + payload.len() as u16).to_be_bytes());
        frame.extend([60, 64]);
        frame.extend([address(1), address(2)].concat());
        frame.extend([44, 0, 1, 4, 0, 0, 0, 0]);
        frame.extend([17, 0]);
        frame.extend((offset | u16::from(offset == 0)).to_be_bytes());
        frame.extend(7_u32.to_be_bytes());
        frame.extend(payload);
        frame
    };
    let mut first = [2000_u16, 9999, 32, 0].map(u16::to_be_bytes).concat();
    first.extend([9; 8]);
    let packets = [fragment(0, &first), fragment(16, &[9; 16])];
    let packets = packets.map(|frame| Made { at_s: 0.0, frame });
    let reading = read_bytes(&pcap(101, &packets), &Settings::default()).unwrap();
    let [one] = reading.observations.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!((one.source_port, one.key.destination_port), (2000, 9999));
    assert_eq!(one.bytes_out, Some(24));
}

/// Found by fuzzing: the parser of another crate subtracted from the length.
#[test]
fn a_block_shorter_than_its_own_frame_ends_the_file_with_a_problem() {
    let capture = include_bytes!("data/block-too-short.pcapng");
    let reading = read_bytes(capture, &Settings::default()).unwrap();
    let problem = reading.report.file_problems[0].to_string();
    assert!(
        problem.contains("a block shorter than its own frame"),
        "{problem}"
    );
}

/// The capture and what tshark says of its hellos are those of the crate that reads them.
#[test]
fn connections_in_a_capture_have_the_fingerprint_and_the_name_that_tshark_sees() {
    let capture = include_bytes!("../../../packets/tests/data/captures/clients.pcap.gz");
    let told = include_str!("../../../packets/tests/data/captures/tls.json");
    let rows: Vec<serde_json::Value> = serde_json::from_str(told).unwrap();
    let reading = read_bytes(capture, &Settings::default()).unwrap();
    assert!(rows.len() >= 20);
    for row in rows {
        let field = |name: &str| row[name][0].as_str();
        let port = field("tcp.srcport").or(field("udp.srcport")).unwrap();
        let one = reading
            .observations
            .iter()
            .find(|it| it.source_port.to_string() == port && it.key.destination_port % 1000 == 443)
            .unwrap();
        let fingerprint = one.client_fingerprint.as_deref();
        assert_eq!(fingerprint, field("tls.handshake.ja4"));
        if let Some(name) = field("tls.handshake.extensions_server_name") {
            assert_eq!(
                one.server_name.as_deref(),
                Some(name.to_lowercase().as_str())
            );
        }
    }
}
