use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const NOW: Timestamp = Timestamp::from_unix_nanos(1_000);

fn key(source: &str, destination: &str, port: u16) -> SeriesKey {
    SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
        destination_port: port,
        transport: Transport::Tcp,
    }
}

fn process(name: &str, path: &str) -> Process {
    Process {
        name: Some(Arc::from(name)),
        executable: Some(Arc::from(path)),
        ..Process::default()
    }
}

fn domain(text: &str) -> AllowRule {
    AllowRule {
        domain: Some(DomainPattern::parse(text).unwrap()),
        ..AllowRule::default()
    }
}

fn path(text: &str) -> AllowRule {
    AllowRule {
        process: Some(ProcessPattern::parse(text).unwrap()),
        ..AllowRule::default()
    }
}

fn client(text: &str) -> AllowRule {
    AllowRule {
        client_fingerprint: Some(FingerprintPattern::parse(text).unwrap()),
        ..AllowRule::default()
    }
}

fn allows(rule: AllowRule, server_name: Option<&str>, process: Option<&Process>) -> bool {
    let key = key("192.0.2.1", "198.51.100.7", 443);
    let facts = AllowFacts {
        key: &key,
        server_name,
        process,
        client_fingerprint: None,
    };
    AllowList::new(vec![rule]).find(&facts, NOW).is_some()
}

fn allows_client(rule: AllowRule, client_fingerprint: Option<&str>) -> bool {
    let key = key("192.0.2.1", "198.51.100.7", 443);
    let facts = AllowFacts {
        key: &key,
        server_name: None,
        process: None,
        client_fingerprint,
    };
    AllowList::new(vec![rule]).find(&facts, NOW).is_some()
}

#[test]
fn a_wildcard_means_the_name_and_all_below_it_and_a_plain_name_itself_alone() {
    let wild = |name| allows(domain("*.Example.org"), Some(name), None);
    assert!(wild("example.org") && wild("a.b.EXAMPLE.org."));
    assert!(!wild("badexample.org") && !wild("example.org.evil.net"));
    let plain = |name| allows(domain("example.org"), Some(name), None);
    assert!(plain("Example.Org") && !plain("www.example.org"));
    assert!(!allows(domain("*.org"), None, None), "no name is known");
}

#[test]
fn a_process_is_meant_by_its_name_or_by_its_path_with_wildcards() {
    let curl = process("curl", "/usr/bin/curl");
    let meant = |text| allows(path(text), None, Some(&curl));
    for text in [
        "curl",
        "/usr/bin/curl",
        "/usr/*/curl",
        "/usr/bin/*",
        "*/curl",
        "/*r*/c*l",
    ] {
        assert!(meant(text), "{text}");
    }
    for text in [
        "cur",
        "/usr/bin/cur",
        "/bin/*",
        "/usr/bin/curl*x",
        "/usr/bin/*curlcurl",
    ] {
        assert!(!meant(text), "{text}");
    }
    // The kernel cuts the command's name after 15 bytes: the path has it whole.
    let long = process("a-very-long-nam", "/opt/a-very-long-name-indeed");
    assert!(allows(path("a-very-long-name-indeed"), None, Some(&long)));
}

#[test]
fn a_client_is_meant_by_its_whole_fingerprint_or_by_its_first_parts() {
    const JA4: &str = "t13d1516h2_8daaf6152771_b186095e22b6";
    const JA3: &str = "d4e5b18d6b55c71272893221c96ba240";
    let meant = |text| allows_client(client(text), Some(JA4));
    for text in [
        JA4,
        "T13D1516H2_8DAAF6152771_B186095E22B6",
        "t13d1516h2_8daaf6152771_*",
        "t13d1516h2_*",
    ] {
        assert!(meant(text), "{text}");
    }
    for text in [
        "t13d1516h2",
        "t13d1516h2_8daaf6152771",
        "t13d1516h2_8daaf6152771_b186095e22b",
        "t13d1516h2_8daaf6152771_b186095e22b67",
        "t13d1516_*",
        "t13d1516h2_8daaf615277_*",
        "t13d1515h2_*",
        JA3,
    ] {
        assert!(!meant(text), "{text}");
    }
    assert!(allows_client(client(JA3), Some(&JA3.to_uppercase())));
    assert!(!allows_client(client("t13d1516h2_*"), Some("t13d1516h2")));
    assert!(!allows_client(client("t13d1516h2_*"), Some("t13é")));
    assert!(!allows_client(client(JA4), None), "no client is known");
}

#[test]
fn a_client_and_a_destination_in_one_rule_must_both_hold() {
    let to = |destination: &str| AllowRule {
        destination: Some(destination.parse().unwrap()),
        ..client("t13d1516h2_*")
    };
    let with = Some("t13d1516h2_8daaf6152771_b186095e22b6");
    assert!(allows_client(to("198.51.100.0/24"), with));
    assert!(!allows_client(to("203.0.113.0/24"), with));
    let other = Some("t12d1516h2_8daaf6152771_b186095e22b6");
    assert!(!allows_client(to("198.51.100.0/24"), other));
    assert!(!allows_client(to("198.51.100.0/24"), None));
}

