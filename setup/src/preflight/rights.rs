//! Whether the credentials may do what the setup does, where the server can be asked.

use beaconwatch_integrations::store::Product;
use http::Method;
use serde_json::Value;

use super::identity::is_true;
use crate::access::Access;
use crate::error::Problem;
use crate::privileges;
use crate::{Settings, SetupError};

/// Asks for every privilege of a setup.
pub(super) async fn check(
    access: &Access,
    settings: &Settings,
    problems: &mut Vec<Problem>,
    notes: &mut Vec<String>,
) -> Result<(), SetupError> {
    if access.product == Product::OpenSearch {
        return Ok(());
    }
    let api = &access.store;
    let question = privileges::question(settings);
    let reply = api
        .put(Method::POST, "_security/user/_has_privileges", &question)
        .await?;
    if !reply.status.is_success() && reply.status != http::StatusCode::UNAUTHORIZED {
        notes.push(format!(
            "Rights were not checked before: the server does not tell them ({}).",
            reply.reason()
        ));
        return Ok(());
    }
    let body = reply.success(api, |reason| SetupError::Unreadable {
        object: "the privileges".to_owned(),
        reason,
    })?;
    lacking(&body, problems);
    Ok(())
}

/// What the answer says that is not granted.
fn lacking(body: &Value, problems: &mut Vec<Problem>) {
    let advice =
        "`beaconwatch setup elastic --print-privileges` prints what an API key or a role needs.";
    let refused = |granted: &Value| -> Vec<String> {
        let all = granted.as_object().into_iter().flatten();
        let refused = all.filter(|(_, granted)| !is_true(granted));
        refused.map(|(privilege, _)| privilege.clone()).collect()
    };
    for privilege in refused(&body["cluster"]) {
        let what = format!("the credentials lack the cluster privilege {privilege}");
        problems.push(Problem::new(what, advice));
    }
    for (index, granted) in body["index"].as_object().into_iter().flatten() {
        for privilege in refused(granted) {
            let what =
                format!("the credentials lack the privilege {privilege} for indices {index}");
            problems.push(Problem::new(what, advice));
        }
    }
}
