//! What is looked at before the first change, so that a setup either can be made or changes nothing.
//!
//! In this order: the servers answer, are of the right product and new enough, and take the credentials; then, all
//! problems together: rights, processors, objects of others under our names, templates of others that would win over
//! ours, and indices that map a field to another type.

mod identity;
mod mappings;
mod processors;
mod rights;

use serde_json::Value;

use crate::access::{Access, Found};
use crate::compare::{adjusted, digest, includes, owner};
use crate::error::Problem;
use crate::journal::{Journal, Target, product_name};
use crate::plan::{Object, plan};
use crate::server::Api;
use crate::{Kind, Part, Settings, SetupError};

/// What stands where an object is planned.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Missing,
    Same,
    /// Something else: ours from before, or another's with `--force`.
    Different(Value),
    /// The data view of all, which stays as it is.
    Shared,
    /// No server takes objects of this kind; why.
    LeftOut(String),
}

/// Servers that answered, and how they are called.
pub(crate) struct Connected {
    pub(crate) access: Access,
    pub(crate) target: Target,
    pub(crate) described: Vec<String>,
}

/// A setup that can be made.
pub(crate) struct Ready {
    pub(crate) connected: Connected,
    pub(crate) journal: Journal,
    pub(crate) objects: Vec<(Object, State)>,
    pub(crate) notes: Vec<String>,
}

/// Finds out who answers.
pub(crate) async fn connect(settings: &Settings) -> Result<Connected, SetupError> {
    let store = Api::new(&settings.store)?;
    let (name, value) = crate::access::guard_header(settings.product);
    let dashboards = match &settings.dashboards {
        Some(server) => Some(Api::new(server)?.with_header(name, value)),
        None => None,
    };
    let identity = identity::of_store(&store, settings.product).await?;
    let mut described = vec![identity.described];
    if let Some(api) = &dashboards {
        described.push(identity::of_dashboards(api, settings.product).await?);
    }
    Ok(Connected {
        target: Target {
            product: product_name(settings.product).to_owned(),
            store: store.url().to_owned(),
            dashboards: dashboards.as_ref().map(|api| api.url().to_owned()),
            cluster: identity.cluster,
        },
        access: Access {
            product: settings.product,
            store,
            dashboards,
        },
        described,
    })
}

/// Looks at everything; an error means that nothing must be changed.
pub(crate) async fn run(settings: &Settings) -> Result<Ready, SetupError> {
    let connected = connect(settings).await?;
    let access = &connected.access;
    let journal = Journal::read(&settings.journal, &connected.target)?
        .unwrap_or_else(|| Journal::new(&settings.journal, connected.target.clone()));
    let objects = plan(settings.product, &settings.without);
    let mut problems = Vec::new();
    let mut notes = Vec::new();
    rights::check(access, settings, &mut problems, &mut notes).await?;
    if !problems.is_empty() {
        // Without rights the questions below would be refused one by one.
        return Err(SetupError::Problems(problems));
    }
    processors::check(&access.store, &objects, &mut problems).await?;
    let mut states = Vec::new();
    for object in objects {
        let state = state(access, settings, &journal, &object, &mut problems).await?;
        states.push((object, state));
    }
    mappings::check(access, settings, &states, &mut problems, &mut notes).await?;
    let without = |part: Part| settings.without.contains(&part);
    if without(Part::Pipelines) && states.iter().any(|(it, _)| it.kind == Kind::Transform) {
        notes.push(
            "Transforms go by event.ingested, which the pipelines write: without them they stay empty.".to_owned(),
        );
    }
    if settings.dashboards.is_none() {
        let name = identity::dashboards_name(settings.product);
        notes.push(format!(
            "Dashboards were left out: give the address of {name} to install them."
        ));
    }
    if !problems.is_empty() {
        return Err(SetupError::Problems(problems));
    }
    Ok(Ready {
        connected,
        journal,
        objects: states,
        notes,
    })
}

/// What stands where an object is planned; what must not be replaced is a problem.
async fn state(
    access: &Access,
    settings: &Settings,
    journal: &Journal,
    object: &Object,
    problems: &mut Vec<Problem>,
) -> Result<State, SetupError> {
    if access.of(object.kind).is_none() {
        let name = identity::dashboards_name(settings.product);
        return Ok(State::LeftOut(format!(
            "the address of {name} was not given"
        )));
    }
    let found = match access.read(object.kind, &object.name).await? {
        Found::Nothing => return Ok(State::Missing),
        Found::NoInterface => return Ok(no_interface(object, problems)),
        Found::Object(found) => found,
    };
    if object.is_shared() {
        return Ok(State::Shared);
    }
    let planned = adjusted(object, Some(&found));
    let known = journal.change(object.kind, &object.name);
    let as_written = known.is_some_and(|change| {
        change.wrote == digest(object.kind, &object.body)
            && change.left.as_ref() == Some(&digest(object.kind, &found))
    });
    if as_written || includes(&found, &planned.body) {
        return Ok(State::Same);
    }
    if let (Some(owner), None, false) = (owner(object, &found), known, settings.force) {
        problems.push(Problem::new(
            format!("{object} is there already and managed by {owner}"),
            foreign_advice(&owner),
        ));
    }
    Ok(State::Different(found))
}

fn foreign_advice(owner: &str) -> &'static str {
    if owner == "fleet" || owner == "beaconwatch" {
        "Fleet has installed the package of Beaconwatch, which does what setup does: use one of them, and remove the other \
         first."
    } else {
        "Rename or remove it, or replace it with --force: the journal keeps what was there, and --remove puts it back."
    }
}

fn no_interface(object: &Object, problems: &mut Vec<Problem>) -> State {
    let reason = format!("this server has no interface for a {}", object.kind);
    if !object.kind.is_optional() {
        let part = match object.kind {
            Kind::Pipeline => "--without pipelines leaves them out",
            Kind::Transform => "--without transforms leaves them out",
            Kind::SavedObject => "--without dashboards leaves them out",
            _ => "Is this the right server, and a whole distribution of it?",
        };
        let problem = Problem::new(&reason, part);
        if !problems.contains(&problem) {
            problems.push(problem);
        }
    }
    State::LeftOut(reason)
}
