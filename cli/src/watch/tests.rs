use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::{Value, json};

use super::draw::{Palette, draw};
use super::view::{Link, Message, Request, View};

const FIRST: &str = "aaaa2233445566778899aabbccddeeff";
const SECOND: &str = "bbbb2233445566778899aabbccddeeff";
const SENSOR: &str = "cccc2233445566778899aabbccddeeff";

fn alert(id: &str, score: f64, destination: &str, interval_s: f64) -> Value {
    let severity = if score >= 0.9 { "critical" } else { "medium" };
    json!({
        "alert_id": id, "title": "Beaconing", "severity": severity, "state": "open", "kind": "beacon",
        "description": "It beats every minute and its jitter is small.",
        "details": {
            "score": score, "src_ip": "10.0.0.5", "dst_ip": destination, "dst_port": 443,
            "protocol": "TCP", "server_name": null, "interval_s": interval_s, "jitter": 0.05,
            "process": {"pid": 42, "name": "implant", "executable": "/tmp/implant"},
            "connection_count": 30, "first_seen": "2023-11-14T21:42:21Z",
            "last_seen": "2023-11-14T22:42:21Z",
            "signals": [
                {"name": "coefficient_of_variation", "contribution": 0.4, "weight": 0.4, "text": "it hardly varies"},
                {"name": "jitter", "contribution": 0.1, "weight": 0.2, "text": "at most a second"},
            ],
        },
        "acknowledged": null, "updated": "2023-11-14T22:43:00Z", "revision": 1, "simulated": false,
    })
}

fn beacon(id: &str, source: &str) -> Value {
    json!({
        "id": id, "src_ip": source, "dst_ip": "198.51.100.9", "dst_port": 80, "protocol": "TCP",
        "combined_score": 0.4, "severity": "low", "is_beacon": false, "finding_id": null,
        "connection_count": 12, "interval_s": 30.0, "jitter": 0.4, "last_seen": "2023-11-14T22:42:21Z",
        "explanation": {"text": "too irregular", "contributing_signals": []},
    })
}

fn times() -> Vec<f64> {
    (0..30)
        .map(|n| 1_700_000_000.0 + f64::from(n) * 60.0)
        .collect()
}

/// Two findings, a sensor's finding and a series, as an instance tells of them.
fn view() -> View {
    let mut view = View::new("http://127.0.0.1:9090", Palette::plain());
    let sensor = json!({"alert_id": SENSOR, "title": "Sensor web-2 fell silent", "kind": "sensor",
        "severity": "medium", "state": "open", "updated": "2023-11-14T22:43:00Z", "revision": 1,
        "details": {"sensor_id": "s2", "host_name": "web-2"}});
    let findings = json!({"alerts": [
        alert(FIRST, 0.75, "198.51.100.7", 60.0), alert(SECOND, 0.97, "203.0.113.8", 300.0), sensor,
    ]});
    for message in [
        Message::Tick("2023-11-14T22:42:31Z".parse().unwrap()),
        Message::Link(Link::Live),
        Message::Status(
            json!({"version": "1.2.3", "detector": {"series": 1234, "observations": 56789}}),
        ),
        Message::Findings(findings),
        Message::Beacons(json!({"beacons": [beacon("5e71e5", "10.0.0.6")]})),
        Message::Detail(
            SECOND.to_owned(),
            json!({
                "series": {"times": times()},
                "history": [{"at": "2023-11-14T21:00:00Z", "event": "beacon-detected"}],
                "deliveries": [{"destination": "file", "event_id": "x-1", "state": "delivered"}],
            }),
        ),
    ] {
        view.take(message);
    }
    view
}

