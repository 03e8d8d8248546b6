//! [`FlowEvent`]: what the flow table yields; one event becomes one OTLP log record.

use beaconwatch_records::{CounterSet, FlowRecord};

use super::FlowId;

/// One instant read from two clocks.
///
/// Kernel records count nanoseconds of `CLOCK_BOOTTIME`; what leaves the exporter counts from the Unix
/// epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Nanoseconds of `CLOCK_BOOTTIME`.
    pub boot_ns: u64,
    /// Nanoseconds since the Unix epoch.
    pub unix_ns: u64,
}

impl Moment {
    /// Unix time of another instant of the boot clock, by today's distance between both clocks.
    #[must_use]
    pub fn unix_of(self, boot_ns: u64) -> u64 {
        if boot_ns >= self.boot_ns {
            self.unix_ns.saturating_add(boot_ns - self.boot_ns)
        } else {
            self.unix_ns.saturating_sub(self.boot_ns - boot_ns)
        }
    }
}

/// What an event says of its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowEventKind {
    /// It began.
    Start,
    /// It lives, and its counters changed.
    Update,
    /// Payload was sent after an idle time.
    Activity {
        /// What went both ways from then on until the next activity, the next reading of the counters that is
        /// not sooner than the idle time, or the end.
        exchanged: CounterSet,
    },
    /// It ended; totals are final.
    End,
}

/// One event of one flow.
///
/// All Unix times of a flow use the distance of the clocks when the flow was first seen. So its start
/// never changes and its duration is right, even when the wall clock is stepped meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEvent {
    /// Identity of the flow.
    pub id: FlowId,
    /// What happened.
    pub kind: FlowEventKind,
    /// Number among the flow's events, from 0.
    pub number: u32,
    /// When the flow began, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// When this event happened: start, moment of the counters, begin of the activity, or end of the flow.
    pub time_unix_ns: u64,
    /// Counters since the flow's last event; the totals are in `record`.
    pub delta: CounterSet,
    /// The flow as it is known now.
    pub record: FlowRecord,
}
