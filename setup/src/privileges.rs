//! Least privileges, as an API key or a role of Elasticsearch is given them.
//!
//! | for | cluster | indices |
//! |---|---|---|
//! | delivery by the sidecar | none | `create_doc`, `auto_configure` on the streams of detections, sensors and rule matches |
//! | flows, by a Collector | none | the same on the streams of flows |
//! | setup | `monitor`, `manage_index_templates`, `manage_ingest_pipelines`, `manage_transform` | `view_index_metadata` and `manage` on ours (`manage`: `--remove` takes the pipeline out of indices that stay), `read` for the transforms, and the transforms' own indices |
//!
//! Kibana's features have names that change with its versions, so for saved objects and rules the key is given the space as a whole
//! (`space_all` of `space:default`); a role made in Kibana can be narrower.

use beaconwatch_integrations::panel::DataSet;
use beaconwatch_integrations::store::{self, TRANSFORMS};
use serde_json::{Value, json};

use crate::Settings;
use crate::plan::Part;

/// All of them as JSON: `delivery`, `flows` and `setup`, each a role descriptor.
#[must_use]
pub fn all(namespace: Option<&str>) -> Value {
    let kibana = json!([{
        "application": "kibana-.kibana",
        "privileges": ["space_all"],
        "resources": ["space:default"],
    }]);
    json!({
        "delivery": store::delivery_privileges(),
        "flows": {
            "cluster": [],
            "indices": [{
                "names": [format!("{}-*", DataSet::Flow.template())],
                "privileges": ["create_doc", "auto_configure"],
            }],
        },
        "setup": {
            "applications": kibana,
            "cluster": cluster(true, true),
            "indices": indices(namespace, true),
        },
    })
}

/// The question whether the credentials have what a setup needs.
pub(crate) fn question(settings: &Settings) -> Value {
    let wanted = |part: Part| !settings.without.contains(&part);
    let transforms = wanted(Part::Transforms);
    json!({
        "cluster": cluster(wanted(Part::Pipelines), transforms),
        "index": indices(settings.namespace.as_deref(), transforms),
    })
}

fn cluster(pipelines: bool, transforms: bool) -> Value {
    let all = [
        ("monitor", true),
        ("manage_index_templates", true),
        ("manage_ingest_pipelines", pipelines),
        ("manage_transform", transforms),
    ];
    all.into_iter()
        .filter_map(|(name, wanted)| wanted.then_some(name))
        .collect()
}

fn indices(namespace: Option<&str>, transforms: bool) -> Value {
    let namespace = namespace.unwrap_or("*");
    let streams: Vec<String> = DataSet::ALL
        .iter()
        .map(|data| format!("{}-{namespace}", data.template()))
        .collect();
    let mut privileges = vec!["view_index_metadata", "manage"];
    if transforms {
        privileges.push("read");
    }
    let mut all = vec![json!({ "names": streams, "privileges": privileges })];
    if transforms {
        let rows: Vec<String> = TRANSFORMS.iter().map(store::Transform::index).collect();
        let privileges = [
            "create_index",
            "index",
            "read",
            "view_index_metadata",
            "manage",
        ];
        all.push(json!({ "names": rows, "privileges": privileges }));
    }
    Value::Array(all)
}
