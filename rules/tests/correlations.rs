//! Correlations against a counter that knows all documents at once, and what bounds their state.

use beaconwatch_rules::{Document, DocumentKind, Limits, Match, RuleSet};
use proptest::prelude::*;
use serde_json::json;

const SECOND_NS: i64 = 1_000_000_000;

/// Rules a, b and c match flows to the ports 1, 2 and 3.
fn rules(correlation: &str) -> String {
    let mut text = String::new();
    for (name, port) in [("a", 1), ("b", 2), ("c", 3)] {
        text.push_str(&format!(
            "title: Port {port}\nname: {name}\nlogsource: {{product: beaconwatch, service: flow}}\n\
             detection: {{selection: {{destination.port: {port}}}, condition: selection}}\nlevel: low\n---\n"
        ));
    }
    text.push_str("title: Correlation\nid: correlation\nlevel: high\ncorrelation:\n");
    text.push_str(correlation);
    text
}

fn load(correlation: &str, limits: &Limits) -> RuleSet {
    let text = rules(correlation);
    let (rules, report) = RuleSet::load([("test.yml", text.as_str())], limits);
    assert_eq!(report.broken, []);
    assert_eq!((report.rules, report.correlations), (3, 1));
    rules
}

/// A flow.
#[derive(Clone, Copy, Debug)]
struct Flow {
    time_s: i64,
    source: u8,
    port: u16,
    bytes: u16,
}

fn evaluate(rules: &mut RuleSet, index: usize, flow: &Flow) -> Vec<Match> {
    let body = json!({
        "event": {"dataset": "beaconwatch.flow"},
        "source": {"ip": format!("192.0.2.{}", flow.source), "bytes": flow.bytes},
        "destination": {"ip": "198.51.100.7", "port": flow.port},
    });
    let found = rules.evaluate(&Document {
        kind: DocumentKind::Flow,
        id: &index.to_string(),
        time_ns: flow.time_s * SECOND_NS,
        body: &body,
    });
    found
        .into_iter()
        .filter(|it| it.correlation.is_some())
        .collect()
}

/// Places of the flows that complete a correlation.
fn found(rules: &mut RuleSet, flows: &[Flow]) -> Vec<usize> {
    let numbered = flows.iter().enumerate();
    numbered
        .filter(|(index, flow)| !evaluate(rules, *index, flow).is_empty())
        .map(|(index, _)| index)
        .collect()
}

/// The same by looking at all flows so far, for each flow anew.
fn counted(
    flows: &[Flow],
    ports: &[u16],
    span_s: i64,
    holds: impl Fn(&[Flow]) -> bool,
) -> Vec<usize> {
    let mut places = Vec::new();
    let mut last = std::collections::BTreeMap::new();
    for (index, flow) in flows.iter().enumerate() {
        let of_source = |it: &&Flow| it.source == flow.source && ports.contains(&it.port);
        let so_far: Vec<Flow> = flows[..=index].iter().filter(of_source).copied().collect();
        let newest = so_far.iter().map(|it| it.time_s).max();
        let is_late = newest.is_some_and(|newest| flow.time_s < newest - span_s);
        if !ports.contains(&flow.port) || is_late {
            continue;
        }
        let mut window: Vec<Flow> = so_far;
        window.retain(|it| it.time_s >= newest.unwrap() - span_s);
        // What was late when it came is in no window: the newest time only grows.
        window.sort_by_key(|it| it.time_s);
        let is_silent = last
            .get(&flow.source)
            .is_some_and(|last| flow.time_s - last < span_s);
        if holds(&window) && !is_silent {
            last.insert(flow.source, flow.time_s);
            places.push(index);
        }
    }
    places
}

fn flows() -> impl Strategy<Value = Vec<Flow>> {
    let flow = (0_i64..40, 0_u8..2, 1_u16..5, 0_u16..4, -12_i64..3);
    let flows = prop::collection::vec(flow, 0..60);
    // Times that grow, now and then out of order.
    flows.prop_map(|all| {
        let mut now = 100;
        let mut next = |(step, source, port, bytes, shift): (i64, u8, u16, u16, i64)| {
            now += step / 6;
            let time_s = now + shift.min(0);
            Flow {
                time_s,
                source,
                port,
                bytes,
            }
        };
        all.into_iter().map(&mut next).collect()
    })
}

fn agree(correlation: &str, flows: &[Flow], ports: &[u16], holds: impl Fn(&[Flow]) -> bool) {
    let mut set = load(correlation, &Limits::default());
    assert_eq!(found(&mut set, flows), counted(flows, ports, 10, holds));
}

