//! Which series are allowed: rules of conditions that all must hold, compiled so that thousands of them cost
//! little.
//!
//! # Contract
//! - A rule holds when each of its conditions does. A condition on something that is not known of a series
//!   (its server's name, its process, its client's fingerprint) does not hold.
//! - Of several rules that hold, the first one in the list counts.
//! - A rule counts until it expires; the time is the caller's.
//!
//! # Cost
//! Every rule stands under one of its conditions: destination, else source, domain, process's name, client
//! fingerprint, port, path, transport. Looking a series up costs one search for each length of prefix in use, one
//! for each label of the server's name, up to three for the fingerprint, and one each for process and port; only
//! rules with nothing better than a path with wildcards or a transport are tried one by one. Matching a path takes
//! at most the product of both lengths, whatever the wildcards.

mod pattern;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(crate) use pattern::parents;
pub use pattern::{DomainPattern, FingerprintPattern, PatternError, ProcessPattern};

use crate::network::mask;
use crate::{Assessment, Network, Process, SeriesKey, Timestamp, Transport};

/// Conditions that all must hold. Without any it would hold for everything: [`AllowList::new`] drops it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowRule {
    /// The end that initiates lies in it.
    pub source: Option<Network>,
    /// The end that answers lies in it.
    pub destination: Option<Network>,
    /// Port of the end that answers.
    pub port: Option<u16>,
    /// Transport protocol.
    pub transport: Option<Transport>,
    /// Name of the server.
    pub domain: Option<DomainPattern>,
    /// Process at the source.
    pub process: Option<ProcessPattern>,
    /// Fingerprint of the client's TLS.
    pub client_fingerprint: Option<FingerprintPattern>,
    /// The rule counts before this time.
    pub expires: Option<Timestamp>,
}

/// What rules look at.
#[derive(Clone, Copy, Debug)]
pub struct AllowFacts<'a> {
    /// The series.
    pub key: &'a SeriesKey,
    /// Last known name of the server.
    pub server_name: Option<&'a str>,
    /// Last known process at the source.
    pub process: Option<&'a Process>,
    /// Last known fingerprint of the client's TLS.
    pub client_fingerprint: Option<&'a str>,
}

impl<'a> From<&'a Assessment> for AllowFacts<'a> {
    fn from(assessment: &'a Assessment) -> Self {
        Self {
            key: &assessment.key,
            server_name: assessment.server_name.as_deref(),
            process: assessment.process.as_deref(),
            client_fingerprint: assessment.client_fingerprint.as_deref(),
        }
    }
}

impl AllowRule {
    /// Whether the rule has no condition at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self
            == Self {
                expires: self.expires,
                ..Self::default()
            }
    }

    /// Whether every condition holds at this time.
    #[must_use]
    pub fn holds(&self, facts: &AllowFacts<'_>, now: Timestamp) -> bool {
        let key = facts.key;
        let domain =
            |pattern: &DomainPattern| facts.server_name.is_some_and(|name| pattern.matches(name));
        let process = |pattern: &ProcessPattern| {
            facts
                .process
                .is_some_and(|process| pattern.matches(process))
        };
        let fingerprint = |pattern: &FingerprintPattern| {
            facts
                .client_fingerprint
                .is_some_and(|fingerprint| pattern.matches(fingerprint))
        };
        self.expires.is_none_or(|expires| now < expires)
            && self.port.is_none_or(|port| port == key.destination_port)
            && self.transport.is_none_or(|it| it == key.transport)
            && self.source.is_none_or(|it| it.contains(key.source))
            && self
                .destination
                .is_none_or(|it| it.contains(key.destination))
            && self.domain.as_ref().is_none_or(domain)
            && self.process.as_ref().is_none_or(process)
            && self.client_fingerprint.as_ref().is_none_or(fingerprint)
    }
}

/// Rules under blocks of addresses.
#[derive(Debug, Default)]
struct ByNetwork {
    rules: BTreeMap<Network, Vec<usize>>,
    /// Lengths of prefixes in use.
    prefixes: BTreeSet<u8>,
}

