//! What a replay says in the place of the kernel part.

use beaconwatch_exporter::source::FlowSource;
use beaconwatch_records::{
    CloseReason, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord, LossCounter, Protocol,
    RecordKind, Role,
};

use crate::support::{
    ACK, BEGIN_NS, FIN, RESET, SECOND_NS, SYN, all_records, datagram, echo, file, pcap, segment,
};

const MINUTE_NS: u64 = 60 * SECOND_NS;

async fn told(packets: &[(u64, Vec<u8>)]) -> Vec<FlowRecord> {
    let (_folder, path) = file(&pcap(packets));
    all_records(&path).await.1
}

fn of_kind(records: &[FlowRecord], kind: RecordKind) -> Vec<FlowRecord> {
    let of_kind = records.iter().filter(|it| it.kind == kind as u8);
    of_kind.copied().collect()
}

/// SYN, answer and acknowledgement of a connection.
fn handshake(client: u16) -> Vec<(u64, Vec<u8>)> {
    vec![
        (0, segment(true, client, SYN, 99, b"")),
        (1000, segment(false, client, SYN | ACK, 499, b"")),
        (2000, segment(true, client, ACK, 100, b"")),
    ]
}

#[tokio::test]
async fn a_connection_is_told_from_its_initiator_with_bytes_of_ip_and_totals_of_tcp() {
    let mut packets = handshake(41001);
    packets.extend([
        (3000, segment(true, 41001, ACK, 100, b"twelve bytes")),
        (4000, segment(true, 41001, ACK, 100, b"twelve bytes")),
        (5000, segment(false, 41001, ACK, 500, b"answer")),
        (6000, segment(true, 41001, FIN | ACK, 112, b"")),
        (7000, segment(false, 41001, FIN | ACK, 506, b"")),
        (8000, segment(true, 41001, ACK, 113, b"")),
    ]);
    let records = told(&packets).await;
    let kinds: Vec<u8> = records.iter().map(|it| it.kind).collect();
    assert_eq!(kinds, [RecordKind::Open as u8, RecordKind::Close as u8]);
    let (open, close) = (records[0], records[1]);
    assert_eq!((open.start_ns, open.time_ns), (BEGIN_NS, BEGIN_NS));
    assert_eq!(close.time_ns, BEGIN_NS + 8000);
    assert_eq!(close.last_packet_ns, BEGIN_NS + 8000);
    assert_eq!(close.role, Role::Client as u8);
    assert_eq!((close.local_port, close.remote_port), (41001, 443));
    assert_eq!(close.local_address[10..], [0xff, 0xff, 10, 0, 0, 1]);
    assert_eq!(close.remote_address[10..], [0xff, 0xff, 10, 0, 0, 2]);
    assert_eq!((open.cookie, open.start_ns), (close.cookie, close.start_ns));
    let counters = close.counters;
    assert_eq!(
        (counters.packets_sent, counters.bytes_sent),
        (6, 6 * 40 + 24)
    );
    let received = (counters.packets_received, counters.bytes_received);
    assert_eq!(received, (3, 3 * 40 + 6));
    assert_eq!((close.payload_sent, close.payload_received), (12, 6));
    assert_eq!((close.retransmits, close.established), (1, 1));
    assert_eq!(close.flags, FLAG_TCP_TOTALS);
    assert_eq!((close.owner.pid, close.netns_cookie), (0, 0));
}

#[tokio::test]
async fn the_reason_of_an_end_is_the_order_of_its_fins_or_the_reset() {
    let fin = |out: bool| segment(out, 41001, FIN | ACK, if out { 100 } else { 500 }, b"");
    let reset = |out: bool| segment(out, 41001, RESET, 100, b"");
    let syn = || segment(true, 41001, SYN, 99, b"");
    let opened = |rest: [Vec<u8>; 2]| {
        let mut packets = handshake(41001);
        packets.extend(rest.map(|packet| (SECOND_NS, packet)));
        packets
    };
    for (packets, expected) in [
        (opened([fin(true), fin(false)]), CloseReason::FinLocal),
        (opened([fin(false), fin(true)]), CloseReason::FinRemote),
        (opened([fin(true), reset(false)]), CloseReason::Reset),
        (vec![(0, syn()), (1, reset(false))], CloseReason::Refused),
        (
            vec![
                (0, syn()),
                (SECOND_NS, syn()),
                (10 * MINUTE_NS, datagram(true, 1, b"")),
            ],
            CloseReason::NoReply,
        ),
    ] {
        let closes = of_kind(&told(&packets).await, RecordKind::Close);
        assert_eq!(closes.len(), 1);
        assert_eq!(closes[0].close_reason, expected as u8, "{expected:?}");
    }
}