proptest! {
    #[test]
    fn event_count_agrees_with_the_counter(flows in flows()) {
        let text = "  type: event_count\n  rules: [a, b]\n  group-by: [source.ip]\n  timespan: 10s\n  condition: {gte: 4}\n";
        agree(text, &flows, &[1, 2], |window| window.len() >= 4);
    }

    #[test]
    fn value_count_agrees_with_the_counter(flows in flows()) {
        let text = "  type: value_count\n  rules: [a, b]\n  group-by: [source.ip]\n  timespan: 10s\n  condition: {field: source.bytes, gte: 3}\n";
        agree(text, &flows, &[1, 2], |window| {
            (0..4).filter(|value| window.iter().any(|it| it.bytes == *value)).count() >= 3
        });
    }

    #[test]
    fn temporal_agrees_with_the_counter(flows in flows()) {
        let text = "  type: temporal\n  rules: [a, b, c]\n  group-by: [source.ip]\n  timespan: 10s\n";
        agree(text, &flows, &[1, 2, 3], |window| {
            [1, 2, 3].iter().all(|port| window.iter().any(|it| it.port == *port))
        });
    }

    #[test]
    fn temporal_ordered_agrees_with_the_counter(flows in flows()) {
        let text = "  type: temporal_ordered\n  rules: [a, b, c]\n  group-by: [source.ip]\n  timespan: 10s\n";
        agree(text, &flows, &[1, 2, 3], |window| {
            let of = |port| window.iter().filter(move |it| it.port == port);
            of(1).any(|a| of(2).any(|b| b.time_s >= a.time_s && of(3).any(|c| c.time_s >= b.time_s)))
        });
    }

    #[test]
    fn value_sum_and_average_agree_with_the_counter(flows in flows()) {
        let text = "  type: value_sum\n  rules: [a, b]\n  group-by: [source.ip]\n  timespan: 10s\n  condition: {field: source.bytes, gte: 6}\n";
        agree(text, &flows, &[1, 2], |window| window.iter().map(|it| u32::from(it.bytes)).sum::<u32>() >= 6);
        let text = "  type: value_avg\n  rules: [a, b]\n  group-by: [source.ip]\n  timespan: 10s\n  condition: {field: source.bytes, gte: 2}\n";
        agree(text, &flows, &[1, 2], |window| {
            window.iter().map(|it| u32::from(it.bytes)).sum::<u32>() >= 2 * u32::try_from(window.len()).unwrap()
        });
    }
}

fn one(time_s: i64, port: u16, bytes: u16) -> Flow {
    Flow {
        time_s,
        source: 1,
        port,
        bytes,
    }
}

/// numpy.percentile([1, 2, 4, 8], [50, 90]) is 3.0 and 6.8.
#[test]
fn a_percentile_lies_between_the_nearest_ranks_and_must_satisfy_the_condition() {
    let flows = [one(1, 1, 8), one(2, 1, 1), one(3, 1, 4), one(4, 1, 2)];
    for (kind, condition, expected) in [
        ("value_median", "gte: 3", true),
        ("value_median", "gte: 4", false),
        ("value_percentile", "percentile: 90, gte: 6", true),
        ("value_percentile", "percentile: 90, gte: 7", false),
    ] {
        // Only what the last flow completes.
        let text = format!(
            "  type: {kind}\n  rules: [a]\n  timespan: 1m\n  condition: {{field: source.bytes, {condition}}}\n"
        );
        let mut set = load(
            &format!("{text}custom_attributes: {{rsigma.suppress: 1s}}\n"),
            &Limits::default(),
        );
        let found = found(&mut set, &flows);
        assert_eq!(found.contains(&3), expected, "{kind} {condition}");
    }
}

#[test]
fn a_match_says_what_was_counted_for_whom_and_from_which_documents() {
    let text = "  type: event_count\n  rules: [a]\n  group-by: [source.ip]\n  timespan: 1m\n  condition: {gte: 3}\n";
    let mut set = load(text, &Limits::default());
    let mut all = Vec::new();
    for (index, time_s) in [5, 30, 20].into_iter().enumerate() {
        all.extend(evaluate(&mut set, index, &one(time_s, 1, 0)));
    }
    let [found] = all.as_slice() else {
        panic!("{all:?}")
    };
    let correlated = found.correlation.as_ref().unwrap();
    assert_eq!(
        (correlated.kind, correlated.value, correlated.timespan_s),
        ("event_count", 3.0, 60)
    );
    assert_eq!(
        correlated.group,
        [("source.ip".to_owned(), "192.0.2.1".to_owned())]
    );
    assert_eq!(
        (correlated.first_ns, correlated.last_ns),
        (5 * SECOND_NS, 30 * SECOND_NS)
    );
    let documents: Vec<&str> = found.documents.iter().map(|it| &**it).collect();
    assert_eq!(documents, ["1", "2", "0"]);
    assert_eq!(found.time_ns, 20 * SECOND_NS);
}

#[test]
fn a_document_without_the_field_of_the_group_belongs_to_no_group() {
    let text = "  type: event_count\n  rules: [a]\n  group-by: [destination.domain]\n  timespan: 1m\n  condition: {gte: 1}\n";
    let mut set = load(text, &Limits::default());
    assert!(found(&mut set, &[one(1, 1, 0), one(2, 1, 0)]).is_empty());
    assert_eq!(set.counters().ungrouped, 2);
}

