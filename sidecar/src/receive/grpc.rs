//! OTLP over gRPC: `LogsService/Export`, plain or gzip.
//!
//! The message is handed on as bytes (see `wire` for why); tonic frames, decompresses within the limit
//! and answers. What can be sent again later is `UNAVAILABLE` with a `RetryInfo`, what cannot is
//! `INVALID_ARGUMENT`, and what a stranger sends `UNAUTHENTICATED`. See <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>.

use std::convert::Infallible;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::Service;

use super::{AcceptError, Receiver, Senders};

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// The service of the gRPC receiver: it answers every path.
pub(crate) fn grpc_router(receiver: Receiver, senders: Senders) -> Router {
    Router::new().fallback_service(LogsServer { receiver, senders })
}

/// The logs service, without decoding.
#[derive(Clone, Debug)]
struct LogsServer {
    receiver: Receiver,
    senders: Senders,
}

impl LogsServer {
    async fn answer(self, request: http::Request<Body>) -> http::Response<Body> {
        if request.uri().path() != EXPORT {
            return Status::unimplemented("this service has the method Export").into_http();
        }
        if let Err(error) = self.senders.admit(request.headers()) {
            self.receiver.count_unauthenticated();
            return Status::unauthenticated(error.to_string()).into_http();
        }
        let admitted = match self.receiver.admit().await {
            Ok(admitted) => admitted,
            Err(error) => return status(&error).into_http(),
        };
        let config = self.receiver.config();
        let timeout = Duration::from_secs(config.request_timeout_s);
        let mut grpc = Grpc::new(BytesCodec)
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(config.max_body_bytes);
        let receiver = self.receiver.clone();
        let answered = tokio::time::timeout(timeout, grpc.unary(Export { receiver }, request));
        let answered = answered.await.unwrap_or_else(|_elapsed| {
            let late = format!("no request within {} s", timeout.as_secs());
            Status::deadline_exceeded(late).into_http()
        });
        drop(admitted);
        answered
    }
}

impl Service<http::Request<axum::body::Body>> for LogsServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<axum::body::Body>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move { Ok(server.answer(request.map(Body::new)).await) })
    }
}

/// The one method.
struct Export {
    receiver: Receiver,
}

impl UnaryService<Bytes> for Export {
    type Response = ExportLogsServiceResponse;
    type Future = BoxFuture<'static, Result<Response<Self::Response>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let receiver = self.receiver.clone();
        Box::pin(async move {
            let accepted = receiver.accept_encoded(request.get_ref()).await;
            accepted.map(Response::new).map_err(|error| status(&error))
        })
    }
}

fn status(error: &AcceptError) -> Status {
    match error.retry_after() {
        None => Status::invalid_argument(error.to_string()),
        Some(after) => {
            let details = ErrorDetails::with_retry_info(Some(after));
            Status::with_error_details(Code::Unavailable, error.to_string(), details)
        }
    }
}

/// Requests as bytes, responses as messages.
#[derive(Clone, Copy, Debug, Default)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = ExportLogsServiceResponse;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for BytesCodec {
    type Item = ExportLogsServiceResponse;
    type Error = Status;

    fn encode(&mut self, item: Self::Item, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(buffer)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
