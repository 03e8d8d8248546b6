//! What people ask of the scoring thread: to act on alerts, to change the allow-list.
//!
//! Contract: a change is answered when it is saved, together with its entry in the audit. When it cannot be
//! saved the answer is an error; the change is in force all the same and becomes part of the next
//! checkpoint, because a later one may build on it.

use std::net::SocketAddr;
use std::sync::Arc;

use beaconwatch_detector::{AllowFacts, AllowList, Timestamp};

use super::engine::Engine;
use super::{AllowEffect, SeriesDetail};
use crate::alert::{
    Acknowledgement, Action, Actor, AlertError, AllowConfig, AllowEntry, AllowOrigin, AuditEntry,
    Comment, Event, Finding, FindingId, MAX_COMMENTS, Status, Subject,
};
use crate::store::{Store, encode};

/// Alerts that the effect of an entry of the allow-list lists.
const SHOWN_ALERTS: usize = 100;

/// Name of an entry of the allow-list among the store's named values.
fn allow_name(id: &str) -> String {
    format!("allow/{id}")
}

/// Name of the simulations among the store's named values.
pub(super) const SIMULATIONS: &str = "simulations";

impl Engine {
    /// Does something with an alert.
    pub(super) fn act(
        &mut self,
        store: &Store,
        id: FindingId,
        action: &Action,
        actor: &Actor,
    ) -> Result<Arc<Finding>, AlertError> {
        action.validate()?;
        let now = self.clock.now();
        let findings = &self.judge.findings;
        let before = findings
            .get(id)
            .ok_or_else(|| AlertError::unknown("alert", id))?;
        let mut finding = (**before).clone();
        let (event, text) = apply(&mut finding, action, actor, now)?;
        let documents = match event {
            Event::Closed | Event::Reopened => !finding.is_suppressed(now),
            Event::Acknowledged => {
                findings.rules().document_acknowledgements
                    && matches!(finding.subject, Subject::Beacon { .. })
            }
            _ => false,
        };
        let mut judgement = self.judge.begin(now, 0);
        let name = Some(actor.name.as_str());
        let quiet = if documents {
            let made = judgement.document(finding.clone(), event, name, text.as_deref());
            made.inspect_err(|error| {
                tracing::error!(%error, finding = %id, "no document was made of an action");
            })
            .is_err()
        } else {
            true
        };
        if quiet {
            finding.note(event, now, name, text.as_deref());
            judgement.keep(finding, true);
        }
        let (_, documents) = judgement.end();
        self.unsaved.documents.extend(documents);
        self.audit_change(AuditEntry::new(
            now,
            actor,
            action.name(),
            id,
            &action.detail(),
        ));
        self.save_changes(store)?;
        let findings = &self.judge.findings;
        let after = findings.get(id).cloned();
        after.ok_or_else(|| AlertError::unknown("alert", id))
    }

    /// Adds an entry to the allow-list and closes what it allows.
    pub(super) fn allow_add(
        &mut self,
        store: &Store,
        config: AllowConfig,
        actor: &Actor,
    ) -> Result<(AllowEntry, AllowEffect), AlertError> {
        let now = self.clock.now();
        let (entry, effect) = self.allow_preview(config)?;
        if self.added.len() >= self.allow_limit {
            return Err(AlertError::Conflict(format!(
                "the allow-list has {} entries of the API, which is the most (alerts.max_allow_entries)",
                self.allow_limit
            )));
        }
        self.added.push(entry.clone());
        self.put_allow_list_in_force();
        let value = encode("allow-list entry", &entry).map_err(crate::store::StoreError::from)?;
        let ledger = &mut self.unsaved.ledger;
        ledger.state.insert(allow_name(&entry.id), Some(value));
        let detail = entry.config.text();
        self.audit_change(AuditEntry::new(now, actor, "allow.add", &entry.id, &detail));
        self.judge_allowed(now);
        self.save_changes(store)?;
        let alerts = effect.alerts.iter();
        let alerts = alerts.filter_map(|it| self.judge.findings.get(it.id).cloned());
        let effect = AllowEffect {
            alerts: alerts.collect(),
            ..effect
        };
        Ok((entry, effect))
    }

    /// What an entry of the allow-list would do.
    pub(super) fn allow_preview(
        &self,
        config: AllowConfig,
    ) -> Result<(AllowEntry, AllowEffect), AlertError> {
        let now = self.clock.now();
        let rule = config.rule()?;
        if rule.expires.is_some_and(|expires| expires <= now) {
            let value = config.expires.unwrap_or_default();
            return Err(AlertError::invalid("expires", value, "a time to come"));
        }
        let entry = AllowEntry::new(config, AllowOrigin::Api, now);
        let list = AllowList::new(vec![rule]);
        let mut effect = AllowEffect::default();
        self.detector.for_each_series(|facts| {
            effect.series += u64::from(list.find(&facts, now).is_some());
        });
        for finding in self.judge.findings.iter() {
            let Some(facts) = facts(finding) else {
                continue;
            };
            if finding.allowed.is_none() && list.find(&facts, now).is_some() {
                effect.findings += 1;
                if effect.alerts.len() < SHOWN_ALERTS {
                    effect.alerts.push(Arc::clone(finding));
                }
            }
        }
        Ok((entry, effect))
    }

