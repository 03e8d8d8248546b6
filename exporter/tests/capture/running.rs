//! A whole exporter that captures this machine, and a receiver in the same process.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use beaconwatch_exporter::{Config, Counters, ExportError, Exporter, LogsTarget};
use beaconwatch_schema::flow;
use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse},
    common::v1::any_value::Value,
};
use prost::Message;
use tokio_util::sync::CancellationToken;

use crate::support::Namespace;

/// Attributes of a log record, and its `time`.
pub(crate) type Record = BTreeMap<String, Value>;

/// Keeps what it is told.
#[derive(Default)]
struct Receiver {
    records: Mutex<Vec<Record>>,
}

#[async_trait]
impl LogsTarget for Receiver {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let request = ExportLogsServiceRequest::decode(request).unwrap();
        let logs = request.resource_logs.into_iter();
        let logs = logs.flat_map(|resource| resource.scope_logs);
        let logs = logs.flat_map(|scope| scope.log_records);
        let records = logs.map(|log| {
            let pairs = log.attributes.into_iter();
            pairs
                .map(|pair| (pair.key, pair.value.unwrap().value.unwrap()))
                .chain([(
                    "time".to_owned(),
                    Value::IntValue(i64::try_from(log.time_unix_nano).unwrap()),
                )])
                .collect::<Record>()
        });
        self.records.lock().unwrap().extend(records);
        Ok(ExportLogsServiceResponse::default())
    }
}

pub(crate) fn text<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    match record.get(name)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn number(record: &Record, name: &str) -> i64 {
    match record.get(name) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{name}: {other:?}"),
    }
}

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
        let records = std::mem::take(&mut *self.receiver.records.lock().unwrap());
        let of_namespace =
            |record: &Record| text(record, flow::NETWORK_NAMESPACE) == Some(&self.namespace);
        records.into_iter().filter(of_namespace).collect()
    }
}
