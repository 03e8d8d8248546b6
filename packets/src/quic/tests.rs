use super::*;

const RFC_9001: &str = include_str!("../../tests/data/vectors/rfc9001-client-initial.hex");
const RFC_9369: &str = include_str!("../../tests/data/vectors/rfc9369-client-initial.hex");

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.split_whitespace().collect::<String>()).unwrap()
}

#[test]
fn the_packets_of_both_specifications_open_to_their_hello() {
    for (text, version) in [(RFC_9001, Version::V1), (RFC_9369, Version::V2)] {
        let mut initials = Initials::default();
        let Verdict::Found(hello) = initials.take(&bytes(text)) else {
            panic!("{version:?}")
        };
        assert_eq!(initials.version(), Some(version));
        assert_eq!(hello.server_name.as_deref(), Some("example.com"));
        assert_eq!(hello.alpn, ["alpn"]);
        assert_eq!(hello.ciphers, [0x1301, 0x1302]);
        assert_eq!(hello.groups, [0x1d, 0x17, 0x18]);
        assert_eq!(hello.versions, [0x0304]);
        assert!(hello.whole);
    }
}

/// What is known after a packet of version 1 to this identity.
fn after_identity(destination: &[u8]) -> Initials {
    let keys = Keys::of_client(Version::V1, destination).unwrap();
    Initials {
        original: Some((destination.to_vec(), keys)),
        ..Initials::default()
    }
}

#[test]
fn a_packet_with_one_wrong_byte_is_not_quic() {
    let packet = bytes(RFC_9001);
    for at in (0..packet.len()).step_by(7) {
        let mut wrong = packet.clone();
        wrong[at] ^= 1;
        let verdict = Initials::default().take(&wrong);
        assert_eq!(verdict, Verdict::Nothing, "byte {at}");
    }
}

#[test]
fn a_client_that_changes_its_version_keeps_its_first_identity() {
    let mut initials = after_identity(&bytes("8394c8f03e515708"));
    assert!(matches!(initials.take(&bytes(RFC_9369)), Verdict::Found(_)));
}

#[test]
fn after_a_retry_the_new_identity_gives_the_keys() {
    let mut initials = after_identity(b"another");
    assert!(matches!(initials.take(&bytes(RFC_9001)), Verdict::Found(_)));
}

#[test]
fn frames_of_initial_packets_are_read_and_others_end_the_packet() {
    let read = |payload: &[u8]| {
        let mut found = Vec::new();
        let whole = frames(payload, |offset, data| found.push((offset, data.to_vec())));
        (whole.is_some(), found)
    };
    // Padding, ping, an ACK with one more range, one with ECN counts, CRYPTO at 0x1234.
    let payload =
        b"\0\0\x01\x02\x05\x00\x01\x02\x01\x01\x03\x05\0\0\0\x01\x02\x03\x06\x52\x34\x02hi";
    assert_eq!(read(payload), (true, vec![(0x1234, b"hi".to_vec())]));
    assert_eq!(
        read(b"\x06\0\x01a\x1c\0\0\0"),
        (false, vec![(0, b"a".to_vec())])
    );
    assert_eq!(read(b"\x06\0\x05cut"), (false, vec![]));
}
