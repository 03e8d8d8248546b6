//! Saved objects of Kibana: dashboards with Lens panels, and searches.
//!
//! The state of a Lens panel is that of Kibana 8.18 and 9 (`formBased` layers). The same objects are in the Elastic package
//! and, as lines of NDJSON, what `beaconwatch setup elastic` imports. All of them read the data view `logs-*`, which
//! Fleet brings and setup makes where it is missing; each panel asks for its data set.
//!
//! Limit: Kibana itself is not run by this project. The objects are validated (package specification, fields against the
//! model, queries against servers).

mod lens;
mod query;

use serde_json::{Value, json};

use crate::dashboards;
use crate::panel::{Control, Dashboard, Drawing, Panel};

pub use query::{kuery, kuery_of};

/// Data view that every object reads.
pub const DATA_VIEW: &str = "logs-*";
/// Where a search names its data view.
const SEARCH_INDEX: &str = "kibanaSavedObjectMeta.searchSourceJSON.index";
/// Format of the objects' states.
const CORE_VERSION: &str = "8.8.0";
const DASHBOARD_VERSION: &str = "8.9.0";
const SEARCH_VERSION: &str = "8.0.0";

/// One saved object.
#[derive(Clone, Debug, PartialEq)]
pub struct SavedObject {
    /// Type: `dashboard`, `search` or `index-pattern`.
    pub kind: &'static str,
    /// Id, unique for its type.
    pub id: String,
    /// The object, with its type and id.
    pub body: Value,
}

/// Every saved object but the data view: searches before the dashboards that refer to them.
#[must_use]
pub fn saved_objects() -> Vec<SavedObject> {
    let searches = dashboards::ALL.iter().flat_map(searches);
    let pages = dashboards::ALL.iter().map(dashboard);
    searches.chain(pages).collect()
}

/// The data view, for a Kibana without Fleet.
#[must_use]
pub fn data_view() -> SavedObject {
    let attributes =
        json!({ "name": DATA_VIEW, "title": DATA_VIEW, "timeFieldName": "@timestamp" });
    object(
        "index-pattern",
        DATA_VIEW.to_owned(),
        CORE_VERSION,
        &attributes,
        &[],
    )
}

fn object(
    kind: &'static str,
    id: String,
    version: &str,
    attributes: &Value,
    references: &[Value],
) -> SavedObject {
    let body = json!({
        "attributes": attributes,
        "coreMigrationVersion": CORE_VERSION,
        "id": id,
        "references": references,
        "type": kind,
        "typeMigrationVersion": version,
    });
    SavedObject { kind, id, body }
}

/// Id of a dashboard.
#[must_use]
pub fn dashboard_id(dashboard: &Dashboard) -> String {
    format!("beaconwatch-{}", dashboard.id)
}

fn search_id(dashboard: &Dashboard, panel: &Panel) -> String {
    format!("beaconwatch-{}-{}", dashboard.id, panel.id)
}

fn data_view_reference(name: &str) -> Value {
    json!({ "id": DATA_VIEW, "name": name, "type": "index-pattern" })
}

/// The searches of a dashboard's lists of documents.
fn searches(dashboard: &Dashboard) -> Vec<SavedObject> {
    let lists = dashboard.panels.iter().filter_map(|panel| {
        let Drawing::Documents { fields } = panel.drawing else {
            return None;
        };
        Some(search(dashboard, panel, fields))
    });
    lists.collect()
}

