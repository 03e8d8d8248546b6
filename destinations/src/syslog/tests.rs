//! What goes over the wire, read back by parsers of its grammars.

mod grammar;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::Stream;
use grammar::{parse, parse_cef};

fn document(body: &serde_json::Value) -> Document {
    Document {
        event_id: "f00d-1".to_owned(),
        body: body.to_string(),
        stream: Stream::Detection,
    }
}

fn finding(message: &str) -> serde_json::Value {
    json!({
        "@timestamp": "2025-11-22T08:26:30.123Z",
        "beaconwatch": {"count": 42, "score": 0.94, "finding": {"id": "f00d", "revision": 1}},
        "destination": {"ip": "192.0.2.1", "port": 443},
        "event": {"action": "beacon-detected", "severity": 73, "id": "f00d-1"},
        "host": {"name": "wëb 3"},
        "message": message,
        "process": {"name": "a\"]\\b"},
        "rule": {"name": "Periodic | connections"},
        "source": {"ip": "2001:db8::7"},
    })
}

fn config(format: SyslogFormat) -> SyslogConfig {
    SyslogConfig {
        transport: SyslogTransport::Udp,
        format,
        ..SyslogConfig::default()
    }
}

fn make(config: &SyslogConfig, document: &Document) -> Result<Vec<u8>, String> {
    let mut messages = Messages::new(config, Some("detector 1"));
    messages.make(&Fields::read(document).unwrap(), document)
}

#[test]
fn a_finding_becomes_a_message_with_its_severity_action_and_identity() {
    let finding = finding("Beaconing to ünknown");
    let parsed = parse(&make(&config(SyslogFormat::Ecs), &document(&finding)).unwrap());
    // local0 (16) and error (3).
    assert_eq!(parsed.priority, 16 * 8 + 3);
    let process = std::process::id().to_string();
    let expected = [
        "2025-11-22T08:26:30.123000Z",
        "detector_1",
        "beaconwatch",
        &process,
        "beacon-detected",
    ];
    assert_eq!(parsed.header, expected);
    let ours = &parsed.data["beaconwatch@32473"];
    assert_eq!(ours["id"], "f00d-1");
    assert_eq!(ours["severity"], "high");
    assert_eq!(ours["process"], "a\"]\\b");
    assert_eq!(ours["host"], "wëb 3");
    assert_eq!(ours["source"], "2001:db8::7");
    assert_eq!(parsed.data["meta"]["sequenceId"], "1");
    assert_eq!(parsed.data["origin"]["software"], "beaconwatch");
    assert!(parsed.text.is_ascii() && !parsed.has_byte_order_mark);
    let carried: serde_json::Value = serde_json::from_str(&parsed.text).unwrap();
    assert_eq!(carried, finding);
}

#[test]
fn what_is_shown_is_the_message_that_would_be_sent_and_takes_no_number() {
    let document = document(&finding("shown"));
    let config = config(SyslogFormat::Cef);
    let destination = Syslog::new(&config, Some("detector 1")).unwrap();
    let sent = make(&config, &document).unwrap();
    for _ in 0..2 {
        let shown = destination.rendered(std::slice::from_ref(&document));
        assert_eq!(shown.unwrap().into_bytes(), sent);
    }
    let nothing = Document {
        body: "[]".to_owned(),
        ..document
    };
    assert!(destination.rendered(&[nothing]).is_err());
}

#[test]
fn no_control_character_of_a_document_is_sent_as_it_is() {
    // JSON escapes those below the space, and neither DEL nor those above ASCII.
    let controls: String = ('\0'..=' ').chain('\u{7f}'..='\u{9f}').collect();
    let finding = finding(&controls);
    let parsed = parse(&make(&config(SyslogFormat::Ecs), &document(&finding)).unwrap());
    assert!(!parsed.text.contains(char::is_control), "{:?}", parsed.text);
    let carried: serde_json::Value = serde_json::from_str(&parsed.text).unwrap();
    assert_eq!(carried, finding);
}

