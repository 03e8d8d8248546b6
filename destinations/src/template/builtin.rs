//! The templates that come with the program, one for each product.
//!
//! # Contract
//! Each makes JSON that the product's interface takes, of every document there is: a finding, a sensor, a test, with or
//! without its optional fields. Values from documents are shown as they are: what would be markup in the product is
//! escaped. Their texts are in `templates/`; `docs/soar.md` shows what they make.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A template that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuiltInTemplate {
    /// The document itself, in the Elastic Common Schema.
    Ecs,
    /// The Open Cybersecurity Schema Framework: Detection Finding (2004).
    Ocsf,
    /// Slack, incoming webhook: a message of blocks.
    Slack,
    /// Microsoft Teams, webhook of a Power Automate workflow: an Adaptive Card.
    Teams,
    /// `TheHive` 5, `POST /api/v1/alert`: an alert with observables.
    Thehive5,
    /// Cortex XSOAR, `POST /incident`: an incident.
    Xsoar,
    /// Shuffle, webhook trigger: a flat object.
    Shuffle,
    /// Tines, webhook action: a flat object.
    Tines,
    /// n8n, webhook node: a flat object.
    N8n,
    /// `PagerDuty`, Events API v2: trigger, acknowledge and resolve.
    Pagerduty,
    /// Opsgenie, `POST /v2/alerts`: an alert, closed when the finding closes.
    Opsgenie,
    /// Jira Cloud, `POST /rest/api/3/issue`: an issue.
    Jira,
}

/// What three products take alike: keys without dots or signs.
const FLAT: &str = include_str!("../../templates/flat.json.j2");

impl BuiltInTemplate {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Ecs,
        Self::Ocsf,
        Self::Slack,
        Self::Teams,
        Self::Thehive5,
        Self::Xsoar,
        Self::Shuffle,
        Self::Tines,
        Self::N8n,
        Self::Pagerduty,
        Self::Opsgenie,
        Self::Jira,
    ];

    /// Name, as in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Ocsf => "ocsf",
            Self::Slack => "slack",
            Self::Teams => "teams",
            Self::Thehive5 => "thehive5",
            Self::Xsoar => "xsoar",
            Self::Shuffle => "shuffle",
            Self::Tines => "tines",
            Self::N8n => "n8n",
            Self::Pagerduty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Jira => "jira",
        }
    }

    /// What it is for, in a few words.
    #[must_use]
    pub const fn description(self) -> &'static str {
        match self {
            Self::Ecs => "the document itself, in the Elastic Common Schema",
            Self::Ocsf => "OCSF 1.5 Detection Finding (2004)",
            Self::Slack => "Slack, incoming webhook",
            Self::Teams => "Microsoft Teams, webhook of a Power Automate workflow",
            Self::Thehive5 => "TheHive 5, POST /api/v1/alert",
            Self::Xsoar => "Cortex XSOAR, POST /incident",
            Self::Shuffle => "Shuffle, webhook trigger",
            Self::Tines => "Tines, webhook action",
            Self::N8n => "n8n, webhook node",
            Self::Pagerduty => "PagerDuty, Events API v2",
            Self::Opsgenie => "Opsgenie, POST /v2/alerts",
            Self::Jira => "Jira Cloud, POST /rest/api/3/issue",
        }
    }

    /// Text of the template; none for those that are no templates but made by the program.
    pub(crate) const fn text(self) -> Option<&'static str> {
        Some(match self {
            Self::Ecs | Self::Ocsf => return None,
            Self::Slack => include_str!("../../templates/slack.json.j2"),
            Self::Teams => include_str!("../../templates/teams.json.j2"),
            Self::Thehive5 => include_str!("../../templates/thehive5.json.j2"),
            Self::Xsoar => include_str!("../../templates/xsoar.json.j2"),
            Self::Shuffle | Self::Tines | Self::N8n => FLAT,
            Self::Pagerduty => include_str!("../../templates/pagerduty.json.j2"),
            Self::Opsgenie => include_str!("../../templates/opsgenie.json.j2"),
            Self::Jira => include_str!("../../templates/jira.json.j2"),
        })
    }

    /// Variables that must be configured for it.
    #[must_use]
    pub const fn required_variables(self) -> &'static [&'static str] {
        match self {
            Self::Pagerduty => &["routing_key"],
            Self::Jira => &["project"],
            _ => &[],
        }
    }

    /// Variables that may be configured for it.
    #[must_use]
    pub const fn optional_variables(self) -> &'static [&'static str] {
        match self {
            Self::Jira => &["issue_type"],
            Self::Xsoar => &["incident_type"],
            _ => &[],
        }
    }

    /// Whether it can make one body of several documents.
    #[must_use]
    pub const fn takes_batches(self) -> bool {
        matches!(self, Self::Ecs | Self::Ocsf)
    }
}
