//! OTLP: logs (flow records) and metrics (the exporter's own health).
//!
//! - [`target`]: where requests go, and what an answer means
//! - [`logs`]: flow events become log records
//! - [`request`]: log records become requests
//! - `wire`: writes Protocol Buffers
//! - [`client`]: targets over the network, gRPC and HTTP/protobuf
//! - [`connection`]: endpoint, headers, TLS of one signal
//! - [`endpoint`]: URL or socket of a receiver
//! - [`metrics`]: self-telemetry by the OpenTelemetry SDK

pub mod client;
pub mod connection;
pub mod endpoint;
pub mod logs;
pub mod metrics;
pub mod request;
pub mod target;
mod wire;

pub use target::{ExportError, LogsTarget};
