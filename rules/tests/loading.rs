//! What is said of rule files that are not as they should be.

use beaconwatch_rules::{Document, DocumentKind, FlowInterest, Limits, LoadReport, RuleSet};
use proptest::prelude::*;
use serde_json::{Value, json};

const GOOD: &str = "title: Good\nid: good\nlogsource: {product: beaconwatch, service: detection}\n\
    detection:\n  selection:\n    destination.port: 443\n  condition: selection\nlevel: high\n";

fn load(text: &str) -> (RuleSet, LoadReport) {
    RuleSet::load([("bad.yml", text), ("good.yml", GOOD)], &Limits::default())
}

fn matches(rules: &mut RuleSet, kind: DocumentKind, body: &Value) -> Vec<String> {
    let found = rules.evaluate(&Document {
        kind,
        id: "1",
        time_ns: 0,
        body,
    });
    found.iter().map(|it| it.rule.id.to_string()).collect()
}

#[test]
fn a_broken_rule_is_named_with_file_line_and_field_and_its_neighbours_count() {
    for (text, line, problem) in [
        ("title: [\n", 2, "YAML parse error"),
        (
            "title: x\nlogsource: {product: beaconwatch, service: detection}\n",
            1,
            "detection",
        ),
        (
            &GOOD
                .replace("id: good", "id: other")
                .replace("destination.port", "destination.prot"),
            6,
            "destination.prot",
        ),
        (
            &GOOD
                .replace("id: good", "id: other")
                .replace("condition: selection", "condition: selektion"),
            1,
            "selektion",
        ),
        (
            &GOOD
                .replace("id: good", "id: other")
                .replace("port: 443", "port|foo: 443"),
            6,
            "foo",
        ),
        (
            &GOOD
                .replace("id: good", "id: other")
                .replace("level: high", "level: hihg"),
            8,
            "hihg",
        ),
        ("just text\n", 1, "mapping"),
        (
            "---\ntitle: A\nid: a\ncorrelation: {type: event_count, rules: [\n  nobody], timespan: 1m, condition: {gte: 2}}\n",
            5,
            "nobody",
        ),
        (
            "title: A\nid: a\ncorrelation:\n  type: event_count\n  rules: [good]\n  group-by:\n    - source.op\n  timespan: 1m\n  condition: {gte: 2}\n",
            7,
            "source.op",
        ),
        (
            "title: A\nid: a\ncorrelation:\n  type: event_count\n  rules: [good]\n  timespan: 365d\n  condition: {gte: 2}\n",
            6,
            "timespan",
        ),
        (
            "title: A\nid: a\ncorrelation:\n  type: event_count\n  rules: [a]\n  timespan: 1m\n  condition: {gte: 2}\n",
            0,
            "waits for this correlation itself",
        ),
        (
            &GOOD.replace("\n", "\n\n"),
            0,
            "id good is that of a rule in",
        ),
    ] {
        let (mut rules, report) = load(text);
        let [broken] = report.broken.as_slice() else {
            panic!("{text}: {report:?}");
        };
        assert!(broken.problem.contains(problem), "{text}: {broken}");
        if line > 0 {
            assert_eq!(
                broken.to_string(),
                format!("bad.yml:{line}: {}", broken.problem),
                "{text}"
            );
        }
        assert_eq!((report.broken_count, report.rules), (1, 1), "{text}");
        let body =
            json!({"event": {"dataset": "beaconwatch.detection"}, "destination": {"port": 443}});
        assert_eq!(
            matches(&mut rules, DocumentKind::Detection, &body),
            ["good"]
        );
    }
}

#[test]
fn rules_of_other_log_sources_are_skipped() {
    for source in [
        "product: windows, category: process_creation",
        "product: macos, category: network_connection",
        "product: linux, service: auditd",
        "category: dns",
    ] {
        let (rules, report) = load(
            &GOOD
                .replace("product: beaconwatch, service: detection", source)
                .replace("id: good", "id: other"),
        );
        assert_eq!(
            (report.skipped, report.rules, report.broken.len()),
            (1, 1, 0),
            "{source}"
        );
        assert_eq!(rules.flow_interest(), FlowInterest::None);
    }
}

