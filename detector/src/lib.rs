//! Scores beaconing in connection times.
//!
//! In: [`Observation`]s ("at time t, this host and process talked to that place"). Out:
//! [`Assessment`]s (a score in 0..=1, a severity, signals that explain it). The library is pure: every
//! method that needs the time takes it as `now`; there is no I/O, no clock, no async, no global state.
//! The same observations give the same assessments, in whatever order they come.
//!
//! # Example
//! ```
//! use std::sync::Arc;
//!
//! use beaconwatch_detector::{
//!     Context, Detector, Observation, Phase, SeriesKey, Settings, Timestamp, Transport,
//! };
//!
//! let key = SeriesKey {
//!     host: Arc::from("web-3"),
//!     namespace: Arc::from("host"),
//!     source: "192.0.2.10".parse()?,
//!     destination: "198.51.100.7".parse()?,
//!     destination_port: 443,
//!     transport: Transport::Tcp,
//! };
//! let mut detector = Detector::new(Settings::default())?;
//! for beat in 0..30 {
//!     let time = Timestamp::from_unix_nanos(beat * 60_000_000_000);
//!     detector.observe(time, &Observation::new(time, Phase::Opened, key.clone()));
//! }
//! let now = Timestamp::from_unix_nanos(1_800_000_000_000);
//! let found = detector.analyse(now, &Context::default());
//! assert!(found[0].detected && found[0].score > 0.9);
//! assert_eq!(found[0].interval_s, Some(60.0));
//! println!("{}", found[0].explanation);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod allow;
mod assessment;
pub mod context;
mod detector;
#[cfg(feature = "ecs")]
pub mod ecs;
pub mod evidence;
mod false_discoveries;
mod host;
mod method;
mod network;
mod observation;
mod owners;
pub mod seed;
mod series;
mod server_name;
mod settings;
mod state;
mod stats;
mod table;
mod time;
mod views;

pub use allow::{
    AllowFacts, AllowList, AllowRule, DomainPattern, FingerprintPattern, PatternError,
    ProcessPattern,
};
pub use assessment::{Assessment, IntervalStatistics, Severity, Signal};
pub use context::Context;
pub use detector::{Counters, Detector, Ignored, Outcome, SeriesSummary};
pub use false_discoveries::{detect_by_rate, discoveries, rate_e_value};
pub use host::{HostSummaries, HostSummary, Scored};
pub use network::{Network, NetworkError};
pub use observation::{
    ConnectionId, Observation, Owner, Phase, Process, SeriesKey, Side, Transport,
};
pub use server_name::registered_domain;
pub use settings::{EvidenceSettings, Profile, SeedSettings, Settings, SettingsError};
pub use state::{RestoreError, SeriesChange, SeriesState};
pub use time::Timestamp;
pub use views::{PartOf, View, ViewKind};
