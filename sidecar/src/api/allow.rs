//! The allow-list.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::access::Caller;
use super::error::{Answer, ApiError, ErrorAnswer, json};
use super::extract::{Body, Id, Parameters};
use crate::alert::{Alert, AllowConfig, AllowEntry, AllowView};
use crate::observe::AllowEffect;

/// The allow-list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AllowList {
    /// Entries in this answer.
    count: usize,
    /// The entries: those of the configuration first.
    entries: Vec<AllowView>,
}

/// An entry and what it does.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Allowed {
    /// The entry.
    entry: AllowView,
    /// What it does, or would do.
    effect: Effect,
}

/// What an entry does.
#[derive(Debug, Serialize, ToSchema)]
struct Effect {
    /// Series that it allows.
    series: u64,
    /// Findings that it allows and nothing had allowed before.
    findings: u64,
    /// The first hundred of these findings.
    alerts: Vec<Alert>,
}

/// The allow-list.
#[utoipa::path(
    get, path = "/api/v1/allow", tag = "alerts",
    responses((status = 200, description = "The allow-list.", body = AllowList))
)]
pub(super) async fn list(State(api): State<Api>) -> Answer<AllowList> {
    let entries = api.observer.allow_list().views(api.clock.now());
    Answer(AllowList {
        count: entries.len(),
        entries,
    })
}

/// How to add.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AddQuery {
    /// Show what the entry would do and keep nothing.
    dry_run: bool,
}

/// Adds an entry: at once, and to what was found before.
#[utoipa::path(
    post, path = "/api/v1/allow", tag = "alerts", params(AddQuery), request_body = AllowConfig,
    responses(
        (status = 200, description = "What it would do.", body = Allowed),
        (status = 201, description = "The entry and what it does.", body = Allowed),
        (status = 409, description = "There are too many entries.", body = ErrorAnswer),
    )
)]
pub(super) async fn add(
    State(api): State<Api>,
    caller: Caller,
    Parameters(query): Parameters<AddQuery>,
    Body(config): Body<AllowConfig>,
) -> Result<Response, ApiError> {
    let (status, (entry, effect)) = if query.dry_run {
        (StatusCode::OK, api.observer.allow_preview(config).await?)
    } else {
        let added = api.observer.allow_add(config, (&caller).into()).await?;
        (StatusCode::CREATED, added)
    };
    Ok(json(status, &Allowed::of(&api, &entry, &effect)).into_response())
}

/// Takes an entry off, and judges again what it had allowed.
#[utoipa::path(
    delete, path = "/api/v1/allow/{id}", tag = "alerts",
    params(("id" = String, Path, description = "Identity of the entry.")),
    responses(
        (status = 200, description = "The entry that is gone.", body = AllowView),
        (status = 404, description = "No entry has that identity.", body = ErrorAnswer),
        (status = 409, description = "It stands in the configuration.", body = ErrorAnswer),
    )
)]
pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Id(id): Id,
) -> Result<Answer<AllowView>, ApiError> {
    let entry = api.observer.allow_remove(id, (&caller).into()).await?;
    let now = api.clock.now();
    Ok(Answer(api.observer.allow_list().view(&entry, now)))
}

impl Allowed {
    fn of(api: &Api, entry: &AllowEntry, effect: &AllowEffect) -> Self {
        let alerts = effect.alerts.iter().map(|it| Alert::of(it));
        Self {
            entry: api.observer.allow_list().view(entry, api.clock.now()),
            effect: Effect {
                series: effect.series,
                findings: effect.findings,
                alerts: alerts.collect(),
            },
        }
    }
}
