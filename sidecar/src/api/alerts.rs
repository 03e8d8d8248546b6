//! Alerts: what was found, how it stands, and what people do with it.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::State;
use beaconwatch_detector::{Network, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::access::Caller;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::{Body, Id, OptionalBody, Parameters};
use super::page::Page;
use super::series::SeverityName;
use super::series_detail::{self, Series};
use crate::alert::{
    Action, Alert, AlertError, AlertQuery, Finding, FindingId, HistoryView, Sort, history,
};
use crate::deliver::Delivery;

/// Which alerts, in which order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AlertsQuery {
    /// Any of these states, separated by commas: open, closed, acknowledged, allowed, suppressed.
    #[param(
        pattern = "^(open|closed|acknowledged|allowed|suppressed)(,(open|closed|acknowledged|allowed|suppressed)){0,4}$"
    )]
    state: Option<String>,
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
    /// Part of the process's name or path, in any case.
    process: Option<String>,
    /// Part of the server's name, in any case.
    server_name: Option<String>,
    /// Part of any text: identities, addresses, names, in any case.
    q: Option<String>,
    /// Changed at or after this time (RFC 3339).
    #[param(value_type = Option<String>, format = "date-time")]
    since: Option<String>,
    /// What comes first: the latest or the greatest.
    #[param(inline)]
    sort: AlertSort,
    /// Only those that a simulation made, or only others.
    simulated: Option<bool>,
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next` of the answer before.
    #[param(pattern = "^[0-9a-f]{64}$")]
    cursor: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AlertSort {
    #[default]
    Updated,
    Opened,
    Score,
    Severity,
}

/// Alerts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Alerts {
    /// Entries in this answer.
    count: usize,
    /// Entries that match.
    total: usize,
    /// Cursor of the next piece; none when there is none.
    next: Option<String>,
    /// The entries.
    alerts: Vec<Alert>,
}

/// One alert with everything around it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeAlert {
    #[serde(flatten)]
    alert: Alert,
    /// What happened to it, oldest first.
    history: Vec<HistoryView>,
    /// What became of its newest documents.
    deliveries: Vec<Delivery>,
    /// The series that it rests on; none when it is not kept any more.
    series: Option<Series>,
}

impl AlertsQuery {
    pub(super) fn read(&self) -> Result<AlertQuery, ApiError> {
        let states = self.state.as_deref().map(|states| {
            let states = states.split(',').map(FromStr::from_str);
            states.collect::<Result<Vec<_>, AlertError>>()
        });
        let parameter = |error: AlertError| ApiError::Parameter(error.to_string());
        let after = self.cursor.as_deref().map(FromStr::from_str).transpose();
        Ok(AlertQuery {
            states: states.transpose().map_err(parameter)?.unwrap_or_default(),
            minimum_severity: self.severity.map(Into::into),
            source: self.source,
            destination: self.destination,
            process: self.process.clone(),
            server_name: self.server_name.clone(),
            text: self.q.clone(),
            since: self.since.as_deref().map(instant).transpose()?,
            simulated: self.simulated,
            sort: match self.sort {
                AlertSort::Updated => Sort::Updated,
                AlertSort::Opened => Sort::Opened,
                AlertSort::Score => Sort::Score,
                AlertSort::Severity => Sort::Severity,
            },
            after: after.map_err(parameter)?,
            limit: Page::new(self.limit, None)?.limit,
        })
    }
}

fn instant(text: &str) -> Result<Timestamp, ApiError> {
    let wrong = || {
        let text: String = text.chars().take(100).collect();
        ApiError::Parameter(format!(
            "since is {text:?}, expected a time such as 2026-01-31T12:00:00Z"
        ))
    };
    let time: jiff::Timestamp = text.parse().map_err(|_not_a_time| wrong())?;
    // Before the first and after the last instant that is known here, nothing and everything has changed.
    let nanos = time.as_nanosecond();
    let nanos = i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX });
    Ok(Timestamp::from_unix_nanos(nanos))
}

/// Alerts.
#[utoipa::path(
    get, path = "/api/v1/alerts", tag = "alerts", params(AlertsQuery),
    responses(
        (status = 200, description = "Alerts.", body = Alerts),
        (status = 400, description = "A parameter cannot be.", body = ErrorAnswer),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(query): Parameters<AlertsQuery>,
) -> Result<Answer<Alerts>, ApiError> {
    let found = api.observer.alerts().page(&query.read()?, api.clock.now());
    Ok(Answer(Alerts {
        count: found.alerts.len(),
        total: found.total,
        next: found.next.map(|place| place.to_string()),
        alerts: found.alerts.iter().map(|it| Alert::of(it)).collect(),
    }))
}

/// One alert: its life, its deliveries, the series that it rests on.
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}", tag = "alerts",
    params(("id" = String, Path, description = "Identity of the alert.", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The alert.", body = WholeAlert),
        (status = 404, description = "No alert has that identity.", body = ErrorAnswer),
    )
)]
pub(super) async fn show(
    State(api): State<Api>,
    Id(id): Id,
) -> Result<Answer<WholeAlert>, ApiError> {
    let id: FindingId = id.parse()?;
    let finding = api.observer.alerts().get(id);
    let finding = finding.ok_or_else(|| AlertError::unknown("alert", id))?;
    Ok(Answer(WholeAlert {
        alert: Alert::of(&finding),
        history: history(&finding),
        deliveries: api.deliveries.of_alert(&id.to_string()).await?,
        series: series_detail::read(&api, finding.series).await?,
    }))
}

/// Why it is acknowledged.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Acknowledge {
    /// At most 4000 characters.
    #[schema(max_length = 4000)]
    comment: Option<String>,
}

/// What is to be said of it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Say {
    /// 1 to 4000 characters, not only white space.
    #[schema(min_length = 1, max_length = 4000, pattern = "\\S")]
    text: String,
}

/// Why it is closed.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Close {
    /// At most 4000 characters.
    #[schema(max_length = 4000)]
    reason: Option<String>,
}

/// There is nothing to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reopen {}

/// For how long only escalations make documents.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Suppress {
    /// Seconds, up to 366 days.
    #[schema(minimum = 1, maximum = 31_622_400)]
    for_s: u64,
}

async fn act(
    api: &Api,
    caller: &Caller,
    id: &str,
    action: Action,
) -> Result<Answer<Alert>, ApiError> {
    let id: FindingId = id.parse()?;
    let finding: Arc<Finding> = api.observer.act(id, action, caller.into()).await?;
    Ok(Answer(Alert::of(&finding)))
}

/// Declares a route that does something with an alert.
macro_rules! action {
    ($(#[$text:meta])* $name:ident, $method:ident, $path:literal, $extractor:ident, $request:ty, $body:ident, $pattern:pat => $action:expr) => {
        $(#[$text])*
        #[utoipa::path(
            $method, path = $path, tag = "alerts", request_body = $request,
            params(("id" = String, Path, description = "Identity of the alert.", pattern = "^[0-9a-f]{32}$")),
            responses(
                (status = 200, description = "The alert afterwards.", body = Alert),
                (status = 404, description = "No alert has that identity.", body = ErrorAnswer),
                (status = 409, description = "It contradicts the alert's state.", body = ErrorAnswer),
            )
        )]
        pub(super) async fn $name(
            State(api): State<Api>,
            caller: Caller,
            Id(id): Id,
            $extractor($pattern): $extractor<$body>,
        ) -> Result<Answer<Alert>, ApiError> {
            act(&api, &caller, &id, $action).await
        }
    };
}

action!(
    /// Says that somebody looks after it.
    acknowledge, post, "/api/v1/alerts/{id}/acknowledge", OptionalBody, Option<Acknowledge>, Acknowledge,
    Acknowledge { comment } => Action::Acknowledge { comment }
);
action!(
    /// Says something of it.
    comment, post, "/api/v1/alerts/{id}/comment", Body, Say, Say,
    Say { text } => Action::Comment { text }
);
action!(
    /// Closes it.
    close, post, "/api/v1/alerts/{id}/close", OptionalBody, Option<Close>, Close,
    Close { reason } => Action::Close { reason }
);
action!(
    /// Opens it again.
    reopen, post, "/api/v1/alerts/{id}/reopen", OptionalBody, Option<Reopen>, Reopen,
    Reopen {} => Action::Reopen
);
action!(
    /// Holds its documents back, but for escalations.
    suppress, post, "/api/v1/alerts/{id}/suppress", Body, Suppress, Suppress,
    Suppress { for_s } => Action::Suppress { for_s }
);

/// Declares a route that takes something back.
macro_rules! undo {
    ($(#[$text:meta])* $name:ident, $path:literal, $action:expr) => {
        $(#[$text])*
        #[utoipa::path(
            delete, path = $path, tag = "alerts",
            params(("id" = String, Path, description = "Identity of the alert.", pattern = "^[0-9a-f]{32}$")),
            responses(
                (status = 200, description = "The alert afterwards.", body = Alert),
                (status = 404, description = "No alert has that identity.", body = ErrorAnswer),
            )
        )]
        pub(super) async fn $name(
            State(api): State<Api>,
            caller: Caller,
            Id(id): Id,
        ) -> Result<Answer<Alert>, ApiError> {
            act(&api, &caller, &id, $action).await
        }
    };
}

undo!(
    /// Takes an acknowledgement back.
    unacknowledge, "/api/v1/alerts/{id}/acknowledge", Action::Unacknowledge
);
undo!(
    /// Lets its documents go again.
    unsuppress, "/api/v1/alerts/{id}/suppress", Action::Unsuppress
);

impl From<AlertError> for ApiError {
    fn from(error: AlertError) -> Self {
        match error {
            AlertError::Unknown { .. } => Self::NotFound(error.to_string()),
            AlertError::Invalid { .. } => Self::Unprocessable(error.to_string()),
            AlertError::Conflict(_) => Self::Conflict(error.to_string()),
            AlertError::Store(error) => Self::Store(error),
        }
    }
}
