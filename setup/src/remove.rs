//! Takes out what a setup made, in reverse order, and puts back what was there before.
//!
//! Data streams, transforms' indices and their documents stay. A data stream needs an index template: while one exists, its
//! template is replaced by the one that the sidecar itself makes, which composes nothing and names no pipeline. What somebody
//! has changed since is left and told, and stays in the journal.

use beaconwatch_schema::template;
use serde_json::Value;

use crate::access::{Access, Found};
use crate::compare::{digest, includes, owner};
use crate::journal::{Change, Journal, JournalError};
use crate::plan::{Object, plan};
use crate::preflight;
use crate::report::{Action, Report};
use crate::{Kind, Settings, SetupError};

/// Undoes a setup; with `dry_run` only tells what would be done.
pub async fn remove(settings: &Settings, dry_run: bool) -> Result<Report, SetupError> {
    let connected = preflight::connect(settings).await?;
    let access = &connected.access;
    let objects = plan(settings.product, &settings.without);
    let journal = match Journal::read(&settings.journal, &connected.target)? {
        Some(journal) => Some(journal),
        None if settings.force => {
            let new = Journal::new(&settings.journal, connected.target.clone());
            Some(adopted(access, &objects, new).await?)
        }
        None => None,
    };
    let Some(mut journal) = journal else {
        let path = settings.journal.clone();
        return Err(JournalError::Missing { path }.into());
    };
    let mut report = Report {
        servers: connected.described.clone(),
        dry_run,
        ..Report::default()
    };
    if !dry_run && !journal.changes.is_empty() {
        journal.save()?;
    }
    for change in journal.changes.clone().into_iter().rev() {
        let planned = objects
            .iter()
            .find(|it| it.kind == change.kind && it.name == change.name);
        let action = undo(access, settings, planned, &change, &mut journal, dry_run).await?;
        report.add(change.kind, &change.name, action);
    }
    report.notes.push(
        "Data streams and their documents were not touched, nor were the transforms' indices (beaconwatch-*).".to_owned(),
    );
    Ok(report)
}

/// Without a journal: everything that is planned, is there and says that it is ours.
async fn adopted(
    access: &Access,
    objects: &[Object],
    mut journal: Journal,
) -> Result<Journal, SetupError> {
    for object in objects.iter().filter(|object| !object.is_shared()) {
        if let Found::Object(found) = access.read(object.kind, &object.name).await?
            && owner(object, &found).is_none()
        {
            journal.changes.push(Change {
                kind: object.kind,
                name: object.name.clone(),
                former: None,
                wrote: digest(object.kind, &object.body),
                left: Some(digest(object.kind, &found)),
            });
        }
    }
    Ok(journal)
}

async fn undo(
    access: &Access,
    settings: &Settings,
    planned: Option<&Object>,
    change: &Change,
    journal: &mut Journal,
    dry_run: bool,
) -> Result<Action, SetupError> {
    if access.of(change.kind).is_none() {
        let reason = "its server's address was not given (--kibana-url, --dashboards-url)";
        return Ok(Action::Kept(reason.to_owned()));
    }
    let found = match access.read(change.kind, &change.name).await? {
        Found::Object(found) => found,
        Found::NoInterface => {
            let reason = format!("this server has no interface for a {}", change.kind);
            return Ok(Action::Kept(reason));
        }
        Found::Nothing => {
            if !dry_run {
                journal.forget(change.kind, &change.name)?;
            }
            return Ok(Action::Kept("it was not there any more".to_owned()));
        }
    };
    if change.former.as_ref() == Some(&found) {
        // The change was begun and not made.
        if !dry_run {
            journal.forget(change.kind, &change.name)?;
        }
        return Ok(Action::Unchanged);
    }
    if !settings.force && !is_as_left(planned, change, &found) {
        let reason = "somebody has changed it since; --force removes it nevertheless";
        return Ok(Action::Kept(reason.to_owned()));
    }
    if dry_run {
        return Ok(undone(change));
    }
    put_back(access, change, &found, journal).await
}

const fn undone(change: &Change) -> Action {
    match change.former {
        Some(_) => Action::Restored,
        None => Action::Removed,
    }
}

/// Puts back or removes, and notes it.
async fn put_back(
    access: &Access,
    change: &Change,
    found: &Value,
    journal: &mut Journal,
) -> Result<Action, SetupError> {
    match revert(access, change, found).await {
        Ok(None) => {
            journal.forget(change.kind, &change.name)?;
            Ok(undone(change))
        }
        Ok(Some((left, reason))) => {
            journal.finish(change.kind, &change.name, left)?;
            Ok(Action::Kept(reason))
        }
        Err(SetupError::Refused { reason, .. }) => Ok(Action::Failed(reason)),
        Err(error) => Err(error),
    }
}

/// Whether an object is as the setup left it. When the setup did not learn that, the plan tells.
fn is_as_left(planned: Option<&Object>, change: &Change, found: &Value) -> bool {
    match &change.left {
        Some(left) => *left == digest(change.kind, found),
        None => planned.is_some_and(|object| includes(found, &object.body)),
    }
}

/// Puts back or removes. What has to stay in another form is told with its digest and the reason.
async fn revert(
    access: &Access,
    change: &Change,
    found: &Value,
) -> Result<Option<(String, String)>, SetupError> {
    let (kind, name) = (change.kind, change.name.as_str());
    if let Some(former) = &change.former {
        let former = Object {
            kind,
            name: name.to_owned(),
            body: former.clone(),
        };
        return access.write(&former, Some(found)).await.map(|_note| None);
    }
    match access.delete(kind, name).await {
        Err(SetupError::Refused { reason, .. })
            if kind == Kind::IndexTemplate && reason.contains("in use by") =>
        {
            keep_streams_usable(access, name, &reason).await.map(Some)
        }
        other => other.map(|()| None),
    }
}

/// The sidecar's own template in place of ours.
async fn keep_streams_usable(
    access: &Access,
    name: &str,
    reason: &str,
) -> Result<(String, String), SetupError> {
    let body = match name {
        template::NAME => template::index_template(),
        template::SENSOR_NAME => template::sensor_index_template(),
        template::RULE_NAME => template::rule_index_template(),
        _ => template::flow_index_template(),
    };
    let bare = Object {
        kind: Kind::IndexTemplate,
        name: name.to_owned(),
        body,
    };
    access.write(&bare, None).await?;
    let left = match access.read(bare.kind, name).await? {
        Found::Object(found) => digest(bare.kind, &found),
        _ => digest(bare.kind, &bare.body),
    };
    let told = format!(
        "data streams need a template, so the sidecar's own is in its place: run --remove again when they are deleted ({reason})"
    );
    Ok((left, told))
}
