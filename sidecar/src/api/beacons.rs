//! Scored series, with the field names of the published beacon analyser's API.

use std::sync::PoisonError;

use axum::extract::State;
use beaconwatch_detector::{Assessment, Network, Signal, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Parameters;
use super::page::{Page, Piece, Place};
use super::series::{SeriesNames, SeverityName, seconds};
use crate::alert::{
    AcknowledgedView, BenignView, EvidenceView, OwnerView, PartOfView, ProcessView, ViewView,
};
use crate::observe::SeriesId;
use crate::time_text::rfc3339;

/// Below this score a series is not suspicious at all.
const NO_CONFIDENCE: f64 = 0.3;
/// Scores from which a signal speaks for a beacon.
const ABOVE_THRESHOLD: f64 = 0.7;
/// Largest p-value of what is called periodic.
const PERIODIC_P: f64 = 1e-3;

/// Which scored series.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BeaconsQuery {
    /// Lowest score.
    #[param(minimum = 0.0, maximum = 1.0)]
    min_score: f64,
    /// Lowest severity.
    severity: Option<SeverityName>,
    /// Address that connects, or block of such; `src_ip` is the same.
    #[serde(alias = "src_ip")]
    #[param(value_type = Option<String>, format = "ipv4")]
    source: Option<Network>,
    /// Address that answers, or block of such; `dst_ip` is the same.
    #[serde(alias = "dst_ip")]
    #[param(value_type = Option<String>, format = "ipv4")]
    destination: Option<Network>,
    /// Port that answers.
    #[param(maximum = 65535)]
    port: Option<u16>,
    /// Part of the process's name or path, in any case.
    process: Option<String>,
    /// Part of the server's name, in any case.
    server_name: Option<String>,
    /// Only those that are listed as benign, or only the others.
    benign: Option<bool>,
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next` of the answer before.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
}

/// Scored series, best first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Beacons {
    /// Entries in this answer.
    count: usize,
    /// Entries that match.
    total: u64,
    /// Cursor of the next piece; none when there is none.
    next: Option<String>,
    /// The entries.
    beacons: Vec<Beacon>,
}

/// One scored series.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Beacon {
    /// Name of the series: 32 hexadecimal digits.
    id: String,
    /// Identity of its latest finding.
    finding_id: Option<String>,
    /// Who looks after that finding.
    acknowledged: Option<AcknowledgedView>,
    /// The entry of the allow-list that allows it.
    allowed: Option<AllowedBy>,
    #[serde(flatten)]
    names: SeriesNames,
    /// Name of the host that observed.
    host_name: Option<String>,
    /// Last known name of the server.
    server_name: Option<String>,
    /// Last known process at the source.
    process: Option<ProcessView>,
    /// Who runs that process.
    owner: Option<OwnerView>,
    /// Last known fingerprint of the client's TLS: JA4, or JA3 where that is all there is.
    client_fingerprint: Option<String>,
    /// Method that scored.
    method: String,
    /// Score of the coefficient of variation.
    cv_score: Option<f64>,
    /// Score of the periodicity.
    periodicity_score: Option<f64>,
    /// Score of the jitter.
    jitter_score: Option<f64>,
    /// Score of the sizes.
    size_score: Option<f64>,
    /// The score, 0 to 1.
    combined_score: f64,
    /// Severity of the score.
    severity: SeverityName,
    /// Whether it counts as a detection.
    is_beacon: bool,
    /// The score in words: none below 0.3, then as the severity.
    confidence: Confidence,
    /// Dominant interval in seconds.
    interval_s: Option<f64>,
    /// Relative jitter: 0.2 means ±20 % of the interval.
    jitter: Option<f64>,
    /// Intervals between connections.
    interval_stats: Option<IntervalAnswer>,
    /// Periodicity.
    periodicity_result: PeriodicityAnswer,
    /// Connections.
    connection_count: u64,
    /// Bytes to the destination over connections that have ended.
    bytes_out: u64,
    /// Bytes from the destination over connections that have ended.
    bytes_in: u64,
    /// Seconds from the first to the last connection.
    duration_seconds: f64,
    /// First connection (RFC 3339).
    first_seen: String,
    /// Last connection (RFC 3339).
    last_seen: String,
    /// When it was scored (RFC 3339).
    analysis_time: String,
    /// Why it is listed as benign, and so no detection; none when it is not.
    benign: Option<BenignView>,
    /// The view that is reported at it: series that beat as one.
    view: Option<ViewView>,
    /// The view that it is part of, reported at another series; its score is that of the view.
    part_of: Option<PartOfView>,
    /// Other clients that beat to the same server with about the same period.
    other_clients: u64,
    /// What its times say; none with another method.
    evidence: Option<EvidenceView>,
    /// Why it has its score.
    explanation: ExplanationAnswer,
}

/// How sure the score is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Confidence {
    None,
    Low,
    Medium,
    High,
    Critical,
}

/// What allows a series.
#[derive(Debug, Serialize, ToSchema)]
struct AllowedBy {
    /// Entry of the allow-list.
    id: String,
    /// Its reason.
    reason: String,
}

/// Intervals between connections, in seconds.
#[derive(Debug, Serialize, ToSchema)]
struct IntervalAnswer {
    /// Number of intervals.
    count: u64,
    /// Mean.
    mean: f64,
    /// Standard deviation.
    std_dev: f64,
    /// Coefficient of variation.
    cv: f64,
    /// Median.
    median: f64,
    /// Shortest.
    min_interval: f64,
    /// Longest.
    max_interval: f64,
    /// Largest distance from the median.
    jitter: f64,
}

/// Periodicity of a series.
#[derive(Debug, Serialize, ToSchema)]
struct PeriodicityAnswer {
    /// Whether the score of the periodicity is at least 0.7 or, with the method evidence, irregular traffic
    /// keeps such a cadence in at most one of 1000 series.
    is_periodic: bool,
    /// Period of the strongest peak of the spectrum in seconds; without one, the dominant interval.
    dominant_period: Option<f64>,
    /// Score of the periodicity.
    periodicity_score: Option<f64>,
    /// The strongest peak of the spectrum: its frequency in hertz, and its share of the power with that of its
    /// second harmonic. Empty when there is none.
    frequency_peaks: Vec<(f64, f64)>,
}

/// Why a series has its score.
#[derive(Debug, Serialize, ToSchema)]
struct ExplanationAnswer {
    /// In words.
    text: String,
    /// In numbers: the contributions add up to the score or, with the method evidence, to its log-odds.
    contributing_signals: Vec<SignalAnswer>,
    /// Names of the signals with a score of at least 0.7.
    signals_above_threshold: Vec<String>,
}

/// One signal.
#[derive(Debug, Serialize, ToSchema)]
struct SignalAnswer {
    /// Name of the signal.
    name: String,
    /// Its value, 0 to 1.
    score: f64,
    /// Its weight.
    weight: f64,
    /// What it adds to the score or, with the method evidence, to its log-odds.
    contribution: f64,
    /// The measured quantity.
    raw_value: f64,
    /// What the quantity was compared with.
    threshold: Option<f64>,
    /// In words.
    text: String,
}

/// Scored series, best first.
#[utoipa::path(
    get, path = "/api/v1/beacons", tag = "findings", params(BeaconsQuery),
    responses(
        (status = 200, description = "Scored series, best first.", body = Beacons),
        (status = 400, description = "A parameter cannot be.", body = ErrorAnswer),
    )
)]
pub(super) async fn beacons(
    State(api): State<Api>,
    Parameters(query): Parameters<BeaconsQuery>,
) -> Result<Answer<Beacons>, ApiError> {
    let page = Page::new(query.limit, query.cursor.as_deref())?;
    if !(0.0..=1.0).contains(&query.min_score) {
        let reason = format!("min_score is {}, expected 0 to 1", query.min_score);
        return Err(ApiError::Parameter(reason));
    }
    let filter = Filter::of(&query);
    let piece = {
        let board = api.board.read().unwrap_or_else(PoisonError::into_inner);
        let matching = board
            .best(query.min_score)
            .filter(|(_, it)| filter.takes_all() || filter.takes(&it.assessment));
        let placed = matching.map(|((rank, id), scored)| {
            let place = Place { rank, id: id.0 };
            (place, (id, scored))
        });
        Piece::cut(placed, page).map(|(id, scored)| (id, scored.clone()))
    };
    Ok(Answer(Beacons {
        count: piece.entries.len(),
        total: piece.total,
        next: piece.next,
        beacons: piece
            .entries
            .iter()
            .map(|(id, it)| Beacon::of(&api, *id, &it.assessment, it.at))
            .collect(),
    }))
}

/// What a scored series must be.
struct Filter {
    severity: SeverityName,
    source: Option<Network>,
    destination: Option<Network>,
    port: Option<u16>,
    process: String,
    server_name: String,
    benign: Option<bool>,
}

impl Filter {
    fn of(query: &BeaconsQuery) -> Self {
        let lower = |text: &Option<String>| text.as_deref().unwrap_or_default().to_lowercase();
        Self {
            severity: query.severity.unwrap_or(SeverityName::Low),
            source: query.source,
            destination: query.destination,
            port: query.port,
            process: lower(&query.process),
            server_name: lower(&query.server_name),
            benign: query.benign,
        }
    }

    /// Whether it asks for nothing: then no series needs to be looked at to be counted.
    fn takes_all(&self) -> bool {
        self.severity == SeverityName::Low
            && (self.source, self.destination, self.port) == (None, None, None)
            && self.process.is_empty()
            && self.server_name.is_empty()
            && self.benign.is_none()
    }

    fn takes(&self, assessment: &Assessment) -> bool {
        let has = |value: Option<&str>, part: &str| {
            value.is_some_and(|value| value.to_lowercase().contains(part))
        };
        let process = || {
            let process = assessment.process.as_deref();
            has(process.and_then(|it| it.name.as_deref()), &self.process)
                || has(
                    process.and_then(|it| it.executable.as_deref()),
                    &self.process,
                )
        };
        SeverityName::from(assessment.severity) >= self.severity
            && self
                .port
                .is_none_or(|port| port == assessment.key.destination_port)
            && self
                .source
                .is_none_or(|source| source.contains(assessment.key.source))
            && self
                .destination
                .is_none_or(|destination| destination.contains(assessment.key.destination))
            && self
                .benign
                .is_none_or(|benign| benign == assessment.benign.is_some())
            && (self.process.is_empty() || process())
            && (self.server_name.is_empty()
                || has(assessment.server_name.as_deref(), &self.server_name))
    }
}

impl Beacon {
    pub(super) fn of(api: &Api, id: SeriesId, assessment: &Assessment, at: Timestamp) -> Self {
        let finding = api.observer.alerts().of_series(id);
        let allowed = api
            .observer
            .allow_list()
            .allows(assessment, api.clock.now());
        let score = |name: &str| signal(assessment, name);
        Self {
            id: id.to_string(),
            finding_id: finding.as_ref().map(|finding| finding.id.to_string()),
            acknowledged: finding.as_deref().and_then(AcknowledgedView::of),
            allowed: allowed.map(|(id, reason)| AllowedBy { id, reason }),
            names: SeriesNames::of(&assessment.key),
            host_name: text(assessment.host_name.as_deref()),
            server_name: text(assessment.server_name.as_deref()),
            process: assessment.process.as_deref().map(ProcessView::of),
            owner: assessment.owner.as_deref().map(OwnerView::of),
            client_fingerprint: text(assessment.client_fingerprint.as_deref()),
            method: assessment.method.to_string(),
            cv_score: score("coefficient_of_variation"),
            periodicity_score: score("periodicity"),
            jitter_score: score("jitter"),
            size_score: score("size"),
            combined_score: assessment.score,
            severity: assessment.severity.into(),
            is_beacon: assessment.detected,
            confidence: Confidence::of(assessment),
            interval_s: assessment.interval_s,
            jitter: assessment.jitter,
            interval_stats: interval_statistics(assessment),
            periodicity_result: periodicity(assessment),
            connection_count: assessment.count,
            bytes_out: assessment.bytes_out,
            bytes_in: assessment.bytes_in,
            duration_seconds: seconds(assessment.first_seen, assessment.last_seen),
            first_seen: rfc3339(assessment.first_seen),
            last_seen: rfc3339(assessment.last_seen),
            analysis_time: rfc3339(at),
            benign: assessment.benign.as_ref().map(BenignView::of),
            view: ViewView::of(assessment),
            part_of: assessment.part_of.as_ref().map(PartOfView::of),
            other_clients: assessment.other_clients_total,
            evidence: assessment.evidence.as_ref().map(EvidenceView::of),
            explanation: explanation(assessment),
        }
    }
}

fn text(value: Option<&str>) -> Option<String> {
    value.map(str::to_owned)
}

fn interval_statistics(assessment: &Assessment) -> Option<IntervalAnswer> {
    assessment.intervals.map(|intervals| IntervalAnswer {
        count: intervals.count,
        mean: intervals.mean_s,
        std_dev: intervals.standard_deviation_s,
        cv: intervals.coefficient_of_variation,
        median: intervals.median_s,
        min_interval: intervals.minimum_s,
        max_interval: intervals.maximum_s,
        jitter: intervals.maximum_deviation_s,
    })
}

fn periodicity(assessment: &Assessment) -> PeriodicityAnswer {
    let score = signal(assessment, "periodicity");
    let peak = assessment.spectrum.filter(|peak| peak.period_s > 0.0);
    PeriodicityAnswer {
        is_periodic: score.is_some_and(|score| score >= ABOVE_THRESHOLD)
            || assessment
                .evidence
                .is_some_and(|it| it.p_value_any_look <= PERIODIC_P),
        dominant_period: peak.map(|peak| peak.period_s).or(assessment.interval_s),
        periodicity_score: score,
        frequency_peaks: peak
            .map(|peak| (peak.period_s.recip(), peak.share))
            .into_iter()
            .collect(),
    }
}

fn explanation(assessment: &Assessment) -> ExplanationAnswer {
    let signals = assessment.signals.iter();
    let above = signals.clone().filter(|it| it.score >= ABOVE_THRESHOLD);
    ExplanationAnswer {
        text: assessment.explanation.clone(),
        signals_above_threshold: above.map(|it| it.name.to_string()).collect(),
        contributing_signals: signals.map(SignalAnswer::of).collect(),
    }
}

impl SignalAnswer {
    fn of(signal: &Signal) -> Self {
        Self {
            name: signal.name.to_string(),
            score: signal.score,
            weight: signal.weight,
            contribution: signal.contribution,
            raw_value: signal.raw_value,
            threshold: signal.threshold,
            text: signal.text.clone(),
        }
    }
}

fn signal(assessment: &Assessment, name: &str) -> Option<f64> {
    let mut signals = assessment.signals.iter();
    let found = signals.find(|signal| &*signal.name == name);
    found.map(|signal| signal.score)
}

impl Confidence {
    fn of(assessment: &Assessment) -> Self {
        match SeverityName::from(assessment.severity) {
            _ if assessment.score < NO_CONFIDENCE => Self::None,
            SeverityName::Low => Self::Low,
            SeverityName::Medium => Self::Medium,
            SeverityName::High => Self::High,
            SeverityName::Critical => Self::Critical,
        }
    }
}
