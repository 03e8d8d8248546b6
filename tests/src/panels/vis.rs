//! Panels of OpenSearch Dashboards: aggregation-based visualizations and searches, from a file of saved objects.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::{Group, Measure, Panel, histogram, listed, newest, over_time, place, string, terms};

/// The panels of every dashboard in a file of saved objects; the controls are left out.
pub fn panels(file: &Path) -> Result<Vec<Panel>> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let objects: Result<Vec<Value>> = text
        .lines()
        .map(|line| serde_json::from_str(line).context("a line"))
        .collect();
    let objects = objects.with_context(|| format!("reading {}", file.display()))?;
    let by_id: BTreeMap<(&str, &str), &Value> = objects
        .iter()
        .filter_map(|object| Some(((object["type"].as_str()?, object["id"].as_str()?), object)))
        .collect();
    ensure!(by_id.len() == objects.len(), "two objects have one id");
    every_reference_is_there(&objects, &by_id)?;
    let mut all = Vec::new();
    for dashboard in objects
        .iter()
        .filter(|object| object["type"] == "dashboard")
    {
        all.extend(of_dashboard(dashboard, &by_id)?);
    }
    Ok(all)
}

fn every_reference_is_there(
    objects: &[Value],
    by_id: &BTreeMap<(&str, &str), &Value>,
) -> Result<()> {
    for object in objects {
        for reference in object["references"].as_array().context("no references")? {
            let key = (string(reference, "type")?, string(reference, "id")?);
            ensure!(
                by_id.contains_key(&key),
                "{} refers to {key:?}, which is not there",
                object["id"]
            );
        }
    }
    Ok(())
}

fn inner(object: &Value, name: &str) -> Result<Value> {
    serde_json::from_str(string(object, name)?).with_context(|| format!("reading {name}"))
}

fn of_dashboard(dashboard: &Value, by_id: &BTreeMap<(&str, &str), &Value>) -> Result<Vec<Panel>> {
    let title = string(&dashboard["attributes"], "title")?;
    let placed = inner(&dashboard["attributes"], "panelsJSON")?;
    let references = dashboard["references"]
        .as_array()
        .context("no references")?;
    let mut panels = Vec::new();
    for panel in placed.as_array().context("no panels")? {
        let name = string(panel, "panelRefName")?;
        let reference = references
            .iter()
            .find(|reference| reference["name"] == name)
            .with_context(|| format!("nothing is called {name}"))?;
        let object = by_id[&(string(reference, "type")?, string(reference, "id")?)];
        let place = place(panel)?;
        panels.extend(read(title, string(panel, "panelIndex")?, place, object)?);
    }
    Ok(panels)
}

fn read(dashboard: &str, id: &str, place: [i64; 4], object: &Value) -> Result<Option<Panel>> {
    let attributes = &object["attributes"];
    let mut panel = Panel {
        dashboard: dashboard.to_owned(),
        id: id.to_owned(),
        title: string(attributes, "title")?.to_owned(),
        drawing: string(object, "type")?.to_owned(),
        series: String::new(),
        place,
        query: String::new(),
        groups: Vec::new(),
        measures: Vec::new(),
        listed: Vec::new(),
    };
    let source = inner(&attributes["kibanaSavedObjectMeta"], "searchSourceJSON")?;
    if panel.drawing == "search" {
        panel.listed = listed(attributes)?;
    } else {
        let state = inner(attributes, "visState")?;
        string(&state, "type")?.clone_into(&mut panel.drawing);
        if panel.drawing == "input_control_vis" {
            return Ok(None);
        }
        aggregations(&state, &mut panel)?;
    }
    string(&source["query"], "query")?.clone_into(&mut panel.query);
    Ok(Some(panel))
}

fn aggregations(state: &Value, panel: &mut Panel) -> Result<()> {
    let all = state["aggs"].as_array().context("no aggregations")?;
    let measured: Vec<&Value> = all.iter().filter(|one| one["schema"] == "metric").collect();
    for one in &measured {
        panel.measures.push(measure(one)?);
    }
    for one in all.iter().filter(|one| one["schema"] != "metric") {
        panel.groups.push(group(one, &measured)?);
    }
    Ok(())
}

fn group(one: &Value, measured: &[&Value]) -> Result<Group> {
    let parameters = &one["params"];
    let (title, field) = (
        string(parameters, "customLabel")?,
        string(parameters, "field")?,
    );
    match string(one, "type")? {
        "date_histogram" => Ok(over_time(title, field)),
        "histogram" => Ok(histogram(title, field, &parameters["interval"])),
        "terms" => {
            let by = string(parameters, "orderBy")?;
            let number = measured
                .iter()
                .position(|one| one["id"] == by)
                .context("ordered by nothing")?;
            let counts = measured[number]["type"] == "count";
            Ok(terms(title, field, &parameters["size"], number, counts))
        }
        other => bail!("groups by {other}"),
    }
}

fn measure(one: &Value) -> Result<Measure> {
    let parameters = &one["params"];
    let title = string(parameters, "customLabel")?.to_owned();
    let kind = string(one, "type")?;
    if kind == "count" {
        return Ok(Measure {
            title,
            aggregation: None,
            field: None,
        });
    }
    let field = string(parameters, "field")?;
    let aggregation = match kind {
        "cardinality" | "max" | "min" | "avg" | "sum" => json!({ kind: { "field": field } }),
        "percentiles" => {
            json!({ "percentiles": { "field": field, "percents": parameters["percents"] } })
        }
        "top_hits" => newest(field),
        other => bail!("measures by {other}"),
    };
    Ok(Measure {
        title,
        aggregation: Some(aggregation),
        field: Some(field.to_owned()),
    })
}
