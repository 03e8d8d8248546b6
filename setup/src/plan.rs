//! What is to be there: an ordered list of objects, each before those that need it.

use std::collections::BTreeSet;
use std::fmt;

use beaconwatch_integrations::panel::DataSet;
use beaconwatch_integrations::store::{self, Product, TRANSFORMS};
use beaconwatch_integrations::{kibana, opensearch, rules};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an object is, and so which interface takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `_ingest/pipeline`.
    Pipeline,
    /// `_component_template`.
    ComponentTemplate,
    /// `_index_template`.
    IndexTemplate,
    /// OpenSearch's index state management.
    IsmPolicy,
    /// Elasticsearch's transforms; a transform that was made is started.
    Transform,
    /// A monitor of OpenSearch's alerting.
    Monitor,
    /// A saved object of Kibana or OpenSearch Dashboards; its name is `type:id`.
    SavedObject,
    /// A rule of Kibana's detection engine; its name is the rule's id.
    DetectionRule,
}

impl Kind {
    /// Name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pipeline => "ingest pipeline",
            Self::ComponentTemplate => "component template",
            Self::IndexTemplate => "index template",
            Self::IsmPolicy => "ISM policy",
            Self::Transform => "transform",
            Self::Monitor => "monitor",
            Self::SavedObject => "saved object",
            Self::DetectionRule => "detection rule",
        }
    }

    /// Whether a server without the interface for it is set up nevertheless.
    pub(crate) const fn is_optional(self) -> bool {
        matches!(self, Self::IsmPolicy | Self::Monitor | Self::DetectionRule)
    }

    /// Whether it belongs to Kibana or OpenSearch Dashboards.
    pub(crate) const fn is_of_dashboards(self) -> bool {
        matches!(self, Self::SavedObject | Self::DetectionRule)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One object of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// Kind.
    pub kind: Kind,
    /// Name, unique for its kind.
    pub name: String,
    /// What is sent.
    pub body: Value,
}

impl Object {
    fn new(kind: Kind, name: impl Into<String>, body: Value) -> Self {
        Self {
            kind,
            name: name.into(),
            body,
        }
    }

    /// Whether it is the data view, which belongs to everybody: it is made where it is missing and never changed.
    pub(crate) fn is_shared(&self) -> bool {
        self.kind == Kind::SavedObject && self.name == saved_name(&kibana::data_view())
    }
}

impl fmt::Display for Object {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.name)
    }
}

/// A part of the plan that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Ingest pipelines: documents keep the shape in which they arrive.
    Pipelines,
    /// How long documents are kept.
    Lifecycle,
    /// Transforms.
    Transforms,
    /// Dashboards, searches and the data view.
    Dashboards,
    /// Detection rules and monitors.
    Rules,
}

/// Every object, in the order in which they are made.
///
/// ```
/// use beaconwatch_integrations::store::Product;
/// use beaconwatch_setup::{Kind, plan};
///
/// let objects = plan(Product::OpenSearch, &Default::default());
/// assert_eq!(objects.first().map(|object| object.kind), Some(Kind::Pipeline));
/// ```
#[must_use]
pub fn plan(product: Product, without: &BTreeSet<Part>) -> Vec<Object> {
    let wanted = |part: Part| !without.contains(&part);
    let mut objects = Vec::new();
    for data in DataSet::ALL {
        if wanted(Part::Pipelines) {
            objects.push(Object::new(
                Kind::Pipeline,
                data.template(),
                store::pipeline(data),
            ));
        }
        objects.extend(templates(product, data, without));
    }
    match product {
        Product::Elasticsearch if wanted(Part::Transforms) => {
            let transforms = TRANSFORMS.iter();
            objects.extend(transforms.map(|transform| {
                Object::new(Kind::Transform, transform_name(transform), transform.body())
            }));
        }
        Product::OpenSearch if wanted(Part::Lifecycle) => {
            objects.extend(DataSet::ALL.map(|data| {
                Object::new(Kind::IsmPolicy, data.template(), store::ism_policy(data))
            }));
        }
        _ => {}
    }
    if wanted(Part::Dashboards) {
        objects.extend(saved_objects(product));
    }
    if wanted(Part::Rules) {
        objects.extend(rule_objects(product));
    }
    objects
}

/// Name of a transform in a store, beside those of others.
fn transform_name(transform: &store::Transform) -> String {
    transform.index()
}

/// The component templates of a data set, and the index template that is made of them.
fn templates(product: Product, data: DataSet, without: &BTreeSet<Part>) -> [Object; 3] {
    let mut settings = store::settings_component(data, product);
    if let Some(template) = settings["template"].as_object_mut() {
        if without.contains(&Part::Pipelines) {
            template.remove("settings");
        }
        if without.contains(&Part::Lifecycle) {
            template.remove("lifecycle");
        }
    }
    let component = |name, body| Object::new(Kind::ComponentTemplate, name, body);
    [
        component(store::mappings_name(data), store::mappings_component(data)),
        component(store::settings_name(data), settings),
        Object::new(
            Kind::IndexTemplate,
            data.template(),
            store::index_template(data),
        ),
    ]
}

fn saved_name(object: &kibana::SavedObject) -> String {
    format!("{}:{}", object.kind, object.id)
}

fn saved_objects(product: Product) -> Vec<Object> {
    let objects = match product {
        Product::Elasticsearch => std::iter::once(kibana::data_view())
            .chain(kibana::saved_objects())
            .collect(),
        Product::OpenSearch => opensearch::saved_objects(),
    };
    let named = objects.into_iter().map(|object| {
        let name = saved_name(&object);
        Object::new(Kind::SavedObject, name, object.body)
    });
    named.collect()
}

/// Rules, switched off.
fn rule_objects(product: Product) -> Vec<Object> {
    let rules = rules::ALL.iter();
    match product {
        Product::Elasticsearch => rules
            .map(|rule| {
                Object::new(
                    Kind::DetectionRule,
                    rule.id,
                    rules::kibana::attributes(rule),
                )
            })
            .collect(),
        Product::OpenSearch => rules
            .filter_map(rules::monitor::monitor)
            .map(|monitor| {
                let name = monitor["name"].as_str().unwrap_or_default().to_owned();
                Object::new(Kind::Monitor, name, monitor)
            })
            .collect(),
    }
}
