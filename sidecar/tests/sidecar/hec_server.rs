//! A small server that plays the HTTP event collector of Splunk, with acknowledgement and faults.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::post;
use serde_json::{Value, json};

/// What the server does with one request of events.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers with this status, code and `Retry-After`, and takes nothing.
    Busy(u16, u64),
    /// Takes everything and gives an acknowledgement's number that was given before.
    NumberAgain,
}

#[derive(Debug, Default)]
pub(crate) struct Inner {
    pub(crate) faults: VecDeque<Fault>,
    /// Event ids that are refused as invalid.
    pub(crate) invalid: BTreeSet<String>,
    /// Whether the indexers acknowledge.
    pub(crate) acknowledges: bool,
    /// How often each id was taken.
    pub(crate) taken: BTreeMap<String, u32>,
    /// Documents of each request that was taken.
    pub(crate) batches: Vec<usize>,
    /// Questions for acknowledgements.
    pub(crate) asked: u32,
    next_number: u64,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct HecServer(Arc<Mutex<Inner>>);

impl HecServer {
    pub(crate) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Serves on a free port until the test's runtime ends.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/services/collector/event", post(events))
            .route("/services/collector/ack", post(acknowledgements))
            .with_state(self.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        address
    }
}

type Answer = (StatusCode, axum::Json<Value>);

fn answer(status: u16, body: Value) -> Answer {
    (StatusCode::from_u16(status).unwrap(), axum::Json(body))
}

async fn events(State(server): State<HecServer>, body: String) -> impl IntoResponse {
    let mut inner = server.inner();
    let ids: Vec<String> = body
        .lines()
        .map(|line| {
            let envelope: Value = serde_json::from_str(line).unwrap();
            envelope["event"]["event"]["id"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    let fault = inner.faults.pop_front();
    if let Some(Fault::Busy(status, code)) = fault {
        return answer(status, json!({"text": "busy", "code": code}));
    }
    if let Some(number) = ids.iter().position(|id| inner.invalid.contains(id)) {
        let body =
            json!({"text": "Invalid data format", "code": 6, "invalid-event-number": number});
        return answer(400, body);
    }
    inner.batches.push(ids.len());
    for id in ids {
        *inner.taken.entry(id).or_default() += 1;
    }
    if !matches!(fault, Some(Fault::NumberAgain)) {
        inner.next_number += 1;
    }
    let number = inner.next_number;
    answer(200, json!({"text": "Success", "code": 0, "ackId": number}))
}

async fn acknowledgements(State(server): State<HecServer>, body: String) -> impl IntoResponse {
    let mut inner = server.inner();
    inner.asked += 1;
    let asked: Value = serde_json::from_str(&body).unwrap();
    let acks: BTreeMap<String, bool> = asked["acks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|number| (number.to_string(), inner.acknowledges))
        .collect();
    answer(200, json!({ "acks": acks }))
}
