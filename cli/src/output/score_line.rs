//! A scored series as one JSON object, or one row of CSV.

use std::net::IpAddr;

use beaconwatch_detector::context::Benign;
use beaconwatch_detector::evidence::Evidence;
use beaconwatch_detector::{Assessment, PartOf, SeriesKey, Severity, Signal, View, ViewKind};
use serde::Serialize;

use super::csv::Cell;
use super::text;

/// One line of `beaconwatch score --format json` or `csv`.
#[derive(Debug, Serialize)]
pub(crate) struct ScoreLine<'a> {
    src: IpAddr,
    dst: IpAddr,
    dport: u16,
    proto: &'static str,
    server_name: Option<&'a str>,
    /// Fingerprint of the client's TLS, where the input has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_fingerprint: Option<&'a str>,
    score: f64,
    severity: Severity,
    detected: bool,
    /// First connection start, RFC 3339.
    first_seen: String,
    /// Last connection start, RFC 3339.
    last_seen: String,
    /// Connections.
    count: u64,
    /// Median interval in seconds.
    interval_s: Option<f64>,
    /// Half-width of the intervals relative to the median.
    jitter: Option<f64>,
    explanation: &'a str,
    /// Why the series could not be a detection.
    gate: Option<&'a str>,
    method: &'a str,
    /// Sensor, where the input names it.
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    bytes_out: u64,
    bytes_in: u64,
    /// Why the series is listed as benign, when it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    benign: Option<&'a Benign>,
    /// What the series that beat as one share, and how many they are, at the one where they are reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    view: Option<ViewLine<'a>>,
    /// The view that explains the series better, and where it is reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    part_of: Option<&'a PartOf>,
    /// Other clients that beat to the same server with about the same period.
    #[serde(skip_serializing_if = "is_zero")]
    other_clients: u64,
    /// What the times say, with the method `evidence`.
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<EvidenceLine>,
    signals: &'a [Signal],
}

/// Series that beat as one.
#[derive(Debug, Serialize)]
struct ViewLine<'a> {
    #[serde(flatten)]
    view: &'a View,
    members: &'a [SeriesKey],
    members_total: u64,
}

/// What the times say: the names of the detector, with its times as people write them.
#[derive(Debug, Serialize)]
struct EvidenceLine {
    source: &'static str,
    beats: u64,
    p_value: f64,
    p_value_any_look: f64,
    period_s: f64,
    period_error_s: f64,
    half_width: f64,
    explained: f64,
    miss_rate: f64,
    clock_period_s: Option<f64>,
    active_hours: u32,
    longest_run_h: u32,
    hours_of_life: u32,
    next: Option<NextBeatLine>,
}

/// When the next beat is due, RFC 3339.
#[derive(Debug, Serialize)]
struct NextBeatLine {
    earliest: String,
    latest: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl EvidenceLine {
    fn of(evidence: Evidence) -> Self {
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
            hours_of_life: evidence.hours_of_life,
            next: evidence.next.map(|next| NextBeatLine {
                earliest: text::rfc3339(next.earliest),
                latest: text::rfc3339(next.latest),
            }),
        }
    }
}

impl<'a> ScoreLine<'a> {
    /// Names of the columns of [`ScoreLine::csv`]: those of `beacons --csv`, then more.
    pub(crate) const CSV_HEAD: [&'static str; 14] = [
        "Score",
        "Severity",
        "Source_IP",
        "Source_Port",
        "Dest_IP",
        "Dest_Port",
        "Protocol",
        "Connections",
        "Interval",
        "Jitter",
        "Server_Name",
        "First_Seen",
        "Last_Seen",
        "Explanation",
    ];

    /// The series as a row of CSV.
    pub(crate) fn csv(&self) -> Vec<Cell> {
        vec![
            Cell::real(Some(self.score), 4),
            Cell::Own(self.severity.name().to_owned()),
            Cell::Own(self.src.to_string()),
            // A series is made of connections from many ports.
            Cell::Own(String::new()),
            Cell::Own(self.dst.to_string()),
            Cell::integer(self.dport.into()),
            Cell::Own(self.proto.to_ascii_uppercase()),
            Cell::integer(self.count),
            Cell::real(self.interval_s, 3),
            Cell::real(self.jitter, 4),
            Cell::Text(self.server_name.unwrap_or_default().to_owned()),
            Cell::Own(self.first_seen.clone()),
            Cell::Own(self.last_seen.clone()),
            Cell::Text(self.explanation.to_owned()),
        ]
    }

    pub(crate) fn new(assessment: &'a Assessment) -> Self {
        let key = &assessment.key;
        Self {
            src: key.source,
            dst: key.destination,
            dport: key.destination_port,
            proto: key.transport.name(),
            server_name: assessment.server_name.as_deref(),
            client_fingerprint: assessment.client_fingerprint.as_deref(),
            score: assessment.score,
            severity: assessment.severity,
            detected: assessment.detected,
            first_seen: text::rfc3339(assessment.first_seen),
            last_seen: text::rfc3339(assessment.last_seen),
            count: assessment.count,
            interval_s: assessment.interval_s,
            jitter: assessment.jitter,
            explanation: &assessment.explanation,
            gate: assessment.gate.as_deref(),
            method: &assessment.method,
            host: &key.host,
            bytes_out: assessment.bytes_out,
            bytes_in: assessment.bytes_in,
            benign: assessment.benign.as_ref(),
            view: (assessment.view.kind != ViewKind::Pair).then(|| ViewLine {
                view: &assessment.view,
                members: &assessment.members,
                members_total: assessment.members_total,
            }),
            part_of: assessment.part_of.as_ref(),
            other_clients: assessment.other_clients_total,
            evidence: assessment.evidence.map(EvidenceLine::of),
            signals: &assessment.signals,
        }
    }
}
