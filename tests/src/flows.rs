//! What the Collector wrote: the exporter's flow records, read as OTLP JSON by their public names.
//!
//! Attribute names are spelt out here on purpose: they are a contract with every receiver, and a renamed
//! constant in the product must fail a test.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

/// One flow record or heartbeat with the attributes of its resource.
#[derive(Clone, Debug)]
pub struct Record {
    is_heartbeat: bool,
    attributes: BTreeMap<String, Value>,
}

impl Record {
    /// Value of a text attribute.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.value(name)?
            .as_str()
            .with_context(|| format!("{name} is no text"))
    }

    /// Value of an integer attribute.
    pub fn number(&self, name: &str) -> Result<i64> {
        self.value(name)?
            .as_i64()
            .with_context(|| format!("{name} is no integer"))
    }

    /// Value of a boolean attribute; false when it is not there.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.attributes
            .get(name)
            .and_then(Value::as_bool)
            .unwrap_or_default()
    }

    /// Value of an attribute that holds an IP address.
    pub fn address(&self, name: &str) -> Result<IpAddr> {
        self.text(name)?
            .parse()
            .with_context(|| format!("{name} is no address"))
    }

    fn value(&self, name: &str) -> Result<&Value> {
        self.attributes
            .get(name)
            .with_context(|| format!("no {name} in the flow record {:?}", self.attributes))
    }
}

/// One flow: all of its records in their order.
#[derive(Clone, Debug)]
pub struct Flow {
    /// `beaconwatch.flow.id`.
    pub id: String,
    /// Its records, by `beaconwatch.flow.record`.
    pub records: Vec<Record>,
}

impl Flow {
    /// The record that announced the flow.
    #[must_use]
    pub fn first(&self) -> &Record {
        &self.records[0]
    }

    /// The last record so far.
    #[must_use]
    pub fn last(&self) -> &Record {
        &self.records[self.records.len() - 1]
    }

    /// Whether the flow has ended.
    pub fn has_ended(&self) -> Result<bool> {
        Ok(self.last().text("beaconwatch.flow.event")? == "end")
    }

    /// Checks what must hold for the records of any flow.
    fn check(&self) -> Result<()> {
        for (expected, record) in self.records.iter().enumerate() {
            let number = record.number("beaconwatch.flow.record")?;
            ensure!(
                usize::try_from(number).ok() == Some(expected),
                "flow {}: record {number} where {expected} was expected",
                self.id
            );
            for same in ["beaconwatch.flow.start", "source.port", "destination.port"] {
                ensure!(
                    record.number(same)? == self.first().number(same)?,
                    "flow {}: {same} changed between its records",
                    self.id
                );
            }
        }
        for total in [
            "source.bytes",
            "source.packets",
            "destination.bytes",
            "destination.packets",
        ] {
            let total = format!("beaconwatch.flow.{total}");
            let deltas: Result<i64> = self
                .records
                .iter()
                .map(|record| record.number(&format!("{total}_delta")))
                .sum();
            ensure!(
                deltas? == self.last().number(&total)?,
                "flow {}: the deltas of {total} do not add up to the total",
                self.id
            );
        }
        Ok(())
    }
}

/// Everything that the Collector's file holds.
#[derive(Clone, Debug, Default)]
pub struct Flows {
    /// Every flow, by its id.
    pub flows: Vec<Flow>,
    /// Sequence numbers by exporter, as they stand in the file.
    sequences: BTreeMap<String, Vec<i64>>,
    /// Number of heartbeats.
    pub heartbeats: usize,
}

impl Flows {
    /// Reads the file of the Collector's file exporter; a last line that is still being written is left
    /// out.
    pub fn read(path: &Path) -> Result<Self> {
        let text =
            fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let whole = text
            .rfind('\n')
            .and_then(|end| text.get(..end))
            .unwrap_or_default();
        let mut records = Vec::new();
        for line in whole.lines() {
            let request = serde_json::from_str(line).context("reading a line of the Collector")?;
            records.append(&mut records_of(&request)?);
        }
        Self::group(records)
    }

