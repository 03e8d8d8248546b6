//! [`FlowSource`]: where kernel records come from.
//!
//! The exporter runs the same way over the live capture, over a test's records, or over a replay.

use std::sync::Arc;

use async_trait::async_trait;
use beaconwatch_records::{FlowRecord, LOSS_COUNTERS, ProcessRecord};

use crate::capture::clock::{UnixClock, boottime_ns};
use crate::capture::ledger::Ledger;
use crate::capture::slices::SliceBatch;
use crate::capture::{Capture, CaptureError};
use crate::flow::Moment;

/// A source of records and the clock that they are stamped by.
#[async_trait]
pub trait FlowSource: Send {
    /// Waits for records and appends them; 0 means that no more will come. Cancel-safe.
    async fn read(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError>;

    /// Appends what waits to be read, then the present counters of every live flow.
    fn live_flows(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError>;

    /// Exchanges `batch`, which its user is done with, for the slices of payload that came since.
    fn take_slices(&mut self, batch: &mut SliceBatch) {
        batch.clear();
    }

    /// Whether time passes with the records and not by the wall clock: then intervals count by [`Self::now`], and two
    /// runs over the same records tell the same.
    fn passes_time(&self) -> bool {
        false
    }

    /// Appends what processes began to execute since.
    fn take_processes(&mut self, _processes: &mut Vec<ProcessRecord>) {}

    /// Name of the interface with an index, when flows are counted on it.
    fn interface_name(&self, _index: u32) -> Option<Arc<str>> {
        None
    }

    /// What an earlier run told, and where this one takes note of what it tells; `None` when nothing outlives the process.
    fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        None
    }

    /// Losses of the kernel part since the start, by [`beaconwatch_records::LossCounter`].
    fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError>;

    /// Records that were refused because they did not hold what a record holds.
    fn malformed(&self) -> u64;

    /// The present, by the clock of the records and by the wall clock.
    fn now(&self) -> Result<Moment, CaptureError>;
}

#[async_trait]
impl FlowSource for Capture {
    async fn read(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        Self::read(self, records).await
    }

    fn live_flows(&mut self, records: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        Self::live_flows(self, records)
    }

    fn take_slices(&mut self, batch: &mut SliceBatch) {
        Self::take_slices(self, batch);
    }

    fn take_processes(&mut self, processes: &mut Vec<ProcessRecord>) {
        Self::take_processes(self, processes);
    }

    fn interface_name(&self, index: u32) -> Option<Arc<str>> {
        if index == 0 {
            return None;
        }
        Self::interface_name(self, index)
    }

    fn take_ledger(&mut self) -> Option<Box<Ledger>> {
        Self::take_ledger(self)
    }

    fn losses(&self) -> Result<[u64; LOSS_COUNTERS as usize], CaptureError> {
        Self::losses(self)
    }

    fn malformed(&self) -> u64 {
        Self::malformed(self)
    }

    fn now(&self) -> Result<Moment, CaptureError> {
        let boot_ns = boottime_ns()?;
        Ok(Moment {
            boot_ns,
            unix_ns: UnixClock::measure()?.unix_ns(boot_ns),
        })
    }
}