impl ByNetwork {
    fn insert(&mut self, network: Network, rule: usize) {
        self.rules.entry(network).or_default().push(rule);
        self.prefixes.insert(network.prefix_bits());
    }

    fn find(&self, address: IpAddr, mut take: impl FnMut(&[usize])) {
        let address = address.to_canonical();
        for bits in &self.prefixes {
            let network = Network::new(mask(address, *bits), *bits);
            if let Some(rules) = network.and_then(|network| self.rules.get(&network)) {
                take(rules);
            }
        }
    }
}

/// Rules, compiled.
#[derive(Debug, Default)]
pub struct AllowList {
    rules: Vec<AllowRule>,
    by_destination: ByNetwork,
    by_source: ByNetwork,
    by_domain: BTreeMap<Box<str>, Vec<usize>>,
    by_process: BTreeMap<Box<str>, Vec<usize>>,
    by_fingerprint: BTreeMap<Box<str>, Vec<usize>>,
    by_port: BTreeMap<u16, Vec<usize>>,
    one_by_one: Vec<usize>,
}

impl AllowList {
    /// Compiles rules. Their places in the list are what [`Self::find`] gives.
    #[must_use]
    pub fn new(rules: Vec<AllowRule>) -> Self {
        let mut list = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            list.insert(rule, place);
        }
        Self { rules, ..list }
    }

    fn insert(&mut self, rule: &AllowRule, place: usize) {
        if let Some(network) = rule.destination {
            self.by_destination.insert(network, place);
        } else if let Some(network) = rule.source {
            self.by_source.insert(network, place);
        } else if let Some(domain) = &rule.domain {
            let key = domain.base().into();
            self.by_domain.entry(key).or_default().push(place);
        } else if let Some(name) = rule.process.as_ref().and_then(ProcessPattern::name) {
            self.by_process.entry(name.into()).or_default().push(place);
        } else if let Some(fingerprint) = &rule.client_fingerprint {
            let key = fingerprint.base().into();
            self.by_fingerprint.entry(key).or_default().push(place);
        } else if let Some(port) = rule.port {
            self.by_port.entry(port).or_default().push(place);
        } else if !rule.is_empty() {
            self.one_by_one.push(place);
        }
    }

    /// Number of rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are no rules.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Place of the first rule that holds.
    #[must_use]
    pub fn find(&self, facts: &AllowFacts<'_>, now: Timestamp) -> Option<usize> {
        if self.rules.is_empty() {
            return None;
        }
        let mut first: Option<usize> = None;
        let mut take = |places: &[usize]| {
            // Places ascend: the first that holds is the first of these.
            for place in places {
                if first.is_some_and(|first| first <= *place) {
                    break;
                }
                if self
                    .rules
                    .get(*place)
                    .is_some_and(|it| it.holds(facts, now))
                {
                    first = Some(*place);
                    break;
                }
            }
        };
        self.by_destination.find(facts.key.destination, &mut take);
        self.by_source.find(facts.key.source, &mut take);
        self.find_by_names(facts, &mut take);
        let port = self.by_port.get(&facts.key.destination_port);
        if let Some(places) = port {
            take(places);
        }
        take(&self.one_by_one);
        first
    }

    /// Rules that stand under the name of the server, of the process, or of the client's TLS.
    fn find_by_names(&self, facts: &AllowFacts<'_>, mut take: impl FnMut(&[usize])) {
        if let Some(name) = facts.server_name.filter(|_| !self.by_domain.is_empty()) {
            let name = crate::server_name::normal(name);
            for base in parents(&name) {
                if let Some(places) = self.by_domain.get(base) {
                    take(places);
                }
            }
        }
        for name in facts.process.into_iter().flat_map(pattern::names) {
            if let Some(places) = self.by_process.get(name) {
                take(places);
            }
        }
        let fingerprint = facts.client_fingerprint;
        if let Some(fingerprint) = fingerprint.filter(|_| !self.by_fingerprint.is_empty()) {
            let fingerprint = fingerprint.to_ascii_lowercase();
            for base in pattern::beginnings(&fingerprint) {
                if let Some(places) = self.by_fingerprint.get(base) {
                    take(places);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
