//! An alert as the API shows it: the published analyser's keys first.

use std::net::IpAddr;
use std::sync::Arc;

use beaconwatch_detector::context::Benign;
use beaconwatch_detector::evidence::Evidence;
use beaconwatch_detector::{Assessment, PartOf, Process, SeriesKey, Signal, Transport, ViewKind};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Finding, OwnerView, SensorFault, SensorFinding, SeriesId, Status, Subject};
use crate::time_text::rfc3339;

/// A process at the source.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProcessView {
    /// Process id.
    pid: u32,
    /// Its name.
    name: Option<String>,
    /// Path of its program.
    executable: Option<String>,
    /// Number of its user.
    user_id: Option<u32>,
    /// When it started (RFC 3339).
    started: Option<String>,
}

impl ProcessView {
    pub(crate) fn of(process: &Process) -> Self {
        Self {
            pid: process.pid,
            name: process.name.as_deref().map(str::to_owned),
            executable: process.executable.as_deref().map(str::to_owned),
            user_id: process.user_id,
            started: process.started.map(rfc3339),
        }
    }
}

/// What the times of a series say: method evidence.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct EvidenceView {
    /// Which times spoke: connections, or activity inside live connections.
    source: &'static str,
    /// Beats that were measured.
    beats: u64,
    /// Chance that irregular traffic looks as sharp at one look.
    p_value: f64,
    /// The same at any of the looks so far.
    p_value_any_look: f64,
    /// Base period in seconds.
    period_s: f64,
    /// Its standard error in seconds; 0 when it is the clock's.
    period_error_s: f64,
    /// Half-width of the gaps around the period, relative to it.
    half_width: f64,
    /// Share of the gaps that the period explains.
    explained: f64,
    /// Share of the beats that were missed.
    miss_rate: f64,
    /// Period of the clock that the beats keep to, when that is the stronger reason.
    clock_period_s: Option<f64>,
    /// Hours with a beat, of the newest 16 days.
    active_hours: u32,
    /// Longest run of them.
    longest_run_h: u32,
    /// When the next beat is due.
    next: Option<NextBeatView>,
}

/// When the next beat is due (RFC 3339).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct NextBeatView {
    /// Begin of the window.
    earliest: String,
    /// End of the window.
    latest: String,
}

impl EvidenceView {
    pub(crate) fn of(evidence: &Evidence) -> Self {
        Self {
            source: evidence.source.name(),
            beats: evidence.beats,
            p_value: evidence.p_value,
            p_value_any_look: evidence.p_value_any_look,
            period_s: evidence.period_s,
            period_error_s: evidence.period_error_s,
            half_width: evidence.half_width,
            explained: evidence.explained,
            miss_rate: evidence.miss_rate,
            clock_period_s: evidence.clock_period_s,
            active_hours: evidence.active_hours,
            longest_run_h: evidence.longest_run_h,
            next: evidence.next.map(|next| NextBeatView {
                earliest: rfc3339(next.earliest),
                latest: rfc3339(next.latest),
            }),
        }
    }
}

/// Series that beat as one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ViewView {
    /// What they share: `process_destination`, `server_name`, `domain`, `client_fingerprint` or `rotation`.
    kind: &'static str,
    /// The name, the domain, the process, the fingerprint, or the port.
    shared: Option<String>,
    /// Their pair keys, at most 64, this one first.
    members: Vec<String>,
    /// How many they are.
    members_total: u64,
}

impl ViewView {
    /// None for a series by itself.
    pub(crate) fn of(assessment: &Assessment) -> Option<Self> {
        (assessment.view.kind != ViewKind::Pair).then(|| Self {
            kind: assessment.view.name(),
            shared: assessment.view.shared.as_deref().map(str::to_owned),
            members: assessment.members.iter().map(pair_key).collect(),
            members_total: assessment.members_total,
        })
    }
}