    fn group(records: Vec<Record>) -> Result<Self> {
        let mut read = Self::default();
        let mut flows: BTreeMap<String, Vec<Record>> = BTreeMap::new();
        for record in records {
            let exporter = record.text("beaconwatch.exporter.id")?.to_owned();
            let sequence = record.number("beaconwatch.exporter.sequence")?;
            read.sequences.entry(exporter).or_default().push(sequence);
            if record.is_heartbeat {
                ensure!(
                    record.value("beaconwatch.flow.id").is_err(),
                    "a heartbeat that says something of a flow: {record:?}"
                );
                read.heartbeats += 1;
                continue;
            }
            flows
                .entry(record.text("beaconwatch.flow.id")?.to_owned())
                .or_default()
                .push(record);
        }
        read.flows = flows
            .into_iter()
            .map(|(id, records)| Flow { id, records })
            .collect();
        for flow in &mut read.flows {
            flow.records
                .sort_by_key(|record| record.number("beaconwatch.flow.record").ok());
        }
        Ok(read)
    }

    /// Checks what must hold for the whole file: sequence numbers are there once each, from 0 without
    /// gaps, and the records of every flow fit together.
    pub fn check(&self) -> Result<()> {
        for (exporter, sequence) in &self.sequences {
            let mut sorted = sequence.clone();
            sorted.sort_unstable();
            for (expected, found) in (0_i64..).zip(sorted) {
                ensure!(
                    expected == found,
                    "exporter {exporter}: sequence {found} where {expected} was expected"
                );
            }
        }
        self.flows.iter().try_for_each(Flow::check)
    }

    /// The sequence numbers that an exporter's records and heartbeats have, in their order; an error when one is there
    /// twice.
    pub fn sequence(&self, exporter: &str) -> Result<Vec<i64>> {
        let mut sorted = self.sequences.get(exporter).cloned().unwrap_or_default();
        sorted.sort_unstable();
        let twice = sorted.windows(2).find(|pair| pair[0] == pair[1]);
        ensure!(twice.is_none(), "exporter {exporter}: twice: {twice:?}");
        Ok(sorted)
    }

    /// Ids of the exporters.
    pub fn exporters(&self) -> impl Iterator<Item = &str> {
        self.sequences.keys().map(String::as_str)
    }
}

fn records_of(request: &Value) -> Result<Vec<Record>> {
    let mut records = Vec::new();
    for resource_logs in list(&request["resourceLogs"]) {
        let resource = attributes(&resource_logs["resource"])?;
        for scope_logs in list(&resource_logs["scopeLogs"]) {
            for log in list(&scope_logs["logRecords"]) {
                let event = log["eventName"].as_str().unwrap_or_default();
                let is_heartbeat = match event {
                    "beaconwatch.network.flow" => false,
                    "beaconwatch.exporter.heartbeat" => true,
                    _ => bail!("a log record with the event name {event:?}"),
                };
                let mut all = resource.clone();
                all.append(&mut attributes(log)?);
                records.push(Record {
                    is_heartbeat,
                    attributes: all,
                });
            }
        }
    }
    Ok(records)
}

