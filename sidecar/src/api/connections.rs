//! Series with their numbers of connections, scored or not.

use std::time::Duration;

use axum::extract::State;
use beaconwatch_detector::{Network, SeriesSummary};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Parameters;
use super::page::Page;
use super::series::{SeriesNames, seconds};
use crate::alert::AlertError;
use crate::observe::{ConnectionQuery, ConnectionSort, SeriesId};
use crate::time_text::rfc3339;

/// Which series, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ConnectionsQuery {
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
    /// Least seconds from the first to the last connection.
    #[param(minimum = 0.0, maximum = 1e9)]
    min_duration: f64,
    /// What comes first: the most or the latest.
    #[param(inline)]
    sort: ConnectionOrder,
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next` of the answer before.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ConnectionOrder {
    #[default]
    Count,
    Duration,
    LastSeen,
    Longest,
}

/// Series, the most or the latest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Pairs {
    /// Entries in this answer.
    count: usize,
    /// Entries that match.
    total: usize,
    /// Cursor of the next piece; none when there is none.
    next: Option<String>,
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
    let found = api.observer.connections().page(&query.read()?);
    let pairs = found.series.iter();
    Ok(Answer(Pairs {
        count: found.series.len(),
        total: found.total,
        next: found.next.map(|place| place.to_string()),
        pairs: pairs.map(|(id, series)| Pair::of(*id, series)).collect(),
    }))
}

impl ConnectionsQuery {
    pub(super) fn read(&self) -> Result<ConnectionQuery, ApiError> {
        if !(0.0..=1e9).contains(&self.min_duration) {
            return Err(ApiError::Parameter(format!(
                "min_duration is {}, expected 0 to 1e9 seconds",
                self.min_duration
            )));
        }
        let after = self.cursor.as_deref().map(str::parse).transpose();
        Ok(ConnectionQuery {
            source: self.source,
            destination: self.destination,
            port: self.port,
            minimum_duration: Duration::from_secs_f64(self.min_duration),
            sort: match self.sort {
                ConnectionOrder::Count => ConnectionSort::Count,
                ConnectionOrder::Duration => ConnectionSort::Duration,
                ConnectionOrder::LastSeen => ConnectionSort::LastSeen,
                ConnectionOrder::Longest => ConnectionSort::Longest,
            },
            after: after.map_err(|error: AlertError| ApiError::Parameter(error.to_string()))?,
            limit: Page::new(self.limit, None)?.limit,
        })
    }
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
