//! Hosts in the order in which to look at them, by the risk of their series or, without a model, by their scores.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use beaconwatch_detector::{Assessment, HostSummaries, HostSummary, Network};
use beaconwatch_learning::{Model, RowError, add_series};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Parameters;
use super::page::Page;
use crate::risk;

/// Which hosts.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HostsQuery {
    /// Address of hosts, or block of such; `src_ip` is the same.
    #[serde(alias = "src_ip")]
    #[param(value_type = Option<String>, format = "ipv4")]
    source: Option<Network>,
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// Hosts, the riskiest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Hosts {
    /// Entries in this answer.
    count: usize,
    /// Entries that match.
    total: usize,
    /// The entries.
    hosts: Vec<Host>,
}

/// What was scored on one host.
#[derive(Debug, Serialize, ToSchema)]
struct Host {
    /// Source address of its series.
    host: String,
    /// Connections of its scored series.
    event_count: u64,
    /// Series that were scored.
    scored: u64,
    /// Of these, how many count as detections.
    findings: u64,
    /// Mean score of its series, 0 to 1.
    mean_score: f64,
    /// Largest score, 0 to 1.
    max_score: f64,
    /// Mean risk of its series by the model, 0 to 1; none without a model, or with another method than evidence.
    mean_risk: Option<f64>,
    /// Largest risk, 0 to 1; none as above.
    max_risk: Option<f64>,
    /// The series of the largest risk and what drove it; without risks, of the largest score and its reasons.
    reason: String,
}

/// Hosts by their scored series: largest risk first, then largest mean; without risks, by score.
#[utoipa::path(
    get, path = "/api/v1/hosts", tag = "findings", params(HostsQuery),
    responses(
        (status = 200, description = "Hosts, the riskiest first.", body = Hosts),
        (status = 400, description = "A parameter cannot be.", body = ErrorAnswer),
    )
)]
pub(super) async fn hosts(
    State(api): State<Api>,
    Parameters(query): Parameters<HostsQuery>,
) -> Result<Answer<Hosts>, ApiError> {
    let limit = Page::new(query.limit, None)?.limit;
    // Only the pointers are taken under the lock: what is summed up is summed up behind it.
    let scored: Vec<Arc<Assessment>> = {
        let board = api.board.read().unwrap_or_else(PoisonError::into_inner);
        let matching = board.best(0.0).filter(|(_, it)| {
            let source = it.assessment.key.source;
            query.source.is_none_or(|network| network.contains(source))
        });
        matching.map(|(_, it)| Arc::clone(&it.assessment)).collect()
    };
    let model = api.risk.current();
    // Some microseconds a series: not on a thread that serves others.
    let ranked = tokio::task::spawn_blocking(move || ranked(&scored, model.as_deref())).await;
    let hosts = ranked
        .map_err(|error| ApiError::Answer(error.to_string()))?
        .map_err(|error| ApiError::Answer(error.to_string()))?;
    let total = hosts.len();
    let hosts: Vec<Host> = hosts.into_iter().take(limit).collect();
    Ok(Answer(Hosts {
        count: hosts.len(),
        total,
        hosts,
    }))
}

/// The hosts, those to look at first in front. Risks and scores are not mixed: while series that another method scored
/// are left, no host has a risk.
fn ranked(scored: &[Arc<Assessment>], model: Option<&Model>) -> Result<Vec<Host>, RowError> {
    let (mut by_risk, mut by_score) = (HostSummaries::default(), HostSummaries::default());
    let mut have_risks = true;
    for it in scored {
        let risk = model
            .map(|model| risk::of(model, it))
            .transpose()?
            .flatten();
        have_risks &= risk.is_some();
        add_series(&mut by_risk, it, risk.as_ref());
        add_series(&mut by_score, it, None);
    }
    let by_score = by_score.ranked();
    if !have_risks {
        let hosts = by_score.into_iter();
        return Ok(hosts.map(|it| Host::of(it, None)).collect());
    }
    let mut with_scores: BTreeMap<Arc<str>, HostSummary> = by_score
        .into_iter()
        .map(|it| (Arc::clone(&it.host), it))
        .collect();
    let hosts = by_risk.ranked().into_iter().filter_map(|it| {
        let score = with_scores.remove(&it.host)?;
        Some(Host::of(score, Some(it)))
    });
    Ok(hosts.collect())
}

impl Host {
    fn of(score: HostSummary, risk: Option<HostSummary>) -> Self {
        Self {
            host: score.host.to_string(),
            event_count: score.event_count,
            scored: score.scored,
            findings: score.findings,
            mean_score: score.mean_risk,
            max_score: score.max_risk,
            mean_risk: risk.as_ref().map(|it| it.mean_risk),
            max_risk: risk.as_ref().map(|it| it.max_risk),
            reason: risk.map_or(score.reason, |it| it.reason),
        }
    }
}
