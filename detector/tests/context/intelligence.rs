//! Lists: what is read of them, what is skipped, and what matches.

use std::net::IpAddr;

use beaconwatch_detector::context::{
    Hit, Intelligence, IntelligenceBuilder, Limits, ListReport, SkipReason,
};
use proptest::prelude::*;

use super::*;

fn plain(lines: &[&str]) -> (Intelligence, ListReport) {
    let mut builder = IntelligenceBuilder::default();
    let report = builder.add_plain("list", 0.8, lines);
    (builder.build(), report)
}

fn find(lists: &Intelligence, address: &str, name: &str) -> Option<Hit> {
    let name = (!name.is_empty()).then_some(name);
    lists.find(address.parse::<IpAddr>().unwrap(), name, at(0.0))
}

fn indicator(lists: &Intelligence, address: &str, name: &str) -> Option<String> {
    find(lists, address, name).map(|hit| hit.indicator)
}

const NOWHERE: &str = "192.0.2.1";

#[test]
fn addresses_networks_and_names_match_themselves_and_what_is_below() {
    let (lists, report) = plain(&[
        "# a list",
        "",
        "198.51.100.7",
        "203.0.113.0/25   # half a network",
        "2001:db8:1::/48 ; SBL1",
        "Evil.Example.ORG.",
        "hxxp://bad[.]example[.]net:8080/gate.php",
        "tcp://198.51.100.9:4444",
        "[2001:db8:2::9]:443",
        "192.0.2.77:8443",
        "*.wild.example.com",
    ]);
    assert_eq!((report.accepted, report.errors.len()), (9, 0), "{report:?}");
    assert_eq!(lists.len(), 9);
    for (address, name, expected) in [
        ("198.51.100.7", "", Some("198.51.100.7")),
        ("::ffff:198.51.100.7", "", Some("198.51.100.7")),
        ("198.51.100.8", "", None),
        ("203.0.113.127", "", Some("203.0.113.0/25")),
        ("203.0.113.128", "", None),
        ("2001:db8:1:ffff::", "", Some("2001:db8:1::/48")),
        (NOWHERE, "evil.example.org", Some("evil.example.org")),
        (NOWHERE, "a.b.EVIL.example.org.", Some("evil.example.org")),
        (NOWHERE, "notevil.example.org", None),
        (NOWHERE, "example.org", None),
        (NOWHERE, "bad.example.net", Some("bad.example.net")),
        (NOWHERE, "not.bad.example.net", None),
        ("198.51.100.9", "", Some("198.51.100.9")),
        ("2001:db8:2::9", "", Some("2001:db8:2::9")),
        ("192.0.2.77", "", Some("192.0.2.77")),
        (NOWHERE, "x.wild.example.com", Some("wild.example.com")),
    ] {
        assert_eq!(
            indicator(&lists, address, name).as_deref(),
            expected,
            "{address} {name}"
        );
    }
}

#[test]
fn the_host_of_a_url_counts_half() {
    let (lists, _) = plain(&["https://files.example.org/x.exe", "198.51.100.7"]);
    let url = find(&lists, NOWHERE, "files.example.org").unwrap();
    let address = find(&lists, "198.51.100.7", "").unwrap();
    assert!((url.confidence - 0.4).abs() < 1e-6 && (address.confidence - 0.8).abs() < 1e-6);
    let both = find(&lists, "198.51.100.7", "files.example.org").unwrap();
    assert_eq!(both, address, "the surer of two counts");
}

#[test]
fn the_surest_list_is_named() {
    let mut builder = IntelligenceBuilder::default();
    builder.add_plain("weak", 0.2, ["198.51.100.7", "example.org"]);
    builder.add_plain("sure", 0.9, ["198.51.100.0/24", "a.example.org"]);
    let lists = builder.build();
    assert_eq!(&*find(&lists, "198.51.100.7", "").unwrap().list, "sure");
    assert_eq!(
        &*find(&lists, "192.0.2.1", "a.example.org").unwrap().list,
        "sure"
    );
    assert_eq!(
        &*find(&lists, "192.0.2.1", "b.example.org").unwrap().list,
        "weak"
    );
}

#[test]
fn bad_lines_are_told_and_counted_and_their_neighbours_stay() {
    let (lists, report) = plain(&[
        "198.51.100.7",
        "not an indicator",
        "com",
        "github.io",
        "0.0.0.0/0",
        "10.0.0.1",
        "999.1.1.1",
        "example.org",
    ]);
    assert_eq!((report.accepted, lists.len()), (2, 2));
    let count = |reason| report.skipped.get(&reason).copied().unwrap_or(0);
    assert_eq!(count(SkipReason::NotAnIndicator), 3, "{report:?}");
    assert_eq!(
        (count(SkipReason::TooBroad), count(SkipReason::NotPublic)),
        (2, 1)
    );
    assert_eq!(
        report.errors[0].to_string(),
        "line 2: the indicator is \"not an indicator\", expected an IP address, a network, a domain name or a URL"
    );
    assert_eq!(report.errors.len(), 6);
}

