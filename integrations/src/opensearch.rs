//! Saved objects of OpenSearch Dashboards: visualizations, searches, dashboards.
//!
//! The panels are aggregation-based visualizations, which OpenSearch Dashboards 2 and 3 share. They read the index pattern
//! [`INDEX_PATTERN`]; each asks for its data set. A dashboard's controls are a panel above the others.
//!
//! Limit: OpenSearch Dashboards is not run by this project; the aggregations are run on OpenSearch.

mod vis;

use serde_json::{Value, json};

use crate::dashboards;
use crate::kibana::{SavedObject, kuery, listed_columns, page_attributes};
use crate::panel::{Dashboard, Drawing, GRID_COLUMNS, Panel, Place, at};

/// Title of the index pattern; its id is [`INDEX_PATTERN_ID`].
pub const INDEX_PATTERN: &str = "logs-beaconwatch.*";
/// Id of the index pattern.
pub const INDEX_PATTERN_ID: &str = "beaconwatch";
/// Where a saved object names its index.
const SEARCH_INDEX: &str = "kibanaSavedObjectMeta.searchSourceJSON.index";
/// Height of the controls.
const CONTROLS_HEIGHT: u32 = 5;
const CONTROLS: &str = "controls";

/// Every saved object: first what others refer to.
#[must_use]
pub fn saved_objects() -> Vec<SavedObject> {
    let attributes = json!({ "timeFieldName": "@timestamp", "title": INDEX_PATTERN });
    let pattern = object(
        "index-pattern",
        INDEX_PATTERN_ID.to_owned(),
        &attributes,
        &[],
    );
    let panels = dashboards::ALL.iter().flat_map(|dashboard| {
        let panels = dashboard.panels.iter().map(|panel| shown(dashboard, panel));
        panels.chain([controls(dashboard)])
    });
    let pages = dashboards::ALL.iter().map(page);
    std::iter::once(pattern)
        .chain(panels)
        .chain(pages)
        .collect()
}

fn object(kind: &'static str, id: String, attributes: &Value, references: &[Value]) -> SavedObject {
    let body = json!({
        "attributes": attributes,
        "id": id,
        "references": references,
        "type": kind,
    });
    SavedObject { kind, id, body }
}

fn id(dashboard: &Dashboard, panel: &str) -> String {
    format!("beaconwatch-{}-{panel}", dashboard.id)
}

fn index_reference(name: &str) -> Value {
    json!({ "id": INDEX_PATTERN_ID, "name": name, "type": "index-pattern" })
}

const fn kind(drawing: Drawing) -> &'static str {
    match drawing {
        Drawing::Documents { .. } => "search",
        _ => "visualization",
    }
}

fn shown(dashboard: &Dashboard, panel: &Panel) -> SavedObject {
    let source = json!({ "filter": [], "indexRefName": SEARCH_INDEX, "query": kuery(panel) });
    let meta = json!({ "searchSourceJSON": source.to_string() });
    let title = format!("[Beaconwatch] {}: {}", dashboard.title, panel.title);
    let attributes = if let Drawing::Documents { fields } = panel.drawing {
        json!({
            "columns": listed_columns(fields),
            "description": "",
            "kibanaSavedObjectMeta": meta,
            "sort": [["@timestamp", "desc"]],
            "title": title,
            "version": 1,
        })
    } else {
        json!({
            "description": "",
            "kibanaSavedObjectMeta": meta,
            "title": title,
            "uiStateJSON": "{}",
            "version": 1,
            "visState": vis::state(panel).to_string(),
        })
    };
    object(
        kind(panel.drawing),
        id(dashboard, panel.id),
        &attributes,
        &[index_reference(SEARCH_INDEX)],
    )
}

fn controls(dashboard: &Dashboard) -> SavedObject {
    let reference = |number: usize| format!("control_{number}_index_pattern");
    let numbered = dashboard.controls.iter().enumerate();
    let controls: Vec<Value> = numbered
        .map(|(number, control)| {
            json!({
                "fieldName": control.field,
                "id": format!("control-{number}"),
                "indexPatternRefName": reference(number),
                "label": control.title,
                "options": { "dynamicOptions": true, "multiselect": true, "order": "desc", "size": 10, "type": "terms" },
                "parent": "",
                "type": "list",
            })
        })
        .collect();
    let state = json!({
        "aggs": [],
        "params": { "controls": controls, "pinFilters": false, "updateFiltersOnChange": true, "useTimeFilter": true },
        "title": CONTROLS,
        "type": "input_control_vis",
    });
    let attributes = json!({
        "description": "",
        "kibanaSavedObjectMeta": { "searchSourceJSON": "{}" },
        "title": format!("[Beaconwatch] {}: choose", dashboard.title),
        "uiStateJSON": "{}",
        "version": 1,
        "visState": state.to_string(),
    });
    let references: Vec<Value> = (0..dashboard.controls.len())
        .map(|number| index_reference(&reference(number)))
        .collect();
    object(
        "visualization",
        id(dashboard, CONTROLS),
        &attributes,
        &references,
    )
}

fn page(dashboard: &Dashboard) -> SavedObject {
    let top = (
        CONTROLS,
        "visualization",
        at(0, 0, GRID_COLUMNS, CONTROLS_HEIGHT),
    );
    let below = dashboard.panels.iter().map(|panel| {
        let place = Place {
            y: panel.place.y + CONTROLS_HEIGHT,
            ..panel.place
        };
        (panel.id, kind(panel.drawing), place)
    });
    let all: Vec<(&str, &str, Place)> = std::iter::once(top).chain(below).collect();
    let name = |panel: &str| format!("panel_{panel}");
    let panels: Vec<Value> = all
        .iter()
        .map(|(panel, _kind, place)| {
            json!({
                "embeddableConfig": {},
                "gridData": { "h": place.height, "i": panel, "w": place.width, "x": place.x, "y": place.y },
                "panelIndex": panel,
                "panelRefName": name(panel),
            })
        })
        .collect();
    let references: Vec<Value> = all
        .iter()
        .map(|(panel, kind, _place)| json!({ "id": id(dashboard, panel), "name": name(panel), "type": kind }))
        .collect();
    let options = json!({ "hidePanelTitles": false, "useMargins": true });
    let attributes = page_attributes(dashboard, panels, &options);
    object(
        "dashboard",
        format!("beaconwatch-{}", dashboard.id),
        &attributes,
        &references,
    )
}
