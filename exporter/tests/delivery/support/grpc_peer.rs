//! A gRPC receiver that answers by a script, then takes everything.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{
    LogsService, LogsServiceServer,
};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::{TcpListenerStream, UnixListenerStream};
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::Answer;

/// What the peer got.
#[derive(Clone, Debug, Default)]
pub(crate) struct GrpcPeer {
    script: Arc<Mutex<VecDeque<Answer>>>,
    /// Every request, with its metadata and whether it was taken.
    pub(crate) requests: Arc<Mutex<Vec<(ExportLogsServiceRequest, MetadataMap, bool)>>>,
}

impl GrpcPeer {
    /// Listens on a free port. The first `resets` connections are cut off after their first bytes.
    pub(crate) async fn start(script: Vec<Answer>, resets: usize) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("the port");
        let peer = Self {
            script: Arc::new(Mutex::new(script.into())),
            ..Self::default()
        };
        let service = peer.service();
        tokio::spawn(async move {
            for _ in 0..resets {
                let (connection, _) = listener.accept().await.expect("a connection");
                connection.readable().await.expect("first bytes");
                connection.set_zero_linger().expect("linger");
            }
            let incoming = TcpListenerStream::new(listener).map(|connection| connection);
            Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
        });
        (peer, address)
    }

    /// Listens on a socket.
    pub(crate) fn start_at(socket: &Path) -> Self {
        let listener = UnixListener::bind(socket).expect("a socket");
        let peer = Self::default();
        let service = peer.service();
        tokio::spawn(async move {
            Server::builder()
                .add_service(service)
                .serve_with_incoming(UnixListenerStream::new(listener))
                .await
        });
        peer
    }

    fn service(&self) -> LogsServiceServer<Self> {
        LogsServiceServer::new(self.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Zstd)
            .send_compressed(CompressionEncoding::Gzip)
            .send_compressed(CompressionEncoding::Zstd)
    }

    /// Requests that were taken.
    pub(crate) fn taken(&self) -> Vec<ExportLogsServiceRequest> {
        let requests = self.requests.lock().expect("no panic");
        requests
            .iter()
            .filter(|(_, _, taken)| *taken)
            .map(|(one, _, _)| one.clone())
            .collect()
    }
}

#[tonic::async_trait]
impl LogsService for GrpcPeer {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let answer = self
            .script
            .lock()
            .expect("no panic")
            .pop_front()
            .unwrap_or(Answer::Accept);
        let taken = !matches!(answer, Answer::Refuse(..));
        self.requests
            .lock()
            .expect("no panic")
            .push((message, metadata, taken));
        match answer {
            Answer::Accept => Ok(Response::new(ExportLogsServiceResponse::default())),
            Answer::Partial(rejected) => Ok(Response::new(ExportLogsServiceResponse {
                partial_success: Some(ExportLogsPartialSuccess {
                    rejected_log_records: rejected,
                    error_message: "no room for these".to_owned(),
                }),
            })),
            Answer::Refuse(code, wait) => Err(refusal(code, wait)),
        }
    }
}

fn refusal(code: u32, wait: Option<Duration>) -> Status {
    let code = Code::from_i32(code.try_into().expect("a gRPC code"));
    match wait {
        None => Status::new(code, "not now"),
        Some(wait) => {
            let details = ErrorDetails::with_retry_info(Some(wait));
            Status::with_error_details(code, "not now", details)
        }
    }
}
