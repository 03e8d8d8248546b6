//! From assessments to documents, within the room that the outbox has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use beaconwatch_detector::{Assessment, SeriesKey, Timestamp};
use serde_json::Value;

use super::document::{DocumentError, body};
use super::finding::Findings;
use super::life::{Rules, Verdict};
use super::{AnalysisReport, SharedBoard};
use crate::alert::{
    AllowBook, AllowEntry, Allowances, Allowed, Event, Finding, SeriesId, Status, Subject,
};
use crate::config::Labels;
use crate::deliver::Router;
use crate::sigma::{OpenedRules, RuleDocument, SigmaRules};
use crate::store::{Outgoing, encode_key};
use beaconwatch_destinations::{Document, Stream};

/// Findings, and the documents made of them.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) findings: Findings,
    pub(super) allow: AllowBook,
    pub(super) simulations: super::simulation::Simulations,
    pub(super) sigma: SigmaRules,
    labels: Labels,
    board: SharedBoard,
    router: Arc<Router>,
    /// Documents that may wait for a destination.
    outbox_limit: u64,
    /// Number of the last document that was made.
    last_document: u64,
    /// Series that got no document because the outbox was full.
    postponed: BTreeSet<SeriesKey>,
    failed_documents: u64,
}

impl Judge {
    pub(super) fn new(
        findings: Findings,
        allow: AllowBook,
        labels: Labels,
        outbox_limit: u64,
        board: SharedBoard,
        router: Arc<Router>,
    ) -> Self {
        Self {
            findings,
            allow,
            simulations: super::simulation::Simulations::default(),
            sigma: SigmaRules::new(OpenedRules::none()),
            labels,
            board,
            router,
            outbox_limit,
            last_document: 0,
            postponed: BTreeSet::new(),
            failed_documents: 0,
        }
    }

    pub(super) fn configure(&mut self, rules: Rules, outbox_limit: u64) {
        self.findings.set_rules(rules);
        self.outbox_limit = outbox_limit;
    }

    pub(super) fn restore_last_document(&mut self, number: u64) {
        self.last_document = number;
    }

    pub(super) fn postponed(&self) -> u64 {
        self.postponed.len() as u64
    }

    pub(super) fn failed_documents(&self) -> u64 {
        self.failed_documents
    }

    /// Begins an analysis while so many documents wait.
    pub(super) fn begin(&mut self, now: Timestamp, waiting: u64) -> Judgement<'_> {
        let postponed = std::mem::take(&mut self.postponed);
        let room = self.outbox_limit.saturating_sub(waiting);
        Judgement {
            allowances: self.allow.current(),
            judge: self,
            now,
            room,
            postponed,
            documents: BTreeMap::new(),
            report: AnalysisReport::default(),
        }
    }
}

/// One analysis.
pub(super) struct Judgement<'a> {
    judge: &'a mut Judge,
    allowances: Arc<Allowances>,
    now: Timestamp,
    /// Documents that the outbox still takes.
    room: u64,
    postponed: BTreeSet<SeriesKey>,
    documents: BTreeMap<u64, Outgoing>,
    report: AnalysisReport,
}

