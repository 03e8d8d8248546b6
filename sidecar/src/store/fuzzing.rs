//! Stored values, for the fuzz targets.

use beaconwatch_destinations::Document;
use beaconwatch_detector::{SeriesKey, SeriesState};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::outbox::{Account, DeadLetter, DeliveryRecord};
use super::{FormatError, decode, encode};
use crate::alert::{AllowEntry, AuditEntry, Finding};
use crate::observe::Tracker;
use crate::receive::Batch;

/// A value that is read, and written anew.
type Again = fn(&[u8]) -> Result<Vec<u8>, FormatError>;

fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    encode("value", &decode::<T>("value", bytes)?)
}

/// Every kind of value that the tables hold.
const ALL: [Again; 11] = [
    again::<Batch>,
    again::<SeriesKey>,
    again::<SeriesState>,
    again::<Tracker>,
    again::<Finding>,
    again::<AuditEntry>,
    again::<AllowEntry>,
    again::<Document>,
    again::<DeliveryRecord>,
    again::<DeadLetter>,
    again::<Account>,
];

/// How many kinds of values there are.
pub const KINDS: usize = ALL.len();

/// Reads a value of a kind and writes it anew; none where the bytes are refused.
#[must_use]
pub fn stored(kind: usize, bytes: &[u8]) -> Option<Vec<u8>> {
    ALL.get(kind)?(bytes).ok()
}
