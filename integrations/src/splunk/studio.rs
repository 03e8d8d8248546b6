//! Views of Dashboard Studio, and the app's navigation.
//!
//! A view is a frame of XML around a definition in JSON. Tables lead to the dashboard of one finding.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use beaconwatch_schema::{FieldType, detection};

use super::search::FINDING_TITLE;
use super::{APP, inputs, search};
use crate::dashboards;
use crate::panel::{Dashboard, DataSet, Drawing, Mark, Measure, Panel, Place};

/// Pixels of the grid's width; a column and a row of the models' grid are 25 each.
const CANVAS_WIDTH: u32 = 1200;
const PIXELS: u32 = CANVAS_WIDTH / crate::panel::GRID_COLUMNS;
/// The dashboard that tables lead to.
const FINDING_DASHBOARD: &str = "finding";
/// Colours of severities, from grey to red: told apart by brightness too.
const SEVERITY_COLOURS: [(&str, &str); 4] = [
    ("low", "#9aa5b1"),
    ("medium", "#f2b544"),
    ("high", "#e07b39"),
    ("critical", "#b3261e"),
];

/// Name of a dashboard's view.
pub(super) fn view_name(dashboard: &Dashboard) -> String {
    format!("{APP}_{}", dashboard.id)
}

/// The file of a view.
pub(super) fn view(dashboard: &Dashboard) -> String {
    format!(
        "<dashboard version=\"2\" theme=\"light\">\n  <label>{}</label>\n  <description>{}</description>\n  \
         <definition><![CDATA[\n{:#}\n]]></definition>\n  <meta type=\"hiddenElements\"><![CDATA[\n{}\n]]></meta>\n</dashboard>\n",
        dashboard.title,
        dashboard.description,
        definition(dashboard),
        r#"{ "hideEdit": false, "hideExport": false, "hideOpenInSearch": false }"#,
    )
}

/// The file of the navigation: the dashboards in their order, then what Splunk brings.
pub(super) fn navigation() -> String {
    let mut views = String::new();
    for dashboard in &dashboards::ALL {
        let default = if views.is_empty() {
            " default=\"true\""
        } else {
            ""
        };
        let name = view_name(dashboard);
        // Writing to a string cannot fail.
        let _infallible = writeln!(views, "  <view name=\"{name}\"{default} />");
    }
    format!(
        "<nav search_view=\"search\" color=\"#14323f\">\n{views}  <view name=\"reports\" />\n  <view name=\"search\" />\n</nav>\n"
    )
}

/// The definition of a dashboard.
pub(super) fn definition(dashboard: &Dashboard) -> Value {
    let (inputs, mut sources) = inputs::of(dashboard);
    let mut visualizations = Map::new();
    let mut structure = Vec::new();
    for panel in dashboard.panels {
        let (name, source) = (format!("viz_{}", key(panel)), format!("ds_{}", key(panel)));
        structure.push(json!({ "item": name, "type": "block", "position": position(panel.place) }));
        visualizations.insert(name, visualization(dashboard, panel, &source));
        sources.insert(
            source,
            json!({
                "type": "ds.search",
                "name": panel.title,
                "options": { "query": search::of_panel(dashboard, panel) },
            }),
        );
    }
    let mut order = vec!["input_time".to_owned()];
    let controls = dashboard.controls.iter();
    order.extend(controls.map(|control| format!("input_{}", inputs::token(control))));
    json!({
        "title": dashboard.title,
        "description": dashboard.description,
        "defaults": { "dataSources": { "ds.search": { "options": { "queryParameters": {
            "earliest": format!("${}.earliest$", inputs::TIME_TOKEN),
            "latest": format!("${}.latest$", inputs::TIME_TOKEN),
        } } } } },
        "inputs": inputs,
        "dataSources": sources,
        "visualizations": visualizations,
        "layout": {
            "type": "grid",
            "globalInputs": order,
            "options": { "width": CANVAS_WIDTH },
            "structure": structure,
        },
    })
}

fn key(panel: &Panel) -> String {
    panel.id.replace('-', "_")
}