#[test]
fn the_group_that_was_idle_longest_goes_when_there_are_too_many_and_is_counted() {
    let text = "  type: event_count\n  rules: [a]\n  group-by: [source.ip]\n  timespan: 1m\n  condition: {gte: 2}\n";
    let mut set = load(
        text,
        &Limits {
            max_groups: 2,
            ..Limits::default()
        },
    );
    let of = |source, time_s| Flow {
        source,
        ..one(time_s, 1, 0)
    };
    // 1 is forgotten for 3, 2 is not.
    let flows = [of(1, 1), of(2, 2), of(3, 3), of(2, 4), of(1, 5)];
    assert_eq!(found(&mut set, &flows), [3]);
    let counters = set.counters();
    assert_eq!((counters.groups, counters.evicted_groups), (2, 2));
    // Groups whose window is over are no loss.
    let mut set = load(
        text,
        &Limits {
            max_groups: 2,
            ..Limits::default()
        },
    );
    assert!(found(&mut set, &[of(1, 1), of(2, 2), of(3, 500), of(4, 501)]).is_empty());
    assert_eq!(set.counters().evicted_groups, 0);
}

#[test]
fn the_oldest_documents_leave_a_group_that_has_too_many_and_are_counted() {
    let text = "  type: event_count\n  rules: [a]\n  group-by: [source.ip]\n  timespan: 1h\n  condition: {gte: 4}\n";
    let limits = Limits {
        max_events_per_group: 3,
        ..Limits::default()
    };
    let mut set = load(text, &limits);
    let flows: Vec<Flow> = (0..10).map(|time| one(time, 1, 0)).collect();
    assert!(found(&mut set, &flows).is_empty());
    assert_eq!(set.counters().evicted_events, 7);
}

#[test]
fn a_late_document_is_counted_and_completes_nothing() {
    let text = "  type: event_count\n  rules: [a]\n  group-by: [source.ip]\n  timespan: 10s\n  condition: {gte: 2}\n";
    let mut set = load(text, &Limits::default());
    assert_eq!(
        found(&mut set, &[one(100, 1, 0), one(89, 1, 0), one(90, 1, 0)]),
        [2]
    );
    assert_eq!(set.counters().late, 1);
}

#[test]
fn an_order_of_many_documents_is_found_in_time() {
    // The first rule always after the second: by trying all pairs this would be a billion steps.
    let text = "  type: temporal_ordered\n  rules: [a, b, c]\n  timespan: 1d\n";
    let mut set = load(
        text,
        &Limits {
            max_events_per_group: 3000,
            ..Limits::default()
        },
    );
    let flows: Vec<Flow> = (0..3000)
        .map(|time| {
            one(
                time,
                if time < 1000 {
                    3
                } else if time < 2000 {
                    1
                } else {
                    2
                },
                0,
            )
        })
        .collect();
    let begun = std::time::Instant::now();
    assert!(found(&mut set, &flows).is_empty());
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn a_correlation_of_a_correlation_matches_with_it() {
    let text = rules(
        "  type: event_count\n  rules: [a]\n  group-by: [source.ip]\n  timespan: 1m\n  condition: {gte: 2}\n",
    ) + "---\ntitle: Two Sources\nid: parent\nlevel: critical\ncorrelation:\n  type: value_count\n  rules: [correlation]\n  timespan: 1h\n  condition: {field: source.ip, gte: 2}\n";
    let (mut set, report) = RuleSet::load([("test.yml", text.as_str())], &Limits::default());
    assert_eq!((report.broken.len(), report.correlations), (0, 2));
    let of = |source, time_s| Flow {
        source,
        ..one(time_s, 1, 0)
    };
    let mut ids = Vec::new();
    for (index, flow) in [of(1, 1), of(1, 2), of(2, 3), of(2, 4)].iter().enumerate() {
        ids.extend(
            evaluate(&mut set, index, flow)
                .iter()
                .map(|it| it.rule.id.to_string()),
        );
    }
    // The first correlation is for the second only.
    assert_eq!(ids, ["parent"]);
    assert_eq!(set.counters().matches["correlation"], 2);
}

#[test]
fn a_reload_keeps_the_windows_of_what_has_not_changed() {
    let text = "  type: event_count\n  rules: [a]\n  group-by: [source.ip]\n  timespan: 1m\n  condition: {gte: 2}\n";
    let mut old = load(text, &Limits::default());
    assert!(found(&mut old, &[one(1, 1, 0)]).is_empty());
    let mut same = load(text, &Limits::default());
    same.adopt(old);
    assert_eq!(found(&mut same, &[one(2, 1, 0)]), [0]);
    assert_eq!(same.counters().flows, 2);
    let mut other = load(&text.replace("1m", "2m"), &Limits::default());
    other.adopt(same);
    assert!(found(&mut other, &[one(3, 1, 0)]).is_empty());
}
