//! An HTTP receiver that answers by a script, then takes everything.

use std::collections::VecDeque;
use std::io::Read;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use prost::Message;
use tokio::net::{TcpListener, UnixListener};

use super::Answer;

/// Path, headers, body as it came, whether it was taken.
type Received = (String, HeaderMap, Bytes, bool);

/// What the peer got.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpPeer {
    script: Arc<Mutex<VecDeque<Answer>>>,
    /// Every request.
    pub(crate) requests: Arc<Mutex<Vec<Received>>>,
}

impl HttpPeer {
    /// Listens on a free port. The first `resets` connections are cut off after their first bytes.
    pub(crate) async fn start(script: Vec<Answer>, resets: usize) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port");
        let peer = Self {
            script: Arc::new(Mutex::new(script.into())),
            ..Self::default()
        };
        let router = Router::new().fallback(answer).with_state(peer.clone());
        tokio::spawn(async move {
            for _ in 0..resets {
                let (connection, _) = listener.accept().await.expect("a connection");
                connection.readable().await.expect("first bytes");
                connection.set_zero_linger().expect("linger");
            }
            axum::serve(listener, router).await
        });
        (peer, address)
    }

    /// Listens on a socket.
    pub(crate) fn start_at(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let peer = Self::default();
        let router = Router::new().fallback(answer).with_state(peer.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        peer
    }

    /// Logs requests that were taken.
    pub(crate) fn taken(&self) -> Vec<ExportLogsServiceRequest> {
        let requests = self.requests.lock().expect("no panic");
        let taken = requests
            .iter()
            .filter(|(path, _, _, taken)| *taken && path == "/v1/logs");
        taken
            .map(|(_, headers, body, _)| decode(headers, body))
            .collect()
    }
}

fn decode(headers: &HeaderMap, body: &Bytes) -> ExportLogsServiceRequest {
    ExportLogsServiceRequest::decode(plain(headers, body).as_slice()).expect("an OTLP request")
}

/// The body as it was before it was packed.
pub(crate) fn plain(headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    let encoding = headers.get("content-encoding");
    match encoding.map(|name| name.to_str().expect("text")) {
        None => body.to_vec(),
        Some("gzip") => {
            let mut plain = Vec::new();
            let mut reader = GzDecoder::new(body.as_ref());
            reader.read_to_end(&mut plain).expect("gzip");
            plain
        }
        Some("zstd") => zstd::decode_all(body.as_ref()).expect("zstd"),
        Some(other) => unreachable!("{other}"),
    }
}

async fn answer(
    State(peer): State<HttpPeer>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let answer = peer
        .script
        .lock()
        .expect("no panic")
        .pop_front()
        .unwrap_or(Answer::Accept);
    let taken = !matches!(answer, Answer::Refuse(..));
    peer.requests
        .lock()
        .expect("no panic")
        .push((uri.path().to_owned(), headers, body, taken));
    match answer {
        Answer::Accept => ExportLogsServiceResponse::default()
            .encode_to_vec()
            .into_response(),
        Answer::Partial(rejected) => ExportLogsServiceResponse {
            partial_success: Some(ExportLogsPartialSuccess {
                rejected_log_records: rejected,
                error_message: "no room for these".to_owned(),
            }),
        }
        .encode_to_vec()
        .into_response(),
        Answer::Refuse(status, wait) => {
            let status = StatusCode::from_u16(status.try_into().expect("16 bits")).expect("HTTP");
            let mut response = (status, "not now").into_response();
            if let Some(wait) = wait {
                response
                    .headers_mut()
                    .insert("retry-after", wait.as_secs().into());
            }
            response
        }
    }
}
