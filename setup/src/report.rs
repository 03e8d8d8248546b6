//! What a setup did, or would do.

use serde::Serialize;

use crate::Kind;

/// What became of one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was not there and is now.
    Created,
    /// It was another and is now as planned.
    Updated,
    /// It was as planned: nothing was written.
    Unchanged,
    /// It is gone.
    Removed,
    /// It is what it was before the setup.
    Restored,
    /// It was left out; why.
    LeftOut(String),
    /// It was left as it is; why.
    Kept(String),
    /// The server refused it; why.
    Failed(String),
}

impl Action {
    /// Whether something was, or would be, written.
    #[must_use]
    pub const fn is_change(&self) -> bool {
        matches!(
            self,
            Self::Created | Self::Updated | Self::Removed | Self::Restored
        )
    }
}

/// One object and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: String,
    /// What became of it.
    pub action: Action,
}

/// What a setup did, or would do, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Product and version of the servers.
    pub servers: Vec<String>,
    /// Every object of the plan.
    pub steps: Vec<Step>,
    /// What else the user should know.
    pub notes: Vec<String>,
    /// Whether nothing was changed because it was asked only what would be.
    pub dry_run: bool,
}

impl Report {
    pub(crate) fn add(&mut self, kind: Kind, name: &str, action: Action) {
        self.steps.push(Step {
            kind,
            name: name.to_owned(),
            action,
        });
    }

    /// Whether something was, or would be, written.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.steps.iter().any(|step| step.action.is_change())
    }

    /// The objects that a server refused.
    pub fn failed(&self) -> impl Iterator<Item = &Step> {
        let is_failed = |step: &&Step| matches!(step.action, Action::Failed(_));
        self.steps.iter().filter(is_failed)
    }
}
