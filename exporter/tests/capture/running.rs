//! A whole exporter that captures this machine, with a receiver in the same process.

use std::sync::Arc;

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
        }
    }

    /// Stops the exporter and returns what it said of the namespace's flows.
    pub(crate) async fn finish(self) -> Vec<Record> {
        self.stop.cancel();
        let counters = self.exporter.await.unwrap();
        let lost: Vec<_> = counters
            .losses
            .iter()
            .filter(|(_, lost)| *lost > 0)
            .collect();
        assert!(lost.is_empty(), "{lost:?}");
        let of_namespace =
            |record: &Record| text(record, flow::NETWORK_NAMESPACE) == Some(&self.namespace);
        self.receiver
            .take()
            .into_iter()
            .filter(of_namespace)
            .collect()
    }
}
