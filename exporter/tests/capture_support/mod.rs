//! A capture and a network namespace for tests.

use std::{
    io::{BufRead, BufReader, Write},
    net::IpAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use beaconwatch_exporter::capture::{Capture, CaptureSettings};
use beaconwatch_records::FlowRecord;

/// Longest wait for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A running capture and what it told so far.
pub struct Watch {
    pub capture: Capture,
    records: Vec<FlowRecord>,
}

impl Watch {
    pub fn start() -> Self {
        Self::with(&CaptureSettings::default())
    }

    pub fn with(settings: &CaptureSettings) -> Self {
        let capture = Capture::start(settings).unwrap_or_else(|error| {
            panic!("these tests capture real traffic and need root and eBPF: {}", chain(&error))
        });
        Self { capture, records: Vec::new() }
    }

    /// Reads until the records with this port (at either end) fulfil the condition; returns them.
    pub async fn until(
        &mut self,
        port: u16,
        condition: impl Fn(&[FlowRecord]) -> bool,
    ) -> Vec<FlowRecord> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let own = self.of(port);
            if condition(&own) {
                return own;
            }
            let reading = self.capture.read(&mut self.records);
            match tokio::time::timeout_at(deadline, reading).await {
                Ok(count) => assert!(count.unwrap() > 0),
                Err(_) => panic!("condition not met within {DEADLINE:?}; records: {own:#?}"),
            }
        }
    }

    /// The records so far with this port at either end.
    pub fn of(&self, port: u16) -> Vec<FlowRecord> {
        let of_port =
            |record: &&FlowRecord| record.local_port == port || record.remote_port == port;
        self.records.iter().filter(of_port).copied().collect()
    }

    /// Reads the live flows and returns this port's records of that reading, what came through the
    /// ring buffer before them included.
    pub fn live(&mut self, port: u16) -> Vec<FlowRecord> {
        let before = self.records.len();
        self.capture.live_flows(&mut self.records).unwrap();
        let of_port = |record: &&FlowRecord| record.local_port == port || record.remote_port == port;
        self.records[before..].iter().filter(of_port).copied().collect()
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// An address as records hold it.
pub fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}
