//! `savedsearches.conf`: the detection rules, and what fills the lookups. All of them are disabled.
//!
//! A rule runs every ten minutes, looks at the last quarter of an hour (or at as much more as it asks for) and is quiet
//! about the same thing for a day. In Enterprise Security it is a correlation search: a notable event, risk for the source, and
//! annotations with techniques. Elsewhere those settings do nothing, and the rule is an alert.

use serde_json::json;

use beaconwatch_schema::detection;

use super::names::{self, in_command, in_expression};
use super::settings::Stanza;
use super::{lookups, search};
use crate::panel::{Condition, DataSet};
use crate::rules::{self, Question, Rule};

/// How far back a rule looks: longer than the time between two runs, so that late events are seen.
const NEW_WITHIN: &str = "-15m@m";
/// What an alert of a rule says of each thing that it found, by the names of the data models.
const SAID: &[(&str, &str, &str)] = &[
    ("max", "_time", "_time"),
    ("values", detection::SOURCE_IP, "src"),
    ("values", detection::DESTINATION_IP, "dest"),
    ("values", detection::DESTINATION_PORT, "dest_port"),
    ("values", detection::DESTINATION_DOMAIN, "dest_name"),
    ("values", detection::PROCESS_NAME, "process_name"),
    ("latest", detection::SEVERITY, "severity"),
    ("max", detection::EVENT_RISK_SCORE, "risk_score"),
    ("latest", detection::EVENT_REASON, "description"),
    ("values", detection::FINDING_ID, "finding"),
];

pub(super) fn saved_searches() -> Vec<Stanza> {
    let rules = rules::ALL.iter().zip(0_u32..);
    let mut all: Vec<Stanza> = rules.map(|(rule, number)| of_rule(rule, number)).collect();
    all.push(prevalence());
    all
}

fn of_rule(rule: &Rule, number: u32) -> Stanza {
    let (query, key, earliest) = question(rule);
    Stanza::new(format!("Beaconwatch - {} - Rule", rule.name))
        .with("search", query)
        .with("description", rule.description)
        .with("disabled", "1")
        .with("enableSched", "1")
        // Not all in the same minute.
        .with("cron_schedule", format!("{}-59/10 * * * *", number % 10))
        .with("dispatch.earliest_time", earliest)
        .with("dispatch.latest_time", "now")
        .with("schedule_window", "auto")
        .with("alert.track", "1")
        .with("alert.severity", alert_severity(rule))
        .with("alert.digest_mode", "0")
        .with("alert.suppress", "1")
        .with("alert.suppress.fields", key.join(", "))
        .with("alert.suppress.period", "86400s")
        .with("counttype", "number of events")
        .with("relation", "greater than")
        .with("quantity", "0")
        .with_all(enterprise_security(rule))
}

/// Splunk's number of a severity: 3 medium, 4 high.
const fn alert_severity(rule: &Rule) -> &'static str {
    match rule.severity {
        rules::Severity::Medium => "3",
        rules::Severity::High => "4",
    }
}

fn enterprise_security(rule: &Rule) -> Vec<(&'static str, String)> {
    let risk = json!([{
        "risk_object_field": "src",
        "risk_object_type": "system",
        "risk_score": rule.severity.risk_score(),
    }]);
    let annotations = json!({ "mitre_attack": ["T1071"] });
    vec![
        ("action.correlationsearch.enabled", "1".to_owned()),
        ("action.correlationsearch.label", rule.name.to_owned()),
        (
            "action.correlationsearch.annotations",
            annotations.to_string(),
        ),
        ("action.risk", "1".to_owned()),
        ("action.risk.param._risk", risk.to_string()),
        (
            "action.risk.param._risk_message",
            format!("{}: $src$ to $dest$", rule.name),
        ),
        ("action.risk.param.verbose", "0".to_owned()),
        ("action.notable", "1".to_owned()),
        (
            "action.notable.param.rule_title",
            format!("{}: $src$ to $dest$", rule.name),
        ),
        (
            "action.notable.param.rule_description",
            format!(
                "{} False positives: {}",
                rule.description, rule.false_positives
            ),
        ),
        ("action.notable.param.next_steps", steps(rule)),
        ("action.notable.param.security_domain", "network".to_owned()),
        (
            "action.notable.param.severity",
            rule.severity.name().to_owned(),
        ),
        (
            "action.notable.param.drilldown_name",
            "Documents of the finding".to_owned(),
        ),
        (
            "action.notable.param.drilldown_search",
            format!(
                "{} {}=\"$finding$\"",
                names::events(DataSet::Detection),
                in_command(detection::FINDING_ID)
            ),
        ),
    ]
}

fn steps(rule: &Rule) -> String {
    json!({ "version": 1, "data": rule.note }).to_string()
}

