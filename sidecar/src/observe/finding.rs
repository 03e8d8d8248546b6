//! When a detection becomes a finding, and a finding a new document.
//!
//! A finding opens when its series is first `detected`. It gets a new revision, and with it a document,
//! while it is detected and
//! 1. its severity is higher than in the last document, or
//! 2. it has at least twice the connections of the last document, or
//! 3. the last document is older than `update_interval`, and there were connections since.
//!
//! So a beacon that runs on makes a number of documents that grows with the logarithm of its beats plus
//! one per interval, whatever the analysis interval. Nothing is dropped: a document holds the totals, so
//! that the next one covers what was not worth one of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use beaconwatch_detector::{Assessment, SeriesKey, Severity, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::store::{FormatError, encode};

/// A finding's life so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Identity: 32 hexadecimal digits.
    pub(crate) id: String,
    /// When the series was first detected.
    pub(crate) opened: Timestamp,
    /// Number of documents so far.
    pub(crate) revision: u64,
    /// When the last document was made.
    pub(crate) written: Timestamp,
    /// Severity in the last document.
    pub(crate) severity: Severity,
    /// Connections in the last document.
    pub(crate) count: u64,
    /// Last connection in the last document.
    pub(crate) last_seen: Timestamp,
}

impl Finding {
    /// Identity of the document of the finding's current revision.
    #[must_use]
    pub(crate) fn event_id(&self) -> String {
        format!("{}-{}", self.id, self.revision)
    }

    fn open(key: &[u8], assessment: &Assessment, now: Timestamp) -> Self {
        Self {
            id: finding_id(key, now),
            opened: now,
            revision: 1,
            written: now,
            severity: assessment.severity,
            count: assessment.count,
            last_seen: assessment.last_seen,
        }
    }

    fn revise(&self, assessment: &Assessment, now: Timestamp) -> Self {
        Self {
            revision: self.revision + 1,
            written: now,
            severity: assessment.severity,
            count: assessment.count,
            last_seen: assessment.last_seen,
            ..self.clone()
        }
    }

    fn is_due(&self, assessment: &Assessment, now: Timestamp, update_interval: Duration) -> bool {
        assessment.severity > self.severity
            || assessment.count >= self.count.saturating_mul(2)
            || (assessment.last_seen > self.last_seen
                && now.saturating_since(self.written) >= update_interval)
    }
}

/// First 16 bytes of SHA-256 over the encoded series key and the time of opening: the same input gives
/// the same identity, and a finding that opens again gets another.
fn finding_id(key: &[u8], opened: Timestamp) -> String {
    let mut digest = Sha256::new();
    digest.update(key);
    digest.update(opened.unix_nanos().to_le_bytes());
    hex::encode(digest.finalize().get(..16).unwrap_or_default())
}

/// A series key as the store has it.
pub(crate) fn encode_key(key: &SeriesKey) -> Result<Vec<u8>, FormatError> {
    encode("series key", key)
}

/// All findings, by series.
#[derive(Debug)]
pub(crate) struct Findings {
    by_series: BTreeMap<Vec<u8>, Finding>,
    /// Findings in the order of their last document, to forget the oldest first.
    by_age: BTreeSet<(Timestamp, Vec<u8>)>,
    changed: BTreeSet<Vec<u8>>,
    update_interval: Duration,
    limit: usize,
    forgotten: u64,
}

impl Findings {
    /// Knows no finding; at most `limit` at a time: past that, the one whose last document is oldest is
    /// forgotten (its series would open a new finding).
    #[must_use]
    pub(crate) fn new(update_interval: Duration, limit: usize) -> Self {
        Self {
            by_series: BTreeMap::new(),
            by_age: BTreeSet::new(),
            changed: BTreeSet::new(),
            update_interval,
            limit: limit.max(1),
            forgotten: 0,
        }
    }

    /// Time after which a finding that goes on gets a new document.
    pub(crate) fn set_update_interval(&mut self, update_interval: Duration) {
        self.update_interval = update_interval;
    }

    /// Puts back a saved finding.
    pub(crate) fn restore(&mut self, key: Vec<u8>, finding: Finding) {
        self.insert(key, finding);
    }

    fn insert(&mut self, key: Vec<u8>, finding: Finding) {
        self.by_age.insert((finding.written, key.clone()));
        if let Some(old) = self.by_series.insert(key.clone(), finding) {
            let written = self.by_series.get(&key).map(|finding| finding.written);
            if written != Some(old.written) {
                self.by_age.remove(&(old.written, key));
            }
        }
        while self.by_series.len() > self.limit {
            let Some((_, oldest)) = self.by_age.pop_first() else {
                return;
            };
            self.by_series.remove(&oldest);
            self.changed.insert(oldest);
            self.forgotten += 1;
        }
    }

    /// Takes note of an assessment; the finding when it needs a new document.
    pub(crate) fn judge(
        &mut self,
        assessment: &Assessment,
        now: Timestamp,
    ) -> Result<Option<Finding>, FormatError> {
        if !assessment.detected {
            return Ok(None);
        }
        let key = encode_key(&assessment.key)?;
        let finding = match self.by_series.get(&key) {
            None => Finding::open(&key, assessment, now),
            Some(finding) if finding.is_due(assessment, now, self.update_interval) => {
                finding.revise(assessment, now)
            }
            Some(_) => return Ok(None),
        };
        self.changed.insert(key.clone());
        self.insert(key, finding.clone());
        Ok(Some(finding))
    }

    /// Findings changed since the last call; none means forgotten.
    pub(crate) fn take_changes(&mut self) -> Vec<(Vec<u8>, Option<&Finding>)> {
        std::mem::take(&mut self.changed)
            .into_iter()
            .map(|key| {
                let finding = self.by_series.get(&key);
                (key, finding)
            })
            .collect()
    }

    /// Number of findings.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.by_series.len()
    }

    /// Number of findings that were forgotten because there were too many.
    #[must_use]
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests;