#[test]
fn limits_hold_and_are_counted() {
    let mut builder = IntelligenceBuilder::new(Limits {
        indicators: 3,
        indicator_bytes: 30,
        ..Limits::default()
    });
    let long = format!("{}.example.org", "a".repeat(40));
    let lines = [
        long.as_str(),
        "a.example.org",
        "b.example.org",
        "c.example.org",
        "d.example.org",
    ];
    let report = builder.add_plain("list", 1.0, lines);
    assert_eq!(report.accepted, 3);
    assert_eq!(report.skipped.get(&SkipReason::TooLong), Some(&1));
    assert_eq!(report.skipped.get(&SkipReason::TooMany), Some(&1));
    assert_eq!(builder.build().len(), 3);
}

#[cfg(feature = "intelligence")]
mod feeds {
    use super::*;

    fn csv(text: &str, column: Option<&str>) -> (Intelligence, ListReport) {
        let mut builder = IntelligenceBuilder::default();
        let report = builder.add_csv("feed", 1.0, text, column).unwrap();
        (builder.build(), report)
    }

    #[test]
    fn a_csv_with_a_header_in_a_comment_is_read() {
        let (lists, report) = csv(
            "################\n# A feed, of today\n# \"first_seen\",\"dst_ip\",\"dst_port\"\n\
             \"2026-01-01 00:00:00\",\"198.51.100.7\",\"443\"\n\
             \"2026-01-01 00:00:00\",\"nonsense\",\"443\"\n\
             \"2026-01-01 00:00:00\",\"198.51.100.8\",\"443\"\n# the end\n",
            None,
        );
        assert_eq!(report.accepted, 2);
        assert_eq!(
            report.errors[0].to_string(),
            "line 5: dst_ip is \"nonsense\", expected an IP address, a network, a domain name or a URL"
        );
        assert!(indicator(&lists, "198.51.100.8", "").is_some());
    }

