//! Makes what is planned.
//!
//! Objects of a store depend on each other: the first that is refused ends the setup. Saved objects, rules and monitors do
//! not: those that are refused are told at the end, and the others are made.

use crate::access::Found;
use crate::compare::{adjusted, digest};
use crate::plan::Object;
use crate::preflight::{self, Ready, State};
use crate::report::{Action, Report};
use crate::{Kind, Settings, SetupError};

/// Sets up; with `dry_run` only tells what would be done.
///
/// Running it again finishes what an earlier run did not, and writes nothing that is as planned.
pub async fn install(settings: &Settings, dry_run: bool) -> Result<Report, SetupError> {
    let mut ready = preflight::run(settings).await?;
    let mut report = Report {
        servers: ready.connected.described.clone(),
        notes: std::mem::take(&mut ready.notes),
        dry_run,
        ..Report::default()
    };
    let objects = std::mem::take(&mut ready.objects);
    let writes =
        |(_, state): &(Object, State)| matches!(state, State::Missing | State::Different(_));
    if !dry_run && objects.iter().any(writes) {
        // Before the first change: what cannot be undone is not done.
        ready.journal.save()?;
    }
    for (object, state) in objects {
        let action = match state {
            State::LeftOut(reason) => Action::LeftOut(reason),
            State::Shared => Action::Unchanged,
            State::Same => {
                if !dry_run {
                    finish(&mut ready, &object).await?;
                }
                Action::Unchanged
            }
            State::Missing | State::Different(_) if dry_run => planned(&state),
            State::Missing => write(&mut ready, &mut report, &object, None).await?,
            State::Different(former) => {
                write(&mut ready, &mut report, &object, Some(former)).await?
            }
        };
        report.add(object.kind, &object.name, action);
    }
    Ok(report)
}

fn planned(state: &State) -> Action {
    match state {
        State::Missing => Action::Created,
        _ => Action::Updated,
    }
}

/// A change of which an earlier run did not learn the end has been made.
async fn finish(ready: &mut Ready, object: &Object) -> Result<(), SetupError> {
    let known = ready.journal.change(object.kind, &object.name);
    if known.is_some_and(|change| change.left.is_none()) {
        ready.connected.access.complete(object).await?;
        note_result(ready, object).await?;
    }
    Ok(())
}

async fn note_result(ready: &mut Ready, object: &Object) -> Result<(), SetupError> {
    let access = &ready.connected.access;
    if let Found::Object(found) = access.read(object.kind, &object.name).await? {
        let left = digest(object.kind, &found);
        ready.journal.finish(object.kind, &object.name, left)?;
    }
    Ok(())
}

/// Whether the others can be made without an object of this kind.
const fn stands_alone(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::SavedObject | Kind::DetectionRule | Kind::Monitor | Kind::Transform
    )
}

async fn write(
    ready: &mut Ready,
    report: &mut Report,
    object: &Object,
    former: Option<serde_json::Value>,
) -> Result<Action, SetupError> {
    let action = match former {
        None => Action::Created,
        Some(_) => Action::Updated,
    };
    let wrote = digest(object.kind, &object.body);
    let adjusted = adjusted(object, former.as_ref());
    ready
        .journal
        .begin(object.kind, &object.name, former.clone(), wrote)?;
    match ready
        .connected
        .access
        .write(&adjusted, former.as_ref())
        .await
    {
        Ok(note) => report.notes.extend(note),
        Err(SetupError::Refused { reason, .. }) if stands_alone(object.kind) => {
            // It was not made, so there is nothing to undo unless an earlier run had made it.
            if former.is_none() {
                ready.journal.forget(object.kind, &object.name)?;
            }
            return Ok(Action::Failed(reason));
        }
        Err(error) => return Err(error),
    }
    note_result(ready, object).await?;
    Ok(action)
}
