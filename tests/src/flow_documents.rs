//! Flow records as a Collector's Elasticsearch exporter writes them (mapping mode `none`).
//!
//! That exporter cannot be had from a package registry in a set that builds, so this stands for it: it reads what the Collector's
//! file exporter wrote, and makes of each log record the document that the exporter's documentation describes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Event name of a flow record.
const FLOW: &str = "beaconwatch.network.flow";

/// A document for each flow record in a file of OTLP JSON; a last line that is still being written is left out.
pub fn read(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let mut documents = Vec::new();
    for line in text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
    {
        let request: Value = serde_json::from_str(line).context("a line of OTLP JSON")?;
        for of_resource in list(&request["resourceLogs"]) {
            let resource = attributes(&of_resource["resource"]["attributes"]);
            for of_scope in list(&of_resource["scopeLogs"]) {
                let flows = list(&of_scope["logRecords"])
                    .iter()
                    .filter(|record| record["eventName"] == FLOW);
                documents.extend(flows.map(|record| document(record, &resource)));
            }
        }
    }
    Ok(documents)
}

fn document(record: &Value, resource: &Value) -> Value {
    let nanoseconds: u64 = record["timeUnixNano"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    json!({
        "@timestamp": rfc3339(nanoseconds),
        "Attributes": attributes(&record["attributes"]),
        "EventName": FLOW,
        "Resource": resource,
        "SeverityNumber": 0,
        "TraceFlags": 0,
    })
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn attributes(list_of: &Value) -> Value {
    let pairs = list(list_of).iter().filter_map(|pair| {
        let value = &pair["value"];
        let integer = value["intValue"]
            .as_str()
            .and_then(|text| text.parse::<i64>().ok());
        let plain = [
            &value["stringValue"],
            &value["boolValue"],
            &value["doubleValue"],
        ];
        let plain = plain.into_iter().find(|value| !value.is_null()).cloned();
        Some((
            pair["key"].as_str()?.to_owned(),
            integer.map(Value::from).or(plain)?,
        ))
    });
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// An instant in nanoseconds since the epoch as RFC 3339 in UTC; the epoch where it is out of range.
fn rfc3339(nanoseconds: u64) -> String {
    let instant = Timestamp::from_nanosecond(nanoseconds.into()).unwrap_or_default();
    format!("{instant:.9}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn instants_are_written_as_the_calendar_has_them() {
        assert_eq!(
            super::rfc3339(1_763_800_000_123_456_789),
            "2025-11-22T08:26:40.123456789Z"
        );
        assert_eq!(
            super::rfc3339(951_782_400_000_000_000),
            "2000-02-29T00:00:00.000000000Z"
        );
    }
}
