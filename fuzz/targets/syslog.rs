#![no_main]
//! Syslog messages in every format, taken apart by parsers written from the specifications: they hold what the
//! document holds. Values are divided by NUL.

#[path = "../../destinations/src/syslog/tests/grammar.rs"]
mod grammar;

use std::path::Path;

use beaconwatch_destinations::{
    Destination, DestinationKind, Document, Stream, Surroundings, SyslogConfig, SyslogFormat,
    SyslogTransport,
};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const MESSAGE_BYTES_MAX: usize = 8192;

struct Destinations([(SyslogFormat, Box<dyn Destination>); 4]);

impl Destinations {
    fn new() -> Self {
        let formats = [
            SyslogFormat::Ecs,
            SyslogFormat::Text,
            SyslogFormat::Cef,
            SyslogFormat::Leef,
        ];
        Self(formats.map(|format| {
            let config = SyslogConfig {
                transport: SyslogTransport::Udp,
                format,
                max_message_bytes: MESSAGE_BYTES_MAX,
                ..SyslogConfig::default()
            };
            let surroundings = Surroundings {
                data_directory: Path::new("."),
                namespace: "default",
                observer_name: Some("observer"),
            };
            let destination = DestinationKind::Syslog(config).build(&surroundings);
            (format, destination.expect("it connects to nothing"))
        }))
    }
}

thread_local! {
    static DESTINATIONS: Destinations = Destinations::new();
}

/// What a line shows of a text: control characters are spaces.
fn spaced(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fuzz_target!(|text: &str| {
    let mut values = text.split('\0');
    let mut value = || values.next().unwrap_or_default();
    let (id, message, process, domain, action) = (value(), value(), value(), value(), value());
    let body = json!({
        "@timestamp": "2025-11-22T08:26:30.123Z",
        "destination": {"domain": domain},
        "event": {"action": action, "severity": 73},
        "message": message,
        "process": {"name": process},
    });
    let document = Document {
        event_id: id.to_owned(),
        body: body.to_string(),
        stream: Stream::Detection,
    };
    DESTINATIONS.with(|it| {
        for (format, destination) in &it.0 {
            check(*format, &**destination, &document, &body);
        }
    });
});

fn check(format: SyslogFormat, destination: &dyn Destination, document: &Document, body: &Value) {
    let Ok(made) = destination.rendered(std::slice::from_ref(document)) else {
        assert!(
            document.event_id.len() > 512,
            "only an endless id has no message"
        );
        return;
    };
    assert!(made.len() <= MESSAGE_BYTES_MAX);
    let parsed = grammar::parse(made.as_bytes());
    assert_eq!((parsed.priority, parsed.header.len()), (16 * 8 + 3, 5));
    assert_eq!(parsed.has_byte_order_mark, !parsed.text.is_ascii());
    let tabs = format == SyslogFormat::Leef;
    assert!(
        parsed
            .text
            .chars()
            .all(|c| !c.is_control() || (c == '\t' && tabs))
    );
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).expect("text");
    let cut = |text: &str| spaced(&text.chars().take(64).collect::<String>());
    let ours = &parsed.data["beaconwatch@32473"];
    assert_eq!(ours["id"], spaced(&document.event_id));
    assert_eq!(ours["process"], cut(text("/process/name")));
    assert_eq!(ours["domain"], cut(text("/destination/domain")));
    // What is too long for its format comes as text.
    if parsed.text.starts_with("severity=high id=") {
        return;
    }
    match format {
        SyslogFormat::Text => panic!("no text: {}", parsed.text),
        SyslogFormat::Ecs => {
            let carried: Value = serde_json::from_str(&parsed.text).expect("JSON");
            assert_eq!(&carried, body);
        }
        SyslogFormat::Cef => {
            let breaks = |text: &str| -> String {
                let space = |c: char| {
                    if c.is_control() && !matches!(c, '\n' | '\r') {
                        ' '
                    } else {
                        c
                    }
                };
                text.chars().map(space).collect()
            };
            let (header, values) = grammar::parse_cef(&parsed.text);
            assert_eq!(header[4], spaced(text("/event/action")));
            assert_eq!(values["msg"], breaks(text("/message")));
            assert_eq!(values["dhost"], breaks(text("/destination/domain")));
            assert_eq!(values["externalId"], breaks(&document.event_id));
        }
        SyslogFormat::Leef => {
            let (header, attributes) = parsed.text.split_once("|x09|").expect("a header");
            assert_eq!(header.split('|').count(), 5);
            let mut pairs = attributes
                .split('\t')
                .map(|pair| pair.split_once('=').expect("a pair"));
            let of = |key: &str| {
                pairs
                    .clone()
                    .find(|pair| pair.0 == key)
                    .map(|pair| pair.1.to_owned())
            };
            assert_eq!(of("msg"), Some(spaced(text("/message"))));
            assert_eq!(of("id"), Some(spaced(&document.event_id)));
            assert!(pairs.all(|(key, _)| key.bytes().all(|byte| byte.is_ascii_alphanumeric())));
        }
    }
}
