//! Tries an HTTP Event Collector of Splunk: does it live, does it take an event with this token for this index?
//!
//! The event is marked as a test (`event.beaconwatch_test`, source type `beaconwatch:test`) and stays in the index. With a token
//! that has indexer acknowledgement, the indexers' answer is waited for.
//!
//! Limit: Splunk itself is not run by this project; codes are those of its documentation.

use std::time::Duration;

use beaconwatch_destinations::{Secret, SecretSource, secret_header};
use http::{HeaderValue, Method};
use serde::Serialize;
use serde_json::json;

use crate::server::{Api, Reply};
use crate::{Server, SetupError};

/// How often and how long the indexers' answer is asked for.
const ACKNOWLEDGEMENT_ATTEMPTS: u32 = 20;
const ACKNOWLEDGEMENT_PAUSE: Duration = Duration::from_millis(500);

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was tried.
    pub name: &'static str,
    /// Whether it is as it should be.
    pub is_good: bool,
    /// What the collector said.
    pub said: String,
    /// What to do when it is not.
    pub advice: Option<&'static str>,
}

/// What is to be tried.
#[derive(Clone, Debug)]
pub struct Collector {
    /// The server; its credentials are not used.
    pub server: Server,
    /// The token.
    pub token: SecretSource,
    /// Index; the token's default index when not given.
    pub index: Option<String>,
}

/// Tries the collector. An error only when it does not answer at all.
pub async fn check(collector: &Collector) -> Result<Vec<Check>, SetupError> {
    let token = secret_header(
        "Splunk ",
        &Secret::read(&collector.token).map_err(beaconwatch_destinations::BuildError::from)?,
    )?;
    let channel = uuid::Uuid::from_u128(rand::random()).to_string();
    let channel = HeaderValue::try_from(channel).map_err(|error| SetupError::Unreachable {
        url: collector.server.url.clone(),
        reason: error.to_string(),
    })?;
    let api = Api::new(&collector.server)?
        .with_header("authorization", token)
        .with_header("x-splunk-request-channel", channel);
    let health = api.ask(Method::GET, "services/collector/health").await?;
    let mut checks = vec![judged("health", &health)];
    let mut event = json!({
        "event": { "message": "Beaconwatch tries this collector.", "beaconwatch_test": true },
        "source": "beaconwatch",
        "sourcetype": "beaconwatch:test",
    });
    if let (Some(index), Some(fields)) = (&collector.index, event.as_object_mut()) {
        fields.insert("index".to_owned(), index.as_str().into());
    }
    let sent = api
        .put(Method::POST, "services/collector/event", &event)
        .await?;
    checks.push(judged("event", &sent));
    if let Some(id) = sent.body["ackId"].as_u64() {
        checks.push(acknowledged(&api, id).await?);
    }
    Ok(checks)
}

/// Waits for the indexers.
async fn acknowledged(api: &Api, id: u64) -> Result<Check, SetupError> {
    for _ in 0..ACKNOWLEDGEMENT_ATTEMPTS {
        let question = json!({ "acks": [id] });
        let reply = api
            .put(Method::POST, "services/collector/ack", &question)
            .await?;
        if reply.body["acks"][id.to_string()] == true {
            return Ok(Check {
                name: "acknowledgement",
                is_good: true,
                said: "the indexers have the event".to_owned(),
                advice: None,
            });
        }
        tokio::time::sleep(ACKNOWLEDGEMENT_PAUSE).await;
    }
    Ok(Check {
        name: "acknowledgement",
        is_good: false,
        said: "the indexers have not acknowledged the event within 10 s".to_owned(),
        advice: Some(
            "Look at the indexers' queues; behind a load balancer the same channel must reach the same collector (sticky sessions).",
        ),
    })
}

/// What an answer means, and what to do.
fn judged(name: &'static str, reply: &Reply) -> Check {
    let code = reply.body["code"].as_u64();
    let text = reply.body["text"].as_str();
    let said = match (code, text) {
        (Some(code), Some(text)) => format!("{}: {text} (code {code})", reply.status),
        _ => reply.reason(),
    };
    let is_good = reply.status.is_success() && matches!(code, Some(0 | 17 | 24 | 25));
    let advice = if is_good && matches!(code, Some(24 | 25)) {
        Some(
            "It takes events, and its queue or its acknowledgements are nearly full: look at the indexers.",
        )
    } else if is_good {
        None
    } else {
        Some(advice(code, reply))
    };
    Check {
        name,
        is_good,
        said,
        advice,
    }
}

fn advice(code: Option<u64>, reply: &Reply) -> &'static str {
    match code {
        Some(1) => {
            "The token is switched off: Settings > Data inputs > HTTP Event Collector, enable it."
        }
        Some(2 | 3) => {
            "The token did not arrive: is there a proxy that takes the Authorization header away?"
        }
        Some(4) => {
            "Splunk does not know the token: make one (Settings > Data inputs > HTTP Event Collector > New Token) and put it into the file."
        }
        Some(7) => {
            "The token may not write to this index, or it does not exist: create the index and add it to the token's allowed indexes, or give another with --index."
        }
        Some(8) => "Splunk failed inside: look at splunkd.log.",
        Some(9 | 18 | 19 | 20 | 26 | 27) => {
            "The collector is too busy: look at the indexers' queues, and try again."
        }
        Some(10 | 11) => {
            "The token has indexer acknowledgement and did not get a channel: is there a proxy that takes X-Splunk-Request-Channel away?"
        }
        Some(14) => {
            "Acknowledgement is switched off for the token: set acknowledge = false in the destination, or switch it on."
        }
        Some(23) => "The server is shutting down: try again.",
        _ if reply.status.as_u16() == 404 => {
            "This is no HTTP Event Collector: it listens on a port of its own, 8088 unless configured otherwise, and is switched on in its global settings."
        }
        _ => {
            "Is the address that of the HTTP Event Collector (port 8088), and is it switched on in its global settings?"
        }
    }
}