#[test]
fn wildcards_without_end_take_no_time_without_end() {
    let pattern = format!("/{}b", "*a".repeat(500));
    let long = process("x", &format!("/{}", "a".repeat(4000)));
    assert!(!allows(path(&pattern), None, Some(&long)));
}

#[test]
fn all_conditions_of_a_rule_must_hold() {
    let rule = AllowRule {
        destination: Some("198.51.100.0/24".parse().unwrap()),
        port: Some(443),
        ..domain("*.example.org")
    };
    assert!(allows(rule.clone(), Some("www.example.org"), None));
    assert!(!allows(rule.clone(), Some("www.example.net"), None));
    let other_port = AllowRule {
        port: Some(80),
        ..rule
    };
    assert!(!allows(other_port, Some("www.example.org"), None));
}

#[test]
fn a_rule_counts_until_it_expires_and_one_without_conditions_never() {
    let until = |nanos| AllowRule {
        port: Some(443),
        expires: Some(Timestamp::from_unix_nanos(nanos)),
        ..AllowRule::default()
    };
    assert!(allows(until(1_001), None, None));
    assert!(!allows(until(1_000), None, None));
    assert!(!allows(AllowRule::default(), Some("example.org"), None));
}

#[test]
fn patterns_that_cannot_be_are_refused() {
    for text in [
        "",
        "*",
        "*.",
        "a..b",
        "a.*.b",
        "*a.org",
        "exa mple.org",
        "a.",
        "..",
        &"a".repeat(64),
    ] {
        let refused = DomainPattern::parse(text).is_err();
        assert!(refused || text == "a.", "{text:?}");
    }
    for text in ["", "cu*l", "a\0b", &"/".repeat(1025)] {
        assert!(ProcessPattern::parse(text).is_err(), "{text:?}");
    }
    for text in [
        "",
        "*",
        "_*",
        "t13*",
        "t13_*_b",
        "a_b_c_*",
        "a__*",
        "_b_*",
        "t 13",
        "t13\n",
        "é",
        &"a".repeat(1025),
    ] {
        assert!(FingerprintPattern::parse(text).is_err(), "{text:?}");
    }
}

fn some_rule() -> impl Strategy<Value = AllowRule> {
    let network = || {
        let texts = [
            "192.0.2.1",
            "192.0.2.0/24",
            "198.51.100.0/25",
            "0.0.0.0/0",
            "2001:db8::/32",
        ];
        prop::option::of(
            prop::sample::select(texts.to_vec()).prop_map(|text| text.parse().unwrap()),
        )
    };
    let name = prop::option::of(prop::sample::select(vec![
        "*.example.org",
        "www.example.org",
        "*.org",
    ]));
    let command = prop::option::of(prop::sample::select(vec!["curl", "/usr/*", "wget"]));
    let port = prop::option::of(prop::sample::select(vec![80_u16, 443]));
    let fingerprints = vec!["t13_a_b", "T13_A_*", "t13_*", "t12_*", "t13_a"];
    let client = prop::option::of(prop::sample::select(fingerprints));
    (network(), network(), port, name, command, client).prop_map(
        |(source, destination, port, name, command, client)| AllowRule {
            source,
            destination,
            port,
            transport: None,
            domain: name.map(|text| DomainPattern::parse(text).unwrap()),
            process: command.map(|text| ProcessPattern::parse(text).unwrap()),
            client_fingerprint: client.map(|text| FingerprintPattern::parse(text).unwrap()),
            expires: None,
        },
    )
}

proptest! {
    #[test]
    fn the_compiled_list_finds_what_trying_one_rule_after_the_other_finds(
        rules in prop::collection::vec(some_rule(), 0..30),
        source in prop::sample::select(vec!["192.0.2.1", "192.0.2.9", "2001:db8::1"]),
        destination in prop::sample::select(vec!["198.51.100.7", "198.51.100.200", "::1"]),
        port in prop::sample::select(vec![80_u16, 443, 8080]),
        name in prop::option::of(prop::sample::select(vec!["www.example.org", "example.org", "a.net"])),
        curl in any::<bool>(),
        client in prop::option::of(prop::sample::select(vec!["t13_a_b", "t13_A", "t12_a_b"])),
    ) {
        let key = key(source, destination, port);
        let process = process("curl", "/usr/bin/curl");
        let facts = AllowFacts {
            key: &key,
            server_name: name,
            process: curl.then_some(&process),
            client_fingerprint: client,
        };
        let expected = rules.iter().position(|rule| !rule.is_empty() && rule.holds(&facts, NOW));
        prop_assert_eq!(AllowList::new(rules).find(&facts, NOW), expected);
    }
}
