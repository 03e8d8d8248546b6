//! What the collector's answers mean.

use serde::Deserialize;
use std::collections::BTreeMap;

use crate::AttemptError;
use crate::http_client::{Answer, shorten};

/// What an answer says of the documents of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// All are taken, with the number of the acknowledgement.
    Taken(Option<u64>),
    /// None is taken now.
    Later(AttemptError),
    /// The document at this place will never be taken; of the others nothing is known.
    OneRefused { number: usize, reason: String },
    /// None will ever be taken.
    AllRefused { reason: String },
    /// At least one will never be taken, or they are too much together.
    Split { reason: String },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    text: String,
    code: Option<u64>,
    #[serde(rename = "ackId")]
    ack_id: Option<u64>,
    #[serde(rename = "invalid-event-number")]
    invalid_event_number: Option<usize>,
}

/// Reads the answer to a request with so many documents.
pub(crate) fn judge(answer: &Answer, documents: usize) -> Verdict {
    let body: Option<Body> = serde_json::from_slice(&answer.body).ok();
    let later = || Verdict::Later(answer.clone().into_error());
    let Some(Body {
        text,
        code: Some(code),
        ack_id,
        invalid_event_number,
    }) = body
    else {
        return match answer.status.as_u16() {
            400 | 413 => Verdict::Split {
                reason: answer.reason(),
            },
            200..=299 => Verdict::Later(AttemptError::new(format!(
                "{}, which is no answer of an HTTP event collector",
                answer.reason()
            ))),
            _ => later(),
        };
    };
    let reason = format!("{}: {} (code {code})", answer.status, shorten(&text));
    let number = invalid_event_number.filter(|number| *number < documents);
    match (answer.status.as_u16(), code) {
        (200, 0 | 24 | 25) => Verdict::Taken(ack_id),
        (_, 7) => Verdict::AllRefused { reason },
        (_, 5 | 6 | 12 | 13 | 15) => match number {
            Some(number) => Verdict::OneRefused { number, reason },
            None => Verdict::Split { reason },
        },
        (413, _) => Verdict::Split { reason },
        _ => Verdict::Later(AttemptError {
            reason,
            retry_after: answer.retry_after(),
        }),
    }
}

/// Reads which numbers are acknowledged.
pub(crate) fn acknowledged(answer: Answer) -> Result<Vec<u64>, AttemptError> {
    #[derive(Deserialize)]
    struct Acks {
        acks: BTreeMap<String, bool>,
    }
    if !answer.status.is_success() {
        return Err(answer.into_error());
    }
    let Ok(Acks { acks }) = serde_json::from_slice(&answer.body) else {
        return Err(AttemptError::new(format!(
            "{}, which says nothing of acknowledgements",
            answer.reason()
        )));
    };
    let positive = acks.into_iter().filter(|(_, acknowledged)| *acknowledged);
    Ok(positive.filter_map(|(id, _)| id.parse().ok()).collect())
}