    #[test]
    fn a_column_is_found_by_its_usual_names_or_as_told() {
        let text = "\u{feff}id,Type,IOC,note\r\n1,domain,evil.example.org,\"a, \"\"b\"\"\"\r\n2,domain\r\n";
        let (lists, report) = csv(text, None);
        assert_eq!((report.accepted, lists.len()), (1, 1));
        assert_eq!(report.errors[0].line, 3, "{report:?}");
        let (lists, _) = csv("a,b\nx.example.org,y.example.org\n", Some("B"));
        assert!(indicator(&lists, NOWHERE, "y.example.org").is_some());
        let error = IntelligenceBuilder::default()
            .add_csv("feed", 1.0, "a,b\n1,2\n", None)
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("line 1: the columns are a, b, expected ioc")
        );
    }

    fn stix(objects: &str) -> (Intelligence, ListReport) {
        let text = format!(r#"{{"type":"bundle","id":"bundle--1","objects":[{objects}]}}"#);
        let mut builder = IntelligenceBuilder::default();
        let report = builder.add_stix("stix", 0.8, &text, at(0.0)).unwrap();
        (builder.build(), report)
    }

    fn object(pattern: &str, rest: &str) -> String {
        let pattern = serde_json::to_string(pattern).unwrap();
        format!(r#"{{"type":"indicator","pattern_type":"stix","pattern":{pattern}{rest}}}"#)
    }

    #[test]
    fn stix_patterns_of_equalities_are_read_and_others_are_counted() {
        let objects = [
            object("[domain-name:value = 'c2.example.org']", ""),
            object(
                "[ipv4-addr:value = '198.51.100.0/24' OR ipv4-addr:value='203.0.113.7']",
                "",
            ),
            object(
                "[ipv6-addr:value = '2001:db8::7'] OR [url:value = 'http://u.example.net/a?b=\\'c\\'']",
                "",
            ),
            object("[file:hashes.'SHA-256' = 'aa']", ""),
            object(
                "[domain-name:value = 'a.example.org' AND ipv4-addr:value = '198.51.100.9']",
                "",
            ),
            object("[domain-name:value != 'n.example.org']", ""),
            object("[domain-name:value LIKE '%.example.org']", ""),
            object("[domain-name:value = 'open", ""),
            object(
                "[domain-name:value = 'r.example.org']",
                r#","revoked":true"#,
            ),
            object(
                "[domain-name:value = 'e.example.org']",
                r#","valid_until":"2020-01-01T00:00:00Z""#,
            ),
            object(
                "[domain-name:value = 'v.example.org']",
                r#","valid_until":"2030-01-01T00:00:00.000Z","confidence":50"#,
            ),
            object(
                "[domain-name:value = 'x.example.org']",
                r#","valid_until":"soon""#,
            ),
            r#"{"type":"malware","name":"x"}"#.to_owned(),
            r#"{"type":"indicator","pattern_type":"yara","pattern":"rule x {}"}"#.to_owned(),
        ];
        let (lists, report) = stix(&objects.join(","));
        assert_eq!(report.accepted, 6, "{report:?}");
        let count = |reason| report.skipped.get(&reason).copied().unwrap_or(0);
        assert_eq!(count(SkipReason::Unsupported), 5);
        assert_eq!(
            (count(SkipReason::OtherKind), count(SkipReason::Revoked)),
            (1, 1)
        );
        assert_eq!(
            (
                count(SkipReason::Expired),
                count(SkipReason::NotAnIndicator)
            ),
            (1, 1)
        );
        for (address, name, known) in [
            (NOWHERE, "c2.example.org", true),
            ("198.51.100.200", "", true),
            ("203.0.113.7", "", true),
            ("2001:db8::7", "", true),
            (NOWHERE, "u.example.net", true),
            (NOWHERE, "r.example.org", false),
            (NOWHERE, "a.example.org", false),
            (NOWHERE, "v.example.org", true),
        ] {
            assert_eq!(
                indicator(&lists, address, name).is_some(),
                known,
                "{address} {name}"
            );
        }
        let half = find(&lists, NOWHERE, "v.example.org").unwrap();
        assert!((half.confidence - 0.4).abs() < 1e-6);
        let later = Timestamp::from_unix_seconds(1.9e9).unwrap();
        let address = NOWHERE.parse().unwrap();
        assert_eq!(
            lists.find(address, Some("v.example.org"), later),
            None,
            "its time is over"
        );
        let field = &report.errors.iter().find(|it| it.line == 12).unwrap().field;
        assert_eq!(field, "valid_until");
    }

    #[test]
    fn what_is_no_bundle_is_an_error_with_its_place() {
        for (text, part) in [
            ("{", "line 1 column 1"),
            (r#"{"type":"report"}"#, "\"report\""),
            ("[]", "no STIX"),
        ] {
            let error = IntelligenceBuilder::default().add_stix("x", 1.0, text, at(0.0));
            assert!(error.unwrap_err().to_string().contains(part), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_csv_and_no_pattern_makes_a_panic(
            text in "(ip,domain\n)?[ -~\n\u{e4}\u{4e00}\"]{0,120}",
            pattern in "\\[(domain-name:value|url:value|x) ?(=|!=|IN) ?'[ -~\u{e4}]{0,20}'?( OR | AND )?\\]?[ -~]{0,30}",
        ) {
            let mut builder = IntelligenceBuilder::default();
            let csv = builder.add_csv("x", 1.0, &text, None);
            prop_assert!(csv.is_ok() || !text.starts_with("ip,domain\n"));
            prop_assert!(builder.add_stix("x", 1.0, &text, at(0.0)).is_err());
            let bundle = format!(r#"{{"type":"bundle","objects":[{}]}}"#, object(&pattern, ""));
            let report = builder.add_stix("x", 1.0, &bundle, at(0.0)).unwrap();
            let skipped: u64 = report.skipped.values().sum();
            prop_assert!(report.accepted + skipped >= 1);
        }
    }
}

proptest! {
    #[test]
    fn no_plain_text_makes_a_panic_and_every_line_is_accounted_for(
        lines in prop::collection::vec("[ -~\u{e4}\u{4e00}]{0,60}", 0..30),
        name in "[ -~\u{e4}]{0,80}",
    ) {
        let mut builder = IntelligenceBuilder::default();
        let report = builder.add_plain("x", f64::NAN, &lines);
        let skipped: u64 = report.skipped.values().sum();
        prop_assert!(report.accepted + skipped <= lines.len() as u64);
        let lists = builder.build();
        let hit = lists.find([192, 0, 2, 1].into(), Some(&name), at(0.0));
        prop_assert!(hit.is_none_or(|hit| hit.confidence <= 0.0), "no number is no confidence");
    }
}

#[test]
fn a_million_indicators_are_searched_and_not_gone_through() {
    let mut builder = IntelligenceBuilder::default();
    let names = (0..500_000).map(|number| format!("h{number}.example.org"));
    let addresses = (0..500_000_u32)
        .map(|number| std::net::Ipv4Addr::from(0x5000_0000 + 2 * number).to_string());
    let report = builder.add_plain("large", 1.0, names.chain(addresses));
    assert_eq!(report.accepted, 1_000_000);
    let lists = builder.build();
    // Gone through one by one, this many lookups would take a hundred thousand million steps: the test would not end.
    let mut hits = 0_u32;
    for number in 0..100_000_u32 {
        let address = std::net::Ipv4Addr::from(0x5000_0000 + number).into();
        let name = format!("a.h{}.example.org", 10 * number);
        let hit = lists.find(address, Some(&name), at(0.0));
        let expected = number % 2 == 0 || 10 * number < 500_000;
        assert_eq!(hit.is_some(), expected, "{number}");
        hits += u32::from(expected);
    }
    assert_eq!(hits, 75_000);
}
