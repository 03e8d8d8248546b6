//! A map that holds at most so many keys and still merges as if it had no bound.
//!
//! # Contract
//! Kept are the keys with the least hashes of all that were ever added (a bottom-k sample: Cohen and Kaplan 2007).
//! A key that is kept in the end was never dropped before, so that its value is complete; one that is not kept is
//! unknown, not new. The state is a function of the set of what was added: merging is commutative,
//! associative and idempotent, whatever the bound. An outsider who makes up keys thins the sample evenly, but
//! cannot push out a chosen key without knowing the seed of the hash.
//!
//! # Error
//! While nothing was dropped the number of keys is exact. Later it is estimated as kept / (bound of the hashes /
//! 2^64), with a relative standard error of about 1 / sqrt(kept).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::distinct::{SketchError, sketch_error};

/// 2^64.
const HASHES: f64 = 18_446_744_073_709_551_616.0;

/// Values by the hash of their key, sampled by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sample<V> {
    most: usize,
    /// Every key below it is kept; `None` as long as nothing was dropped.
    kept_below: Option<u64>,
    values: BTreeMap<u64, V>,
}

impl<V> Sample<V> {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            kept_below: None,
            values: BTreeMap::new(),
        }
    }

    /// The value of a key, made when it is new; `None` when the key is not in the sample.
    pub(super) fn entry(&mut self, hash: u64, make: impl FnOnce() -> V) -> Option<&mut V> {
        if self.kept_below.is_some_and(|bound| hash >= bound) {
            return None;
        }
        self.values.entry(hash).or_insert_with(make);
        self.shrink();
        self.values.get_mut(&hash)
    }

    pub(super) fn get(&self, hash: u64) -> Option<&V> {
        self.values.get(&hash)
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.values()
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// Keys ever added, about.
    pub(super) fn keys_ever(&self) -> f64 {
        crate::stats::real(self.values.len()) / self.share_kept()
    }

    /// Share of the keys ever added that are kept, about: above 0, at most 1.
    pub(super) fn share_kept(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        self.kept_below
            .map_or(1.0, |bound| bound.max(1) as f64 / HASHES)
    }

    /// Takes all that another sample has; `join` merges the values of one key.
    pub(super) fn merge(&mut self, other: &Self, join: impl Fn(&mut V, &V))
    where
        V: Clone,
    {
        self.most = self.most.min(other.most);
        if let Some(bound) = other.kept_below {
            self.drop_from(bound);
        }
        for (hash, value) in &other.values {
            if self.kept_below.is_some_and(|bound| *hash >= bound) {
                break;
            }
            match self.values.get_mut(hash) {
                Some(ours) => join(ours, value),
                None => {
                    self.values.insert(*hash, value.clone());
                }
            }
        }
        self.shrink();
    }

    /// Checks what was read from a store.
    pub(super) fn check(&self) -> Result<(), SketchError> {
        if self.values.len() > self.most {
            let expected = "at most the bound of the sample";
            return Err(sketch_error("keys", self.values.len(), expected));
        }
        let last = self.values.last_key_value().map(|(hash, _)| *hash);
        if let (Some(bound), Some(last)) = (self.kept_below, last)
            && last >= bound
        {
            return Err(sketch_error("greatest key", last, "below the bound"));
        }
        Ok(())
    }

    fn shrink(&mut self) {
        while self.values.len() > self.most {
            if let Some((hash, _)) = self.values.pop_last() {
                self.kept_below = Some(hash);
            }
        }
    }

    fn drop_from(&mut self, bound: u64) {
        if self.kept_below.is_none_or(|ours| bound < ours) {
            self.kept_below = Some(bound);
            drop(self.values.split_off(&bound));
        }
    }
}
