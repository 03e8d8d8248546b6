//! Intelligence lists: addresses, networks and names that somebody says are bad.
//!
//! # Contract
//! - Plain text (an indicator a line, `#` begins a comment), CSV with a header (feature `intelligence`) and STIX 2.1
//!   bundles (feature `intelligence`) are read into one [`Intelligence`]. The caller reads files and says the name
//!   and the confidence of each list.
//! - A name matches itself and all names below it; the host of a URL matches itself alone and at half the
//!   confidence, because others may be at that host too. An indicator counts before its `valid_until`.
//! - A line that is no indicator is skipped, counted by reason and, for the first of them, told with line and
//!   field; its neighbours stay.
//! - What would match half of the world is no indicator: public suffixes (`com`, `github.io`), networks wider
//!   than /8 (IPv4) or /19 (IPv6), addresses that no outsider has.
//! - "Defanged" forms (`hxxp://`, `example[.]org`) are read as what they stand for.
//!
//! # Limits and cost
//! At most [`Limits::indicators`] indicators, each of at most [`Limits::indicator_bytes`]; what comes after is
//! counted. An indicator takes 32 (name) or 48 bytes (network). Looking up a name takes a binary search for each of its
//! labels, an address one for each length of prefix in use. Names are kept as 64-bit hashes: with a million of
//! them a name that is in no list matches with a chance of 5e-14.

#[cfg(feature = "intelligence")]
mod csv;
mod indicator;
#[cfg(feature = "intelligence")]
mod stix;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

pub(super) use indicator::{Indicator, parse};

use crate::allow::parents;
use crate::network::mask;
use crate::{Network, Timestamp, server_name};

/// Errors that are told for each list; more are only counted.
const MOST_ERRORS_TOLD: usize = 20;
/// Part of the confidence that is left when a URL is known by its host alone.
const URL_SHARE: f64 = 0.5;

/// Bounds of what is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most indicators of all lists together.
    pub indicators: usize,
    /// Longest indicator, in bytes.
    pub indicator_bytes: usize,
    /// Largest CSV or STIX text, in bytes.
    pub text_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            indicators: 5_000_000,
            indicator_bytes: 2048,
            text_bytes: 256 << 20,
        }
    }
}

/// Why an indicator was skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// It is no address, network, name or URL.
    NotAnIndicator,
    /// It would match too much: a public suffix or a wide network.
    TooBroad,
    /// An address that no outsider has.
    NotPublic,
    /// Longer than [`Limits::indicator_bytes`].
    TooLong,
    /// More than [`Limits::indicators`].
    TooMany,
    /// It was valid until before now.
    Expired,
    /// Its author took it back.
    Revoked,
    /// A kind of indicator that says nothing of servers (file hashes, registry keys).
    OtherKind,
    /// A pattern that says more than that one value is seen (AND, NOT, FOLLOWEDBY, LIKE).
    Unsupported,
}

/// A line that was skipped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {field} is {value:?}, expected {expected}")]
pub struct LineError {
    /// Line from 1; with STIX the place of the object in the bundle, from 1.
    pub line: u64,
    /// Which part.
    pub field: String,
    /// What it was, shortened.
    pub value: String,
    /// What it should have been.
    pub expected: &'static str,
}

/// What became of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListReport {
    /// Indicators that count.
    pub accepted: u64,
    /// Those that do not, by reason.
    pub skipped: BTreeMap<SkipReason, u64>,
    /// The first 20 errors.
    pub errors: Vec<LineError>,
}

/// A text that is no list at all: nothing was added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntelligenceError {
    /// Too large.
    #[error("the list has {found} bytes, expected at most {most}")]
    TooLarge {
        /// Its size.
        found: usize,
        /// The limit.
        most: usize,
    },
    /// A CSV without a column of indicators.
    #[error("line {line}: the columns are {found}, expected {expected}")]
    Column {
        /// Line of the header.
        line: u64,
        /// Its columns, shortened.
        found: String,
        /// Names that would do.
        expected: String,
    },
    /// No CSV, no JSON, or no STIX bundle.
    #[error("the list is no {format}: {message}")]
    Format {
        /// What was expected.
        format: &'static str,
        /// Where and why not.
        message: String,
    },
}

/// What a list says of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Name of the list.
    pub list: Arc<str>,
    /// What matched: the name, or the network.
    pub indicator: String,
    /// How sure the list is, 0..=1.
    pub confidence: f64,
}

/// How sure, until when, and who says so.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Claim {
    /// Nanoseconds of Unix time before which it counts.
    until: i64,
    confidence: f32,
    list: u16,
    /// For that name alone, not for those below.
    exact: bool,
}

/// Reads lists and compiles them.
#[derive(Clone, Debug, Default)]
pub struct IntelligenceBuilder {
    limits: Limits,
    lists: Vec<Arc<str>>,
    names: Vec<(u64, Claim)>,
    networks: Vec<(Network, Claim)>,
}

