//! Panels of a Kibana dashboard: Lens by value, and searches by value.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Group, Measure, Panel, histogram, listed, newest, over_time, place, string, terms};

/// The panels of a dashboard's file.
pub fn panels(file: &Path) -> Result<Vec<Panel>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let object: Value =
        serde_json::from_str(&text).with_context(|| format!("reading {}", file.display()))?;
    let attributes = &object["attributes"];
    let title = string(attributes, "title")?;
    let panels: Vec<Value> =
        serde_json::from_str(string(attributes, "panelsJSON")?).context("panelsJSON")?;
    panels
        .iter()
        .map(|panel| {
            read(title, panel).with_context(|| format!("{}: {}", file.display(), panel["title"]))
        })
        .collect()
}

fn read(dashboard: &str, panel: &Value) -> Result<Panel> {
    let attributes = &panel["embeddableConfig"]["attributes"];
    let place = place(panel)?;
    let mut read = Panel {
        dashboard: dashboard.to_owned(),
        id: string(panel, "panelIndex")?.to_owned(),
        title: string(panel, "title")?.to_owned(),
        drawing: string(panel, "type")?.to_owned(),
        series: String::new(),
        place,
        query: String::new(),
        groups: Vec::new(),
        measures: Vec::new(),
        listed: Vec::new(),
    };
    match read.drawing.as_str() {
        "search" => search(attributes, &mut read)?,
        "lens" => lens(attributes, &mut read)?,
        other => bail!("a panel of type {other}"),
    }
    Ok(read)
}

fn search(attributes: &Value, read: &mut Panel) -> Result<()> {
    let source: Value = serde_json::from_str(string(
        &attributes["kibanaSavedObjectMeta"],
        "searchSourceJSON",
    )?)
    .context("searchSourceJSON")?;
    string(&source["query"], "query")?.clone_into(&mut read.query);
    read.listed = listed(attributes)?;
    Ok(())
}

fn lens(attributes: &Value, read: &mut Panel) -> Result<()> {
    let state = &attributes["state"];
    string(attributes, "visualizationType")?.clone_into(&mut read.drawing);
    string(&state["query"], "query")?.clone_into(&mut read.query);
    let layers = state["datasourceStates"]["formBased"]["layers"]
        .as_object()
        .context("no layers")?;
    ensure!(layers.len() == 1, "{} layers", layers.len());
    let layer = layers.values().next().context("no layer")?;
    let order: Vec<&str> = layer["columnOrder"]
        .as_array()
        .context("no columnOrder")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let measured: Vec<&&str> = order
        .iter()
        .filter(|id| layer["columns"][**id]["isBucketed"] == false)
        .collect();
    for id in &order {
        let column = &layer["columns"][*id];
        if column["isBucketed"] == true {
            read.groups.push(group(column, layer, &measured)?);
        } else {
            read.measures.push(measure(column)?);
        }
    }
    if let Some(series) = state["visualization"]["preferredSeriesType"].as_str() {
        series.clone_into(&mut read.series);
    }
    let mentioned = accessors(&state["visualization"]);
    for id in &order {
        ensure!(
            mentioned.iter().any(|mentioned| mentioned == id),
            "the column {id} is not drawn"
        );
    }
    for id in &mentioned {
        ensure!(
            order.contains(&id.as_str()),
            "the drawing names a column {id} that is not there"
        );
    }
    Ok(())
}

/// Every column that a visualization names.
fn accessors(visualization: &Value) -> Vec<String> {
    const NAMES: [&str; 8] = [
        "accessors",
        "xAccessor",
        "splitAccessor",
        "metricAccessor",
        "primaryGroups",
        "metrics",
        "columnId",
        "columns",
    ];
    let mut found = Vec::new();
    let mut left = vec![visualization];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(values) => left.extend(values),
            Value::Object(object) => {
                for (name, value) in object {
                    let texts = value
                        .as_array()
                        .cloned()
                        .unwrap_or_else(|| vec![value.clone()]);
                    if NAMES.contains(&name.as_str()) {
                        found.extend(texts.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    left.push(value);
                }
            }
            _ => {}
        }
    }
    found
}

fn group(column: &Value, layer: &Value, measured: &[&&str]) -> Result<Group> {
    let (title, field) = (string(column, "label")?, string(column, "sourceField")?);
    let parameters = &column["params"];
    match string(column, "operationType")? {
        "date_histogram" => Ok(over_time(title, field)),
        "range" => Ok(histogram(title, field, &parameters["ranges"][0]["to"])),
        "terms" => {
            let by = string(&parameters["orderBy"], "columnId")?;
            let number = measured
                .iter()
                .position(|id| **id == by)
                .with_context(|| format!("ordered by {by}"))?;
            let counts = layer["columns"][by]["operationType"] == "count";
            Ok(terms(title, field, &parameters["size"], number, counts))
        }
        other => bail!("groups by {other}"),
    }
}

fn measure(column: &Value) -> Result<Measure> {
    let title = string(column, "label")?.to_owned();
    let field = string(column, "sourceField")?;
    let simple = |name: &str| Some(json!({ name: { "field": field } }));
    let aggregation = match string(column, "operationType")? {
        "count" => {
            ensure!(field == "___records___", "a count of {field}");
            return Ok(Measure {
                title,
                aggregation: None,
                field: None,
            });
        }
        "unique_count" => simple("cardinality"),
        "max" => simple("max"),
        "min" => simple("min"),
        "average" => simple("avg"),
        "sum" => simple("sum"),
        "percentile" => {
            let percents = [&column["params"]["percentile"]];
            Some(json!({ "percentiles": { "field": field, "percents": percents } }))
        }
        "last_value" => {
            ensure!(
                column["params"]["sortField"] == "@timestamp",
                "sorted by {}",
                column["params"]["sortField"]
            );
            Some(newest(field))
        }
        other => bail!("measures by {other}"),
    };
    Ok(Measure {
        title,
        aggregation,
        field: Some(field.to_owned()),
    })
}
