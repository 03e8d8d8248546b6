//! Findings as documents in the Elastic Common Schema (feature `ecs`).
//!
//! Contract: [`document`] uses the field names of [`beaconwatch_schema::detection`] and no others; the
//! same finding and `now` give the same bytes, with keys in alphabetical order. A value that is not known
//! is left out. What is not in the document, and why, stands with the field table.

mod community_id;
mod life;
mod network;
mod process;
mod sensor;
mod threat;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use beaconwatch_schema::{ECS_VERSION, detection as field};
use serde_json::{Map, Value, json};

pub use community_id::community_id;
pub use life::{Acknowledged, Action, Allowed, Life, Suppression};
pub use sensor::{Sensor, SensorAction, sensor_document};

use crate::evidence::Evidence;
use crate::{
    Assessment, IntervalStatistics, Severity, Signal, Timestamp, Transport, ViewKind, evidence,
    seed,
};

/// Longest finding id that is accepted: Elasticsearch takes at most 512 bytes as `_id`.
const MAX_ID_BYTES: usize = 480;
/// Longest namespace of a data stream.
const MAX_NAMESPACE_BYTES: usize = 100;
/// Name of the project where a document asks for one.
const PROJECT: &str = "beaconwatch";
const PRODUCT: &str = "Beaconwatch";

/// One revision of a finding.
#[derive(Clone, Copy, Debug)]
pub struct Finding<'a> {
    /// Identity of the finding through all of its revisions, chosen by the caller.
    pub id: &'a str,
    /// Number of this revision, from 1.
    pub revision: u64,
    /// When the first revision was made.
    pub opened: Timestamp,
    /// What was found.
    pub assessment: &'a Assessment,
    /// What became of it.
    pub life: Life<'a>,
}

/// Where documents come from and go to.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// Namespace of the data stream.
    pub namespace: &'a str,
    /// Name of this detector, when it has one.
    pub observer_name: Option<&'a str>,
}

impl Default for Labels<'_> {
    fn default() -> Self {
        Self {
            namespace: field::DEFAULT_NAMESPACE,
            observer_name: None,
        }
    }
}

/// Why there is no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The id of the finding is empty or too long.
    #[error("finding id has {0} bytes, expected 1 to {MAX_ID_BYTES}")]
    Id(usize),
    /// Revisions count from 1.
    #[error("revision is 0, expected at least 1")]
    Revision,
    /// No index can have that name.
    #[error(
        "namespace {0:?}, expected 1 to {MAX_NAMESPACE_BYTES} of the characters a-z 0-9 _ . and no other"
    )]
    Namespace(String),
    /// A number that JSON cannot carry.
    #[error("{0} is not a finite number")]
    NotFinite(&'static str),
}

/// The ECS document of a finding, for the namespace `default`.
pub fn document(finding: &Finding<'_>, now: Timestamp) -> Result<Value, DocumentError> {
    document_with(finding, now, &Labels::default())
}

/// The ECS document of a finding.
pub fn document_with(
    finding: &Finding<'_>,
    now: Timestamp,
    labels: &Labels<'_>,
) -> Result<Value, DocumentError> {
    check(finding.id, finding.revision, labels)?;
    let mut fields = Fields::default();
    describe_event(&mut fields, finding, now);
    life::describe(&mut fields, &finding.life);
    describe_rule(&mut fields, finding.assessment);
    describe_origin(&mut fields, labels);
    describe_host(&mut fields, finding.assessment);
    process::describe(&mut fields, finding.assessment);
    network::describe(&mut fields, finding.assessment);
    threat::describe(&mut fields, finding.assessment);
    describe_score(&mut fields, finding.assessment);
    if let Some(evidence) = &finding.assessment.evidence {
        describe_evidence(&mut fields, evidence);
    }
    describe_view(&mut fields, finding.assessment);
    if let Some(intervals) = &finding.assessment.intervals {
        describe_intervals(&mut fields, intervals);
    }
    fields.number(
        field::INTERVAL_JITTER,
        finding.assessment.jitter.map(|jitter| 100.0 * jitter),
    );
    fields.into_document()
}