#[test]
fn text_that_is_not_ascii_declares_itself_as_utf8() {
    let plain = parse(&make(&config(SyslogFormat::Text), &document(&finding("plain"))).unwrap());
    assert!(!plain.has_byte_order_mark);
    let umlaut = parse(&make(&config(SyslogFormat::Text), &document(&finding("ümlaut"))).unwrap());
    assert!(umlaut.has_byte_order_mark);
    assert!(umlaut.text.ends_with("ümlaut"), "{}", umlaut.text);
}

#[test]
fn a_document_that_is_too_long_becomes_text_which_is_cut_between_characters() {
    for format in [
        SyslogFormat::Ecs,
        SyslogFormat::Text,
        SyslogFormat::Cef,
        SyslogFormat::Leef,
    ] {
        for letters in 8000..8010 {
            let message = format!("{}{}", "x".repeat(letters), "ü".repeat(500));
            let made = make(&config(format), &document(&finding(&message))).unwrap();
            assert!((8188..=8192).contains(&made.len()), "{}", made.len());
            let parsed = parse(&made);
            assert!(
                parsed.text.starts_with("severity=high id=f00d-1 "),
                "{}",
                parsed.text
            );
            assert!(parsed.text.ends_with(" ..."), "{}", parsed.text);
        }
    }
}

#[test]
fn sequence_numbers_go_up_and_begin_again_after_the_largest() {
    let document = document(&finding("x"));
    let fields = Fields::read(&document).unwrap();
    let mut messages = Messages::new(&config(SyslogFormat::Text), None);
    for expected in ["1", "2", "3"] {
        let parsed = parse(&messages.make(&fields, &document).unwrap());
        assert_eq!(parsed.data["meta"]["sequenceId"], expected);
    }
}

#[test]
fn cef_has_the_fields_under_its_own_names() {
    let parsed = parse(&make(&config(SyslogFormat::Cef), &document(&finding("a=b \\ c"))).unwrap());
    let (header, values) = parse_cef(&parsed.text);
    let expected = [
        "CEF:0",
        "Beaconwatch",
        "Beaconwatch",
        env!("CARGO_PKG_VERSION"),
        "beacon-detected",
        "Periodic | connections",
        "8",
    ];
    assert_eq!(header, expected);
    assert_eq!(values["externalId"], "f00d-1");
    assert_eq!(values["rt"], "1763799990123");
    assert_eq!(values["dst"], "192.0.2.1");
    assert_eq!(values.get("src"), None);
    assert_eq!(values["c6a2"], "2001:db8::7");
    assert_eq!(values["c6a2Label"], "Source IPv6 Address");
    assert_eq!(values["msg"], "a=b \\ c");
    assert_eq!(values["cnt"], "42");
}

#[test]
fn leef_has_the_fields_under_its_own_names() {
    let parsed = parse(&make(&config(SyslogFormat::Leef), &document(&finding("a=b\tc"))).unwrap());
    let (header, attributes) = parsed.text.rsplit_once('|').unwrap();
    assert_eq!(
        header,
        format!(
            "LEEF:2.0|Beaconwatch|Beaconwatch|{}|beacon-detected|x09",
            env!("CARGO_PKG_VERSION")
        )
    );
    let values: BTreeMap<_, _> = attributes
        .split('\t')
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    assert_eq!(values["id"], "f00d-1");
    assert_eq!(values["sev"], "8");
    assert_eq!(values["src"], "2001:db8::7");
    assert_eq!(values["dstPort"], "443");
    assert_eq!(values["msg"], "a=b c");
}

fn any_format() -> impl Strategy<Value = SyslogFormat> {
    prop_oneof![
        Just(SyslogFormat::Ecs),
        Just(SyslogFormat::Text),
        Just(SyslogFormat::Cef),
        Just(SyslogFormat::Leef),
    ]
}

