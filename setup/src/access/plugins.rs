//! Objects of OpenSearch's plugins: index state management and alerting.

use http::Method;
use serde_json::{Value, json};

use super::{path, refused, unreadable};
use crate::plan::Object;
use crate::server::{Api, segment};
use crate::{Kind, SetupError};

const MONITORS: &str = "_plugins/_alerting/monitors";

/// What a search for a monitor's name found.
pub(super) enum Monitors {
    NoInterface,
    None,
    One { id: String, body: Value },
}

/// Makes a policy, or puts it in place of the one that is there.
pub(super) async fn put_policy(api: &Api, object: &Object) -> Result<Option<String>, SetupError> {
    let (kind, name) = (Kind::IsmPolicy, object.name.as_str());
    let mut path = path(kind, name);
    let reply = api.ask(Method::GET, &path).await?;
    if !reply.is_missing() {
        let body = reply.success(api, unreadable(kind, name))?;
        path = format!(
            "{path}?if_seq_no={}&if_primary_term={}",
            body["_seq_no"], body["_primary_term"]
        );
    }
    let sent = api.put(Method::PUT, &path, &object.body).await?;
    sent.success(api, refused(kind, name)).map(|_body| None)
}

/// Takes indices out of a policy that goes: it would go on to delete them.
pub(super) async fn release_indices(api: &Api, name: &str) -> Result<(), SetupError> {
    let path = format!("_plugins/_ism/remove/{}-*", segment(name));
    let reply = api.ask(Method::POST, &path).await?;
    if reply.is_missing() {
        return Ok(());
    }
    reply.success(api, refused(Kind::IsmPolicy, name)).map(drop)
}

/// Looks for a monitor by its name.
pub(super) async fn find_monitor(api: &Api, name: &str) -> Result<Monitors, SetupError> {
    let query = json!({ "query": { "term": { "monitor.name.keyword": name } }, "size": 1 });
    let path = format!("{MONITORS}/_search");
    let reply = api.put(Method::POST, &path, &query).await?;
    if reply.is_no_handler() {
        return Ok(Monitors::NoInterface);
    }
    // No monitor was ever made: its index is not there.
    if reply.is_missing() {
        return Ok(Monitors::None);
    }
    let body = reply.success(api, unreadable(Kind::Monitor, name))?;
    let hit = &body["hits"]["hits"][0];
    let Some(id) = hit["_id"].as_str() else {
        return Ok(Monitors::None);
    };
    // Some versions wrap the monitor into its type.
    let source = &hit["_source"];
    let monitor = source.get("monitor").unwrap_or(source);
    Ok(Monitors::One {
        id: id.to_owned(),
        body: monitor.clone(),
    })
}

/// Makes a monitor, or puts it in place of the one with its name.
pub(super) async fn put_monitor(api: &Api, object: &Object) -> Result<Option<String>, SetupError> {
    let name = object.name.as_str();
    let sent = match find_monitor(api, name).await? {
        Monitors::One { id, .. } => {
            let path = path(Kind::Monitor, &id);
            api.put(Method::PUT, &path, &object.body).await?
        }
        _ => api.put(Method::POST, MONITORS, &object.body).await?,
    };
    sent.success(api, refused(Kind::Monitor, name))
        .map(|_body| None)
}

/// Removes the monitor with a name.
pub(super) async fn delete_monitor(api: &Api, name: &str) -> Result<(), SetupError> {
    let Monitors::One { id, .. } = find_monitor(api, name).await? else {
        return Ok(());
    };
    let reply = api.ask(Method::DELETE, &path(Kind::Monitor, &id)).await?;
    if reply.is_missing() {
        return Ok(());
    }
    reply.success(api, refused(Kind::Monitor, name)).map(drop)
}
