//! An alert as the document that destinations get, and in other vocabularies.
//!
//! # Contract
//! A document is made as the alert stands: with its current numbers and what last happened to it. Its id is that of the
//! newest revision; one that a destination has got may be older. Asking changes nothing.

use axum::extract::State;
use beaconwatch_destinations::{ocsf, stix};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Id;
use crate::alert::{AlertError, FindingId};
use crate::observe;

/// A document whose shape another specification describes.
#[derive(Debug, Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(super) struct Document(Value);

fn document(api: &Api, id: &str) -> Result<Value, ApiError> {
    let id: FindingId = id.parse()?;
    let finding = api.observer.alerts().get(id);
    let finding = finding.ok_or_else(|| AlertError::unknown("alert", id))?;
    observe::as_it_stands(&finding, &api.labels)
        .map_err(|error| ApiError::Answer(error.to_string()))?
        .ok_or_else(|| {
            ApiError::Unprocessable("an older version has kept no numbers of this alert".to_owned())
        })
}

/// One alert as the document that destinations get: Elastic Common Schema.
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}/ecs", tag = "alerts",
    params(("id" = String, Path, description = "Identity of the alert.", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The document: docs/fields.md describes it.", body = Document),
        (status = 404, description = "No alert has that identity.", body = ErrorAnswer),
        (status = 422, description = "No document can be made of it.", body = ErrorAnswer),
    )
)]
pub(super) async fn ecs(State(api): State<Api>, Id(id): Id) -> Result<Answer<Document>, ApiError> {
    Ok(Answer(Document(document(&api, &id)?)))
}

/// One alert as an event of the Open Cybersecurity Schema Framework: Detection Finding (2004).
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}/ocsf", tag = "alerts",
    params(("id" = String, Path, description = "Identity of the alert.", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The event.", body = Document),
        (status = 404, description = "No alert has that identity.", body = ErrorAnswer),
        (status = 422, description = "No document can be made of it.", body = ErrorAnswer),
    )
)]
pub(super) async fn ocsf(State(api): State<Api>, Id(id): Id) -> Result<Answer<Document>, ApiError> {
    let document = document(&api, &id)?;
    Ok(Answer(Document(ocsf::detection_finding(&document))))
}

/// One alert about connections as a bundle of STIX 2.1.
#[utoipa::path(
    get, path = "/api/v1/alerts/{id}/stix", tag = "alerts",
    params(("id" = String, Path, description = "Identity of the alert.", pattern = "^[0-9a-f]{32}$")),
    responses(
        (status = 200, description = "The bundle.", body = Document),
        (status = 404, description = "No alert has that identity.", body = ErrorAnswer),
        (status = 422, description = "It is about no connections.", body = ErrorAnswer),
    )
)]
pub(super) async fn stix(State(api): State<Api>, Id(id): Id) -> Result<Answer<Document>, ApiError> {
    let bundle = stix::bundle(&document(&api, &id)?);
    let bundle = bundle.map_err(|error| ApiError::Unprocessable(error.to_string()))?;
    Ok(Answer(Document(bundle)))
}