fn press(view: &mut View, code: KeyCode) -> Vec<Request> {
    view.take(Message::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn typed(view: &mut View, text: &str) {
    for c in text.chars() {
        press(view, KeyCode::Char(c));
    }
}

fn frame(view: &View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(view, frame)).unwrap();
    terminal.backend().to_string()
}

/// The lines of the table as they stand on the screen.
fn destinations(view: &View) -> Vec<&'static str> {
    let screen = frame(view, 80, 24);
    let table: String = screen.lines().skip(3).take(5).collect();
    let mut found: Vec<(usize, &str)> =
        ["198.51.100.7:", "203.0.113.8:", "198.51.100.9:", "Sensor"]
            .into_iter()
            .filter_map(|it| table.find(it).map(|at| (at, it)))
            .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, it)| it).collect()
}

fn expect(screen: &str, words: &[&str]) {
    for word in words {
        assert!(screen.contains(word), "{word} is not on\n{screen}");
    }
}

#[test]
fn a_screen_of_80_by_24_shows_findings_reasons_beats_and_keys() {
    let screen = frame(&view(), 80, 24);
    expect(
        &screen,
        &[
            "http://127.0.0.1:9090 ● live",
            "1,234 series",
            "1 Findings (3)",
            "2 Beacons (1)",
            "by score",
            "0.97  critical 10.0.0.5",
            "203.0.113.8:443/tcp",
            "10 s",
            "open",
            "bbbb2233",
            "implant (42)",
            "+0.40 ████████ coefficient",
            "+0.10 ████░░░░ jitter",
            "every 5 min, jitter 5 %",
            "the latest 13 of 30 connections",
            "│··",
            "intervals",
            "48 s",
            "72 s",
            "? help",
            "q quit",
            "Sensor web",
        ],
    );
    assert_eq!(screen.lines().count(), 24);
}

#[test]
fn findings_are_sorted_by_what_s_chooses_and_turned_by_r() {
    let mut view = view();
    assert_eq!(
        destinations(&view),
        ["203.0.113.8:", "198.51.100.7:", "Sensor"]
    );
    press(&mut view, KeyCode::Char('r'));
    assert_eq!(
        destinations(&view),
        ["Sensor", "198.51.100.7:", "203.0.113.8:"]
    );
    press(&mut view, KeyCode::Char('r'));
    for _ in 0..4 {
        press(&mut view, KeyCode::Char('s'));
    }
    expect(&frame(&view, 80, 24), &["by interval"]);
    assert_eq!(
        destinations(&view),
        ["198.51.100.7:", "203.0.113.8:", "Sensor"]
    );
    press(&mut view, KeyCode::Char('S'));
    expect(&frame(&view, 80, 24), &["by count"]);
}

#[test]
fn a_filter_keeps_what_fits_and_esc_clears_it() {
    let mut view = view();
    press(&mut view, KeyCode::Char('/'));
    typed(&mut view, "198.51q");
    expect(
        &frame(&view, 80, 24),
        &["/198.51q▏", "Nothing fits the filter"],
    );
    press(&mut view, KeyCode::Backspace);
    press(&mut view, KeyCode::Enter);
    assert_eq!(destinations(&view), ["198.51.100.7:"]);
    assert_eq!(
        view.selected().unwrap().id,
        FIRST,
        "the selection is never on a hidden row"
    );
    press(&mut view, KeyCode::Esc);
    assert_eq!(destinations(&view).len(), 3);
}

#[test]
fn the_detail_of_what_is_selected_is_asked_for_once_and_again_when_it_changes() {
    let mut view = view();
    let detail = |id: &str| Request::Detail {
        row: id.to_owned(),
        finding: Some(id.to_owned()),
    };
    assert_eq!(press(&mut view, KeyCode::Down), [detail(FIRST)]);
    expect(&frame(&view, 80, 24), &["asking for its beats"]);
    assert_eq!(view.take(Message::Resized), []);
    let mut changed = alert(FIRST, 0.8, "198.51.100.7", 60.0);
    changed["revision"] = 2.into();
    assert_eq!(view.take(Message::Finding(changed)), [detail(FIRST)]);
    expect(&frame(&view, 80, 24), &["0.80"]);
    assert_eq!(
        press(&mut view, KeyCode::Tab),
        [Request::Detail {
            row: "5e71e5".to_owned(),
            finding: None
        }]
    );
    expect(
        &frame(&view, 80, 24),
        &["10.0.0.6", "below the alert threshold"],
    );
}

