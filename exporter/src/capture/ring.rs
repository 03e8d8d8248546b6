//! Reads records and slices from their ring buffers.
//!
//! The kernel part wakes the reader only when an eighth of the buffer is full; until then the reader
//! comes by itself after [`CaptureSettings::max_latency`](super::CaptureSettings::max_latency). A
//! wake-up for every connection would cost more than the capture.

use std::io;

use aya::maps::{MapData, RingBuf};
use beaconwatch_records::{FlowRecord, ProcessRecord};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::{Interval, MissedTickBehavior},
};

use super::{
    CaptureError, CaptureSettings,
    slices::{self, SliceBatch},
};

/// Processes that wait to be taken outside of the ring buffer.
const MOST_PROCESSES: usize = 65_536;

/// The reading end of the ring buffer.
pub(super) struct Ring {
    buffer: AsyncFd<RingBuf<MapData>>,
    slice_buffer: AsyncFd<RingBuf<MapData>>,
    process_buffer: RingBuf<MapData>,
    /// Processes that came while records were waited for.
    processes: Vec<ProcessRecord>,
    /// Slices that came while records were waited for.
    slices: SliceBatch,
    visits: Interval,
    batch_records: usize,
    malformed: u64,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ring")
            .field("malformed", &self.malformed)
            .finish_non_exhaustive()
    }
}

impl Ring {
    pub(super) fn new(
        buffer: RingBuf<MapData>,
        slice_buffer: RingBuf<MapData>,
        process_buffer: RingBuf<MapData>,
        settings: &CaptureSettings,
    ) -> Result<Self, CaptureError> {
        let buffer = watch(buffer)?;
        let mut visits = tokio::time::interval(settings.max_latency);
        visits.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            buffer,
            slice_buffer: watch(slice_buffer)?,
            process_buffer,
            processes: Vec::new(),
            slices: SliceBatch::default(),
            visits,
            batch_records: settings.batch_records,
            malformed: 0,
        })
    }

    /// Waits until there are records and appends a batch.
    pub(super) async fn read(&mut self, out: &mut Vec<FlowRecord>) -> Result<usize, CaptureError> {
        loop {
            let count = self.drain(out, self.batch_records);
            if count > 0 {
                return Ok(count);
            }
            self.wait()
                .await
                .map_err(CaptureError::system("epoll_wait"))?;
        }
    }

    /// Waits for a wake-up or the next visit.
    async fn wait(&mut self) -> io::Result<()> {
        tokio::select! {
            ready = self.buffer.readable() => ready?.clear_ready(),
            ready = self.slice_buffer.readable() => ready?.clear_ready(),
            _ = self.visits.tick() => {}
        }
        slices::drain(self.slice_buffer.get_mut(), &mut self.slices);
        self.drain_processes();
        Ok(())
    }

    /// Appends the processes that came since the last call, up to now.
    pub(super) fn take_processes(&mut self, out: &mut Vec<ProcessRecord>) {
        self.drain_processes();
        out.append(&mut self.processes);
    }

    /// What nobody takes stays in the ring buffer, whose overflow the kernel part counts.
    fn drain_processes(&mut self) {
        while self.processes.len() < MOST_PROCESSES
            && let Some(entry) = self.process_buffer.next()
        {
            match ProcessRecord::from_bytes(&entry) {
                Some(record) => self.processes.push(record),
                None => self.malformed += 1,
            }
        }
    }

    /// Exchanges `batch`, which its user is done with, for what came since.
    pub(super) fn take_slices(&mut self, batch: &mut SliceBatch) {
        slices::drain(self.slice_buffer.get_mut(), &mut self.slices);
        batch.clear();
        std::mem::swap(batch, &mut self.slices);
    }

    /// Appends what is there, at most `limit` records; returns how many.
    pub(super) fn drain(&mut self, out: &mut Vec<FlowRecord>, limit: usize) -> usize {
        let buffer = self.buffer.get_mut();
        let mut count = 0;
        while count < limit {
            let Some(bytes) = buffer.next() else { break };
            match FlowRecord::from_bytes(&bytes) {
                Ok(record) => {
                    out.push(record);
                    count += 1;
                }
                Err(error) => {
                    self.malformed += 1;
                    tracing::error!(%error, "record from the kernel part refused");
                }
            }
        }
        count
    }

    pub(super) const fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// Registers the buffer with the runtime.
#[expect(unsafe_code, reason = "Tokio cannot know that the descriptor stays")]
fn watch(buffer: RingBuf<MapData>) -> Result<AsyncFd<RingBuf<MapData>>, CaptureError> {
    tokio::runtime::Handle::try_current().map_err(|error| {
        CaptureError::system("finding a Tokio runtime")(io::Error::other(error))
    })?;
    // SAFETY: the buffer owns its map's descriptor and neither closes nor exchanges it before it is
    // dropped.
    unsafe { AsyncFd::register_with_interest(buffer, Interest::READABLE) }
        .map_err(|error| CaptureError::system("epoll_ctl")(error.into()))
}