/// Fields by name, and the first number among them that was not finite.
#[derive(Default)]
struct Fields {
    values: BTreeMap<&'static str, Value>,
    not_finite: Option<&'static str>,
}

impl Fields {
    fn put(&mut self, name: &'static str, value: impl Into<Value>) {
        self.values.insert(name, value.into());
    }

    /// Puts a value that is there.
    fn put_known(&mut self, name: &'static str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn number(&mut self, name: &'static str, value: Option<f64>) {
        match value {
            Some(value) if value.is_finite() => self.put(name, value),
            Some(_) => self.not_finite = self.not_finite.or(Some(name)),
            None => {}
        }
    }

    /// Nested objects. Names come sorted, so that keys do, whatever kind of map `serde_json` has.
    fn into_document(self) -> Result<Value, DocumentError> {
        if let Some(name) = self.not_finite {
            return Err(DocumentError::NotFinite(name));
        }
        let mut document = Map::new();
        for (name, value) in self.values {
            place(&mut document, name, value);
        }
        Ok(Value::Object(document))
    }
}

/// Puts a value where its dotted name says.
fn place(object: &mut Map<String, Value>, name: &str, value: Value) {
    match name.split_once('.') {
        None => {
            object.insert(name.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = object
                .entry(first)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                place(inner, rest, value);
            }
        }
    }
}

