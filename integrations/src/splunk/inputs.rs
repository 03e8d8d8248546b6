//! What readers choose above a dashboard: the time, and values of fields.
//!
//! A field with few values is a list, whose items' values are whole terms of a search (`"host.name"="web-3"`) or `*`: so
//! events without the field are there until something is chosen. One with many values (addresses, findings) is typed;
//! all events have it.

use serde_json::{Map, Value, json};

use super::names::{self, in_command, in_expression};
use super::search;
use crate::panel::{Control, Dashboard, DataSet};

/// Token of the time.
pub(super) const TIME_TOKEN: &str = "time";
/// Matches everything.
const ANY: &str = "*";

/// Token of a control.
pub(super) fn token(control: &Control) -> String {
    control.title.to_lowercase()
}

/// What the dashboard's controls add to the search of a panel over a data set.
pub(super) fn filters(dashboard: &Dashboard, data: DataSet) -> Vec<String> {
    let has = |field: &str| data.fields().iter().any(|known| known.name == field);
    dashboard
        .controls
        .iter()
        .filter(|control| has(control.field))
        .map(|control| {
            let token = token(control);
            if search::typed(control.field) {
                let field = in_command(&names::name(data, control.field));
                format!("{field}=\"${token}$\"")
            } else {
                format!("${token}$")
            }
        })
        .collect()
}

/// The inputs and the data sources that lists are filled from.
pub(super) fn of(dashboard: &Dashboard) -> (Map<String, Value>, Map<String, Value>) {
    let mut inputs = Map::new();
    let mut sources = Map::new();
    inputs.insert(
        "input_time".to_owned(),
        json!({
            "type": "input.timerange",
            "title": "Time",
            "options": { "defaultValue": "-24h@h,now", "token": TIME_TOKEN },
        }),
    );
    for control in dashboard.controls {
        let name = format!("input_{}", token(control));
        if search::typed(control.field) {
            inputs.insert(name, text(control));
        } else {
            let source = format!("ds_{name}");
            inputs.insert(name, list(control, &source));
            sources.insert(source, values(dashboard, control));
        }
    }
    (inputs, sources)
}

fn text(control: &Control) -> Value {
    json!({
        "type": "input.text",
        "title": control.title,
        "options": { "defaultValue": ANY, "token": token(control) },
    })
}

fn list(control: &Control, source: &str) -> Value {
    let series = |name: &str| {
        format!(
            ">primary | seriesByName(\"{name}\") | renameSeries(\"{name}\") | formatByType(formattedConfig)"
        )
    };
    json!({
        "type": "input.dropdown",
        "title": control.title,
        "options": {
            "defaultValue": ANY,
            "items": ">frame(label, value) | prepend(formattedStatics) | objects()",
            "token": token(control),
        },
        "context": {
            "formattedConfig": { "number": { "prefix": "" } },
            "formattedStatics": ">statics | formatByType(formattedConfig)",
            "label": series("label"),
            "statics": [["Any"], [ANY]],
            "value": series("value"),
        },
        "dataSources": { "primary": source },
    })
}

/// The values that a field has, in the data set of the dashboard's first panel.
fn values(dashboard: &Dashboard, control: &Control) -> Value {
    let data = dashboard
        .panels
        .first()
        .map_or(DataSet::Detection, |panel| panel.data);
    let name = names::name(data, control.field);
    let (field, value) = (in_command(&name), in_expression(&name));
    let query = format!(
        "{} {field}=* | stats count BY {field} | sort 200 - count | eval label={value}, \
         value=\"\\\"{name}\\\"=\\\"\".{value}.\"\\\"\" | table label value",
        names::events(data),
    );
    json!({
        "type": "ds.search",
        "name": format!("Values of {}", control.title),
        "options": { "query": query },
    })
}
