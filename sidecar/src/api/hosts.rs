//! Hosts in the order in which to look at them, by the scores of their series.

use std::sync::{Arc, PoisonError};

use axum::extract::State;
use beaconwatch_detector::{Assessment, HostSummaries, HostSummary, Network};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Parameters;
use super::page::Page;

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
    mean_risk: f64,
    /// Largest score, 0 to 1.
    max_risk: f64,
    /// The series of the largest score and its reasons.
    reason: String,
}

/// Hosts by their scored series: largest score first, then largest mean.
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
    let mut summaries = HostSummaries::default();
    for it in &scored {
        summaries.add_series(it, it.score, || it.explanation.clone());
    }
    let ranked = summaries.ranked();
    let total = ranked.len();
    let hosts: Vec<Host> = ranked.into_iter().take(limit).map(Host::of).collect();
    Ok(Answer(Hosts {
        count: hosts.len(),
        total,
        hosts,
    }))
}

impl Host {
    fn of(summary: HostSummary) -> Self {
        Self {
            host: summary.host.to_string(),
            event_count: summary.event_count,
            scored: summary.scored,
            findings: summary.findings,
            mean_risk: summary.mean_risk,
            max_risk: summary.max_risk,
            reason: summary.reason,
        }
    }
}