fn check(id: &str, revision: u64, labels: &Labels<'_>) -> Result<(), DocumentError> {
    if !(1..=MAX_ID_BYTES).contains(&id.len()) {
        return Err(DocumentError::Id(id.len()));
    }
    if revision == 0 {
        return Err(DocumentError::Revision);
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    let namespace = labels.namespace;
    if !(1..=MAX_NAMESPACE_BYTES).contains(&namespace.len()) || !namespace.chars().all(allowed) {
        return Err(DocumentError::Namespace(namespace.to_owned()));
    }
    Ok(())
}

fn describe_event(fields: &mut Fields, finding: &Finding<'_>, now: Timestamp) {
    let assessment = finding.assessment;
    fields.put(field::TIMESTAMP, date(now));
    fields.put(field::EVENT_ACTION, finding.life.action.name());
    fields.put(
        field::EVENT_CATEGORY,
        json!(["network", "intrusion_detection"]),
    );
    fields.put(field::EVENT_CREATED, date(now));
    fields.put(field::EVENT_DATASET, field::DATASET);
    fields.put(field::EVENT_END, date(assessment.last_seen));
    fields.put(
        field::EVENT_ID,
        format!("{}-{}", finding.id, finding.revision),
    );
    fields.put(field::EVENT_KIND, "alert");
    fields.put(field::EVENT_MODULE, PROJECT);
    fields.put(field::EVENT_PROVIDER, PROJECT);
    fields.put(field::EVENT_REASON, reason(assessment));
    fields.number(
        field::EVENT_RISK_SCORE,
        Some((1e4 * assessment.score).round() / 100.0),
    );
    fields.put(field::EVENT_SEVERITY, severity_number(assessment.severity));
    fields.put(field::EVENT_START, date(assessment.first_seen));
    fields.put(field::EVENT_TYPE, json!(["info"]));
    fields.put(field::MESSAGE, message(assessment));
    fields.put(field::FINDING_ID, finding.id);
    fields.put(field::FINDING_OPENED, date(finding.opened));
    fields.put(field::FINDING_REVISION, finding.revision);
}

fn describe_rule(fields: &mut Fields, assessment: &Assessment) {
    let method = assessment.method.as_ref();
    let (name, description) = match method {
        seed::METHOD => (
            "Periodic connections (seed score)".to_owned(),
            "Connections of one source to one destination and port that start at regular intervals: \
             coefficient of variation, periodicity and largest deviation.",
        ),
        evidence::METHOD => (
            "Periodic connections (calibrated evidence)".to_owned(),
            "Connections, or activity inside them, of one source to one destination and port that keep a \
             cadence which irregular traffic does not: a p-value that holds at every look.",
        ),
        _ => (
            format!("Periodic connections ({method})"),
            "Connections that start at regular intervals.",
        ),
    };
    fields.put(field::RULE_CATEGORY, threat::TACTIC_NAME);
    fields.put(field::RULE_DESCRIPTION, description);
    fields.put(field::RULE_ID, format!("{PROJECT}-{method}"));
    fields.put(field::RULE_NAME, name);
    fields.put(field::RULE_RULESET, PROJECT);
    fields.put(field::RULE_VERSION, "1");
}

fn describe_origin(fields: &mut Fields, labels: &Labels<'_>) {
    fields.put(field::DATA_STREAM_DATASET, field::DATASET);
    fields.put(field::DATA_STREAM_NAMESPACE, labels.namespace);
    fields.put(field::DATA_STREAM_TYPE, field::STREAM_TYPE);
    fields.put(field::ECS_VERSION, ECS_VERSION);
    fields.put_known(field::OBSERVER_NAME, labels.observer_name);
    fields.put(field::OBSERVER_PRODUCT, PRODUCT);
    fields.put(field::OBSERVER_TYPE, "ids");
    fields.put(field::OBSERVER_VENDOR, PRODUCT);
    fields.put(field::OBSERVER_VERSION, env!("CARGO_PKG_VERSION"));
}

fn describe_host(fields: &mut Fields, assessment: &Assessment) {
    let key = &assessment.key;
    fields.put_known(field::HOST_ID, known(&key.host));
    fields.put_known(field::HOST_NAME, assessment.host_name.as_deref());
    fields.put_known(field::NETWORK_NAMESPACE, known(&key.namespace));
    let hosts: Vec<&str> = [&assessment.host_name, &assessment.server_name]
        .into_iter()
        .filter_map(Option::as_deref)
        .collect();
    fields.put_known(
        field::RELATED_HOSTS,
        (!hosts.is_empty()).then(|| json!(hosts)),
    );
}

fn describe_score(fields: &mut Fields, assessment: &Assessment) {
    fields.put(field::COUNT, assessment.count);
    fields.put(field::EXPLANATION, assessment.explanation.as_str());
    fields.put(field::METHOD, assessment.method.as_ref());
    fields.number(field::SCORE, Some(assessment.score));
    fields.put(field::SEVERITY, assessment.severity.name());
    let periodicity = assessment
        .signals
        .iter()
        .find(|signal| signal.name.as_ref() == "periodicity");
    fields.number(field::PERIODICITY, periodicity.map(|signal| signal.score));
    if !assessment.signals.is_empty() {
        let signals: Vec<_> = assessment
            .signals
            .iter()
            .map(|one| signal(fields, one))
            .collect();
        fields.put(field::SIGNALS, signals);
    }
}

/// One signal as an object; what is not finite is noted in `fields`.
fn signal(fields: &mut Fields, signal: &Signal) -> Value {
    let mut inner = Fields::default();
    inner.number(field::SIGNALS_CONTRIBUTION, Some(signal.contribution));
    inner.put(field::SIGNALS_NAME, signal.name.as_ref());
    inner.number(field::SIGNALS_RAW_VALUE, Some(signal.raw_value));
    inner.number(field::SIGNALS_SCORE, Some(signal.score));
    inner.put(field::SIGNALS_TEXT, signal.text.as_str());
    inner.number(field::SIGNALS_THRESHOLD, signal.threshold);
    inner.number(field::SIGNALS_WEIGHT, Some(signal.weight));
    fields.not_finite = fields.not_finite.or(inner.not_finite);
    let mut object = Map::new();
    for (name, value) in inner.values {
        let name = name.rsplit_once('.').map_or(name, |(_, last)| last);
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

fn describe_evidence(fields: &mut Fields, evidence: &Evidence) {
    fields.put(field::EVIDENCE_ACTIVE_HOURS, evidence.active_hours);
    fields.put(field::EVIDENCE_BEATS, evidence.beats);
    fields.put(field::EVIDENCE_SOURCE, evidence.source.name());
    if let Some(next) = evidence.next {
        fields.put(field::EVIDENCE_NEXT_EARLIEST, date(next.earliest));
        fields.put(field::EVIDENCE_NEXT_LATEST, date(next.latest));
    }
    fields.number(field::EVIDENCE_CLOCK_PERIOD, evidence.clock_period_s);
    for (name, value) in [
        (field::EVIDENCE_EXPLAINED, evidence.explained),
        (field::EVIDENCE_MISS_RATE, evidence.miss_rate),
        (field::EVIDENCE_P_VALUE, evidence.p_value),
        (field::EVIDENCE_P_VALUE_ANY_LOOK, evidence.p_value_any_look),
        (field::EVIDENCE_PERIOD, evidence.period_s),
        (field::EVIDENCE_PERIOD_ERROR, evidence.period_error_s),
    ] {
        fields.number(name, Some(value));
    }
}

fn describe_view(fields: &mut Fields, assessment: &Assessment) {
    if assessment.other_clients_total > 0 {
        fields.put(field::OTHER_CLIENTS, assessment.other_clients_total);
    }
    if assessment.view.kind != ViewKind::Pair {
        fields.put(field::VIEW_KIND, assessment.view.name());
        fields.put(field::VIEW_MEMBERS, assessment.members_total);
        fields.put_known(field::VIEW_SHARED, assessment.view.shared.as_deref());
    }
}

fn describe_intervals(fields: &mut Fields, intervals: &IntervalStatistics) {
    for (name, value) in [
        (
            field::INTERVAL_COEFFICIENT_OF_VARIATION,
            intervals.coefficient_of_variation,
        ),
        (field::INTERVAL_MAD, intervals.median_absolute_deviation_s),
        (field::INTERVAL_MAXIMUM, intervals.maximum_s),
        (field::INTERVAL_MEAN, intervals.mean_s),
        (field::INTERVAL_MEDIAN, intervals.median_s),
        (field::INTERVAL_MINIMUM, intervals.minimum_s),
        (
            field::INTERVAL_STANDARD_DEVIATION,
            intervals.standard_deviation_s,
        ),
    ] {
        fields.number(name, Some(value));
    }
}

/// What was found, in words that stay the same from revision to revision.
fn message(assessment: &Assessment) -> String {
    let key = &assessment.key;
    let destination = match key.transport {
        Transport::Tcp | Transport::Udp => {
            SocketAddr::new(key.destination, key.destination_port).to_string()
        }
        Transport::Icmp | Transport::Other(_) => key.destination.to_string(),
    };
    format!(
        "Beaconing from {} to {destination}/{}",
        key.source,
        key.transport.name()
    )
}

fn reason(assessment: &Assessment) -> String {
    let about = assessment
        .interval_s
        .map_or_else(String::new, |interval_s| {
            format!(" about every {interval_s:.1} s")
        });
    format!(
        "Score {:.2} ({}) over {} connections{about}.",
        assessment.score,
        assessment.severity.name(),
        assessment.count,
    )
}

/// Severity as the risk numbers of Elastic's detection rules.
const fn severity_number(severity: Severity) -> u64 {
    match severity {
        Severity::Low => 21,
        Severity::Medium => 47,
        Severity::High => 73,
        Severity::Critical => 99,
    }
}

fn known(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// RFC 3339 in UTC with milliseconds.
fn date(time: Timestamp) -> String {
    // The nanoseconds of an i64 end in the year 2262, well within the range of jiff.
    jiff::Timestamp::from_nanosecond(i128::from(time.unix_nanos()))
        .map_or_else(|_| String::new(), |instant| format!("{instant:.3}"))
}

#[cfg(test)]
mod tests;