/// What one call adds to: a list and its report.
#[derive(Debug)]
struct Reading {
    list: u16,
    confidence: f64,
    report: ListReport,
}

impl Reading {
    fn skip(&mut self, reason: SkipReason) {
        *self.report.skipped.entry(reason).or_default() += 1;
    }

    fn error(&mut self, line: u64, field: &str, value: &str, expected: &'static str) {
        if self.report.errors.len() < MOST_ERRORS_TOLD {
            self.report.errors.push(LineError {
                line,
                field: field.chars().take(100).collect(),
                value: value.chars().take(100).collect(),
                expected,
            });
        }
    }
}

impl IntelligenceBuilder {
    /// A builder with other limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Reads lines of a plain list: an indicator each, `#` or `;` begins a comment. `confidence` is cut to 0..=1; no
    /// number counts as 0.
    pub fn add_plain<S: AsRef<str>>(
        &mut self,
        list: &str,
        confidence: f64,
        lines: impl IntoIterator<Item = S>,
    ) -> ListReport {
        let mut reading = self.begin(list, confidence);
        for (number, line) in (1..).zip(lines) {
            let line = line.as_ref();
            let text = line.split(['#', ';']).next().unwrap_or_default().trim();
            if !text.is_empty() {
                self.add(&mut reading, number, "the indicator", text, 1.0, i64::MAX);
            }
        }
        reading.report
    }

    /// Reads a CSV with a header (a comment line with the columns' names will do). `column` names the column of
    /// indicators; without it the first of the usual names counts (`ioc`, `indicator`, `ip`, `domain`, `url`, ...).
    #[cfg(feature = "intelligence")]
    pub fn add_csv(
        &mut self,
        list: &str,
        confidence: f64,
        text: &str,
        column: Option<&str>,
    ) -> Result<ListReport, IntelligenceError> {
        self.check_size(text)?;
        let mut reading = self.begin(list, confidence);
        csv::read(self, &mut reading, text, column)?;
        Ok(reading.report)
    }

    /// Reads a STIX 2.1 bundle: the objects of type `indicator` whose pattern says that one of some values is seen
    /// (`[domain-name:value = '...']`, `ipv4-addr`, `ipv6-addr`, `url`, joined with OR). Those revoked, or valid until
    /// before `now`, are skipped; their own confidence (0 to 100) multiplies that of the list.
    #[cfg(feature = "intelligence")]
    pub fn add_stix(
        &mut self,
        list: &str,
        confidence: f64,
        text: &str,
        now: Timestamp,
    ) -> Result<ListReport, IntelligenceError> {
        self.check_size(text)?;
        let mut reading = self.begin(list, confidence);
        stix::read(self, &mut reading, text, now)?;
        Ok(reading.report)
    }

    /// Compiles what was read.
    #[must_use]
    pub fn build(self) -> Intelligence {
        let Self {
            lists,
            mut names,
            mut networks,
            ..
        } = self;
        // Of equal indicators the surest comes first, and then the one that counts for longest.
        let order = |a: &Claim, b: &Claim| {
            b.confidence
                .total_cmp(&a.confidence)
                .then(b.until.cmp(&a.until))
                .then(a.list.cmp(&b.list))
        };
        names.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| order(&a.1, &b.1)));
        networks.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| order(&a.1, &b.1)));
        let same = |a: &Claim, b: &Claim| a.list == b.list && a.until == b.until;
        names.dedup_by(|a, b| a.0 == b.0 && a.1.exact == b.1.exact && same(&a.1, &b.1));
        networks.dedup_by(|a, b| a.0 == b.0 && same(&a.1, &b.1));
        let mut prefixes: Vec<u8> = networks.iter().map(|it| it.0.prefix_bits()).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        Intelligence {
            lists,
            names,
            networks,
            prefixes,
        }
    }

    fn begin(&mut self, list: &str, confidence: f64) -> Reading {
        let name: Arc<str> = list.chars().take(200).collect::<String>().into();
        let place = self.lists.iter().position(|it| *it == name);
        let place = place.unwrap_or_else(|| {
            self.lists.push(name);
            self.lists.len() - 1
        });
        let confidence = if confidence.is_nan() { 0.0 } else { confidence };
        Reading {
            // More lists than that share the last name.
            list: u16::try_from(place).unwrap_or(u16::MAX),
            confidence: confidence.clamp(0.0, 1.0),
            report: ListReport::default(),
        }
    }

    #[cfg(feature = "intelligence")]
    fn check_size(&self, text: &str) -> Result<(), IntelligenceError> {
        let (found, most) = (text.len(), self.limits.text_bytes);
        if found > most {
            return Err(IntelligenceError::TooLarge { found, most });
        }
        Ok(())
    }

    /// One indicator, or why it does not count and what was expected.
    fn read(&self, text: &str) -> Result<Indicator, (SkipReason, &'static str)> {
        if text.len() > self.limits.indicator_bytes {
            Err((SkipReason::TooLong, "a shorter one"))
        } else if self.names.len() + self.networks.len() >= self.limits.indicators {
            Err((SkipReason::TooMany, "fewer of them"))
        } else {
            parse(text)
        }
    }

    /// Adds one indicator, or tells why not.
    fn add(
        &mut self,
        reading: &mut Reading,
        line: u64,
        field: &str,
        text: &str,
        share: f64,
        until: i64,
    ) {
        let indicator = match self.read(text) {
            Ok(indicator) => indicator,
            Err((reason, expected)) => {
                reading.skip(reason);
                return reading.error(line, field, text, expected);
            }
        };
        let url = matches!(
            &indicator,
            Indicator::HostOfUrl(_) | Indicator::AddressOfUrl(_)
        );
        let share = if url { share * URL_SHARE } else { share };
        #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough")]
        let confidence = (reading.confidence * share.clamp(0.0, 1.0)) as f32;
        let claim = Claim {
            until,
            confidence,
            list: reading.list,
            exact: url,
        };
        match indicator {
            Indicator::Name(name) | Indicator::HostOfUrl(name) => {
                self.names.push((xxh3_64(name.as_bytes()), claim));
            }
            Indicator::Network(network) | Indicator::AddressOfUrl(network) => {
                self.networks.push((network, claim));
            }
        }
        reading.report.accepted += 1;
    }
}