#[test]
fn a_rule_by_sigmas_names_matches_the_record_that_announces_a_flow() {
    let text = "title: Shell\nid: shell\nlogsource: {category: network_connection}\ndetection:\n  selection:\n    Image|endswith: /bash\n    Initiated: 'true'\n    DestinationIp|cidr: 198.51.100.0/24\n  condition: selection\n";
    let (mut rules, report) = load(text);
    assert_eq!(report.broken, []);
    assert_eq!(rules.flow_interest(), FlowInterest::First);
    let flow = |record: u64, role: &str| {
        json!({
            "event.dataset": "beaconwatch.flow", "process.executable": "/usr/bin/bash", "destination.ip": "198.51.100.7",
            "beaconwatch.flow.record": record, "beaconwatch.flow.role": role,
        })
    };
    assert_eq!(
        matches(&mut rules, DocumentKind::Flow, &flow(0, "client")),
        ["shell"]
    );
    assert!(matches(&mut rules, DocumentKind::Flow, &flow(1, "client")).is_empty());
    assert!(matches(&mut rules, DocumentKind::Flow, &flow(0, "server")).is_empty());
}

#[test]
fn a_rule_of_flow_records_is_for_every_record() {
    let (rules, report) = load(
        &GOOD
            .replace("service: detection", "service: flow")
            .replace("id: good", "id: flow"),
    );
    assert_eq!((report.rules, report.broken.len()), (2, 0));
    assert_eq!(rules.flow_interest(), FlowInterest::Every);
}

#[test]
fn a_filter_takes_matches_back() {
    let filter = "title: Not Ours\nfilter:\n  rules: [good]\n  selection:\n    destination.ip: 198.51.100.7\n  condition: not selection\nlogsource: {product: beaconwatch, service: detection}\n";
    let (mut rules, report) = load(filter);
    assert_eq!((report.filters, report.broken.len()), (1, 0), "{report:?}");
    let to = |address: &str| json!({"event": {"dataset": "beaconwatch.detection"}, "destination": {"port": 443, "ip": address}});
    assert_eq!(
        matches(&mut rules, DocumentKind::Detection, &to("198.51.100.8")),
        ["good"]
    );
    assert!(matches(&mut rules, DocumentKind::Detection, &to("198.51.100.7")).is_empty());
}

proptest! {
    #[test]
    fn no_text_makes_the_loader_or_the_rules_panic(cut in 0_usize..400, put in "[a-z0-9:|*(){}\\[\\]&!' \n-]{0,12}", whole in ".{0,80}") {
        let shipped = include_str!("../../integrations/sigma/rules/net_connection_lnx_shell.yml");
        let correlation = include_str!("../../integrations/sigma/correlations/beaconwatch_refused_connections.yml");
        let body = json!({"event.dataset": "beaconwatch.flow", "beaconwatch.flow.record": 0, "process.executable": "/bin/sh", "destination.port": 1});
        for text in [shipped, correlation, GOOD] {
            let mut text = text.to_owned();
            text.insert_str(cut.min(text.len()), &put);
            for text in [&text, &whole] {
                let (mut rules, report) = load(text);
                prop_assert!(report.rules >= 1 || report.broken_count > 0);
                for kind in [DocumentKind::Flow, DocumentKind::Detection] {
                    matches(&mut rules, kind, &body);
                }
            }
        }
    }
}

#[test]
fn rules_past_the_limit_are_broken() {
    let second = GOOD
        .replace("id: good", "id: second")
        .replace("title: Good", "title: Second");
    let limits = Limits {
        max_rules: 1,
        ..Limits::default()
    };
    let (_, report) = RuleSet::load([("a.yml", GOOD), ("b.yml", second.as_str())], &limits);
    assert_eq!((report.rules, report.broken_count), (1, 1));
    assert!(report.broken[0].problem.contains("more than 1 rules"));
}
