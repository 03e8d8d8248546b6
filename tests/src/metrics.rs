//! The exporter's own metrics, as the Collector wrote them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// The last value of every series of the whole-number metric `name` in the Collector's file, by its
/// attributes as JSON.
pub fn last_values(path: &Path, name: &str) -> Result<BTreeMap<String, i64>> {
    last_values_of(path, None, name)
}

/// The same of one exporter, or of all.
pub fn last_values_of(
    path: &Path,
    exporter: Option<&str>,
    name: &str,
) -> Result<BTreeMap<String, i64>> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let whole = text
        .rfind('\n')
        .and_then(|end| text.get(..end))
        .unwrap_or_default();
    let mut values = BTreeMap::new();
    for line in whole.lines() {
        let request: Value =
            serde_json::from_str(line).context("reading a line of the Collector")?;
        for point in points(&request, exporter, name) {
            let value = point["asInt"]
                .as_str()
                .context("a value that is no whole number")?;
            let series = point["attributes"].to_string();
            values.insert(
                series,
                value
                    .parse()
                    .with_context(|| format!("{name} is {value}"))?,
            );
        }
    }
    Ok(values)
}

fn points<'a>(
    request: &'a Value,
    exporter: Option<&'a str>,
    name: &'a str,
) -> impl Iterator<Item = &'a Value> {
    list(&request["resourceMetrics"])
        .filter(move |resource| exporter.is_none_or(|id| is_of(resource, id)))
        .flat_map(|resource| list(&resource["scopeMetrics"]))
        .flat_map(|scope| list(&scope["metrics"]))
        .filter(move |metric| metric["name"] == name)
        .flat_map(|metric| list(&metric["sum"]["dataPoints"]))
}

fn is_of(resource: &Value, exporter: &str) -> bool {
    list(&resource["resource"]["attributes"]).any(|attribute| {
        attribute["key"] == "service.instance.id" && attribute["value"]["stringValue"] == exporter
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}
