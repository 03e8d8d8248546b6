//! Bulk requests and what is answered to them.

use elasticsearch::http::request::Body;
use elasticsearch::{BulkOperation, BulkOperations};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::http_client::shorten;
use crate::{AttemptError, Document, Outcome};

/// The body that creates each document with its event id as `_id`; the reason of the first that is no JSON.
pub(super) fn body(documents: &[&Document]) -> Result<bytes::Bytes, String> {
    let mut operations = BulkOperations::new();
    for document in documents {
        let source: &RawValue = serde_json::from_str(&document.body)
            .map_err(|error| format!("the document is no JSON: {error}"))?;
        operations
            .push(BulkOperation::create(source).id(&document.event_id))
            .map_err(|error| error.to_string())?;
    }
    Ok(operations.bytes().unwrap_or_default())
}

/// The answer to a bulk request.
#[derive(Deserialize)]
struct BulkAnswer {
    #[serde(default)]
    items: Vec<BulkItem>,
}

#[derive(Deserialize)]
struct BulkItem {
    create: ItemAnswer,
}

#[derive(Deserialize)]
struct ItemAnswer {
    status: u16,
    error: Option<ItemError>,
}

#[derive(Deserialize)]
struct ItemError {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    reason: Option<String>,
}

/// What became of each document.
pub(crate) fn outcomes(body: &[u8], expected: usize) -> Result<Vec<Outcome>, AttemptError> {
    let answer: BulkAnswer = serde_json::from_slice(body)
        .map_err(|error| AttemptError::new(format!("the answer is no bulk answer: {error}")))?;
    if answer.items.len() != expected {
        return Err(AttemptError::new(format!(
            "the answer has {} items, expected {expected}",
            answer.items.len()
        )));
    }
    Ok(answer
        .items
        .into_iter()
        .map(|item| item_outcome(item.create))
        .collect())
}

fn item_outcome(item: ItemAnswer) -> Outcome {
    let reason = match item.error {
        Some(error) => {
            let reason = error.reason.unwrap_or_default();
            format!("{}: {}: {}", item.status, error.kind, shorten(&reason))
        }
        None => item.status.to_string(),
    };
    match item.status {
        200..=299 => Outcome::Delivered,
        409 => Outcome::AlreadyThere,
        // Rights and indices can come back; the rest of 4xx is about the document.
        401 | 403 | 404 | 408 | 429 | 500..=599 => Outcome::retry(reason),
        _ => Outcome::Refused { reason },
    }
}