impl Judgement<'_> {
    /// Series that waited for a document and were not taken yet.
    pub(super) fn postponed_before(&mut self) -> BTreeSet<SeriesKey> {
        std::mem::take(&mut self.postponed)
    }

    pub(super) fn take(&mut self, assessment: Assessment) {
        let assessment = Arc::new(assessment);
        self.postponed.remove(&assessment.key);
        self.report.assessed += 1;
        if assessment.detected {
            self.report.detected += 1;
            if let Err(error) = self.detected(&assessment) {
                self.judge.failed_documents += 1;
                tracing::error!(%error, key = ?assessment.key, "no document was made of a detection");
            }
        }
        let mut board = self
            .judge
            .board
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        board.put(assessment, self.now);
    }

    fn detected(&mut self, assessment: &Arc<Assessment>) -> Result<(), DocumentError> {
        let key = encode_key(&assessment.key)?;
        let findings = &mut self.judge.findings;
        let latest = findings.latest(SeriesId::of_encoded(&key)).cloned();
        let allowances = Arc::clone(&self.allowances);
        if let Some(entry) = allowances.find(&(&**assessment).into(), self.now) {
            self.judge.allow.count(&entry.id);
            return match latest {
                Some(finding) => self.allow(&finding, entry),
                None => Ok(()),
            };
        }
        let rules = findings.rules();
        match rules.detect(latest.as_deref(), assessment, &key, self.now) {
            Verdict::Nothing => {}
            Verdict::Quiet(finding) => findings.put(*finding, false),
            Verdict::Loud(..) if self.room == 0 => {
                self.judge.postponed.insert(assessment.key.clone());
            }
            Verdict::Loud(mut finding, event) => {
                let simulations = &self.judge.simulations;
                finding.simulated |=
                    event == Event::Detected && simulations.made(&assessment.key, self.now);
                self.document(*finding, event, None, None)?;
            }
        }
        Ok(())
    }

    /// Ends a finding that the allow-list allows.
    pub(super) fn allow(
        &mut self,
        finding: &Finding,
        entry: &AllowEntry,
    ) -> Result<(), DocumentError> {
        if finding.allowed.is_some() || (finding.status == Status::Open && self.room == 0) {
            return Ok(());
        }
        let was_open = finding.status == Status::Open;
        let mut finding = finding.clone();
        finding.allowed = Some(Allowed {
            id: entry.id.clone(),
            reason: entry.config.reason.clone(),
            was_open,
        });
        if was_open {
            finding.close(self.now);
            self.document(finding, Event::Allowed, None, Some(&entry.config.reason))
        } else {
            self.judge.findings.put(finding, true);
            Ok(())
        }
    }

    /// Takes an allowance back. A finding that was open when it was allowed goes on, and ends again when its
    /// beats have stopped meanwhile.
    pub(super) fn allow_no_longer(
        &mut self,
        mut finding: Finding,
        was_open: bool,
    ) -> Result<(), DocumentError> {
        finding.allowed = None;
        if was_open && finding.status == Status::Closed && self.beats(&finding) {
            finding.reopen(self.now);
            if !finding.is_suppressed(self.now) {
                return self.document(finding, Event::Reopened, None, None);
            }
            finding.note(Event::Reopened, self.now, None, None);
        }
        self.judge.findings.put(finding, true);
        Ok(())
    }

    /// Whether a finding would still be open had nobody closed it.
    fn beats(&self, finding: &Finding) -> bool {
        let open = Finding {
            status: Status::Open,
            ..finding.clone()
        };
        let deadline = self.judge.findings.deadline(&open);
        deadline.is_some_and(|deadline| deadline >= self.now)
    }

    /// Ends the findings whose beats have stopped.
    pub(super) fn close_silent(&mut self) {
        while self.room > 0
            && let Some(overdue) = self.judge.findings.overdue(self.now)
        {
            let mut finding = (*overdue).clone();
            finding.close(self.now);
            if finding.is_suppressed(self.now) {
                finding.note(Event::Closed, self.now, None, None);
                self.judge.findings.put(finding, true);
            } else if let Err(error) = self.document(finding.clone(), Event::Closed, None, None) {
                self.judge.failed_documents += 1;
                tracing::error!(%error, finding = %finding.id, "no document was made of a close");
                finding.note(Event::Closed, self.now, None, None);
                self.judge.findings.put(finding, true);
            }
        }
    }

    /// Makes a document of what happened to a finding, and keeps the finding. Of a finding that an older
    /// version has left without its numbers there is none.
    pub(super) fn document(
        &mut self,
        mut finding: Finding,
        event: Event,
        actor: Option<&str>,
        text: Option<&str>,
    ) -> Result<(), DocumentError> {
        finding.note(event, self.now, actor, text);
        let missed = finding.missed;
        finding.documented(self.now);
        if let Some(mut body) = body(&finding, event, missed, self.now, &self.judge.labels)? {
            let stream = match finding.subject {
                Subject::Beacon { .. } => Stream::Detection,
                Subject::Sensor(_) => Stream::Sensor,
            };
            let event_id = finding.event_id();
            if stream == Stream::Detection {
                self.judge.sigma.mark(&mut body, &event_id, self.now);
            }
            self.put(event_id, &body, stream)?;
        }
        self.judge.findings.put(finding, true);
        Ok(())
    }

    /// Puts a document where it is routed to.
    fn put(&mut self, event_id: String, body: &Value, stream: Stream) -> Result<(), DocumentError> {
        let document = Document {
            event_id,
            body: serde_json::to_string(body)?,
            stream,
        };
        let outgoing = Outgoing {
            destinations: self.judge.router.route(body),
            document,
        };
        self.judge.last_document += 1;
        self.room = self.room.saturating_sub(1);
        self.documents.insert(self.judge.last_document, outgoing);
        self.report.documents += 1;
        Ok(())
    }

    /// Makes documents of what Sigma rules have found.
    fn tell_of_rules(&mut self) {
        let labels = &self.judge.labels;
        let found = self.judge.sigma.documents(self.room, self.now, labels);
        for RuleDocument { event_id, body } in found {
            if let Err(error) = self.put(event_id, &body, Stream::Rule) {
                self.judge.failed_documents += 1;
                tracing::error!(%error, "no document was made of a match of a Sigma rule");
            }
        }
    }

    /// Keeps a finding without a document.
    pub(super) fn keep(&mut self, finding: Finding, is_news: bool) {
        self.judge.findings.put(finding, is_news);
    }

    pub(super) fn findings(&self) -> &Findings {
        &self.judge.findings
    }

    /// Whether the outbox takes another document.
    pub(super) fn has_room(&self) -> bool {
        self.room > 0
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }

    /// What was done, and the new documents by number.
    pub(super) fn end(mut self) -> (AnalysisReport, BTreeMap<u64, Outgoing>) {
        self.tell_of_rules();
        self.judge.postponed.extend(self.postponed);
        (self.report, self.documents)
    }
}

#[cfg(test)]
mod tests;
