//! A receiver in the process of the test, and what it was told.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use beaconwatch_exporter::{ExportError, LogsTarget};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;

/// Attributes of a log record, its `time` and its `observed` time.
pub(crate) type Record = BTreeMap<String, Value>;

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Receiver {
    records: Mutex<Vec<Record>>,
}

impl Receiver {
    /// What it was told since the last call.
    pub(crate) fn take(&self) -> Vec<Record> {
        std::mem::take(&mut *self.records.lock().unwrap())
    }
}

#[async_trait]
impl LogsTarget for Receiver {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let request = ExportLogsServiceRequest::decode(request).unwrap();
        let logs = request.resource_logs.into_iter();
        let logs = logs.flat_map(|resource| resource.scope_logs);
        let records = logs.flat_map(|scope| scope.log_records).map(|log| {
            let integer = |number: u64| Value::IntValue(i64::try_from(number).unwrap());
            let pairs = log.attributes.into_iter();
            let pairs = pairs.map(|pair| (pair.key, pair.value.unwrap().value.unwrap()));
            let times = [
                ("time".to_owned(), integer(log.time_unix_nano)),
                ("observed".to_owned(), integer(log.observed_time_unix_nano)),
            ];
            pairs.chain(times).collect()
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

pub(crate) fn number(record: &Record, name: &str) -> u64 {
    match record.get(name) {
        Some(Value::IntValue(number)) => u64::try_from(*number).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}
