//! A small server that plays the bulk interface of a data stream, and its faults.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

/// What the server does with one bulk request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers with this status and takes nothing.
    Status(u16),
    /// Takes everything, and its answer breaks off.
    AnswerLost,
    /// Takes nothing and does not answer before the client gives up.
    Silence,
    /// Refuses every other document with this status and takes the rest.
    EveryOther(u16),
    /// Takes everything and answers with this text.
    Text(&'static str),
    /// Answers 413 when there is more than one document.
    OneAtATime,
}

#[derive(Debug, Default)]
struct Inner {
    faults: VecDeque<Fault>,
    /// A fault for every request once the others are used up.
    always: Option<Fault>,
    documents: BTreeMap<String, Value>,
    /// How often each id was offered.
    offered: BTreeMap<String, u32>,
    template: Option<Value>,
    authorization: Vec<Option<String>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct BulkServer(Arc<Mutex<Inner>>);

impl BulkServer {
    pub(crate) fn with(faults: impl IntoIterator<Item = Fault>) -> Self {
        let server = Self::default();
        server.0.lock().unwrap().faults = faults.into_iter().collect();
        server
    }

    pub(crate) fn always(fault: Fault) -> Self {
        let server = Self::default();
        server.0.lock().unwrap().always = Some(fault);
        server
    }

    pub(crate) fn heal(&self) {
        self.0.lock().unwrap().always = None;
    }

    /// Serves on a free port until the test's runtime ends.
    pub(crate) async fn listen(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route(
                "/_index_template/{name}",
                get(|State(server): State<Self>| async move {
                    let there = server.0.lock().unwrap().template.is_some();
                    if there {
                        StatusCode::OK
                    } else {
                        StatusCode::NOT_FOUND
                    }
                })
                .put(|State(server): State<Self>, body: String| async move {
                    server.0.lock().unwrap().template = serde_json::from_str(&body).ok();
                    r#"{"acknowledged":true}"#
                }),
            )
            .route("/{stream}/_bulk", post(bulk))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    pub(crate) fn documents(&self) -> BTreeMap<String, Value> {
        self.0.lock().unwrap().documents.clone()
    }

    pub(crate) fn offered(&self) -> BTreeMap<String, u32> {
        self.0.lock().unwrap().offered.clone()
    }

    pub(crate) fn template(&self) -> Option<Value> {
        self.0.lock().unwrap().template.clone()
    }

    pub(crate) fn authorization(&self) -> Option<String> {
        self.0
            .lock()
            .unwrap()
            .authorization
            .last()
            .cloned()
            .flatten()
    }
}

impl Inner {
    /// Takes a bulk request's documents or not, as the next fault says.
    fn take(
        &mut self,
        headers: &HeaderMap,
        documents: &[(String, Value)],
    ) -> (Option<Fault>, Value) {
        let authorization = headers
            .get("authorization")
            .map(|it| it.to_str().unwrap().to_owned());
        self.authorization.push(authorization);
        let fault = self.faults.pop_front().or_else(|| self.always.clone());
        let takes = match fault {
            Some(Fault::Status(_) | Fault::Silence) => false,
            Some(Fault::OneAtATime) => documents.len() == 1,
            _ => true,
        };
        let answer = if takes {
            self.answer(documents, fault.as_ref())
        } else {
            Value::Null
        };
        (fault, answer)
    }

    fn create(&mut self, id: &str, document: &Value) -> Value {
        if self.documents.contains_key(id) {
            let error = json!({ "type": "version_conflict_engine_exception", "reason": "exists" });
            return json!({ "create": { "status": 409, "error": error } });
        }
        self.documents.insert(id.to_owned(), document.clone());
        json!({ "create": { "status": 201 } })
    }

    fn answer(&mut self, documents: &[(String, Value)], fault: Option<&Fault>) -> Value {
        let items: Vec<Value> = documents
            .iter()
            .enumerate()
            .map(|(index, (id, document))| {
                *self.offered.entry(id.clone()).or_default() += 1;
                match fault {
                    Some(Fault::EveryOther(status)) if index % 2 == 0 => {
                        let error = json!({ "type": "played_exception", "reason": "not this one" });
                        json!({ "create": { "status": status, "error": error } })
                    }
                    _ => self.create(id, document),
                }
            })
            .collect();
        json!({ "items": items })
    }
}

async fn bulk(State(server): State<BulkServer>, headers: HeaderMap, body: String) -> Response {
    let lines: Vec<Value> = body
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let documents: Vec<(String, Value)> = lines
        .chunks(2)
        .map(|pair| {
            (
                pair[0]["create"]["_id"].as_str().unwrap().to_owned(),
                pair[1].clone(),
            )
        })
        .collect();
    let (fault, answer) = server.0.lock().unwrap().take(&headers, &documents);
    match fault {
        Some(Fault::Status(status)) => StatusCode::from_u16(status).unwrap().into_response(),
        Some(Fault::AnswerLost) => {
            let pieces = [
                Ok(r#"{"items":["#.to_owned()),
                Err(std::io::Error::other("played")),
            ];
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Text(text)) => text.into_response(),
        Some(Fault::OneAtATime) if documents.len() > 1 => {
            StatusCode::PAYLOAD_TOO_LARGE.into_response()
        }
        _ => axum::Json(answer).into_response(),
    }
}
