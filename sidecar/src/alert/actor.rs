//! Who does what with an alert.

use serde::{Deserialize, Serialize};

use crate::config::Role;

use super::{AlertError, MAX_SUPPRESSION_S, MAX_TEXT};

/// Who asks for a change: it stands in the audit and in the finding's history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Actor {
    /// Name of the token, never the token.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// Where the request came from.
    pub(crate) remote: String,
}

impl Actor {
    /// Whoever runs this process and asks without the API.
    pub(crate) fn in_process(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            role: Role::Operate,
            remote: "this process".to_owned(),
        }
    }
}

/// What can be done with an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Acknowledge { comment: Option<String> },
    Unacknowledge,
    Comment { text: String },
    Close { reason: Option<String> },
    Reopen,
    Suppress { for_s: u64 },
    Unsuppress,
}

impl Action {
    /// Name in the audit.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Acknowledge { .. } => "alert.acknowledge",
            Self::Unacknowledge => "alert.unacknowledge",
            Self::Comment { .. } => "alert.comment",
            Self::Close { .. } => "alert.close",
            Self::Reopen => "alert.reopen",
            Self::Suppress { .. } => "alert.suppress",
            Self::Unsuppress => "alert.unsuppress",
        }
    }

    /// What the audit says beside the name.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::Acknowledge { comment: text } | Self::Close { reason: text } => {
                text.clone().unwrap_or_default()
            }
            Self::Comment { text } => text.clone(),
            Self::Suppress { for_s } => format!("for {for_s} s"),
            Self::Unacknowledge | Self::Reopen | Self::Unsuppress => String::new(),
        }
    }

    /// Checks texts and times.
    pub(crate) fn validate(&self) -> Result<(), AlertError> {
        match self {
            Self::Comment { text } => check_text("text", text, 1),
            Self::Acknowledge { comment } => {
                check_text("comment", comment.as_deref().unwrap_or_default(), 0)
            }
            Self::Close { reason } => {
                check_text("reason", reason.as_deref().unwrap_or_default(), 0)
            }
            Self::Suppress { for_s } if !(1..=MAX_SUPPRESSION_S).contains(for_s) => Err(
                AlertError::invalid("for_s", for_s, "1 to 31622400 seconds (366 days)"),
            ),
            Self::Suppress { .. } | Self::Unacknowledge | Self::Reopen | Self::Unsuppress => Ok(()),
        }
    }
}

fn check_text(field: &'static str, text: &str, minimum: usize) -> Result<(), AlertError> {
    let count = text.chars().count();
    let blank = minimum > 0 && text.trim().is_empty();
    if (minimum..=MAX_TEXT).contains(&count) && !blank {
        return Ok(());
    }
    let expected = if minimum > 0 {
        "1 to 4000 characters, not only white space"
    } else {
        "at most 4000 characters"
    };
    Err(AlertError::invalid(
        field,
        format!("{count} characters long"),
        expected,
    ))
}