/// The view that explains a series better than it does itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct PartOfView {
    /// What its members share.
    kind: &'static str,
    /// The name, the domain, the process, the fingerprint, or the port.
    shared: Option<String>,
    /// Pair key of the member at which it is reported.
    anchor: String,
    /// Identity of that series.
    anchor_id: String,
}

impl PartOfView {
    pub(crate) fn of(part: &PartOf) -> Self {
        Self {
            kind: part.view.name(),
            shared: part.view.shared.as_deref().map(str::to_owned),
            anchor: pair_key(&part.anchor),
            anchor_id: SeriesId::of(&part.anchor).to_string(),
        }
    }
}

/// Why a series is listed as benign.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct BenignView {
    /// Entry of the catalogue.
    id: String,
    /// What it is for.
    category: String,
    /// Why, in words.
    reason: String,
}

impl BenignView {
    pub(crate) fn of(benign: &Benign) -> Self {
        Self {
            id: benign.id.to_string(),
            category: benign.category.name(),
            reason: benign.reason.to_string(),
        }
    }
}

/// One finding as it stands.
#[expect(
    clippy::struct_field_names,
    reason = "alert_id is a name of the published API"
)]
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Alert {
    /// Identity of the finding: 32 hexadecimal digits.
    pub(crate) alert_id: String,
    /// What was found, in one line.
    pub(crate) title: String,
    /// Why.
    pub(crate) description: String,
    /// low, medium, high or critical.
    pub(crate) severity: &'static str,
    /// Always beaconwatch.
    pub(crate) source: &'static str,
    /// What it is about, by kind.
    #[schema(value_type = Object)]
    pub(crate) details: Details,
    /// When something last happened to it (RFC 3339).
    pub(crate) timestamp: String,
    /// beaconing or sensor, and simulated.
    pub(crate) tags: Vec<&'static str>,
    /// open or closed.
    pub(crate) state: &'static str,
    /// Who looks after it.
    pub(crate) acknowledged: Option<AcknowledgedView>,
    /// Until when documents are held back, when they are.
    pub(crate) suppressed_until: Option<String>,
    /// The entry of the allow-list that allows it.
    pub(crate) allowed: Option<AllowedView>,
    /// When it opened (RFC 3339).
    pub(crate) opened: String,
    /// When something last happened to it (RFC 3339).
    pub(crate) updated: String,
    /// When it closed.
    pub(crate) closed: Option<String>,
    /// Number of documents so far.
    pub(crate) revision: u64,
    /// How often it went on after it had been closed.
    pub(crate) reopened: u32,
    /// How often its severity rose.
    pub(crate) escalated: u32,
    /// Detections since the last document.
    pub(crate) suppressed_count: u64,
    /// What people said of it.
    pub(crate) comments: Vec<CommentView>,
    /// Whether `beaconwatch simulate` made it.
    pub(crate) simulated: bool,
    /// beacon or sensor.
    pub(crate) kind: &'static str,
    /// Identity of the series; of the sensor for a sensor.
    pub(crate) series_id: String,
}

/// Who looks after an alert.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AcknowledgedView {
    /// Name of the token.
    pub(crate) by: String,
    /// When (RFC 3339).
    pub(crate) at: String,
    /// Why.
    pub(crate) comment: Option<String>,
}

impl AcknowledgedView {
    /// None when nobody does.
    pub(crate) fn of(finding: &Finding) -> Option<Self> {
        let it = finding.acknowledged.as_ref()?;
        Some(Self {
            by: it.by.clone(),
            at: rfc3339(it.at),
            comment: it.comment.clone(),
        })
    }
}

/// What allows an alert.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct AllowedView {
    /// Entry of the allow-list.
    pub(crate) id: String,
    /// Its reason.
    pub(crate) reason: String,
}

/// What somebody said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct CommentView {
    /// Name of the token.
    pub(crate) by: String,
    /// When (RFC 3339).
    pub(crate) at: String,
    /// What.
    pub(crate) text: String,
}

