//! Who changed what.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Api;
use super::error::{Answer, ApiError, ErrorAnswer};
use super::extract::Parameters;
use super::page::{Page, Place};
use crate::alert::AuditEntry;
use crate::config::Role;
use crate::time_text::rfc3339;

/// Which entries.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AuditQuery {
    /// Most entries, 100 when not given.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<usize>,
    /// `next` of the answer before.
    #[param(pattern = "^[0-9a-f]{48}$")]
    cursor: Option<String>,
}

/// Changes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Audit {
    /// Entries in this answer.
    count: usize,
    /// Cursor of the next piece; none when there is none.
    next: Option<String>,
    /// The entries.
    entries: Vec<AuditAnswer>,
}

/// One change.
#[derive(Debug, Serialize, ToSchema)]
struct AuditAnswer {
    /// When (RFC 3339).
    at: String,
    /// Who: the name of the token.
    actor: String,
    /// With which role.
    role: Role,
    /// Where from; empty for what the sidecar does on its own account.
    remote: String,
    /// What was done, for example `alert.close`.
    action: String,
    /// To what.
    target: String,
    /// With which words or values.
    detail: String,
}

/// Changes, newest first.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "operation", params(AuditQuery),
    responses(
        (status = 200, description = "Changes.", body = Audit),
        (status = 400, description = "A parameter cannot be.", body = ErrorAnswer),
    )
)]
pub(super) async fn list(
    State(api): State<Api>,
    Parameters(query): Parameters<AuditQuery>,
) -> Result<Answer<Audit>, ApiError> {
    let page = Page::new(query.limit, query.cursor.as_deref())?;
    let before = page.after.map(|place| place.rank);
    let found = api.store.audit(before, page.limit).await?;
    let next = found.next.map(|number| Place {
        rank: number,
        id: 0,
    });
    let entries = found.entries.into_iter();
    let entries: Vec<_> = entries.map(|(_, entry)| AuditAnswer::of(entry)).collect();
    Ok(Answer(Audit {
        count: entries.len(),
        next: next.map(Place::cursor),
        entries,
    }))
}

impl AuditAnswer {
    fn of(entry: AuditEntry) -> Self {
        Self {
            at: rfc3339(entry.at),
            actor: entry.actor.name,
            role: entry.actor.role,
            remote: entry.actor.remote,
            action: entry.action,
            target: entry.target,
            detail: entry.detail,
        }
    }
}
