//! Whether every node knows the processors of the ingest pipelines.

use http::Method;
use serde_json::Value;

use crate::error::Problem;
use crate::plan::Object;
use crate::server::Api;
use crate::{Kind, SetupError};

/// Asks every node.
pub(super) async fn check(
    store: &Api,
    objects: &[Object],
    problems: &mut Vec<Problem>,
) -> Result<(), SetupError> {
    let wanted = wanted(objects);
    if wanted.is_empty() {
        return Ok(());
    }
    let path = "_nodes/ingest?filter_path=nodes.*.ingest.processors";
    let reply = store.ask(Method::GET, path).await?;
    let body = reply.success(store, |reason| SetupError::Unreadable {
        object: "the processors of ingest pipelines".to_owned(),
        reason,
    })?;
    let nodes = body["nodes"].as_object().into_iter().flatten();
    let nodes: Vec<&Value> = nodes.map(|(_, node)| node).collect();
    if nodes.is_empty() {
        problems.push(Problem::new(
            "no node has the role ingest, which pipelines need",
            "Give the role to a node (node.roles), or leave pipelines out with --without pipelines.",
        ));
    }
    let is_missing = |wanted: &&str| !nodes.iter().all(|node| knows(node, wanted));
    let missing: Vec<&str> = wanted.into_iter().filter(is_missing).collect();
    if !missing.is_empty() {
        problems.push(Problem::new(
            format!("a node has no ingest processors {}", missing.join(", ")),
            "Pipelines need them; --without pipelines leaves pipelines out: documents then keep the shape in which they arrive.",
        ));
    }
    Ok(())
}

/// The processors of the planned pipelines, each once.
fn wanted(objects: &[Object]) -> Vec<&str> {
    let pipelines = objects.iter().filter(|it| it.kind == Kind::Pipeline);
    let mut wanted: Vec<&str> = pipelines
        .filter_map(|it| it.body["processors"].as_array())
        .flatten()
        .filter_map(|it| it.as_object()?.keys().next().map(String::as_str))
        .collect();
    wanted.sort_unstable();
    wanted.dedup();
    wanted
}

fn knows(node: &Value, wanted: &str) -> bool {
    let known = node["ingest"]["processors"]
        .as_array()
        .into_iter()
        .flatten();
    known.into_iter().any(|it| it["type"] == wanted)
}
