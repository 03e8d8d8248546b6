//! Saved objects and detection rules, as Kibana and OpenSearch Dashboards take them.

use http::{HeaderValue, Method};
use serde_json::Value;

use super::{path, refused};
use crate::plan::Object;
use crate::server::Api;
use crate::{Kind, SetupError};

/// Most of the errors of an import that are told.
const MOST_REASONS: usize = 5;

/// Imports one object over what is there under its id.
pub(super) async fn import(api: &Api, object: &Object) -> Result<Option<String>, SetupError> {
    let boundary = format!("beaconwatch-{:032x}", rand::random::<u128>());
    let body = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"beaconwatch.ndjson\"\r\n\
         content-type: application/ndjson\r\n\r\n{}\n\r\n--{boundary}--\r\n",
        object.body
    );
    let refuse = || refused(Kind::SavedObject, &object.name);
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))
        .map_err(|error| refuse()(error.to_string()))?;
    let reply = api
        .send(
            Method::POST,
            "api/saved_objects/_import?overwrite=true",
            Some(content_type),
            body,
        )
        .await?;
    let body = reply.success(api, refuse())?;
    if body["success"] == true {
        return Ok(None);
    }
    Err(refuse()(reasons(&body)))
}

/// What an import says of the objects that it did not take.
fn reasons(body: &Value) -> String {
    let errors = body["errors"].as_array().map(Vec::as_slice);
    let told: Vec<String> = errors
        .unwrap_or_default()
        .iter()
        .take(MOST_REASONS)
        .map(|it| {
            let error = &it["error"];
            let kind = error["type"].as_str().unwrap_or("unknown");
            match error["message"].as_str() {
                Some(message) => format!("{kind}: {message}"),
                None if error["references"].is_array() => {
                    format!("{kind}: {}", error["references"])
                }
                None => kind.to_owned(),
            }
        })
        .collect();
    if told.is_empty() {
        "the import was answered without success and without a reason".to_owned()
    } else {
        told.join("; ")
    }
}

/// Makes a rule, or puts it in place of the one with its id.
pub(super) async fn put_rule(
    api: &Api,
    object: &Object,
    replaces: bool,
) -> Result<Option<String>, SetupError> {
    let method = if replaces { Method::PUT } else { Method::POST };
    let whole = path(Kind::DetectionRule, &object.name);
    // The id is in the body.
    let path = whole
        .split_once('?')
        .map_or(whole.as_str(), |(path, _)| path);
    let sent = api.put(method, path, &object.body).await?;
    let body = sent.success(api, refused(Kind::DetectionRule, &object.name));
    body.map(|_rule| None)
}