    /// Takes an entry off the allow-list.
    pub(super) fn allow_remove(
        &mut self,
        store: &Store,
        id: &str,
        actor: &Actor,
    ) -> Result<AllowEntry, AlertError> {
        let now = self.clock.now();
        let Some(place) = self.added.iter().position(|entry| entry.id == id) else {
            let current = self.judge.allow.current();
            return Err(if current.entries.iter().any(|entry| entry.id == id) {
                AlertError::Conflict(format!(
                    "entry {id} of the allow-list stands in the configuration: remove it there"
                ))
            } else {
                AlertError::unknown("allow-list entry", id)
            });
        };
        let entry = self.added.remove(place);
        self.put_allow_list_in_force();
        let ledger = &mut self.unsaved.ledger;
        ledger.state.insert(allow_name(id), None);
        let detail = entry.config.text();
        self.audit_change(AuditEntry::new(now, actor, "allow.remove", id, &detail));
        self.judge_allowed(now);
        self.save_changes(store)?;
        Ok(entry)
    }

    /// Judges all findings by the allow-list as it is now: closes what it allows, and lets go on what it
    /// allows no longer.
    pub(super) fn judge_allowed(&mut self, now: Timestamp) {
        let allowances = self.judge.allow.current();
        let findings: Vec<_> = self.judge.findings.iter().cloned().collect();
        let mut judgement = self.judge.begin(now, 0);
        for finding in findings {
            let Some(facts) = facts(&finding) else {
                continue;
            };
            let entry = allowances.find(&facts, now);
            let judged = match (entry, &finding.allowed) {
                (Some(entry), None) => judgement.allow(&finding, entry),
                (None, Some(allowed)) => {
                    let was_open = allowed.was_open;
                    judgement.allow_no_longer((*finding).clone(), was_open)
                }
                _ => Ok(()),
            };
            if let Err(error) = judged {
                tracing::error!(%error, finding = %finding.id, "no document was made of a change of the allow-list");
            }
        }
        let (_, documents) = judgement.end();
        self.unsaved.documents.extend(documents);
    }

    /// Registers a simulation.
    pub(super) fn simulate(
        &mut self,
        store: &Store,
        destination: SocketAddr,
        seconds: u64,
        actor: &Actor,
    ) -> Result<(), AlertError> {
        let now = self.clock.now();
        let simulations = &mut self.judge.simulations;
        simulations.begin(destination, seconds, now)?;
        let value =
            encode("simulation", &simulations.saved()).map_err(crate::store::StoreError::from)?;
        let ledger = &mut self.unsaved.ledger;
        ledger.state.insert(SIMULATIONS.to_owned(), Some(value));
        let detail = format!("for {seconds} s");
        let entry = AuditEntry::new(now, actor, "simulation.begin", destination, &detail);
        self.audit_change(entry);
        Ok(self.save_changes(store)?)
    }

    /// One series in full.
    pub(super) fn detail(
        &self,
        key: &beaconwatch_detector::SeriesKey,
    ) -> Option<Box<SeriesDetail>> {
        let now = self.clock.now();
        let context = self.context();
        Some(Box::new(SeriesDetail {
            assessment: self.detector.assess(key, now, &context)?,
            times: self.detector.times(key)?,
        }))
    }
}

/// What the allow-list looks at; nothing for a sensor.
fn facts(finding: &Finding) -> Option<AllowFacts<'_>> {
    match &finding.subject {
        Subject::Beacon { key, assessment } => Some(AllowFacts {
            key,
            server_name: assessment.as_ref().and_then(|it| it.server_name.as_deref()),
            process: assessment.as_ref().and_then(|it| it.process.as_deref()),
            client_fingerprint: assessment
                .as_ref()
                .and_then(|it| it.client_fingerprint.as_deref()),
        }),
        Subject::Sensor(_) => None,
    }
}

/// Changes a finding as an action says; what happened, and the words for its history.
fn apply(
    finding: &mut Finding,
    action: &Action,
    actor: &Actor,
    now: Timestamp,
) -> Result<(Event, Option<String>), AlertError> {
    match action {
        Action::Acknowledge { comment } => {
            finding.acknowledged = Some(Acknowledgement {
                by: actor.name.clone(),
                at: now,
                comment: comment.clone(),
            });
            Ok((Event::Acknowledged, comment.clone()))
        }
        Action::Unacknowledge => {
            finding.acknowledged = None;
            Ok((Event::Unacknowledged, None))
        }
        Action::Comment { text } => {
            if finding.comments.len() >= MAX_COMMENTS {
                let reason = format!("the alert has {MAX_COMMENTS} comments, which is the most");
                return Err(AlertError::Conflict(reason));
            }
            finding.comments.push(Comment {
                by: actor.name.clone(),
                at: now,
                text: text.clone(),
            });
            Ok((Event::Commented, None))
        }
        Action::Close { reason } => {
            if finding.status == Status::Closed {
                return Err(AlertError::Conflict(
                    "the alert is closed already".to_owned(),
                ));
            }
            finding.close(now);
            finding.closed_by_hand = true;
            Ok((Event::Closed, reason.clone()))
        }
        Action::Reopen => {
            if finding.status == Status::Open {
                return Err(AlertError::Conflict("the alert is open already".to_owned()));
            }
            if let Some(allowed) = &finding.allowed {
                let reason = format!(
                    "entry {} of the allow-list allows it: remove the entry",
                    allowed.id
                );
                return Err(AlertError::Conflict(reason));
            }
            finding.reopen(now);
            Ok((Event::Reopened, None))
        }
        Action::Suppress { for_s } => {
            let nanos = i64::try_from(*for_s)
                .unwrap_or(i64::MAX)
                .saturating_mul(1_000_000_000);
            let until = now.unix_nanos().saturating_add(nanos);
            finding.suppressed_until = Some(Timestamp::from_unix_nanos(until));
            Ok((Event::Suppressed, Some(format!("for {for_s} s"))))
        }
        Action::Unsuppress => {
            finding.suppressed_until = None;
            Ok((Event::Unsuppressed, None))
        }
    }
}
