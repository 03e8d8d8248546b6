//! What the doctor found, as values.

use std::fmt;

use serde::Serialize;

/// How one thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The capture has what it needs.
    Ok,
    /// The capture runs and tells less.
    Degraded,
    /// The capture cannot run.
    Missing,
}

impl State {
    /// As it is printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What is lost by it, unless it is [`State::Ok`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Check {
    /// Something that is as it should be.
    pub(super) fn ok(name: impl Into<String>, finding: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            state: State::Ok,
            finding: finding.into(),
            cost: None,
            remedy: None,
        }
    }

    /// Something that costs.
    pub(super) fn not_ok(
        state: State,
        name: impl Into<String>,
        finding: impl Into<String>,
        cost: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            state,
            cost: Some(cost.into()),
            remedy: Some(remedy.into()),
            ..Self::ok(name, finding)
        }
    }
}

/// What all checks together say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The capture can run in full.
    Full,
    /// The capture runs and tells less.
    Degraded,
    /// The capture cannot run.
    Unable,
}

impl Verdict {
    /// Exit code of a program that was asked: 0, 3, and 1, as 2 is for wrong command lines.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Full => 0,
            Self::Degraded => 3,
            Self::Unable => 1,
        }
    }

    /// One line for people.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Full => "The capture can run in full.",
            Self::Degraded => "The capture can run, with the losses named above.",
            Self::Unable => "The capture cannot run until what is missing is there.",
        }
    }
}

/// All checks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which a capture would stumble over them.
    pub checks: Vec<Check>,
}

impl Report {
    /// What the worst of them says.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let any = |state| self.checks.iter().any(|check| check.state == state);
        if any(State::Missing) {
            Verdict::Unable
        } else if any(State::Degraded) {
            Verdict::Degraded
        } else {
            Verdict::Full
        }
    }

    /// The check of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    pub(super) fn push(&mut self, check: Check) {
        self.checks.push(check);
    }

    /// One JSON object: verdict and checks.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "verdict": self.verdict(), "checks": self.checks })
    }
}

/// Lines for people: state, name and finding; below what is not as it should be, its cost and remedy.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|check| check.name.chars().count());
        let width = names.max().unwrap_or_default();
        for check in &self.checks {
            let (state, name) = (check.state.name(), &check.name);
            writeln!(formatter, "{state:<8}  {name:<width$}  {}", check.finding)?;
            let more = [("costs", &check.cost), ("do", &check.remedy)];
            for (what, text) in more {
                if let Some(text) = text {
                    writeln!(formatter, "{:8}  {:width$}  {what}: {text}", "", "")?;
                }
            }
        }
        write!(formatter, "\n{}", self.verdict().sentence())
    }
}
