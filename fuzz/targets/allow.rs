#![no_main]
//! Conditions of the allow-list and of routes against plain matchers: lines `domain, process, network, server name,
//! path, address`.

use std::net::IpAddr;
use std::sync::Arc;

use beaconwatch_destinations::{Condition, ConditionValue, RouteConfig};
use beaconwatch_detector::{
    AllowFacts, AllowList, AllowRule, DomainPattern, FingerprintPattern, Network, Process,
    ProcessPattern, SeriesKey, Timestamp, Transport,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (domain, process, network) = (line(), line(), line());
    let (server_name, path, address) = (line(), line(), line());
    check_domain(domain, server_name);
    check_process(process, path);
    check_route(process, path);
    if let Ok(address) = address.parse() {
        check_network(network, address);
        check_list([domain, process, network], server_name, path, address);
    }
});

fn check_domain(pattern: &str, name: &str) {
    let Ok(parsed) = DomainPattern::parse(pattern) else {
        return;
    };
    let labels = |name: &str| -> Vec<String> {
        let name = name.strip_suffix('.').unwrap_or(name);
        name.split('.').map(str::to_ascii_lowercase).collect()
    };
    let (base, below) = match pattern.strip_prefix("*.") {
        Some(base) => (labels(base), true),
        None => (labels(pattern), false),
    };
    let name_labels = labels(name);
    let is_meant = name_labels == base || (below && name_labels.ends_with(&base));
    assert_eq!(parsed.matches(name), is_meant, "{pattern:?} {name:?}");
}

/// `*` is any text: a table of which beginnings of the pattern fit which beginnings of the text.
fn fits(pattern: &str, text: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut row = vec![false; text.len() + 1];
    row[0] = true;
    for part in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        next[0] = part == '*' && row[0];
        for (end, &c) in text.iter().enumerate() {
            next[end + 1] = if part == '*' {
                next[end] || row[end + 1]
            } else {
                row[end] && part == c
            };
        }
        row = next;
    }
    row[text.len()]
}

fn process_at(path: &str) -> Process {
    Process {
        pid: 1,
        started: None,
        name: None,
        executable: Some(Arc::from(path)),
        user_id: None,
    }
}

fn check_process(pattern: &str, path: &str) {
    // The table of the plain matcher grows with the product.
    if pattern.len() > 256 || path.len() > 256 {
        return;
    }
    let Ok(parsed) = ProcessPattern::parse(pattern) else {
        return;
    };
    let is_meant = if pattern.contains('/') {
        fits(pattern, path)
    } else {
        path.split('/').next_back() == Some(pattern)
    };
    assert_eq!(
        parsed.matches(&process_at(path)),
        is_meant,
        "{pattern:?} {path:?}"
    );
}

fn check_route(pattern: &str, path: &str) {
    if pattern.len() > 256 || path.len() > 256 {
        return;
    }
    let condition = Condition {
        field: "process.executable".to_owned(),
        any_of: vec![ConditionValue::Text(pattern.to_owned())],
    };
    let only = vec![condition];
    let route = RouteConfig {
        only,
        ..RouteConfig::default()
    };
    let route = route.compile("route").expect("any text is a pattern");
    let document = serde_json::json!({"process": {"executable": path}});
    let is_meant = fits(&pattern.to_ascii_lowercase(), &path.to_ascii_lowercase());
    assert_eq!(route.wants(&document), is_meant, "{pattern:?} {path:?}");
}

/// The bits of an address, IPv4 as what it is inside of IPv6.
fn bits(address: IpAddr) -> (u128, u32) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

fn check_network(text: &str, address: IpAddr) {
    let Ok(network) = text.parse::<Network>() else {
        return;
    };
    let again: Network = network.to_string().parse().expect("what was written");
    assert_eq!(again, network);
    let (first, width) = bits(network.address());
    let (inside, other_width) = bits(address);
    let shared = u32::from(network.prefix_bits());
    let is_meant = width == other_width
        && (0..shared).all(|bit| (first ^ inside) >> (width - 1 - bit) & 1 == 0);
    assert_eq!(network.contains(address), is_meant, "{text:?} {address}");
    let condition = Condition {
        field: "destination.ip".to_owned(),
        any_of: vec![ConditionValue::Text(text.to_owned())],
    };
    let only = vec![condition];
    if let Ok(route) = (RouteConfig {
        only,
        ..RouteConfig::default()
    })
    .compile("route")
    {
        let document = serde_json::json!({"destination": {"ip": address.to_string()}});
        assert_eq!(route.wants(&document), is_meant, "{text:?} {address}");
    }
}

/// The compiled list finds the first rule that holds.
fn check_list(patterns: [&str; 3], server_name: &str, path: &str, address: IpAddr) {
    let [domain, process, network] = patterns;
    let domain = DomainPattern::parse(domain).ok();
    let pattern = ProcessPattern::parse(process).ok();
    let fingerprint = FingerprintPattern::parse(process).ok();
    let network: Option<Network> = network.parse().ok();
    let one = |change: fn(&mut AllowRule, AllowRule)| {
        let mut rule = AllowRule::default();
        let all = AllowRule {
            source: network,
            destination: network,
            domain: domain.clone(),
            process: pattern.clone(),
            client_fingerprint: fingerprint.clone(),
            ..AllowRule::default()
        };
        change(&mut rule, all);
        rule
    };
    let rules = vec![
        one(|rule, all| *rule = all),
        one(|rule, all| (rule.domain, rule.source) = (all.domain, all.source)),
        one(|rule, all| (rule.process, rule.domain) = (all.process, all.domain)),
        one(|rule, all| rule.process = all.process),
        one(|rule, all| rule.destination = all.destination),
        one(|rule, all| rule.domain = all.domain),
        one(|rule, all| rule.client_fingerprint = all.client_fingerprint),
    ];
    let key = SeriesKey {
        host: Arc::from("host"),
        namespace: Arc::from(""),
        source: address,
        destination: address,
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let process = process_at(path);
    let facts = AllowFacts {
        key: &key,
        server_name: Some(server_name),
        process: Some(&process),
        client_fingerprint: Some(path),
    };
    let now = Timestamp::from_unix_nanos(0);
    let first = rules
        .iter()
        .position(|rule| !rule.is_empty() && rule.holds(&facts, now));
    assert_eq!(AllowList::new(rules).find(&facts, now), first);
}
