//! From assessments to documents, within the room that the outbox has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use beaconwatch_detector::{Assessment, SeriesKey, Timestamp, ecs};

use super::finding::Findings;
use super::{AnalysisReport, SharedBoard};
use crate::config::Labels;
use crate::deliver::Router;
use crate::store::{FormatError, Outgoing};
use beaconwatch_destinations::Document;

/// Findings, and the documents made of them.
#[derive(Debug)]
pub(super) struct Judge {
    findings: Findings,
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
        labels: Labels,
        outbox_limit: u64,
        board: SharedBoard,
        router: Arc<Router>,
    ) -> Self {
        Self {
            findings,
            labels,
            board,
            router,
            outbox_limit,
            last_document: 0,
            postponed: BTreeSet::new(),
            failed_documents: 0,
        }
    }

    pub(super) fn configure(&mut self, update_interval: Duration, outbox_limit: u64) {
        self.findings.set_update_interval(update_interval);
        self.outbox_limit = outbox_limit;
    }

    pub(super) fn restore_last_document(&mut self, number: u64) {
        self.last_document = number;
    }

    pub(super) fn findings(&self) -> &Findings {
        &self.findings
    }

    pub(super) fn findings_mut(&mut self) -> &mut Findings {
        &mut self.findings
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
        self.postponed.remove(&assessment.key);
        self.report.assessed += 1;
        if assessment.detected {
            self.report.detected += 1;
            if self.room == 0 {
                self.judge.postponed.insert(assessment.key.clone());
            } else if let Err(error) = self.document(&assessment) {
                self.judge.failed_documents += 1;
                tracing::error!(%error, key = ?assessment.key, "no document was made of a detection");
            }
        }
        let mut board = self
            .judge
            .board
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        board.put(Arc::new(assessment));
    }

    fn document(&mut self, assessment: &Assessment) -> Result<(), DocumentError> {
        let Some(finding) = self.judge.findings.judge(assessment, self.now)? else {
            return Ok(());
        };
        let revision = ecs::Finding {
            id: &finding.id,
            revision: finding.revision,
            opened: finding.opened,
            assessment,
        };
        let body = ecs::document_with(&revision, self.now, &self.judge.labels.borrow())?;
        let destinations = self.judge.router.route(&body);
        let body = serde_json::to_string(&body)?;
        self.judge.last_document += 1;
        self.room -= 1;
        let document = Document {
            event_id: finding.event_id(),
            body,
            ..Document::default()
        };
        let outgoing = Outgoing {
            document,
            destinations,
        };
        self.documents.insert(self.judge.last_document, outgoing);
        self.report.documents += 1;
        Ok(())
    }

    /// What was done, and the new documents by number.
    pub(super) fn end(self) -> (AnalysisReport, BTreeMap<u64, Outgoing>) {
        (self.report, self.documents)
    }
}

/// Why no document was made of a detection.
#[derive(Debug, thiserror::Error)]
enum DocumentError {
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error(transparent)]
    Document(#[from] ecs::DocumentError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}
