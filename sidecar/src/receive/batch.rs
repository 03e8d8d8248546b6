//! What one accepted request says, in the form that the journal keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use beaconwatch_detector::{Observation, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// One log record: its place in its exporter's sequence, and what it says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Index into [`Batch::exporters`].
    pub exporter: u32,
    /// Number of the record among all that its exporter made.
    pub sequence: u64,
    /// What it says; `None` of a heartbeat, and when it was refused: its number still counts as received.
    pub observation: Option<Observation>,
}

/// Where an exporter runs that said so without a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Index into [`Batch::exporters`].
    pub exporter: u32,
    /// Identity of its host.
    pub host: Arc<str>,
    /// Name of its host.
    pub host_name: Option<Arc<str>>,
}

/// The records of one request. Order is the request's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Batch {
    /// When the request was received: replaying the journal sees the same time.
    pub received: Timestamp,
    /// Identities of the exporters that the records come from.
    pub exporters: Vec<Arc<str>>,
    /// The records.
    pub records: Vec<Record>,
    /// Where exporters run that sent heartbeats: one entry for each of them at most.
    #[serde(deserialize_with = "or_none")]
    pub places: Vec<Place>,
}

/// The journal's values end where an older version, which knew no heartbeats, ended them.
#[expect(clippy::unnecessary_wraps, reason = "serde calls it")]
fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Place>, D::Error> {
    Ok(Vec::deserialize(deserializer).unwrap_or_default())
}

/// What is wrong with a refused record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A required field is not there.
    Missing,
    /// A field's value has the wrong type.
    WrongType,
    /// A field's value has the right type and cannot be.
    BadValue,
    /// A field's value is longer than the limit.
    TooLong,
    /// The record has more attributes than the limit.
    TooManyAttributes,
    /// The record's bytes are no log record.
    Malformed,
}

impl Fault {
    const fn words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::WrongType => "wrong type",
            Self::BadValue => "bad value",
            Self::TooLong => "too long",
            Self::TooManyAttributes => "too many",
            Self::Malformed => "malformed",
        }
    }
}

/// Why a record was refused: what is wrong with which field. Both come from small fixed sets, so that
/// counters by reason stay bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rejection {
    /// What is wrong.
    pub fault: Fault,
    /// The field, by its name in the field model.
    pub field: &'static str,
}

/// Counts of refused records by reason.
pub type Rejections = BTreeMap<Rejection, u64>;

/// What came of decoding one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The flow records and heartbeats.
    pub batch: Batch,
    /// Of its records, heartbeats.
    pub heartbeats: u64,
    /// Refused records by reason.
    pub rejections: Rejections,
    /// Log records of other kinds.
    pub foreign: u64,
}

impl Decoded {
    /// Number of refused records.
    #[must_use]
    pub fn rejected(&self) -> u64 {
        self.rejections.values().sum()
    }

    /// The refused records in words, the most frequent reasons first; empty when there are none.
    #[must_use]
    pub fn rejection_message(&self) -> String {
        let mut reasons: Vec<_> = self.rejections.iter().collect();
        reasons.sort_by_key(|&(reason, count)| (std::cmp::Reverse(*count), *reason));
        let mut words: Vec<String> = reasons
            .iter()
            .take(5)
            .map(|(reason, count)| format!("{count} x {} {}", reason.fault.words(), reason.field))
            .collect();
        if reasons.len() > 5 {
            words.push(format!("{} more reasons", reasons.len() - 5));
        }
        words.join(", ")
    }
}
