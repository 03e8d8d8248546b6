//! How many different names are asked for below each registered domain: the mark of C2 and of exfiltration over DNS,
//! which carry their data in names that are never asked twice.
//!
//! # Contract
//! The caller feeds the names of DNS queries, whoever asked. Merging is commutative, associative and
//! idempotent. Counts of more than 16 names have a standard error of 6.5 %.
//!
//! # Limits
//! At most `max_domains` domains, of more a sample by hash; 256 bytes and the name for each.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::distinct::{DistinctCount, SketchError};
use super::prevalence::MergeError;
use super::sample::Sample;
use crate::server_name;

/// A mergeable count of the names below registered domains.
///
/// # Example
/// ```
/// use beaconwatch_detector::context::SubdomainCounts;
///
/// let mut counts = SubdomainCounts::new(1000, 7);
/// for query in 0..500 {
///     counts.observe(&format!("{query:x}.tunnel.example.org"));
/// }
/// assert!(counts.below("example.org").unwrap() > 400.0);
/// assert_eq!(counts.largest(1)[0].0, "example.org");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Versions", into = "Versions")]
pub struct SubdomainCounts(State);

/// As it is written: versions are added and never changed.
#[derive(Clone, Serialize, Deserialize)]
enum Versions {
    V1(State),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    seed: u64,
    domains: Sample<Domain>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Domain {
    name: Box<str>,
    below: DistinctCount,
}

impl SubdomainCounts {
    /// An empty sketch of at most `max_domains` domains (at least one); see [`super::Prevalence::new`].
    #[must_use]
    pub fn new(max_domains: usize, seed: u64) -> Self {
        Self(State {
            seed,
            domains: Sample::new(max_domains.max(1)),
        })
    }

    /// Takes the name of a query. A name without a registered part counts for nothing.
    pub fn observe(&mut self, query: &str) {
        let query = server_name::normal(query);
        let Some(domain) = server_name::registered_domain(&query) else {
            return;
        };
        let seed = self.0.seed;
        let hash = xxh3_64_with_seed(domain.as_bytes(), seed);
        let make = || Domain {
            name: domain.into(),
            below: DistinctCount::default(),
        };
        if let Some(entry) = self.0.domains.entry(hash, make) {
            entry
                .below
                .insert(xxh3_64_with_seed(query.as_bytes(), seed));
        }
    }

    /// Takes all that another sketch has seen. The smaller bound of both holds.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        let (ours, theirs) = (self.0.seed, other.0.seed);
        if ours != theirs {
            return Err(MergeError { ours, theirs });
        }
        let join = |one: &mut Domain, two: &Domain| one.below.merge(&two.below);
        self.0.domains.merge(&other.0.domains, join);
        Ok(())
    }

    /// Different names asked for in the registered domain of this name, about; `None` when unknown.
    #[must_use]
    pub fn below(&self, name: &str) -> Option<f64> {
        let name = server_name::normal(name);
        let domain = server_name::registered_domain(&name)?;
        let hash = xxh3_64_with_seed(domain.as_bytes(), self.0.seed);
        self.0.domains.get(hash).map(|it| it.below.estimate())
    }

    /// The registered domains with most names, at most `most` of them, the greatest first.
    #[must_use]
    pub fn largest(&self, most: usize) -> Vec<(&str, f64)> {
        let counts = self.0.domains.values();
        let mut all: Vec<_> = counts.map(|it| (&*it.name, it.below.estimate())).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(most);
        all
    }

    /// Domains that were seen and are not kept, about.
    #[must_use]
    pub fn domains_not_kept(&self) -> f64 {
        self.0.domains.keys_ever() - crate::stats::real(self.0.domains.len())
    }
}

impl TryFrom<Versions> for SubdomainCounts {
    type Error = SketchError;

    fn try_from(versions: Versions) -> Result<Self, SketchError> {
        let Versions::V1(state) = versions;
        state.domains.check()?;
        Ok(Self(state))
    }
}

impl From<SubdomainCounts> for Versions {
    fn from(counts: SubdomainCounts) -> Self {
        Self::V1(counts.0)
    }
}
