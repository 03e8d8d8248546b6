//! A whole exporter that captures this machine, with a receiver in the same process.

use std::{sync::Arc, time::Duration};

use beaconwatch_exporter::{Config, Counters, Exporter, LogsTarget};
use beaconwatch_schema::flow;
use tokio_util::sync::CancellationToken;

use crate::{
    receiver::{Receiver, Record, text},
    support::Namespace,
};

/// An exporter that runs, and what it said of one network namespace.
pub(crate) struct Running {
    receiver: Arc<Receiver>,
    namespace: String,
    stop: CancellationToken,
    exporter: tokio::task::JoinHandle<Counters>,
    records: Vec<Record>,
}

impl Running {
    pub(crate) fn start(namespace: &Namespace, config: Config) -> Self {
        let receiver = Arc::new(Receiver::default());
        let target = Arc::clone(&receiver) as Arc<dyn LogsTarget>;
        let exporter = Exporter::start(config, target).unwrap();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        Self {
            receiver,
            namespace: namespace.cookie.to_string(),
            stop,
            exporter: tokio::spawn(async move { exporter.run(stopped).await.unwrap() }),
            records: Vec::new(),
        }
    }

    /// Waits for a record of the namespace's flows that is wanted; returns the first.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Record) -> bool) -> Record {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            self.receive();
            if let Some(found) = self.records.iter().find(|record| wanted(record)) {
                return found.clone();
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "not told in time: {:#?}",
                self.records
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn receive(&mut self) {
        let of_namespace =
            |record: &Record| text(record, flow::NETWORK_NAMESPACE) == Some(&self.namespace);
        let received = self.receiver.take().into_iter();
        self.records.extend(received.filter(of_namespace));
    }

    /// Stops the exporter and returns what it said of the namespace's flows.
    pub(crate) async fn finish(mut self) -> Vec<Record> {
        self.stop.cancel();
        let counters = (&mut self.exporter).await.unwrap();
        let lost: Vec<_> = counters
            .losses
            .iter()
            .filter(|(_, lost)| *lost > 0)
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
        self.receive();
        self.records
    }
}
