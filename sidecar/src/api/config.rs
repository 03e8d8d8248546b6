//! The configuration as far as it can be changed while it runs.

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Api;
use super::access::Caller;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::{Body, OptionalBody};
use super::seed_config;
use crate::control::{ReloadReport, View};

/// What is in force, what of it the API has set, and what waits for a restart.
#[utoipa::path(
    get, path = "/api/v1/config", tag = "operation",
    responses((status = 200, description = "The configuration.", body = View))
)]
pub(super) async fn show(State(api): State<Api>) -> Answer<View> {
    Answer((*api.control.view()).clone())
}

/// Changes as a merge patch (RFC 7396): `null` takes back what was set before. The published analyser's `detection`
/// and `alerting` are understood, too.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = Object, example = json!({"detector": {"seed": {"min_connections": 12}}}))]
pub(super) struct Patch(Map<String, Value>);

/// Changes what can be changed: all of the patch or nothing of it, at once and over restarts.
#[utoipa::path(
    post, path = "/api/v1/config", tag = "operation", request_body = Patch,
    responses((status = 200, description = "The configuration afterwards.", body = View))
)]
pub(super) async fn change(
    State(api): State<Api>,
    caller: Caller,
    Body(Patch(patch)): Body<Patch>,
) -> Result<Answer<View>, ApiError> {
    let patch = Value::Object(seed_config::in_our_words(patch)?);
    let view = api.control.change(&patch, &(&caller).into()).await?;
    Ok(Answer((*view).clone()))
}

/// There is nothing to say.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Reload {}

/// Reads the configuration's files, the environment and the tokens again, as at SIGHUP.
#[utoipa::path(
    post, path = "/api/v1/config/reload", tag = "operation", request_body = Option<Reload>,
    responses(
        (status = 200, description = "What has changed.", body = ReloadReport),
        (status = 409, description = "There is no configuration to read again.", body = ErrorAnswer),
    )
)]
pub(super) async fn reload(
    State(api): State<Api>,
    caller: Caller,
    OptionalBody(Reload {}): OptionalBody<Reload>,
) -> Result<Answer<ReloadReport>, ApiError> {
    Ok(Answer(api.control.reread(Some(&(&caller).into())).await?))
}