proptest! {
    #[test]
    fn whatever_a_document_holds_its_message_is_one_valid_line(
        format in any_format(),
        action in any::<String>(),
        text in any::<String>(),
        process in any::<String>(),
        id in any::<String>(),
    ) {
        let body = json!({"event": {"action": action, "severity": 99}, "message": text, "process": {"name": process}});
        let document = Document { event_id: id.clone(), ..document(&body) };
        let made = make(&config(format), &document).unwrap();
        let parsed = parse(&made);
        let spaced = |text: &str| -> String { text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect() };
        prop_assert_eq!(&parsed.data["beaconwatch@32473"]["id"], &spaced(&id));
        let name: String = process.chars().take(64).collect();
        prop_assert_eq!(&parsed.data["beaconwatch@32473"]["process"], &spaced(&name));
        prop_assert!(parsed.text.chars().all(|c| !c.is_control() || (c == '\t' && format == SyslogFormat::Leef)));
        if format == SyslogFormat::Ecs {
            let carried: serde_json::Value = serde_json::from_str(&parsed.text).unwrap();
            prop_assert_eq!(carried, body);
        }
    }

    #[test]
    fn values_of_cef_come_back_whole(text in "[ -~\n\r\u{e4}=|\\\\]{0,40}", name in "[ -~|\\\\]{0,20}") {
        let body = json!({"message": text, "rule": {"name": name}, "process": {"name": "x"}});
        let document = document(&body);
        let line = event::cef(&Fields::read(&document).unwrap(), &document);
        let (header, values) = parse_cef(&line);
        prop_assert_eq!(&header[5], &name);
        prop_assert_eq!(&values["msg"], &text);
    }
}

#[tokio::test]
async fn a_datagram_is_unconfirmed_and_a_refused_one_is_tried_again() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = SyslogConfig {
        address: receiver.local_addr().unwrap().to_string(),
        ..config(SyslogFormat::Text)
    };
    let mut syslog = Syslog::new(&config, None).unwrap();
    let documents = [document(&finding("one")), document(&finding("two"))];
    let outcomes = syslog.deliver(&documents).await.unwrap();
    assert_eq!(outcomes, vec![Outcome::Unconfirmed; 2]);
    let mut buffer = [0; 9000];
    for expected in ["one", "two"] {
        let length = receiver.recv(&mut buffer).unwrap();
        assert!(parse(&buffer[..length]).text.ends_with(expected));
    }
    drop(receiver);
    let error = syslog.deliver(&documents).await.unwrap_err();
    assert!(error.reason.contains("refused"), "{}", error.reason);
}

#[tokio::test]
async fn the_local_socket_gets_what_syslog_3_would_write_and_may_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config = SyslogConfig {
        path: path.clone(),
        format: SyslogFormat::Text,
        ..SyslogConfig::default()
    };
    config.validate("x").unwrap();
    let mut syslog = Syslog::new(&config, None).unwrap();
    let documents = [document(&finding("local"))];
    let error = syslog.deliver(&documents).await.unwrap_err();
    assert!(
        error.reason.contains(path.to_str().unwrap()),
        "{}",
        error.reason
    );
    let receiver = UnixDatagram::bind(&path).unwrap();
    assert_eq!(
        syslog.deliver(&documents).await.unwrap(),
        [Outcome::Unconfirmed]
    );
    let mut buffer = [0; 9000];
    let length = receiver.recv(&mut buffer).unwrap();
    let text = std::str::from_utf8(&buffer[..length]).unwrap();
    let (_, rest) = text
        .strip_prefix("<131>")
        .unwrap()
        .split_at("Nov 22 08:26:30".len());
    let expected = format!(
        " beaconwatch[{}]: severity=high id=f00d-1 ",
        std::process::id()
    );
    assert!(rest.starts_with(&expected), "{text}");
}

/// What a receiver does with one connection.
enum Receiver {
    Reads,
    ReadsAndStaysOpen,
    ResetsUnread,
}

