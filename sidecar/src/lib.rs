//! Receives flow records over OTLP, finds beacons in them, keeps state, and delivers detections.
//!
//! ```text
//! gRPC, HTTP, in process ─► receive ─► store (journal) ─► observe (detector) ─► store (checkpoint)
//!                                        │ acknowledged                            │ outbox
//!                                        ▼                                         ▼
//!                                     the client                    deliver ─► destination: file, data stream
//! ```
//!
//! [`Sidecar::start`] puts the parts together. What each of them promises stands with its module:
//! - `receive`: one decoder for all ways in; a bad record is refused alone and counted by reason.
//! - `store`: one embedded database; an acknowledged request is on disk; input, state and outbox are
//!   written together.
//! - `observe`: duplicates and gaps per exporter; findings and their revisions.
//! - `sigma`: rules mark detections, and make documents of what they find in flows and by correlation.
//! - `deliver`: at least once, with a stable id, to [`destinations`].
//! - `control`: changes while it runs, by the API and by reading the configuration again.
//! - `api`: the HTTP API and the web page: who may do what, and all that can be asked.

mod alert;
mod api;
mod clock;
mod config;
mod context;
mod control;
mod deliver;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod input;
mod listen;
mod observe;
pub mod receive;
mod risk;
mod sidecar;
mod sigma;
mod status;
mod store;
mod time_text;
mod token;
mod web;

pub use alert::{AlertCounts, AllowConfig};
pub use api::AccessError;
pub use beaconwatch_destinations::{self as destinations, DestinationConfig, Document};
pub use beaconwatch_rules as rules;
pub use clock::Clock;
pub use config::{
    AlertsConfig, ApiConfig, Config, ConfigError, ContextConfig, ContextError, DeliveryConfig,
    InputConfig, ListConfig, ListFormat, OpenedContext, ReceiveConfig, RiskConfig, RiskError, Role,
    RulesConfig, StoreConfig, TailConfig, TlsConfig, TokenConfig,
};
pub use control::{ControlError, ReloadReport, Reread, View};
pub use deliver::{
    Delivered, Delivery, DestinationError, DestinationStatus, OperationError, RetryPolicy,
    test_configured,
};
pub use listen::{ListenError, TlsError};
pub use observe::{AnalysisReport, ExporterStatus, SensorState};
pub use receive::{AcceptError, Receiver};
pub use sidecar::{Addresses, Reloader, Sidecar, StartError, StopReport};
pub use sigma::{OpenedRules, RuleStatus, RulesError, RulesStatus};
pub use status::{
    AllowStatus, DetectorStatus, FindingStatus, InputStatus, ReceiveStatus, RejectedStatus, Status,
    StatusSource, StoreStatus,
};
pub use store::{
    Backlog, DeadLetter, FormatError, Purged, SalvageReport, SalvagedTable, StoreError, Totals,
    salvage,
};
pub use token::TokenError;
