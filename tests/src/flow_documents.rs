//! Flow records as a Collector's Elasticsearch exporter writes them (mapping mode `none`).
//!
//! That exporter cannot be had from a package registry in a set that builds, so this stands for it: it reads what the Collector's
//! file exporter wrote, and makes of each log record the document that the exporter's documentation describes.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
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

/// An instant in nanoseconds since the epoch as RFC 3339 in UTC (days to civil date: Howard Hinnant's algorithm).
fn rfc3339(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let era = days / 146_097;
    let day_of_era = days % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = nanoseconds % 1_000_000_000;
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:09}Z")
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