fn receive(how: Receiver) -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut received = Vec::new();
        match how {
            Receiver::Reads => {
                stream.read_to_end(&mut received).unwrap();
            }
            Receiver::ReadsAndStaysOpen => {
                stream.read_to_end(&mut received).unwrap();
                // Until the other end gives up and goes away, which only a write shows.
                while stream.write_all(b"x").is_ok() {}
            }
            Receiver::ResetsUnread => {
                let mut first = [0; 1];
                stream.read_exact(&mut first).unwrap();
                stream.shutdown(Shutdown::Read).unwrap();
            }
        }
        received
    });
    (address, received)
}

fn over_tcp(address: String) -> Syslog {
    let config = SyslogConfig {
        transport: SyslogTransport::Tcp,
        address,
        ..config(SyslogFormat::Text)
    };
    config.validate("x").unwrap();
    Syslog::new(&config, None).unwrap()
}

#[tokio::test]
async fn a_receiver_that_closes_in_order_has_read_every_message() {
    let (address, received) = receive(Receiver::Reads);
    let documents = [document(&finding("one\ntwo")), document(&finding("ünd"))];
    let outcomes = over_tcp(address).deliver(&documents).await.unwrap();
    assert_eq!(outcomes, vec![Outcome::Delivered; 2]);
    let received = received.join().unwrap();
    let mut rest = received.as_slice();
    for expected in ["one two", "ünd"] {
        let space = rest.iter().position(|&byte| byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&rest[..space])
            .unwrap()
            .parse()
            .unwrap();
        let (message, next) = rest[space + 1..].split_at(length);
        assert!(parse(message).text.ends_with(expected));
        rest = next;
    }
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_receiver_that_resets_without_reading_gets_everything_again() {
    let (address, received) = receive(Receiver::ResetsUnread);
    let documents = vec![document(&finding("unread")); 1000];
    let error = over_tcp(address).deliver(&documents).await.unwrap_err();
    assert!(
        error.reason.contains("reset") || error.reason.contains("Broken pipe"),
        "{}",
        error.reason
    );
    received.join().unwrap();
}

#[tokio::test]
async fn a_receiver_that_does_not_close_leaves_the_messages_unconfirmed() {
    let (address, received) = receive(Receiver::ReadsAndStaysOpen);
    let documents = [document(&finding("open"))];
    let outcomes = over_tcp(address).deliver(&documents).await.unwrap();
    assert_eq!(outcomes, [Outcome::Unconfirmed]);
    assert!(!received.join().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_no_document_is_refused_and_the_rest_is_sent() {
    let (address, received) = receive(Receiver::Reads);
    let nothing = Document {
        body: "[]".to_owned(),
        ..document(&json!({}))
    };
    let documents = [nothing, document(&finding("good"))];
    let outcomes = over_tcp(address).deliver(&documents).await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Refused { reason } if reason.contains("no object")));
    assert_eq!(outcomes[1], Outcome::Delivered);
    received.join().unwrap();
}

#[test]
fn settings_that_cannot_be_are_named() {
    let field = |change: fn(&mut SyslogConfig)| {
        let mut config = config(SyslogFormat::Ecs);
        change(&mut config);
        config.validate("x").unwrap_err().field().to_owned()
    };
    for wrong in [":514", "host", "host:", "host:0", "host:65536"] {
        let config = SyslogConfig {
            address: wrong.to_owned(),
            ..config(SyslogFormat::Ecs)
        };
        assert_eq!(
            config.validate("x").unwrap_err().field(),
            "x.address",
            "{wrong}"
        );
    }
    assert_eq!(field(|c| c.max_message_bytes = 1023), "x.max_message_bytes");
    assert_eq!(field(|c| c.timeout_s = 0), "x.timeout_s");
    assert_eq!(field(|c| c.tls.verify = false), "x.tls");
    assert_eq!(
        field(|c| {
            c.transport = SyslogTransport::Local;
            c.path = "log".into();
        }),
        "x.path"
    );
    config(SyslogFormat::Ecs).validate("x").unwrap();
}