#[test]
fn enter_shows_all_of_the_selected_one_and_scrolls() {
    let mut view = view();
    press(&mut view, KeyCode::Enter);
    let screen = frame(&view, 80, 40);
    expect(
        &screen,
        &[
            "run as /tmp/implant",
            "it hardly varies",
            "history",
            "beacon-detected",
            "file delivered x-1",
        ],
    );
    for _ in 0..5 {
        press(&mut view, KeyCode::Down);
    }
    assert!(!frame(&view, 80, 24).contains("from   10.0.0.5"));
    press(&mut view, KeyCode::Home);
    expect(&frame(&view, 80, 24), &["from   10.0.0.5"]);
    press(&mut view, KeyCode::Esc);
    assert_eq!(destinations(&view).len(), 3);
}

#[test]
fn a_finding_is_acknowledged_and_that_is_taken_back() {
    let mut view = view();
    assert_eq!(
        press(&mut view, KeyCode::Char('u')),
        [],
        "nothing to take back yet"
    );
    assert_eq!(
        press(&mut view, KeyCode::Char('a')),
        [Request::Acknowledge(SECOND.to_owned())]
    );
    view.take(Message::Failed("this needs the role operate".to_owned()));
    expect(&frame(&view, 80, 24), &["this needs the role operate"]);
    assert_eq!(
        press(&mut view, KeyCode::Char('u')),
        [],
        "what failed cannot be taken back"
    );
    view.take(Message::Acknowledged(SECOND.to_owned()));
    let mut acknowledged = alert(SECOND, 0.97, "203.0.113.8", 300.0);
    acknowledged["acknowledged"] = json!({"by": "local"});
    view.take(Message::Finding(acknowledged));
    expect(
        &frame(&view, 80, 24),
        &[
            "Acknowledged bbbb2233; u takes it back.",
            "acknowledged by local",
            "ack",
        ],
    );
    assert_eq!(
        press(&mut view, KeyCode::Char('a')),
        [],
        "it is acknowledged already"
    );
    assert_eq!(
        press(&mut view, KeyCode::Char('u')),
        [Request::TakeBack(SECOND.to_owned())]
    );
    view.take(Message::TakenBack(SECOND.to_owned()));
    expect(
        &frame(&view, 80, 24),
        &["bbbb2233 is not acknowledged any more."],
    );
    press(&mut view, KeyCode::Tab);
    assert_eq!(press(&mut view, KeyCode::Char('a')), []);
    expect(&frame(&view, 80, 24), &["This series is no finding"]);
}

#[test]
fn an_acknowledged_finding_is_so_among_the_beacons_too() {
    let mut view = view();
    let mut found = beacon("5e71e5", "10.0.0.6");
    found["is_beacon"] = true.into();
    found["finding_id"] = FIRST.into();
    found["acknowledged"] = Value::Null;
    view.take(Message::Beacons(json!({"beacons": [found.clone()]})));
    press(&mut view, KeyCode::Tab);
    let row = |view: &View| {
        let screen = frame(view, 100, 24);
        let row = screen.lines().find(|it| it.contains("10.0.0.6"));
        row.unwrap().to_owned()
    };
    assert!(row(&view).contains("open"), "{}", row(&view));
    found["acknowledged"] = json!({"by": "kim", "at": "2023-11-14T22:43:00Z", "comment": null});
    let asked = view.take(Message::Beacons(json!({"beacons": [found]})));
    assert_eq!(asked.len(), 1, "its detail is asked for again");
    assert!(row(&view).contains("ack"), "{}", row(&view));
    expect(&frame(&view, 100, 24), &["acknowledged by kim"]);
    assert_eq!(
        press(&mut view, KeyCode::Char('a')),
        [],
        "it is acknowledged already"
    );
}

