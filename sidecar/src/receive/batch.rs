//! What one accepted request says, in the form that the journal keeps.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use beaconwatch_detector::{Observation, Owner, Timestamp};
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(from = "Written")]
pub struct Batch {
    /// When the request was received: replaying the journal sees the same time.
    pub received: Timestamp,
    /// Identities of the exporters that the records come from.
    pub exporters: Vec<Arc<str>>,
    /// The records.
    pub records: Vec<Record>,
    /// Where exporters run that sent heartbeats: one entry for each of them at most.
    pub places: Vec<Place>,
}

/// A batch as the journal has it.
#[derive(Deserialize)]
struct Written {
    received: Timestamp,
    exporters: Vec<Arc<str>>,
    records: Vec<Record>,
    #[serde(deserialize_with = "or_none")]
    places: Vec<Place>,
    /// Fingerprints of clients, by the index of their record.
    #[serde(deserialize_with = "or_none")]
    fingerprints: Vec<(u32, Arc<str>)>,
    /// Owners, each once.
    #[serde(deserialize_with = "or_none")]
    owners: Vec<Arc<Owner>>,
    /// Indices of a record and of its owner.
    #[serde(deserialize_with = "or_none")]
    owned: Vec<(u32, u32)>,
}

/// The journal's values end where an older version, which knew no heartbeats, no fingerprints or no owners, ended them.
#[expect(clippy::unnecessary_wraps, reason = "serde calls it")]
fn or_none<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Vec::deserialize(deserializer).unwrap_or_default())
}

impl From<Written> for Batch {
    fn from(written: Written) -> Self {
        let mut records = written.records;
        for (index, fingerprint) in written.fingerprints {
            if let Some(observation) = observation_at(&mut records, index) {
                observation.client_fingerprint = Some(fingerprint);
            }
        }
        for (index, owner) in written.owned {
            let owner = usize::try_from(owner).ok();
            let owner = owner.and_then(|it| written.owners.get(it));
            if let Some(observation) = observation_at(&mut records, index) {
                observation.owner = owner.map(Arc::clone);
            }
        }
        Self {
            received: written.received,
            exporters: written.exporters,
            records,
            places: written.places,
        }
    }
}

fn observation_at(records: &mut [Record], index: u32) -> Option<&mut Observation> {
    let record = records.get_mut(usize::try_from(index).ok()?)?;
    record.observation.as_mut()
}

/// Owners, each once, and the indices of a record and of its owner. Records of one process share one value.
fn owners(records: &[Record]) -> (Vec<&Arc<Owner>>, Vec<(u32, u32)>) {
    let mut places: HashMap<*const Owner, u32> = HashMap::new();
    let (mut owners, mut indices) = (Vec::new(), Vec::new());
    for (index, record) in (0..).zip(records) {
        let observation = record.observation.as_ref();
        let Some(owner) = observation.and_then(|it| it.owner.as_ref()) else {
            continue;
        };
        let next = u32::try_from(owners.len()).unwrap_or(u32::MAX);
        let place = *places.entry(Arc::as_ptr(owner)).or_insert(next);
        if place == next {
            owners.push(owner);
        }
        indices.push((index, place));
    }
    (owners, indices)
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fingerprint = |record: &Record| record.observation.as_ref()?.client_fingerprint.clone();
        let fingerprints: Vec<(u32, Arc<str>)> = (0..)
            .zip(&self.records)
            .filter_map(|(index, record)| Some((index, fingerprint(record)?)))
            .collect();
        let (owners, owned) = owners(&self.records);
        let mut written = serializer.serialize_struct("Batch", 7)?;
        written.serialize_field("received", &self.received)?;
        written.serialize_field("exporters", &self.exporters)?;
        written.serialize_field("records", &self.records)?;
        written.serialize_field("places", &self.places)?;
        written.serialize_field("fingerprints", &fingerprints)?;
        written.serialize_field("owners", &owners)?;
        written.serialize_field("owned", &owned)?;
        written.end()
    }
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
