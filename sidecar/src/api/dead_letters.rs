//! Documents that destinations refused for good.

use std::collections::BTreeSet;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::access::Caller;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::{Body, Parameters};
use super::page::{Page, Place};
use crate::store::{DeadLetter, DeadLetterPage, Selection};
use crate::time_text::rfc3339;

/// Which dead letters.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeadLettersQuery {
    /// Of this destination only.
    destination: Option<String>,
    /// With the documents.
    full: bool,
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next` of the answer before.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
}

/// Dead letters, by destination, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeadLetters {
    /// Entries in this answer.
    count: usize,
    /// Entries that match.
    total: u64,
    /// Cursor of the next piece; none when there is none.
    next: Option<String>,
    /// The entries.
    dead_letters: Vec<DeadLetterAnswer>,
}

/// A dead letter.
#[derive(Debug, Serialize, ToSchema)]
struct DeadLetterAnswer {
    /// Name of the destination.
    destination: String,
    /// Its number there.
    number: u64,
    /// Identity of the document.
    event_id: String,
    /// What the destination said.
    reason: String,
    /// When (RFC 3339).
    at: String,
    /// The document, when it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    document: Option<Value>,
}

/// Destinations stand in the order of this, so that a cursor can say where it is among them.
fn order(destination: &str) -> u128 {
    let digest: [u8; 32] = Sha256::digest(destination).into();
    let (first, _) = digest.split_first_chunk().unwrap_or((&[0; 16], &[]));
    u128::from_be_bytes(*first)
}

/// Dead letters, by destination, oldest first.
#[utoipa::path(
    get, path = "/api/v1/dead-letters", tag = "deliveries", params(DeadLettersQuery),
    responses(
        (status = 200, description = "Dead letters.", body = DeadLetters),
        (status = 400, description = "A parameter cannot be.", body = ErrorAnswer),
        (status = 404, description = "No destination has that name.", body = ErrorAnswer),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(query): Parameters<DeadLettersQuery>,
) -> Result<Answer<DeadLetters>, ApiError> {
    let page = Page::new(query.limit, query.cursor.as_deref())?;
    let mut names: Vec<String> = if let Some(name) = query.destination {
        vec![name]
    } else {
        let statuses = api.deliveries.statuses().await?;
        statuses.into_iter().map(|status| status.name).collect()
    };
    names.sort_by_cached_key(|name| order(name));
    let mut answer = DeadLetters {
        count: 0,
        total: 0,
        next: None,
        dead_letters: Vec::new(),
    };
    for name in names {
        let id = order(&name);
        let after = match page.after {
            Some(place) if place.id > id => u64::MAX,
            Some(place) if place.id == id => place.rank,
            _ => 0,
        };
        let room = page.limit.saturating_sub(answer.dead_letters.len());
        let wanted = DeadLetterPage {
            destination: name.clone(),
            after,
            // One more than there is room for tells whether there is a next piece.
            limit: room.saturating_add(1),
        };
        let (total, letters) = api.deliveries.dead_letters(wanted).await?;
        answer.total += total;
        for (number, letter) in letters {
            if answer.dead_letters.len() == page.limit {
                answer.next = answer.next.or_else(|| last(&answer.dead_letters));
                break;
            }
            let entry = DeadLetterAnswer::of(&name, number, letter, query.full);
            answer.dead_letters.push(entry);
        }
    }
    answer.count = answer.dead_letters.len();
    Ok(Answer(answer))
}

/// The place of the last entry.
fn last(letters: &[DeadLetterAnswer]) -> Option<String> {
    let letter = letters.last()?;
    let place = Place {
        rank: letter.number,
        id: order(&letter.destination),
    };
    Some(place.cursor())
}

impl DeadLetterAnswer {
    fn of(destination: &str, number: u64, letter: DeadLetter, full: bool) -> Self {
        let body = letter.document.body;
        Self {
            destination: destination.to_owned(),
            number,
            event_id: letter.document.event_id,
            reason: letter.reason,
            at: rfc3339(letter.at),
            document: full.then(|| serde_json::from_str(&body).unwrap_or(Value::String(body))),
        }
    }
}

/// Which dead letters of a destination.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Choice {
    /// Name of the destination.
    destination: String,
    /// Their numbers; all of them when not given.
    #[serde(default)]
    numbers: Option<BTreeSet<u64>>,
}

/// How many.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Done {
    /// Dead letters.
    count: u64,
}

/// Lets dead letters wait again, under their old ids.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/replay", tag = "deliveries", request_body = Choice,
    responses(
        (status = 200, description = "How many.", body = Done),
        (status = 404, description = "No destination has that name.", body = ErrorAnswer),
    )
)]
pub(super) async fn replay(
    State(api): State<Api>,
    caller: Caller,
    Body(choice): Body<Choice>,
) -> Result<Answer<Done>, ApiError> {
    let destination = choice.destination.clone();
    let count = api.deliveries.replay(choice.into()).await?;
    note(&api, &caller, "dead-letters.replay", &destination, count).await
}

/// Removes dead letters.
#[utoipa::path(
    post, path = "/api/v1/dead-letters/drop", tag = "deliveries", request_body = Choice,
    responses(
        (status = 200, description = "How many.", body = Done),
        (status = 404, description = "No destination has that name.", body = ErrorAnswer),
    )
)]
pub(super) async fn drop_letters(
    State(api): State<Api>,
    caller: Caller,
    Body(choice): Body<Choice>,
) -> Result<Answer<Done>, ApiError> {
    let destination = choice.destination.clone();
    let count = api.deliveries.drop_letters(choice.into()).await?;
    note(&api, &caller, "dead-letters.drop", &destination, count).await
}

async fn note(
    api: &Api,
    caller: &Caller,
    action: &str,
    destination: &str,
    count: u64,
) -> Result<Answer<Done>, ApiError> {
    if count > 0 {
        let detail = format!("{count} dead letters");
        api.audit(caller, action, destination, &detail).await?;
    }
    Ok(Answer(Done { count }))
}

impl From<Choice> for Selection {
    fn from(choice: Choice) -> Self {
        Self {
            destination: choice.destination,
            numbers: choice.numbers,
        }
    }
}
