use etherparse::PacketBuilder;

use crate::link::{Frame, TUNNELS_MAX, read};
use crate::{Echo, Fragments, Packet, Transport};

/// IPv4 around a payload: protocol, identity, offset in bytes, more fragments to come.
fn ip(protocol: u8, fragment: (u16, u16, bool), payload: &[u8]) -> Vec<u8> {
    let (identity, offset, more) = fragment;
    let length = u16::try_from(20 + payload.len()).unwrap();
    let offset = (offset / 8) | (u16::from(more) << 13);
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend(identity.to_be_bytes());
    packet.extend(offset.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 192, 0, 2, 1]);
    packet.extend(payload);
    packet
}

const WHOLE: (u16, u16, bool) = (1, 0, false);

fn inner() -> Vec<u8> {
    let mut packet = Vec::new();
    let builder = PacketBuilder::ipv4([172, 16, 0, 1], [172, 16, 0, 2], 64).udp(1000, 2000);
    builder.write(&mut packet, &[7; 100]).unwrap();
    packet
}

fn packet(frame: Frame<'_>) -> Packet<'_> {
    match frame {
        Frame::Packet(packet) => packet,
        other => panic!("{other:?}"),
    }
}

#[test]
fn of_a_packet_in_a_tunnel_that_is_in_fragments_the_first_one_tells_all() {
    let (mut fragments, inside) = (Fragments::default(), inner());
    let (first, second) = inside.split_at(64);
    let first = ip(4, (9, 0, true), first);
    let second = ip(4, (9, 64, false), second);
    let told = packet(read(101, 0, &first, &mut fragments));
    assert_eq!((told.sender.port, told.receiver.port), (1000, 2000));
    assert_eq!((told.payload_bytes, told.payload.len()), (100, 36));
    assert_eq!(read(101, 0, &second, &mut fragments), Frame::Other);
}

#[test]
fn tunnels_are_taken_off_up_to_the_limit() {
    let nested = |layers: u8| {
        let mut bytes = inner();
        for _ in 0..layers {
            bytes = ip(4, WHOLE, &bytes);
        }
        bytes
    };
    let told = |bytes: &[u8]| packet(read(101, 0, bytes, &mut Fragments::default())).transport;
    assert_eq!(told(&nested(TUNNELS_MAX)), Transport::Udp);
    assert_eq!(told(&nested(TUNNELS_MAX + 1)), Transport::Other(4));
    assert_eq!(told(&nested(200)), Transport::Other(4));
}

#[test]
fn what_cannot_be_read_inside_of_a_tunnel_stands_as_the_tunnel_itself() {
    for (protocol, inside) in [
        (4, &b"\x45cut"[..]),
        (41, b"no packet"),
        // Encrypted by a key that is on no wire, version 1, ERSPAN, and a route in the header.
        (50, b"\0\0\0\x01encrypted"),
        (47, b"\x30\x01\x88\x0b\0\0\0\0"),
        (47, b"\x10\0\x88\xbe\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        (47, b"\x40\0\x08\0\0\0\0\0"),
    ] {
        let bytes = ip(protocol, WHOLE, inside);
        let told = packet(read(101, 0, &bytes, &mut Fragments::default()));
        assert_eq!(told.transport, Transport::Other(protocol));
        assert_eq!(told.payload_bytes, inside.len() as u64);
    }
}

#[test]
fn messages_of_icmp_have_their_type_and_code() {
    let ping = ip(1, WHOLE, &[8, 0, 0, 0, 0, 1, 0, 1, 9, 9]);
    let told = packet(read(101, 0, &ping, &mut Fragments::default()));
    assert_eq!(
        (told.icmp.map(|it| (it.kind, it.code)), told.payload_bytes),
        (Some((8, 0)), 2)
    );
    let echo = told.icmp.and_then(|it| it.echo);
    let asks = |is_request| Echo {
        is_request,
        identifier: 1,
    };
    assert_eq!(echo, Some(asks(true)));
    let reply = ip(1, WHOLE, &[0, 0, 0, 0, 0, 1, 0, 1]);
    let told = packet(read(101, 0, &reply, &mut Fragments::default()));
    assert_eq!(told.icmp.and_then(|it| it.echo), Some(asks(false)));
    // Cut before its identifier, and a type with another code.
    for message in [&[8, 0, 0, 0, 0][..], &[8, 1, 0, 0, 0, 1, 0, 1]] {
        let bytes = ip(1, WHOLE, message);
        let told = packet(read(101, 0, &bytes, &mut Fragments::default()));
        assert_eq!(told.icmp.unwrap().echo, None);
    }
    let unreachable = ip(1, WHOLE, &[3, 1, 0, 0, 0, 0, 0, 0]);
    let told = read(101, 0, &unreachable, &mut Fragments::default());
    assert_eq!(told, Frame::Other);
}