#[tokio::test]
async fn what_lives_when_the_capture_ends_has_no_end_and_its_counters_are_told() {
    let (_folder, path) = file(&pcap(&handshake(41001)));
    let (mut replay, records) = all_records(&path).await;
    assert_eq!(of_kind(&records, RecordKind::Close).len(), 0);
    let mut living = Vec::new();
    assert_eq!(replay.live_flows(&mut living).unwrap(), 1);
    assert_eq!(living[0].kind, RecordKind::Update as u8);
    assert_eq!(living[0].counters.packets_sent, 2);
    assert_eq!(replay.read(&mut living).await.unwrap(), 0);
}

#[tokio::test]
async fn a_connection_without_its_syn_has_an_inferred_start_and_a_stray_reset_none() {
    let (_folder, path) = file(&pcap(&[
        (0, segment(false, 41001, ACK, 500, b"in between")),
        (1, segment(false, 41002, RESET, 500, b"")),
    ]));
    let (replay, records) = all_records(&path).await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].local_port, records[0].remote_port),
        (41001, 443)
    );
    assert_eq!(records[0].flags, FLAG_START_INFERRED);
    let losses = replay.losses().unwrap().into_iter();
    let mut losses = LossCounter::ALL.into_iter().zip(losses);
    assert!(losses.any(|it| it == (LossCounter::Unattributed, 1)));
}

#[tokio::test]
async fn silence_ends_datagrams_after_the_configured_time_and_the_next_begins_a_flow() {
    let records = told(&[
        (0, datagram(true, 41001, b"one")),
        (10 * SECOND_NS, datagram(false, 41001, b"in time")),
        (20 * SECOND_NS + 1, datagram(true, 41001, b"late")),
    ])
    .await;
    let closes = of_kind(&records, RecordKind::Close);
    assert_eq!(closes.len(), 1);
    assert_eq!(closes[0].close_reason, CloseReason::Idle as u8);
    assert_eq!(closes[0].time_ns, BEGIN_NS + 10 * SECOND_NS);
    assert_eq!(closes[0].established, 1);
    let opens = of_kind(&records, RecordKind::Open);
    assert_eq!(opens.len(), 2);
    assert_ne!(opens[0].cookie, opens[1].cookie);
}

#[tokio::test]
async fn payload_of_the_initiator_after_silence_is_activity_and_its_counters_are_those_before() {
    let mut packets = handshake(41001);
    packets.extend([
        (SECOND_NS, segment(true, 41001, ACK, 100, b"first")),
        // Neither an answer nor an empty segment nor what comes soon after is.
        (3 * SECOND_NS, segment(false, 41001, ACK, 500, b"answer")),
        (4 * SECOND_NS, segment(true, 41001, ACK, 105, b"")),
        (5 * SECOND_NS, segment(true, 41001, ACK, 105, b"again")),
        (5 * SECOND_NS + 1, segment(true, 41001, ACK, 110, b"more")),
    ]);
    let activity = of_kind(&told(&packets).await, RecordKind::Activity);
    assert_eq!(activity.len(), 1);
    assert_eq!(activity[0].time_ns, BEGIN_NS + 5 * SECOND_NS);
    assert_eq!(activity[0].counters.packets_sent, 4);
    assert_eq!(activity[0].counters.bytes_sent, 4 * 40 + 5);
}

#[tokio::test]
async fn echo_requests_are_flows_by_their_ends_and_identifier_and_begin_with_a_request() {
    let records = told(&[
        // Of nobody's request: passed over.
        (0, echo(false, false, 2000, b"stray")),
        (1, echo(true, true, 2000, b"one")),
        (2, echo(false, false, 2000, b"one")),
        (3, echo(true, true, 7, b"other")),
        // The other way with the same identifier.
        (4, echo(false, true, 7, b"back")),
        (5, echo(true, false, 7, b"back")),
        (SECOND_NS + 1, echo(true, true, 2000, b"two")),
        (60 * SECOND_NS, datagram(true, 1, b"")),
    ])
    .await;
    let closes = of_kind(&records, RecordKind::Close);
    let mut told: Vec<(u8, [u64; 4], u8)> = closes
        .iter()
        .map(|it| {
            assert_eq!(it.protocol, Protocol::Icmp as u8);
            assert_eq!((it.local_port, it.remote_port), (8, 0));
            assert_eq!(it.role, Role::Client as u8);
            assert_eq!(it.close_reason, CloseReason::Idle as u8);
            let counters = it.counters;
            let traffic = [
                counters.packets_sent,
                counters.packets_received,
                counters.bytes_sent,
                counters.bytes_received,
            ];
            (it.local_address[15], traffic, it.established)
        })
        .collect();
    let expected = [
        (1, [1, 0, 33, 0], 0),
        (1, [2, 1, 62, 31], 1),
        (2, [1, 1, 32, 32], 1),
    ];
    told.sort_unstable();
    assert_eq!(told, expected);
    let activity = of_kind(&records, RecordKind::Activity);
    assert_eq!(activity.len(), 1);
    assert_eq!(activity[0].time_ns, BEGIN_NS + SECOND_NS + 1);
}