fn position(place: Place) -> Value {
    json!({ "x": place.x * PIXELS, "y": place.y * PIXELS, "w": place.width * PIXELS, "h": place.height * PIXELS })
}

fn visualization(dashboard: &Dashboard, panel: &Panel, source: &str) -> Value {
    let (kind, options) = match panel.drawing {
        Drawing::Number(column) => (
            "splunk.singlevalue",
            json!({ "numberPrecision": precision(panel.data, column.measure), "sparklineDisplay": "off" }),
        ),
        Drawing::OverTime {
            mark: Mark::StackedBars,
            ..
        } => (
            "splunk.column",
            json!({ "legendDisplay": "right", "stackMode": "stacked", "xAxisTitleVisibility": "hide", "yAxisTitleVisibility": "hide" }),
        ),
        Drawing::OverTime { .. } => (
            "splunk.line",
            json!({ "legendDisplay": "right", "nullValueDisplay": "connect", "xAxisTitleVisibility": "hide", "yAxisTitleVisibility": "hide" }),
        ),
        Drawing::Histogram { .. } => ("splunk.column", json!({ "legendDisplay": "off" })),
        Drawing::Shares { .. } => (
            "splunk.pie",
            json!({ "labelDisplay": "valuesAndPercentage" }),
        ),
        Drawing::Table { .. } | Drawing::Documents { .. } => (
            "splunk.table",
            json!({ "count": rows(panel.place), "showRowNumbers": false }),
        ),
    };
    let mut made = json!({
        "type": kind,
        "title": panel.title,
        "dataSources": { "primary": source },
        "options": options,
    });
    if let Some(Value::Object(options)) = made.get_mut("options")
        && by_severity(panel)
    {
        options.insert("seriesColorsByField".to_owned(), colours());
    }
    if let (Some(handler), Some(object)) = (link(dashboard, panel), made.as_object_mut()) {
        object.insert("eventHandlers".to_owned(), json!([handler]));
    }
    made
}

fn by_severity(panel: &Panel) -> bool {
    match panel.drawing {
        Drawing::OverTime {
            group: Some(group), ..
        }
        | Drawing::Shares { group, .. } => group.field == detection::SEVERITY,
        _ => false,
    }
}

fn colours() -> Value {
    let all = SEVERITY_COLOURS.iter();
    Value::Object(
        all.map(|(severity, colour)| ((*severity).to_owned(), (*colour).into()))
            .collect(),
    )
}

/// Digits behind the point: two for a share, one for another measured quantity, none for what is counted.
fn precision(data: DataSet, measure: Measure) -> u32 {
    let fields = data.fields();
    let field = fields
        .iter()
        .find(|field| Some(field.name) == measure.field());
    match field {
        Some(field)
            if matches!(measure, Measure::Unique(_)) || field.field_type == FieldType::Long =>
        {
            0
        }
        Some(field) if field.unit == "1" => 2,
        Some(_) => 1,
        None => 0,
    }
}

/// Rows of a table that fit its place: a row is about 30 pixels, title and heading 75.
const fn rows(place: Place) -> u32 {
    let height = place.height * PIXELS;
    if height > 135 { (height - 75) / 30 } else { 2 }
}

/// Where a click on a row leads.
fn link(dashboard: &Dashboard, panel: &Panel) -> Option<Value> {
    let column = match panel.drawing {
        Drawing::Table { groups, .. } => ["Finding", "Source", "Destination"]
            .into_iter()
            .find(|title| groups.iter().any(|group| group.title == *title))?,
        Drawing::Documents { .. } if panel.data == DataSet::Detection => FINDING_TITLE,
        _ => return None,
    };
    let token = column.to_lowercase();
    if dashboard.id == FINDING_DASHBOARD {
        return Some(json!({
            "type": "drilldown.setToken",
            "options": { "tokens": [{ "key": format!("row.{column}.value"), "token": token }] },
        }));
    }
    Some(json!({
        "type": "drilldown.customUrl",
        "options": {
            "newTab": true,
            "url": format!("/app/{APP}/{APP}_{FINDING_DASHBOARD}?form.{token}=$row.{column}.value|u$"),
        },
    }))
}
