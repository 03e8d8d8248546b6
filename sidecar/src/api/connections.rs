//! Series with their numbers of connections, scored or not.

use axum::extract::State;
use beaconwatch_detector::SeriesSummary;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Parameters;
use super::page::Page;
use super::series::{SeriesNames, seconds};
use crate::observe::{ConnectionQuery, SeriesId};
use crate::time_text::rfc3339;

/// Which series.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionsQuery {
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
}

/// Series with the most connections.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pairs {
    /// Entries in this answer.
    count: usize,
    /// Entries that match.
    total: usize,
    /// The entries.
    pairs: Vec<Pair>,
}

/// One series.
#[derive(Debug, Serialize, ToSchema)]
struct Pair {
    /// Name of the series: 32 hexadecimal digits.
    id: String,
    /// Seconds that the longest connection took, of those that have ended.
    longest_connection_seconds: f64,
    #[serde(flatten)]
    names: SeriesNames,
    /// Connections.
    connection_count: u64,
    /// Seconds from the first to the last connection.
    duration_seconds: f64,
    /// First connection (RFC 3339).
    first_seen: String,
    /// Last connection (RFC 3339).
    last_seen: String,
}

/// Series with the most connections first.
#[utoipa::path(
    get, path = "/api/v1/connections", tag = "findings", params(ConnectionsQuery),
    responses(
        (status = 200, description = "Series.", body = Pairs),
        (status = 400, description = "A parameter cannot be.", body = ErrorAnswer),
    )
)]
pub(super) async fn connections(
    State(api): State<Api>,
    Parameters(query): Parameters<ConnectionsQuery>,
) -> Result<Answer<Pairs>, ApiError> {
    let page = Page::new(query.limit, None)?;
    let query = ConnectionQuery {
        limit: page.limit,
        ..ConnectionQuery::default()
    };
    let found = api.observer.connections().page(&query);
    let pairs = found.series.iter();
    Ok(Answer(Pairs {
        count: found.series.len(),
        total: found.total,
        pairs: pairs.map(|(id, series)| Pair::of(*id, series)).collect(),
    }))
}

impl Pair {
    fn of(id: SeriesId, series: &SeriesSummary) -> Self {
        Self {
            id: id.to_string(),
            longest_connection_seconds: series.longest.as_secs_f64(),
            names: SeriesNames::of(&series.key),
            connection_count: series.count,
            duration_seconds: seconds(series.first_seen, series.last_seen),
            first_seen: rfc3339(series.first_seen),
            last_seen: rfc3339(series.last_seen),
        }
    }
}