/// Lists, compiled.
#[derive(Debug, Default)]
pub struct Intelligence {
    lists: Vec<Arc<str>>,
    /// By hash, of equal ones the surest first.
    names: Vec<(u64, Claim)>,
    networks: Vec<(Network, Claim)>,
    /// Lengths of prefixes in use, ascending.
    prefixes: Vec<u8>,
}

impl Intelligence {
    /// Number of indicators.
    #[must_use]
    pub fn len(&self) -> usize {
        self.names.len() + self.networks.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The surest claim about an address or a name.
    #[must_use]
    pub fn find(&self, address: IpAddr, name: Option<&str>, now: Timestamp) -> Option<Hit> {
        let by_name = name.and_then(|name| self.find_name(name, now));
        let by_address = self.find_address(address, now);
        match (by_name, by_address) {
            (Some(one), Some(other)) if other.confidence > one.confidence => Some(other),
            (one, other) => one.or(other),
        }
    }

    fn find_name(&self, name: &str, now: Timestamp) -> Option<Hit> {
        let name = server_name::normal(name);
        if name.len() > server_name::MAX_DOMAIN_BYTES {
            return None;
        }
        let mut best: Option<(&str, &Claim)> = None;
        for base in parents(&name) {
            let claims = equal(&self.names, &xxh3_64(base.as_bytes()));
            let itself = base.len() == name.len();
            let claim = first_valid(claims, now, |claim| itself || !claim.exact);
            if let Some(claim) = claim
                && best.is_none_or(|(_, it)| claim.confidence > it.confidence)
            {
                best = Some((base, claim));
            }
        }
        best.map(|(base, claim)| self.hit(claim, base.to_owned()))
    }

    fn find_address(&self, address: IpAddr, now: Timestamp) -> Option<Hit> {
        let address = address.to_canonical();
        let mut best: Option<(Network, &Claim)> = None;
        for bits in &self.prefixes {
            let Some(network) = Network::new(mask(address, *bits), *bits) else {
                continue;
            };
            let claim = first_valid(equal(&self.networks, &network), now, |_| true);
            if let Some(claim) = claim
                && best.is_none_or(|(_, it)| claim.confidence >= it.confidence)
            {
                best = Some((network, claim));
            }
        }
        best.map(|(network, claim)| self.hit(claim, network.to_string()))
    }

    fn hit(&self, claim: &Claim, indicator: String) -> Hit {
        let list = self.lists.get(usize::from(claim.list));
        Hit {
            list: list.map_or_else(|| Arc::from(""), Arc::clone),
            indicator,
            confidence: f64::from(claim.confidence),
        }
    }
}

/// The claims about one indicator, in a list that is sorted by indicator.
fn equal<'a, K: Ord>(sorted: &'a [(K, Claim)], key: &K) -> &'a [(K, Claim)] {
    let from = sorted.partition_point(|(it, _)| it < key);
    let rest = sorted.get(from..).unwrap_or_default();
    let count = rest.partition_point(|(it, _)| it == key);
    rest.get(..count).unwrap_or_default()
}

fn first_valid<K>(
    claims: &[(K, Claim)],
    now: Timestamp,
    applies: impl Fn(&Claim) -> bool,
) -> Option<&Claim> {
    claims
        .iter()
        .map(|(_, claim)| claim)
        .find(|claim| now.unix_nanos() < claim.until && applies(claim))
}
