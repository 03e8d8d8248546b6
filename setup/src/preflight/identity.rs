//! Who answers: product, version, cluster.

use beaconwatch_integrations::store::Product;
use http::{Method, StatusCode};
use serde_json::Value;

use crate::SetupError;
use crate::server::{Api, Reply};

/// A store that answered.
pub(super) struct Identity {
    pub(super) described: String,
    pub(super) cluster: Option<String>,
}

const fn store_name(product: Product) -> &'static str {
    match product {
        Product::Elasticsearch => "Elasticsearch",
        Product::OpenSearch => "OpenSearch",
    }
}

/// Name of what shows dashboards.
pub(super) const fn dashboards_name(product: Product) -> &'static str {
    match product {
        Product::Elasticsearch => "Kibana (--kibana-url)",
        Product::OpenSearch => "OpenSearch Dashboards (--dashboards-url)",
    }
}

/// The oldest version that the objects are made for: as numbers and for people.
const fn oldest(product: Product) -> ((u64, u64), &'static str) {
    match product {
        Product::Elasticsearch => ((8, 18), "8.18"),
        Product::OpenSearch => ((2, 19), "2.19"),
    }
}

/// Asks a store who it is.
pub(super) async fn of_store(api: &Api, product: Product) -> Result<Identity, SetupError> {
    let reply = api.ask(Method::GET, "").await?;
    let other = |found: String| SetupError::OtherServer {
        url: api.url().to_owned(),
        expected: store_name(product),
        found,
    };
    // A server without the interface of its front page, or a user who may not see it.
    if reply.status == StatusCode::METHOD_NOT_ALLOWED || reply.status == StatusCode::FORBIDDEN {
        return of_nodes(api, product).await;
    }
    if reply.status.is_redirection() {
        return Err(other(reply.reason()));
    }
    let body = reply.success(api, other)?;
    let Some(number) = body["version"]["number"].as_str() else {
        return Err(other("it answers without a version".to_owned()));
    };
    let is_opensearch = body["version"]["distribution"] == "opensearch";
    let found = if is_opensearch {
        Product::OpenSearch
    } else {
        Product::Elasticsearch
    };
    if found != product {
        let command = match found {
            Product::Elasticsearch => "elastic",
            Product::OpenSearch => "opensearch",
        };
        return Err(other(format!(
            "it is {} {number}; use `beaconwatch setup {command}`",
            store_name(found)
        )));
    }
    new_enough(api, product, store_name(product), number)?;
    Ok(Identity {
        described: format!("{} {number} at {}", store_name(product), api.url()),
        cluster: body["cluster_uuid"].as_str().map(str::to_owned),
    })
}

/// Asks every node for its version: the oldest counts.
async fn of_nodes(api: &Api, product: Product) -> Result<Identity, SetupError> {
    let path = "_nodes?filter_path=nodes.*.version";
    let reply = api.ask(Method::GET, path).await?;
    let body = reply.success(api, |reason| SetupError::OtherServer {
        url: api.url().to_owned(),
        expected: store_name(product),
        found: format!(
            "it does not tell its version ({reason}); the cluster privilege monitor is needed"
        ),
    })?;
    let nodes = body["nodes"].as_object().into_iter().flatten();
    let versions = nodes.filter_map(|(_, node)| node["version"].as_str());
    let Some(oldest) = versions.min_by_key(|version| numbers(version)) else {
        return Err(SetupError::OtherServer {
            url: api.url().to_owned(),
            expected: store_name(product),
            found: "its nodes have no version".to_owned(),
        });
    };
    new_enough(api, product, store_name(product), oldest)?;
    Ok(Identity {
        described: format!("{} {oldest} at {}", store_name(product), api.url()),
        cluster: None,
    })
}

/// Asks Kibana or OpenSearch Dashboards who it is.
pub(super) async fn of_dashboards(api: &Api, product: Product) -> Result<String, SetupError> {
    let name = match product {
        Product::Elasticsearch => "Kibana",
        Product::OpenSearch => "OpenSearch Dashboards",
    };
    let reply = api.ask(Method::GET, "api/status").await?;
    let other = |found: String| SetupError::OtherServer {
        url: api.url().to_owned(),
        expected: name,
        found,
    };
    if reply.status == StatusCode::SERVICE_UNAVAILABLE {
        return Err(other(format!("it is not ready: {}", told(&reply))));
    }
    let body = reply.success(api, other)?;
    let Some(number) = body["version"]["number"].as_str() else {
        return Err(other(
            "it does not answer as it does at api/status".to_owned(),
        ));
    };
    new_enough(api, product, name, number)?;
    Ok(format!("{name} {number} at {}", api.url()))
}

fn told(reply: &Reply) -> String {
    let overall = &reply.body["status"]["overall"];
    let summary = overall["summary"]
        .as_str()
        .or_else(|| overall["state"].as_str());
    summary.map_or_else(|| reply.reason(), str::to_owned)
}

fn new_enough(
    api: &Api,
    product: Product,
    name: &'static str,
    number: &str,
) -> Result<(), SetupError> {
    let (least, needed) = oldest(product);
    if numbers(number).is_some_and(|found| found >= least) {
        return Ok(());
    }
    Err(SetupError::TooOld {
        url: api.url().to_owned(),
        product: name,
        found: number.to_owned(),
        needed,
    })
}

/// First two numbers of a version.
fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split(['.', '-']);
    let mut next = || parts.next()?.parse().ok();
    Some((next()?, next()?))
}

/// Whether a value is there and true.
pub(super) fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true)
}
