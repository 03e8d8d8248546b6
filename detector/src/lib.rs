//! Scores beaconing in connection times.
//!
//! In: [`Observation`]s ("at time t, this host and process talked to that place"). Out:
//! [`Assessment`]s (a score in 0..=1, a severity, signals that explain it). The library is pure: every
//! method that needs the time takes it as `now`; there is no I/O, no clock, no async, no global state.

mod assessment;
mod observation;
mod time;

pub use assessment::{Assessment, IntervalStatistics, Severity, Signal};
pub use observation::{
    ConnectionId, Observation, Phase, Process, SeriesKey, Side, Transport,
};
pub use time::Timestamp;