#[test]
fn a_lost_connection_is_said_and_what_was_known_stays() {
    let mut view = view();
    view.take(Message::Link(Link::Lost(
        "connection\u{1b} refused".to_owned(),
    )));
    let screen = frame(&view, 80, 24);
    expect(
        &screen,
        &[
            "LOST, trying again: connection\u{fffd} refused",
            "203.0.113.8",
        ],
    );
    view.take(Message::Link(Link::Polling));
    expect(&frame(&view, 80, 24), &["● polling", "1,234 series"]);
}

#[test]
fn help_lists_the_keys_and_any_key_goes_back() {
    let mut view = view();
    press(&mut view, KeyCode::Char('?'));
    expect(
        &frame(&view, 80, 24),
        &[
            "Keys of beaconwatch 1.2.3",
            "acknowledge the selected finding",
            "quit",
        ],
    );
    assert_eq!(
        press(&mut view, KeyCode::Char('q')),
        [],
        "the key only leaves the help"
    );
    assert!(!frame(&view, 80, 24).contains("Keys of"));
    assert_eq!(press(&mut view, KeyCode::Char('q')), [Request::Quit]);
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(view.take(Message::Key(control_c)), [Request::Quit]);
}

#[test]
fn every_size_of_screen_is_drawn() {
    let mut views = vec![view(), View::new("http://x", Palette::of_environment())];
    let mut expanded = view();
    press(&mut expanded, KeyCode::Enter);
    let mut help = view();
    press(&mut help, KeyCode::Char('?'));
    views.extend([expanded, help]);
    for view in &views {
        for width in [1, 20, 39, 40, 60, 75, 76, 80, 104, 132, 250] {
            for height in [1, 7, 8, 12, 17, 18, 24, 50, 100] {
                let lines = frame(view, width, height).lines().count();
                assert_eq!(lines, usize::from(height));
            }
        }
    }
    expect(&frame(&views[0], 120, 30), &["PROCESS", "implant (42)"]);
    expect(&frame(&views[0], 30, 24), &["needs 40 x 8"]);
}

#[test]
fn nothing_from_the_network_is_obeyed_by_the_terminal() {
    let mut view = view();
    let mut evil = alert(SECOND, 0.99, "203.0.113.8", 300.0);
    for place in [
        "/title",
        "/description",
        "/details/server_name",
        "/details/process/name",
        "/details/src_ip",
        "/severity",
        "/details/signals/0/name",
        "/details/signals/0/text",
    ] {
        *evil.pointer_mut(place).unwrap() = format!("{place}\u{1b}[31m\u{9b}2J\u{202e}\n").into();
    }
    view.take(Message::Finding(evil));
    for keys in ["", "\r"] {
        if !keys.is_empty() {
            press(&mut view, KeyCode::Enter);
        }
        let screen = frame(&view, 132, 50);
        let harmful = |c: char| c != '\n' && crate::output::text::is_harmful(c);
        assert!(!screen.contains(harmful), "{screen:?}");
    }
}

#[test]
fn answers_of_another_kind_are_no_panic() {
    let mut view = view();
    for value in [
        json!(null),
        json!([]),
        json!({"alerts": 5}),
        json!({"alerts": [{}, null, {"alert_id": "x"}]}),
        json!({"beacons": [{"id": 5}, {"id": "y"}]}),
    ] {
        for message in [
            Message::Findings(value.clone()),
            Message::Beacons(value.clone()),
            Message::Finding(value.clone()),
            Message::Status(value.clone()),
            Message::Detail("x".to_owned(), value.clone()),
        ] {
            view.take(message);
            for code in [
                KeyCode::Tab,
                KeyCode::End,
                KeyCode::Char('a'),
                KeyCode::Enter,
                KeyCode::PageUp,
            ] {
                press(&mut view, code);
            }
            frame(&view, 80, 24);
        }
    }
}