/// One event of an alert's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct HistoryView {
    /// When (RFC 3339).
    pub(crate) at: String,
    /// What happened.
    pub(crate) event: &'static str,
    /// Who; absent when the sidecar did it by its rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) actor: Option<String>,
    /// With which words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
}

/// What an alert is about.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Details {
    Beacon(Box<BeaconDetails>),
    Sensor(SensorDetails),
}

/// A beacon.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BeaconDetails {
    score: Option<f64>,
    pair_key: String,
    src_ip: IpAddr,
    dst_ip: IpAddr,
    dst_port: u16,
    protocol: String,
    host: Arc<str>,
    host_name: Option<Arc<str>>,
    network_namespace: Arc<str>,
    process: Option<ProcessView>,
    owner: Option<OwnerView>,
    server_name: Option<Arc<str>>,
    client_fingerprint: Option<Arc<str>>,
    interval_s: Option<f64>,
    jitter: Option<f64>,
    connection_count: u64,
    bytes_out: Option<u64>,
    bytes_in: Option<u64>,
    first_seen: Option<String>,
    last_seen: String,
    signals: Vec<Signal>,
    method: Option<Arc<str>>,
    evidence: Option<EvidenceView>,
    view: Option<ViewView>,
    other_clients: u64,
}

/// A sensor.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SensorDetails {
    sensor_id: Arc<str>,
    host: Option<Arc<str>>,
    host_name: Option<Arc<str>>,
    last_seen: String,
    received: u64,
    missing: u64,
    gaps: u64,
}

impl Alert {
    pub(crate) fn of(finding: &Finding) -> Self {
        let (title, description, details, kind) = match &finding.subject {
            Subject::Beacon { key, assessment } => (
                beacon_title(key),
                beacon_description(assessment.as_deref()),
                Details::Beacon(Box::new(beacon(finding, key, assessment.as_deref()))),
                "beacon",
            ),
            Subject::Sensor(it) => (
                sensor_title(it),
                sensor_description(it),
                Details::Sensor(sensor(it)),
                "sensor",
            ),
        };
        let mut tags = vec![if kind == "beacon" {
            "beaconing"
        } else {
            "sensor"
        }];
        tags.extend(finding.simulated.then_some("simulated"));
        Self {
            alert_id: finding.id.to_string(),
            title,
            description,
            severity: finding.severity.name(),
            source: "beaconwatch",
            details,
            timestamp: rfc3339(finding.updated),
            tags,
            state: finding.status.name(),
            acknowledged: AcknowledgedView::of(finding),
            suppressed_until: finding.suppressed_until.map(rfc3339),
            allowed: allowed(finding),
            opened: rfc3339(finding.opened),
            updated: rfc3339(finding.updated),
            closed: finding
                .closed
                .filter(|_| finding.status == Status::Closed)
                .map(rfc3339),
            revision: finding.revision,
            reopened: finding.reopened,
            escalated: finding.escalated,
            suppressed_count: finding.missed.map_or(0, |missed| missed.count),
            comments: comments(finding),
            simulated: finding.simulated,
            kind,
            series_id: finding.series.to_string(),
        }
    }
}

fn allowed(finding: &Finding) -> Option<AllowedView> {
    let it = finding.allowed.as_ref()?;
    Some(AllowedView {
        id: it.id.clone(),
        reason: it.reason.clone(),
    })
}

fn comments(finding: &Finding) -> Vec<CommentView> {
    let view = |it: &super::Comment| CommentView {
        by: it.by.clone(),
        at: rfc3339(it.at),
        text: it.text.clone(),
    };
    finding.comments.iter().map(view).collect()
}

/// The events of a finding, oldest first.
pub(crate) fn history(finding: &Finding) -> Vec<HistoryView> {
    let entries = finding.history.iter();
    entries
        .map(|entry| HistoryView {
            at: rfc3339(entry.at),
            event: entry.event.name(),
            actor: entry.actor.clone(),
            text: entry.text.clone(),
        })
        .collect()
}

