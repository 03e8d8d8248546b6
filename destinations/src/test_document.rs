//! A marked document through the real client, to see whether a destination can be reached and takes what
//! it gets.
//!
//! # Contract
//! The document is no finding and says so: `event.action` is `destination-test`, `event.kind` is `event`,
//! and `tags` has `test`. It goes the whole way (address, TLS, credentials, mapping), past the outbox, the
//! route and the retry policy: one attempt within a time limit. A dry run connects to nothing.

use std::time::Duration;

use beaconwatch_schema::{ECS_VERSION, detection as field};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    AttemptError, BuildError, Confirmation, Destination, DestinationKind, Document, Outcome,
    Stream, Surroundings,
};

/// Time between two questions for a confirmation.
const CONFIRM_EVERY: Duration = Duration::from_millis(200);

/// What became of a test document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestOutcome {
    /// The destination has it.
    Delivered,
    /// It was sent, and nobody can say whether it arrived; or it was taken and not confirmed in time.
    Unconfirmed,
    /// The destination does not want it.
    Refused,
    /// It did not work this time: a delivery would be tried again.
    Retry,
    /// Nothing was sent.
    DryRun,
}

/// What a test came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    /// What became of the document.
    pub outcome: TestOutcome,
    /// Why, when there is more to say.
    pub reason: Option<String>,
    /// What was sent, or would have been, without credentials.
    pub document: String,
}

/// Sends a test document to a destination, or shows it (`dry_run`).
pub async fn test_destination(
    kind: &DestinationKind,
    surroundings: &Surroundings<'_>,
    limit: Duration,
    dry_run: bool,
) -> Result<TestReport, BuildError> {
    let mut destination = kind.build(surroundings)?;
    let documents = [test_document(surroundings, jiff::Timestamp::now())];
    let (document, problem) = match destination.rendered(&documents) {
        Ok(rendered) => (rendered, None),
        Err(reason) => (documents[0].body.clone(), Some(reason)),
    };
    let (outcome, reason) = match problem {
        Some(reason) => (TestOutcome::Refused, Some(reason)),
        None if dry_run => (TestOutcome::DryRun, None),
        None => send(&mut *destination, &documents, limit).await,
    };
    Ok(TestReport {
        outcome,
        reason,
        document,
    })
}

fn test_document(surroundings: &Surroundings<'_>, now: jiff::Timestamp) -> Document {
    let id = format!("test-{}", uuid::Uuid::from_u128(rand::random()).simple());
    let mut body = json!({
        field::TIMESTAMP: now.to_string(),
        "data_stream": {
            "type": field::STREAM_TYPE,
            "dataset": Stream::Detection.dataset(),
            "namespace": surroundings.namespace,
        },
        "ecs": {"version": ECS_VERSION},
        "event": {
            "action": "destination-test",
            "created": now.to_string(),
            "dataset": Stream::Detection.dataset(),
            "id": id,
            "kind": "event",
            "severity": 21,
        },
        "message": "Beaconwatch test document: this is no finding.",
        "tags": ["test"],
    });
    if let (Some(name), Some(document)) = (surroundings.observer_name, body.as_object_mut()) {
        document.insert("observer".to_owned(), json!({"name": name}));
    }
    Document {
        event_id: id,
        body: Value::to_string(&body),
        stream: Stream::Detection,
    }
}

async fn send(
    destination: &mut dyn Destination,
    documents: &[Document],
    limit: Duration,
) -> (TestOutcome, Option<String>) {
    let end = Instant::now() + limit;
    let late = || format!("no answer within {} s", limit.as_secs_f64());
    let sent = match tokio::time::timeout_at(end, destination.deliver(documents)).await {
        Ok(Ok(mut outcomes)) => outcomes.pop(),
        Ok(Err(AttemptError { reason, .. })) => return (TestOutcome::Retry, Some(reason)),
        Err(_elapsed) => return (TestOutcome::Retry, Some(late())),
    };
    match sent {
        Some(Outcome::Delivered | Outcome::AlreadyThere) => (TestOutcome::Delivered, None),
        Some(Outcome::Unconfirmed) => (TestOutcome::Unconfirmed, None),
        Some(Outcome::Refused { reason }) => (TestOutcome::Refused, Some(reason)),
        Some(Outcome::Retry { reason, .. }) => (TestOutcome::Retry, Some(reason)),
        Some(Outcome::Awaiting(_)) => {
            let confirmed = tokio::time::timeout_at(end, confirmation(destination)).await;
            confirmed.unwrap_or_else(|_elapsed| {
                let reason = "taken, and not confirmed within the time of the test";
                (TestOutcome::Unconfirmed, Some(reason.to_owned()))
            })
        }
        None => (
            TestOutcome::Retry,
            Some("the destination did not answer for the document".to_owned()),
        ),
    }
}

/// Waits until the one document that was sent is confirmed or lost.
async fn confirmation(destination: &mut dyn Destination) -> (TestOutcome, Option<String>) {
    loop {
        match destination.confirm().await {
            Ok(mut confirmed) => match confirmed.pop() {
                Some((_, Confirmation::Delivered)) => return (TestOutcome::Delivered, None),
                Some((_, Confirmation::Lost { reason })) => {
                    return (TestOutcome::Retry, Some(reason));
                }
                None => tokio::time::sleep(CONFIRM_EVERY).await,
            },
            Err(AttemptError { reason, .. }) => return (TestOutcome::Retry, Some(reason)),
        }
    }
}
