use crate::table::{Connection, Counters, DATAGRAM_IDLE, Ending, Moment, Table};
use crate::{End, Packet, Segment, Transport};

const SECOND_NS: i64 = 1_000_000_000;

fn end(last: u8, port: u16) -> End {
    End {
        address: [10, 0, 0, last].into(),
        port,
    }
}

/// A segment between the client, port 40000, and the server, port 443: flags, then sequence number and payload.
fn segment(
    at_s: i64,
    out: bool,
    flags: &str,
    number: u32,
    payload: &'static [u8],
) -> Packet<'static> {
    let (client, server) = (end(1, 40_000), end(2, 443));
    Packet {
        time_ns: at_s * SECOND_NS,
        sender: if out { client } else { server },
        receiver: if out { server } else { client },
        transport: Transport::Tcp,
        tcp: Some(Segment {
            syn: flags.contains('S'),
            ack: flags.contains('A'),
            fin: flags.contains('F'),
            reset: flags.contains('R'),
            numbers: Some((number, 1)),
        }),
        icmp: None,
        network_bytes: 40 + payload.len() as u64,
        payload_bytes: payload.len() as u64,
        payload,
    }
}

/// What is told of a connection when it closes.
#[derive(Debug, PartialEq)]
struct Told {
    ending: Ending,
    established: Option<bool>,
    name: Option<String>,
    packets: (u64, u64),
    network_bytes: (u64, u64),
}

fn told(packets: &[Packet<'_>]) -> Vec<Told> {
    let mut told = Vec::new();
    let mut tell = |moment: Moment, it: &Connection| {
        if moment == Moment::Closed {
            told.push(Told {
                ending: it.ending(),
                established: it.established(),
                name: it.name.as_deref().map(str::to_owned),
                packets: (it.packets_out, it.packets_in),
                network_bytes: (it.network_bytes_out, it.network_bytes_in),
            });
        }
    };
    let mut table = Table::new(10);
    for packet in packets {
        table.take(packet, &mut tell);
    }
    table.finish(&mut tell);
    told
}

#[test]
fn a_connection_tells_how_it_ended() {
    let syn = segment(0, true, "S", 9, b"");
    let answer = segment(0, false, "SA", 5, b"");
    let payload = segment(1, true, "A", 10, b"hello");
    let fin = |out, at_s| segment(at_s, out, "FA", 15, b"");
    let reset = |out| segment(3, out, "R", 15, b"");
    for (packets, ending) in [
        (
            vec![syn, answer, payload, fin(true, 2), fin(false, 3)],
            Ending::SourceClosed,
        ),
        (
            vec![syn, answer, payload, fin(false, 2), fin(true, 3)],
            Ending::DestinationClosed,
        ),
        (
            vec![syn, answer, payload, fin(true, 2), reset(false)],
            Ending::Reset,
        ),
        (vec![syn, answer, payload, reset(true)], Ending::Reset),
        (vec![syn, reset(false)], Ending::Refused),
        (vec![syn, syn], Ending::Unanswered),
        (vec![syn, answer, payload, fin(true, 2)], Ending::Silent),
    ] {
        let told = told(&packets);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].ending, ending, "{packets:?}");
        assert_eq!(
            told[0].established,
            Some(!matches!(ending, Ending::Refused | Ending::Unanswered))
        );
    }
}

#[test]
fn packets_and_their_bytes_are_counted_each_way() {
    let told = told(&[
        segment(0, true, "S", 9, b""),
        segment(0, false, "SA", 5, b""),
        segment(1, true, "A", 10, b"hello"),
    ]);
    assert_eq!((told[0].packets, told[0].network_bytes), ((2, 1), (85, 40)));
}

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\nUser-Agent: x\r\n\r\n";

#[test]
fn a_head_in_segments_out_of_order_and_sent_again_names_the_server() {
    let (one, rest) = HEAD.split_at(10);
    let (two, three) = rest.split_at(10);
    let told = told(&[
        segment(0, true, "S", u32::MAX - 4, b""),
        segment(1, true, "A", 16, three),
        segment(2, true, "A", 6, two),
        segment(2, true, "A", 6, two),
        segment(3, true, "A", u32::MAX - 3, one),
    ]);
    assert_eq!(told[0].name.as_deref(), Some("a.test"));
}

#[test]
fn of_a_head_that_never_came_whole_the_name_counts_when_the_connection_ends() {
    let told = told(&[
        segment(0, true, "S", 0, b""),
        segment(1, true, "A", 1, &HEAD[..35]),
    ]);
    assert_eq!(told[0].name.as_deref(), Some("a.test"));
}

#[test]
fn living_connections_can_be_looked_at() {
    let mut table = Table::new(10);
    table.take(&segment(0, true, "S", 9, b""), &mut |_, _| {});
    let ends: Vec<_> = table
        .connections()
        .map(|it| (it.source, it.destination))
        .collect();
    assert_eq!(ends, [(end(1, 40_000), end(2, 443))]);
    let counters = Counters {
        connections: 1,
        ..Counters::default()
    };
    assert_eq!(table.counters(), counters);
    table.expire(SECOND_NS * 3600, &mut |_, _| {});
    assert_eq!(table.connections().count(), 0);
}

#[test]
fn a_note_is_shown_before_its_packet_is_counted_and_kept_to_the_end() {
    let mut table: Table<Vec<u64>> = Table::with_notes(10, DATAGRAM_IDLE);
    let mut notes = Vec::new();
    let mut tell = |moment: Moment, it: &Connection<Vec<u64>>| {
        if moment == Moment::Closed {
            notes.push((it.number, it.note.clone(), it.name.clone()));
        }
    };
    for packet in [
        segment(0, true, "S", 9, b""),
        segment(1, true, "A", 10, HEAD),
        segment(2, false, "R", 5, b""),
    ] {
        table.take_noting(&packet, &mut tell, |it| it.note.push(it.packets_out));
    }
    table.settle(&mut tell);
    // Whoever keeps notes reads names by other means.
    assert_eq!(notes, [(0, vec![0, 1, 2], None)]);
    assert_eq!(table.connections().count(), 0);
}

#[test]
fn what_tcp_has_not_ended_is_not_settled() {
    let mut table: Table<()> = Table::with_notes(10, DATAGRAM_IDLE);
    table.take(&segment(0, true, "S", 9, b""), &mut |_, _| {});
    table.settle(&mut |_, _| panic!("an end"));
    assert_eq!(table.connections().count(), 1);
}
