//! What a store (Elasticsearch, OpenSearch) has to know of our documents: templates, ingest pipelines, lifecycles, transforms.
//!
//! | object | Elasticsearch | OpenSearch |
//! |---|---|---|
//! | component templates, one with mappings and one with settings for each data set | yes | yes |
//! | index template, composed of them | yes | yes |
//! | ingest pipeline, the data streams' default | yes | yes |
//! | lifecycle | of the data stream, in the settings' component | ISM policy |
//! | transforms | yes | aggregations only |
//!
//! Detections arrive as documents and only get their time of arrival; a flow arrives as a Collector's exporter wrote the
//! OTLP record, and becomes a document here.

mod flow_pipeline;
mod transform;

use serde_json::{Value, json};

use beaconwatch_schema::{ingest, template};

use crate::panel::DataSet;

pub use transform::{TRANSFORMS, Transform};

/// Which store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Elasticsearch 8.18 or 9.
    Elasticsearch,
    /// OpenSearch 2.19 or 3.
    OpenSearch,
}

/// Days that documents of a data set are kept unless it is configured otherwise.
#[must_use]
pub const fn retention_days(data: DataSet) -> u32 {
    match data {
        DataSet::Detection | DataSet::Sensor | DataSet::Rule => 365,
        DataSet::Flow => 14,
    }
}

/// Name of the component template with the mappings.
#[must_use]
pub fn mappings_name(data: DataSet) -> String {
    format!("{}@mappings", data.template())
}

/// Name of the component template with the settings.
#[must_use]
pub fn settings_name(data: DataSet) -> String {
    format!("{}@settings", data.template())
}

/// Value of `_meta.managed_by`.
pub const MANAGER: &str = "beaconwatch";
/// Says the same in the description of what has no `_meta` everywhere: ingest pipelines and ISM policies.
pub const MANAGED: &str = "Managed by Beaconwatch.";

fn meta(description: &str) -> Value {
    json!({ "description": description, "managed_by": MANAGER })
}

/// Component template with the mappings of a data set.
#[must_use]
pub fn mappings_component(data: DataSet) -> Value {
    let description = format!("Fields of {}", data.name());
    json!({
        "_meta": meta(&description),
        "template": { "mappings": template::mappings(&data.fields()) },
    })
}

/// Component template with the pipeline and, where the store has it there, the lifecycle of a data set.
#[must_use]
pub fn settings_component(data: DataSet, product: Product) -> Value {
    let settings = json!({ "index": { "default_pipeline": data.template() } });
    let retention = format!("{}d", retention_days(data));
    let template = match product {
        Product::Elasticsearch => {
            json!({ "lifecycle": { "data_retention": retention }, "settings": settings })
        }
        Product::OpenSearch => json!({ "settings": settings }),
    };
    let description = format!("Pipeline and lifecycle of {}", data.name());
    json!({ "_meta": meta(&description), "template": template })
}

/// Index template of a data set's data streams.
#[must_use]
pub fn index_template(data: DataSet) -> Value {
    let description = format!("Data streams of {}", data.name());
    json!({
        "_meta": meta(&description),
        "composed_of": [mappings_name(data), settings_name(data)],
        "data_stream": {},
        "index_patterns": [format!("{}-*", data.template())],
        "priority": template::PRIORITY,
    })
}

/// Ingest pipeline of a data set; its name is [`DataSet::template`].
#[must_use]
pub fn pipeline(data: DataSet) -> Value {
    let mut processors = match data {
        DataSet::Flow => flow_pipeline::processors(),
        DataSet::Detection | DataSet::Sensor | DataSet::Rule => Vec::new(),
    };
    processors.extend(arrival());
    let description = format!("Documents of {} as they arrive. {MANAGED}", data.name());
    json!({
        "description": description,
        "on_failure": [
            { "set": { "field": "event.kind", "value": "pipeline_error" } },
            { "set": { "field": "error.message", "value": "{{{ _ingest.on_failure_message }}}" } },
        ],
        "processors": processors,
    })
}

/// Pipeline of the Elastic package: Elastic Agent reads the file destination and gives documents no ids.
#[must_use]
pub fn package_pipeline(data: DataSet) -> Value {
    let mut pipeline = pipeline(data);
    if let (true, Some(Value::Array(processors))) =
        (data != DataSet::Flow, pipeline.get_mut("processors"))
    {
        let identity = json!({ "set": {
            "field": "_id",
            "if": "ctx._id == null && ctx.event?.id != null",
            "value": "{{{event.id}}}",
        } });
        processors.insert(0, identity);
    }
    pipeline
}

/// The time of arrival and how long a document was on its way.
fn arrival() -> [Value; 2] {
    let lag = ingest::DELIVERY_LAG;
    let (outer, inner) = lag.rsplit_once('.').unwrap_or(("", lag));
    let (root, holder) = outer.split_once('.').unwrap_or((outer, ""));
    let source = format!(
        "ZonedDateTime made = ZonedDateTime.parse(ctx['@timestamp']);\n\
         ZonedDateTime arrived = ZonedDateTime.parse(ctx.event.ingested);\n\
         if (ctx.{root} == null) {{ ctx.{root} = new HashMap(); }}\n\
         if (ctx.{root}.{holder} == null) {{ ctx.{root}.{holder} = new HashMap(); }}\n\
         ctx.{root}.{holder}.{inner} = ChronoUnit.MILLIS.between(made, arrived) / 1000.0;"
    );
    [
        json!({ "set": { "field": ingest::EVENT_INGESTED, "value": "{{{_ingest.timestamp}}}" } }),
        json!({ "script": {
            "description": "Seconds from a document's making to its arrival",
            "if": "ctx['@timestamp'] instanceof String",
            "source": source,
        } }),
    ]
}

/// ISM policy of a data set, for OpenSearch: its name is [`DataSet::template`].
#[must_use]
pub fn ism_policy(data: DataSet) -> Value {
    let retention = format!("{}d", retention_days(data));
    json!({ "policy": {
        "default_state": "write",
        "description": format!("Rolls {} over and deletes it after {retention}. {MANAGED}", data.name()),
        "ism_template": [{ "index_patterns": [format!("{}-*", data.template())], "priority": template::PRIORITY }],
        "states": [
            {
                "actions": [{ "rollover": { "min_index_age": "7d", "min_primary_shard_size": "30gb" } }],
                "name": "write",
                "transitions": [{ "conditions": { "min_index_age": retention }, "state_name": "delete" }],
            },
            { "actions": [{ "delete": {} }], "name": "delete", "transitions": [] },
        ],
    } })
}

/// Least privileges of an API key or role with which the sidecar delivers: flows it does not.
#[must_use]
pub fn delivery_privileges() -> Value {
    let delivered = DataSet::ALL
        .into_iter()
        .filter(|data| *data != DataSet::Flow);
    let names: Vec<String> = delivered
        .map(|data| format!("{}-*", data.template()))
        .collect();
    json!({
        "cluster": [],
        "indices": [{
            "names": names,
            "privileges": ["create_doc", "auto_configure"],
        }],
    })
}
