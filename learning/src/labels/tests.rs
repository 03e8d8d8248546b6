use std::sync::Arc;

use beaconwatch_detector::{Context, Detector, Observation, Phase, SeriesKey, Settings, Timestamp};

use super::*;

fn assessment(destination: &str, port: u16, name: Option<&str>) -> Assessment {
    let key = SeriesKey {
        host: Arc::from(""),
        namespace: Arc::from(""),
        source: "10.0.0.5".parse().unwrap(),
        destination: destination.parse().unwrap(),
        destination_port: port,
        transport: Transport::Tcp,
    };
    let now = Timestamp::from_unix_nanos(1);
    let mut seen = Observation::new(now, Phase::Opened, key.clone());
    seen.server_name = name.map(Arc::from);
    let mut detector = Detector::new(Settings::default()).unwrap();
    detector.observe(now, &seen);
    detector.assess(&key, now, &Context::default()).unwrap()
}

#[test]
fn the_entry_that_says_most_decides() {
    let labels = Labels::read(
        b"# by hand\nsrc,dst,dport,proto,label\n\
          10.0.0.5,198.51.100.7,,,benign\n\
          10.0.0.5,198.51.100.7,443,,0\n\
          10.0.0.5,198.51.100.7,443,TCP,malicious\n\
          10.0.0.5,C2.example.,,,1\n",
    )
    .unwrap();
    assert_eq!(labels.len(), 4);
    let of = |destination, port, name| labels.of(&assessment(destination, port, name));
    assert_eq!(of("198.51.100.7", 443, None), Some(true));
    assert_eq!(of("198.51.100.7", 80, None), Some(false));
    assert_eq!(of("203.0.113.1", 80, Some("c2.EXAMPLE")), Some(true));
    assert_eq!(of("203.0.113.1", 80, None), None);
}

#[test]
fn json_lines_say_the_same_as_csv() {
    let json = "{\"src\":\"10.0.0.5\",\"dst\":\"198.51.100.7\",\"dport\":443,\"label\":true}\n\n\
                {\"src_ip\":\"10.0.0.5\",\"dst_ip\":\"a.example\",\"proto\":\"udp\",\"label\":0}\n";
    let csv =
        "src,dst,dport,proto,label\n10.0.0.5,198.51.100.7,443,,1\n10.0.0.5,a.example,,udp,0\n";
    let (one, other) = (Labels::read(json.as_bytes()), Labels::read(csv.as_bytes()));
    let said = |labels: &Labels| -> Vec<_> {
        let entries = labels.entries.iter();
        entries
            .map(|(named, (label, _))| (named.clone(), *label))
            .collect()
    };
    assert_eq!(said(&one.unwrap()), said(&other.unwrap()));
}

#[test]
fn wrong_lines_are_named_with_their_field() {
    for (text, expected) in [
        (
            "src,dst,label\nx,198.51.100.7,1\n",
            "line 2, field src: expected an address, found \"x\"",
        ),
        ("src,dst,label\n10.0.0.5,,1\n", "line 2, field dst"),
        ("src,dst,label\n10.0.0.5,a b,1\n", "line 2, field dst"),
        (
            "src,dst,dport,label\n10.0.0.5,a,65536,1\n",
            "line 2, field dport",
        ),
        (
            "src,dst,proto,label\n10.0.0.5,a,gre,1\n",
            "line 2, field proto",
        ),
        ("src,dst,label\n10.0.0.5,a,NaN\n", "line 2, field label"),
        (
            "src,dst,label\n10.0.0.5,a,1\n10.0.0.5,a,0\n",
            "line 3: labelled 0 here, and otherwise on line 2",
        ),
        ("src,dst\n10.0.0.5,a\n", "line 2, field label"),
        ("src,dst,label\n10.0.0.5,a\n", "line 2"),
        ("{\"src\":\"10.0.0.5\"}\n", "line 1, field dst"),
        ("{\"src\":\"10.0.0.5\"\n", "line 1"),
        ("{\"src\":[]}\n", "line 1"),
        ("src,dst,label\n", "no label"),
        ("", "no label"),
    ] {
        let error = Labels::read(text.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}, expected {expected}");
    }
}