fn search(dashboard: &Dashboard, panel: &Panel, fields: &[&'static str]) -> SavedObject {
    let attributes = search_attributes(panel, fields);
    let id = search_id(dashboard, panel);
    let references = [data_view_reference(SEARCH_INDEX)];
    object("search", id, SEARCH_VERSION, &attributes, &references)
}

fn search_attributes(panel: &Panel, fields: &[&'static str]) -> Value {
    let source = json!({ "filter": [], "indexRefName": SEARCH_INDEX, "query": kuery(panel) });
    json!({
        "columns": listed_columns(fields),
        "description": "",
        "grid": {},
        "hideChart": true,
        "kibanaSavedObjectMeta": { "searchSourceJSON": source.to_string() },
        "sort": [["@timestamp", "desc"]],
        "title": format!("[Beaconwatch] {}", panel.title),
    })
}

fn dashboard(dashboard: &Dashboard) -> SavedObject {
    let mut references = Vec::new();
    let panels: Vec<Value> = dashboard
        .panels
        .iter()
        .map(|panel| placed(panel, &mut references))
        .collect();
    let options = json!({
        "hidePanelTitles": false,
        "syncColors": true,
        "syncCursor": true,
        "syncTooltips": false,
        "useMargins": true,
    });
    let mut attributes = page_attributes(dashboard, panels, &options);
    if let Some(object) = attributes.as_object_mut() {
        let controls = controls(dashboard, &mut references);
        object.insert("controlGroupInput".to_owned(), controls);
    }
    object(
        "dashboard",
        dashboard_id(dashboard),
        DASHBOARD_VERSION,
        &attributes,
        &references,
    )
}

/// What the page of a dashboard says of itself in Kibana and in OpenSearch Dashboards.
pub(crate) fn page_attributes(dashboard: &Dashboard, panels: Vec<Value>, options: &Value) -> Value {
    let source = json!({ "filter": [], "query": { "language": "kuery", "query": "" } });
    json!({
        "description": dashboard.description,
        "kibanaSavedObjectMeta": { "searchSourceJSON": source.to_string() },
        "optionsJSON": options.to_string(),
        "panelsJSON": Value::Array(panels).to_string(),
        "timeFrom": "now-24h",
        "timeRestore": true,
        "timeTo": "now",
        "title": format!("[Beaconwatch] {}", dashboard.title),
        "version": 1,
    })
}

/// Columns of a search; the time is a column of its own in any case.
pub(crate) fn listed_columns(fields: &[&'static str]) -> Vec<&'static str> {
    let listed = fields.iter().filter(|field| **field != "@timestamp");
    listed.copied().collect()
}

/// A panel at its place; what it refers to is added to the dashboard's references.
fn placed(panel: &Panel, references: &mut Vec<Value>) -> Value {
    let grid = json!({
        "h": panel.place.height,
        "i": panel.id,
        "w": panel.place.width,
        "x": panel.place.x,
        "y": panel.place.y,
    });
    let (kind, reference, attributes) = if let Drawing::Documents { fields } = panel.drawing {
        let mut attributes = search_attributes(panel, fields);
        if let Some(object) = attributes.as_object_mut() {
            let references = json!([data_view_reference(SEARCH_INDEX)]);
            object.insert("references".to_owned(), references);
        }
        ("search", SEARCH_INDEX.to_owned(), attributes)
    } else {
        let reference = format!("indexpattern-datasource-layer-{}", lens::LAYER);
        let attributes = lens::attributes(panel, &data_view_reference(&reference));
        ("lens", reference, attributes)
    };
    references.push(data_view_reference(&format!("{}:{reference}", panel.id)));
    json!({
        "embeddableConfig": { "attributes": attributes, "enhancements": {}, "hidePanelTitles": false },
        "gridData": grid,
        "panelIndex": panel.id,
        "title": panel.title,
        "type": kind,
    })
}

fn controls(dashboard: &Dashboard, references: &mut Vec<Value>) -> Value {
    let mut panels = serde_json::Map::new();
    for (order, control) in dashboard.controls.iter().enumerate() {
        let id = format!("control-{order}");
        references.push(data_view_reference(&format!(
            "controlGroup_{id}:optionsListDataView"
        )));
        panels.insert(id.clone(), control_panel(&id, order, control));
    }
    let ignore = json!({
        "ignoreFilters": false,
        "ignoreQuery": false,
        "ignoreTimerange": false,
        "ignoreValidations": true,
    });
    json!({
        "chainingSystem": "HIERARCHICAL",
        "controlStyle": "oneLine",
        "ignoreParentSettingsJSON": ignore.to_string(),
        "panelsJSON": Value::Object(panels).to_string(),
        "showApplySelections": false,
    })
}

fn control_panel(id: &str, order: usize, control: &Control) -> Value {
    json!({
        "explicitInput": {
            "enhancements": {},
            "fieldName": control.field,
            "id": id,
            "searchTechnique": "prefix",
            "selectedOptions": [],
            "sort": { "by": "_count", "direction": "desc" },
            "title": control.title,
        },
        "grow": true,
        "order": order,
        "type": "optionsListControl",
        "width": "medium",
    })
}
