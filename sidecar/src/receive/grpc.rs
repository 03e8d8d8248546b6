//! OTLP over gRPC: `LogsService/Export`, plain or gzip.
//!
//! The message is handed on as bytes (see `wire` for why); tonic frames, decompresses within the limit
//! and answers. What can be sent again later is `UNAVAILABLE` with a `RetryInfo`, what cannot is
//! `INVALID_ARGUMENT`. See <https://opentelemetry.io/docs/specs/otlp/#otlpgrpc>.

use std::convert::Infallible;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use futures::future::BoxFuture;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use prost::Message;
use tonic::body::Body;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tower::Service;

use super::{AcceptError, Receiver};

const EXPORT: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";

/// The logs service, without decoding.
#[derive(Clone, Debug)]
pub(crate) struct LogsServer {
    receiver: Receiver,
}

impl LogsServer {
    pub(crate) fn new(receiver: Receiver) -> Self {
        Self { receiver }
    }
}

impl NamedService for LogsServer {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

impl Service<http::Request<Body>> for LogsServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let receiver = self.receiver.clone();
        Box::pin(async move {
            if request.uri().path() != EXPORT {
                return Ok(Status::unimplemented("this service has the method Export").into_http());
            }
            let admitted = match receiver.admit().await {
                Ok(admitted) => admitted,
                Err(error) => return Ok(status(&error).into_http()),
            };
            let limit = receiver.config().max_body_bytes;
            let mut grpc = Grpc::new(BytesCodec)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(limit);
            let response = grpc.unary(Export { receiver }, request).await;
            drop(admitted);
            Ok(response)
        })
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
