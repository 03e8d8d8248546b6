//! Flow exporter: every connection of a host, from the kernel to OpenTelemetry.
//!
//! ```text
//! capture (eBPF) -> flow (table) -> enrich (owner), names -> deliver (queue, retry) -> otlp (encode, send)
//! ```
//!
//! - [`capture`]: records of every socket, and slices of payload, from the kernel
//! - [`flow`]: records of the kernel become start, update, activity and end of flows
//! - [`enrich`]: process, container and pod behind a socket, Beaconwatch's own traffic, privacy
//! - [`names`]: names of servers and fingerprints of clients, from slices of payload
//! - [`otlp`]: OTLP logs and metrics
//! - [`deliver`]: bounded queue, retry
//! - [`telemetry`]: what was exported and what was lost, by place
//! - [`config`]: the settings
//! - [`replay`]: captures of packets in the place of the kernel part
//! - [`Exporter`]: the parts in their order, over any [`source`] of records
//!
//! Losses are counted at every place that can lose; see [`telemetry::LossPlace`].

pub mod capture;
pub mod config;
pub mod deliver;
pub mod enrich;
pub mod flow;
mod memory;
pub mod names;
pub mod otlp;
mod pipeline;
pub mod replay;
pub mod source;
mod succession;
pub mod telemetry;

pub use config::Config;
pub use otlp::{ExportError, LogsTarget};
pub use pipeline::{Exporter, RunError, run};
pub use telemetry::{Counters, LossPlace, Telemetry};
