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

fn allows(rule: AllowRule, server_name: Option<&str>, process: Option<&Process>) -> bool {
    let key = key("192.0.2.1", "198.51.100.7", 443);
    let facts = AllowFacts {
        key: &key,
        server_name,
        process,
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
    (network(), network(), port, name, command).prop_map(
        |(source, destination, port, name, command)| AllowRule {
            source,
            destination,
            port,
            transport: None,
            domain: name.map(|text| DomainPattern::parse(text).unwrap()),
            process: command.map(|text| ProcessPattern::parse(text).unwrap()),
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
    ) {
        let key = key(source, destination, port);
        let process = process("curl", "/usr/bin/curl");
        let facts = AllowFacts { key: &key, server_name: name, process: curl.then_some(&process) };
        let expected = rules.iter().position(|rule| !rule.is_empty() && rule.holds(&facts, NOW));
        prop_assert_eq!(AllowList::new(rules).find(&facts, NOW), expected);
    }
}
