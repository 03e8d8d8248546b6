//! Documents as log records.
//!
//! # Contract
//! `event_name` is the data set (`beaconwatch.detection`, `beaconwatch.sensor`), the time is `@timestamp`, severity
//! is that of the document in the terms of OpenTelemetry, and the attributes are the fields that the field
//! model maps to OpenTelemetry, under the names of the semantic conventions where they have one.

use std::time::{SystemTime, UNIX_EPOCH};

use beaconwatch_schema::{Vocabulary, detection};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::OtlpBody;
use crate::Document;
use crate::fields::{Fields, Level};

/// Attribute that is the same at every attempt to deliver a document.
const EVENT_ID: &str = "beaconwatch.event.id";

/// Attributes and the fields that they are from: what the field model maps to OpenTelemetry.
fn mapped() -> impl Iterator<Item = (&'static str, &'static str)> {
    let mapped = detection::FIELDS.iter().filter_map(|field| {
        let mapping = field.mapping(Vocabulary::OpenTelemetry)?;
        Some((mapping.name, field.name))
    });
    mapped.filter(|(name, _field)| *name != EVENT_ID)
}

/// Makes requests.
#[derive(Debug)]
pub(super) struct Encoder {
    body: OtlpBody,
    resource: Resource,
    scope: InstrumentationScope,
}

impl Encoder {
    pub(super) fn new(body: OtlpBody, observer_name: Option<&str>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let mut attributes = vec![
            attribute("service.name", string("beaconwatch")),
            attribute("service.version", string(version)),
        ];
        attributes.extend(observer_name.map(|name| attribute("service.instance.id", string(name))));
        Self {
            body,
            resource: Resource {
                attributes,
                ..Resource::default()
            },
            scope: InstrumentationScope {
                name: "beaconwatch".to_owned(),
                version: version.to_owned(),
                ..InstrumentationScope::default()
            },
        }
    }

    /// One request with a record for each document; the reason when one of them cannot be read.
    pub(super) fn request(
        &self,
        documents: &[Document],
    ) -> Result<ExportLogsServiceRequest, String> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let records: Result<Vec<_>, String> = documents
            .iter()
            .map(|document| Ok(self.record(document, &Fields::read(document)?, now_ns)))
            .collect();
        Ok(ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource.clone()),
                scope_logs: vec![ScopeLogs {
                    scope: Some(self.scope.clone()),
                    log_records: records?,
                    schema_url: String::new(),
                }],
                schema_url: String::new(),
            }],
        })
    }

    fn record(&self, document: &Document, fields: &Fields, now_ns: u64) -> LogRecord {
        let time = fields
            .time("@timestamp")
            .map(jiff::Timestamp::as_nanosecond);
        let mut attributes = vec![attribute(EVENT_ID, string(&document.event_id))];
        for (name, field) in mapped() {
            if let Some(value) = fields.get(field) {
                attributes.push(attribute(name, any(value)));
            }
        }
        let (severity, text) = severity(fields.severity());
        LogRecord {
            time_unix_nano: time
                .and_then(|time| u64::try_from(time).ok())
                .unwrap_or(now_ns),
            observed_time_unix_nano: now_ns,
            severity_number: severity as i32,
            severity_text: text.to_owned(),
            event_name: document.stream.dataset().to_owned(),
            body: Some(match self.body {
                OtlpBody::Ecs => any(fields.value()),
                OtlpBody::Message => string(&fields.text("message").unwrap_or_default()),
            }),
            attributes,
            ..LogRecord::default()
        }
    }
}

/// Severity as the data model of OpenTelemetry has it; the text is ours.
const fn severity(level: Level) -> (SeverityNumber, &'static str) {
    let number = match level {
        Level::Low => SeverityNumber::Info2,
        Level::Medium => SeverityNumber::Warn,
        Level::High => SeverityNumber::Error,
        Level::Critical => SeverityNumber::Error3,
    };
    (number, level.name())
}

fn attribute(key: &str, value: AnyValue) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(value),
        ..KeyValue::default()
    }
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

/// A JSON value as it is; whole numbers that OTLP has no integer for become floating-point numbers.
fn any(value: &serde_json::Value) -> AnyValue {
    use serde_json::Value as Json;
    let value = match value {
        Json::Null => None,
        Json::Bool(value) => Some(Value::BoolValue(*value)),
        Json::Number(number) => Some(number.as_i64().map_or_else(
            || Value::DoubleValue(number.as_f64().unwrap_or(f64::NAN)),
            Value::IntValue,
        )),
        Json::String(text) => Some(Value::StringValue(text.clone())),
        Json::Array(values) => Some(Value::ArrayValue(ArrayValue {
            values: values.iter().map(any).collect(),
        })),
        Json::Object(members) => Some(Value::KvlistValue(KeyValueList {
            values: members
                .iter()
                .map(|(name, value)| attribute(name, any(value)))
                .collect(),
        })),
    };
    AnyValue { value }
}
