//! An exporter at work, and what it counts meanwhile.

use std::sync::Arc;
use std::time::Duration;

use beaconwatch_exporter::otlp::client;
use beaconwatch_exporter::{Config, Counters, Exporter, RunError, Telemetry};
use beaconwatch_records::{FlowRecord, LOSS_COUNTERS};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{PlayedSource, closed_flow};

/// An exporter that runs; flows come when they are sent.
pub(crate) struct Running {
    pub(crate) flows: mpsc::UnboundedSender<Vec<FlowRecord>>,
    made: u64,
    telemetry: Arc<Telemetry>,
    shutdown: CancellationToken,
    pub(crate) exported: JoinHandle<Result<Counters, RunError>>,
}

impl Running {
    pub(crate) fn start(config: Config) -> Self {
        let (flows, records) = mpsc::unbounded_channel();
        let losses = [0; LOSS_COUNTERS as usize];
        let target =
            client::connect(&config.otlp.logs_connection().expect("settings")).expect("it works");
        let source = PlayedSource { records, losses };
        let exporter = Exporter::with_source(config, source, target).expect("it works");
        let shutdown = CancellationToken::new();
        Self {
            flows,
            made: 0,
            telemetry: exporter.telemetry(),
            exported: tokio::spawn(exporter.run(shutdown.clone())),
            shutdown,
        }
    }

    /// Makes records, fewer at a time than memory has room for.
    pub(crate) async fn make(&mut self, count: u64) {
        for cookie in self.made..self.made + count {
            self.flows
                .send(vec![closed_flow(cookie, 100)])
                .expect("it works");
            if cookie % 10 == 9 {
                self.until(|now| now.made > cookie && now.queued < 20).await;
            }
        }
        self.made += count;
        let made = self.made;
        self.until(|now| now.made == made).await;
    }

    pub(crate) async fn until(&self, condition: impl Fn(&Counters) -> bool) {
        let waiting = async {
            while !condition(&self.telemetry.counters()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(1), waiting).await;
        assert!(waited.is_ok(), "{:?}", self.telemetry.counters());
    }

    pub(crate) async fn stop(self) -> Counters {
        self.shutdown.cancel();
        self.exported.await.expect("no panic").expect("an export")
    }
}