fn destination(key: &SeriesKey) -> String {
    std::net::SocketAddr::new(key.destination, key.destination_port).to_string()
}

fn protocol(transport: Transport) -> String {
    match transport {
        Transport::Other(number) => number.to_string(),
        named => named.name().to_ascii_uppercase(),
    }
}

fn pair_key(key: &SeriesKey) -> String {
    let protocol = protocol(key.transport);
    format!("{}->{}/{protocol}", key.source, destination(key))
}

fn beacon_title(key: &SeriesKey) -> String {
    let destination = destination(key);
    let transport = key.transport.name();
    format!("Beaconing from {} to {destination}/{transport}", key.source)
}

fn beacon_description(assessment: Option<&Assessment>) -> String {
    assessment.map_or_else(
        || "An earlier version of the program found it and kept no explanation.".to_owned(),
        |assessment| assessment.explanation.clone(),
    )
}

fn beacon(finding: &Finding, key: &SeriesKey, assessment: Option<&Assessment>) -> BeaconDetails {
    let protocol = protocol(key.transport);
    BeaconDetails {
        score: assessment.map(|it| it.score),
        pair_key: pair_key(key),
        src_ip: key.source,
        dst_ip: key.destination,
        dst_port: key.destination_port,
        protocol,
        host: Arc::clone(&key.host),
        host_name: assessment.and_then(|it| it.host_name.clone()),
        network_namespace: Arc::clone(&key.namespace),
        process: assessment.and_then(|it| it.process.as_deref().map(ProcessView::of)),
        owner: assessment.and_then(|it| it.owner.as_deref().map(OwnerView::of)),
        server_name: assessment.and_then(|it| it.server_name.clone()),
        client_fingerprint: assessment.and_then(|it| it.client_fingerprint.clone()),
        interval_s: assessment.and_then(|it| it.interval_s),
        jitter: assessment.and_then(|it| it.jitter),
        connection_count: finding.count(),
        bytes_out: assessment.map(|it| it.bytes_out),
        bytes_in: assessment.map(|it| it.bytes_in),
        first_seen: assessment.map(|it| rfc3339(it.first_seen)),
        last_seen: rfc3339(finding.last_seen()),
        signals: assessment.map_or_else(Vec::new, |it| it.signals.clone()),
        method: assessment.map(|it| Arc::clone(&it.method)),
        evidence: assessment.and_then(|it| it.evidence.as_ref().map(EvidenceView::of)),
        view: assessment.and_then(ViewView::of),
        other_clients: assessment.map_or(0, |it| it.other_clients_total),
    }
}

/// What people call a sensor.
fn sensor_name(sensor: &SensorFinding) -> &str {
    sensor.host_name.as_deref().unwrap_or(&sensor.sensor)
}

pub(crate) fn sensor_title(sensor: &SensorFinding) -> String {
    let name = sensor_name(sensor);
    match sensor.fault {
        SensorFault::Silent => format!("Sensor {name} fell silent"),
        SensorFault::Gap => format!("Sensor {name} lost {} records", sensor.missing),
    }
}

fn sensor_description(sensor: &SensorFinding) -> String {
    let last = rfc3339(sensor.last_seen);
    match sensor.fault {
        SensorFault::Silent => format!(
            "The last of {} records of sensor {} came at {last}.",
            sensor.received, sensor.sensor
        ),
        SensorFault::Gap => format!(
            "Of sensor {}, {} records came and {} in {} ranges did not.",
            sensor.sensor, sensor.received, sensor.missing, sensor.gaps
        ),
    }
}

fn sensor(sensor: &SensorFinding) -> SensorDetails {
    SensorDetails {
        sensor_id: Arc::clone(&sensor.sensor),
        host: sensor.host.clone(),
        host_name: sensor.host_name.clone(),
        last_seen: rfc3339(sensor.last_seen),
        received: sensor.received,
        missing: sensor.missing,
        gaps: sensor.gaps,
    }
}