/// The attributes of a resource or record. OTLP JSON writes 64-bit integers as strings.
fn attributes(holder: &Value) -> Result<BTreeMap<String, Value>> {
    let mut read = BTreeMap::new();
    for attribute in list(&holder["attributes"]) {
        let key = attribute["key"]
            .as_str()
            .context("an attribute without a key")?;
        let value = &attribute["value"];
        let plain = if let Some(integer) = value.get("intValue") {
            let text = integer
                .as_str()
                .map_or_else(|| integer.to_string(), str::to_owned);
            Value::from(
                text.parse::<i64>()
                    .with_context(|| format!("{key} is {text}"))?,
            )
        } else {
            let typed = value.as_object().and_then(|object| object.values().next());
            typed.cloned().unwrap_or_default()
        };
        if read.insert(key.to_owned(), plain).is_some() {
            bail!("the attribute {key} is there twice");
        }
    }
    Ok(read)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A flow record as OTLP JSON: sequence, flow, record number, event, bytes so far and since the
    /// record before.
    fn log(sequence: i64, flow: &str, record: i64, event: &str, bytes: (i64, i64)) -> Value {
        let text = |key: &str, value: &str| json!({"key": key, "value": {"stringValue": value}});
        let number =
            |key: &str, value: i64| json!({"key": key, "value": {"intValue": value.to_string()}});
        let mut attributes = vec![
            number("beaconwatch.exporter.sequence", sequence),
            text("beaconwatch.flow.id", flow),
            number("beaconwatch.flow.record", record),
            text("beaconwatch.flow.event", event),
            number("beaconwatch.flow.start", 5),
            number("source.port", 40_000),
            number("destination.port", 443),
            number("beaconwatch.flow.source.bytes", bytes.0),
            number("beaconwatch.flow.source.bytes_delta", bytes.1),
        ];
        for other in ["source.packets", "destination.bytes", "destination.packets"] {
            attributes.push(number(&format!("beaconwatch.flow.{other}"), 0));
            attributes.push(number(&format!("beaconwatch.flow.{other}_delta"), 0));
        }
        json!({"eventName": "beaconwatch.network.flow", "attributes": attributes})
    }

    fn read(logs: &[Value]) -> Result<Flows> {
        let exporter = json!({"key": "beaconwatch.exporter.id", "value": {"stringValue": "e"}});
        let request = json!({"resourceLogs": [{
            "resource": {"attributes": [exporter]},
            "scopeLogs": [{"logRecords": logs}],
        }]});
        Flows::group(records_of(&request)?)
    }

    /// What is wrong with the file, which must be readable.
    fn complaint(logs: &[Value]) -> String {
        let flows = read(logs).expect("the file is readable");
        flows
            .check()
            .expect_err("the file is not right")
            .to_string()
    }

    #[test]
    fn flows_with_whole_sequences_and_sums_pass() {
        let logs = [
            log(1, "a", 1, "end", (30, 20)),
            log(0, "a", 0, "start", (10, 10)),
            log(2, "b", 0, "end", (7, 7)),
        ];
        let flows = read(&logs).expect("the file is readable");
        flows.check().expect("the file is right");
        assert_eq!(flows.flows.len(), 2);
        assert!(flows.flows[0].has_ended().expect("it says so"));
    }

    #[test]
    fn heartbeats_have_their_place_in_the_sequence_and_are_no_flows() {
        let number = json!({"key": "beaconwatch.exporter.sequence", "value": {"intValue": "1"}});
        let beat = json!({"eventName": "beaconwatch.exporter.heartbeat", "attributes": [number]});
        let logs = [
            log(0, "a", 0, "end", (1, 1)),
            beat,
            log(2, "b", 0, "end", (1, 1)),
        ];
        let flows = read(&logs).expect("the file is readable");
        flows.check().expect("the file is right");
        assert_eq!((flows.flows.len(), flows.heartbeats), (2, 1));
    }

    #[test]
    fn a_missing_and_a_repeated_sequence_number_are_named() {
        let gap = [log(0, "a", 0, "end", (1, 1)), log(2, "b", 0, "end", (1, 1))];
        assert!(complaint(&gap).contains("sequence 2 where 1"));
        let twice = [log(0, "a", 0, "end", (1, 1)), log(0, "b", 0, "end", (1, 1))];
        assert!(complaint(&twice).contains("sequence 0 where 1"));
    }

    #[test]
    fn a_missing_record_of_a_flow_is_named() {
        let logs = [
            log(0, "a", 0, "start", (1, 1)),
            log(1, "a", 2, "end", (2, 1)),
        ];
        assert!(complaint(&logs).contains("record 2 where 1"));
    }

    #[test]
    fn deltas_that_do_not_add_up_are_named() {
        let logs = [
            log(0, "a", 0, "start", (10, 10)),
            log(1, "a", 1, "end", (30, 10)),
        ];
        assert!(complaint(&logs).contains("source.bytes do not add up"));
    }

    #[test]
    fn a_log_record_of_another_kind_is_an_error() {
        let mut other = log(0, "a", 0, "end", (1, 1));
        other["eventName"] = json!("something.else");
        assert!(read(&[other]).is_err());
    }
}
