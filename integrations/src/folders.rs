//! The generated files for stores without Fleet: what `beaconwatch setup` installs, and what can be put there by hand.

use serde_json::Value;

use crate::panel::DataSet;
use crate::store::{self, Product, TRANSFORMS};
use crate::{kibana, opensearch, pretty, rules};

/// Every file of `integrations/elasticsearch/` and `integrations/opensearch/`: path and content.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (root, product) in [
        ("integrations/elasticsearch", Product::Elasticsearch),
        ("integrations/opensearch", Product::OpenSearch),
    ] {
        for data in DataSet::ALL {
            files.extend(templates(root, product, data));
        }
    }
    let root = "integrations/elasticsearch";
    for transform in TRANSFORMS {
        let path = format!("{root}/transform/{}.json", transform.id);
        files.push((path, pretty(&transform.body())));
    }
    files.push((
        format!("{root}/saved-objects.ndjson"),
        lines(
            std::iter::once(kibana::data_view())
                .chain(kibana::saved_objects())
                .map(|object| object.body),
        ),
    ));
    files.push((
        format!("{root}/detection-rules.ndjson"),
        lines(rules::ALL.iter().map(rules::kibana::attributes)),
    ));
    files.push((
        format!("{root}/delivery-privileges.json"),
        pretty(&store::delivery_privileges()),
    ));
    let root = "integrations/opensearch";
    files.push((
        format!("{root}/saved-objects.ndjson"),
        lines(
            opensearch::saved_objects()
                .into_iter()
                .map(|object| object.body),
        ),
    ));
    for data in DataSet::ALL {
        let path = format!("{root}/ism/{}.json", data.short_name());
        files.push((path, pretty(&store::ism_policy(data))));
    }
    files.push((
        format!("{root}/security-analytics/detector.json"),
        pretty(&rules::security_analytics::detector()),
    ));
    for rule in rules::ALL {
        if let Some(monitor) = rules::monitor::monitor(rule) {
            files.push((format!("{root}/monitor/{}.json", rule.id), pretty(&monitor)));
        }
    }
    files
}

fn templates(root: &str, product: Product, data: DataSet) -> [(String, String); 4] {
    let name = data.short_name();
    [
        (
            format!(
                "{root}/component-template/{}.json",
                store::mappings_name(data)
            ),
            pretty(&store::mappings_component(data)),
        ),
        (
            format!(
                "{root}/component-template/{}.json",
                store::settings_name(data)
            ),
            pretty(&store::settings_component(data, product)),
        ),
        (
            format!("{root}/index-template/{name}.json"),
            pretty(&store::index_template(data)),
        ),
        (
            format!("{root}/ingest-pipeline/{name}.json"),
            pretty(&store::pipeline(data)),
        ),
    ]
}

fn lines(objects: impl Iterator<Item = Value>) -> String {
    objects.fold(String::new(), |mut text, object| {
        text.push_str(&object.to_string());
        text.push('\n');
        text
    })
}