/// The search of a rule, the names that tell one thing found from another, and how far it looks back.
fn question(rule: &Rule) -> (String, Vec<String>, String) {
    let detections = |conditions: &[Condition]| {
        format!(
            "{} | `beaconwatch_not_allowed`",
            search::found(DataSet::Detection, conditions, "")
        )
    };
    let name = |field: &str| names::name(DataSet::Detection, field);
    match rule.question {
        Question::Every(conditions) => {
            let key = name(detection::FINDING_ID);
            let query = format!(
                "{} | {} BY {}",
                detections(conditions),
                said(),
                in_command(&key)
            );
            (query, vec![key], NEW_WITHIN.to_owned())
        }
        Question::New {
            conditions,
            fields,
            days,
        } => {
            let keys: Vec<String> = fields.iter().map(|field| name(field)).collect();
            let query = format!(
                "{} | {} min(_time) AS first_seen BY {} | where first_seen>=relative_time(now(), \"{NEW_WITHIN}\")",
                detections(conditions),
                said(),
                listed(&keys)
            );
            (query, keys, format!("-{days}d@d"))
        }
        Question::Several {
            conditions,
            field,
            of,
            least,
        } => {
            let key = name(field);
            let query = format!(
                "{} | {} dc({}) AS different BY {} | where different>={least}",
                detections(conditions),
                said(),
                in_command(&name(of)),
                in_command(&key)
            );
            (query, vec![key], "-65m@m".to_owned())
        }
        Question::Sequence { by, hours, steps } => {
            let (query, keys) = sequence(by, steps);
            (query, keys, format!("-{}m@m", hours * 60 + 15))
        }
    }
}

fn listed(names: &[String]) -> String {
    let all: Vec<String> = names.iter().map(|name| in_command(name)).collect();
    all.join(" ")
}

fn said() -> String {
    let all: Vec<String> = SAID
        .iter()
        .map(|(function, field, name)| {
            let field = in_command(&names::name(DataSet::Detection, field));
            format!("{function}({field}) AS {name}")
        })
        .collect();
    format!("stats {}", all.join(" "))
}

/// Events of all steps at once, numbered by their step; for each key, the first event of a step must not come after the
/// last one of the next. The span is how far back the search looks; the last step's must be new.
fn sequence(by: &[&str], steps: &[(DataSet, &[Condition])]) -> (String, Vec<String>) {
    let mut found = Vec::new();
    let mut numbers = Vec::new();
    for ((data, conditions), number) in steps.iter().zip(1_u32..) {
        let terms = conditions
            .iter()
            .map(|condition| search::term(*data, *condition));
        let all: Vec<String> = std::iter::once(names::events(*data).to_owned())
            .chain(terms)
            .collect();
        found.push(format!("({})", all.join(" ")));
        numbers.push(format!(
            "sourcetype=\"{}\", {number}",
            names::source_type(*data)
        ));
    }
    let keys: Vec<String> = (1..=by.len())
        .map(|number| format!("key{number}"))
        .collect();
    let values: Vec<String> = keys
        .iter()
        .zip(by)
        .map(|(key, field)| format!("{key}={}", in_any(field, steps)))
        .collect();
    let mut times = Vec::new();
    let mut order = Vec::new();
    for (number, _) in (1_u32..).zip(steps) {
        let function = if number == 1 { "min" } else { "max" };
        times.push(format!(
            "{function}(eval(if(step={number}, _time, null()))) AS step{number}"
        ));
        if number > 1 {
            order.push(format!("step{}<=step{number}", number - 1));
        }
    }
    order.push(format!(
        "step{}>=relative_time(now(), \"{NEW_WITHIN}\")",
        steps.len()
    ));
    let query = format!(
        "{} | eval step=case({}), {} | `beaconwatch_not_allowed` | {} {} BY {} | where {}",
        found.join(" OR "),
        numbers.join(", "),
        values.join(", "),
        said(),
        times.join(" "),
        keys.join(" "),
        order.join(" AND "),
    );
    (query, keys)
}

/// An expression for a field whose name is another one in each data set.
fn in_any(field: &str, steps: &[(DataSet, &[Condition])]) -> String {
    let mut names: Vec<String> = steps
        .iter()
        .map(|(data, _)| in_expression(&names::name(*data, field)))
        .collect();
    names.dedup();
    match names.as_slice() {
        [one] => one.clone(),
        several => format!("coalesce({})", several.join(", ")),
    }
}

/// How many sources talk to a destination: the day before, joined with what is known.
fn prevalence() -> Stanza {
    let flows = names::events(DataSet::Flow);
    let name = |field: &str| names::name(DataSet::Flow, field);
    let lookup = lookups::PREVALENCE.name;
    let query = format!(
        "{flows} | eval destination=coalesce({}, {}) | stats dc({}) AS sources min(_time) AS first_seen max(_time) AS last_seen BY destination \
         | inputlookup append=true {lookup} | stats max(sources) AS sources min(first_seen) AS first_seen max(last_seen) AS last_seen BY destination \
         | where last_seen>=relative_time(now(), \"-90d@d\") | sort 200000 - last_seen | table {} | outputlookup {lookup}",
        in_expression(&name(detection::DESTINATION_DOMAIN)),
        in_expression(&name(detection::DESTINATION_IP)),
        in_command(&name(detection::SOURCE_IP)),
        lookups::PREVALENCE_COLUMNS.join(" "),
    );
    Stanza::new("Beaconwatch - Prevalence of destinations - Lookup")
        .with("search", query)
        .with(
            "description",
            "Fills the lookup beaconwatch_prevalence from the flows of the day before; a destination that is not seen for 90 days goes.",
        )
        .with("disabled", "1")
        .with("enableSched", "1")
        .with("cron_schedule", "17 3 * * *")
        .with("dispatch.earliest_time", "-1d@d")
        .with("dispatch.latest_time", "@d")
        .with("schedule_window", "auto")
}
