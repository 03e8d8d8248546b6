//! The catalogue of benign beacons: what they look like, what they are, and why they are no C2.
//!
//! # Contract
//! - An entry matches when each condition that it states holds; of the values of one condition any does. A condition
//!   on something that is not known of a series does not hold.
//! - An entry either *marks* a series as benign (`benign = true`: it is listed as benign with the reason, and is no
//!   detection) or only *hints* (it takes from the score, within the bound of all context).
//! - One trait that who writes an implant can choose must not be enough: the name of a server is what the client
//!   says, a port is anybody's, and a CDN hosts everybody. So an entry marks only with two of its traits out of name,
//!   process, behaviour (`period_s`, `max_bytes`) and a port that is not of the web, or for a destination that no
//!   outsider has.
//!   [`Catalogue::parse`] refuses others. Even then a mark is an opinion and no proof: the series stays in sight,
//!   with its cadence.
//! - Of several entries that match, one that marks counts before one that hints, then the one that takes most, then
//!   the first.
//!
//! # Limits
//! A file of at most 4 MiB, 10 000 entries, 1000 values of a condition, 200 bytes of an id, 1000 of a reason.

mod file;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

pub use file::CatalogueError;

use crate::allow::parents;
use crate::{DomainPattern, Network, Process, ProcessPattern, SeriesKey, Transport, server_name};

/// What a benign beacon is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Category {
    /// Setting the clock.
    TimeSync,
    /// Asking for updates.
    UpdateCheck,
    /// Reports of use and of crashes.
    Telemetry,
    /// Watching over hosts and services; logs and metrics on their way.
    Monitoring,
    /// Asking for mail.
    Mail,
    /// Waiting for notifications.
    Push,
    /// A machine asks its cloud about itself.
    CloudMetadata,
    /// Addresses and neighbours: DHCP, NDP, routing.
    NetworkControl,
    /// Names of neighbours: mDNS, LLMNR, `NetBIOS`.
    NameService,
    /// Finding services on the link.
    Discovery,
    /// Anti-virus and endpoint protection.
    Security,
    /// Whether a certificate still holds.
    Certificate,
    /// Services of a browser.
    Browser,
    /// Probes and control of containers.
    Container,
    /// Chat and meetings.
    Chat,
    /// Password managers.
    Passwords,
    /// Writing aids and office software.
    Productivity,
    /// Keeping files in step.
    FileSync,
    /// Keeping a way through a network's edge open.
    KeepAlive,
    /// Databases and queues of one's own.
    Database,
    /// Directory, files and print inside.
    Directory,
    /// From outside to a host of one's own.
    Inbound,
    /// Anything else.
    Other,
}

impl Category {
    /// Name in a catalogue, for example `time_sync`.
    #[must_use]
    pub fn name(self) -> String {
        let words = format!("{self:?}");
        let mut name = String::with_capacity(words.len() + 4);
        for letter in words.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }
}

/// Why a series is listed as benign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Benign {
    /// Entry of the catalogue.
    pub id: Arc<str>,
    /// What it is for.
    pub category: Category,
    /// Why it is no C2, in words.
    pub reason: Arc<str>,
}

/// What an entry looks at.
#[derive(Clone, Copy, Debug)]
pub struct Traits<'a> {
    /// The series.
    pub key: &'a SeriesKey,
    /// Last known name of the server.
    pub server_name: Option<&'a str>,
    /// Last known process at the source.
    pub process: Option<&'a Process>,
    /// Period of its beats.
    pub period_s: Option<f64>,
    /// Bytes of a typical connection, the larger direction.
    pub typical_bytes: Option<f64>,
    /// Whether an outsider calls a host of one's own.
    pub inbound: bool,
}

/// One kind of benign beacon.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    id: Arc<str>,
    category: Category,
    reason: Arc<str>,
    domains: Vec<DomainPattern>,
    processes: Vec<ProcessPattern>,
    destinations: Vec<Network>,
    ports: Vec<u16>,
    transport: Option<Transport>,
    period_s: Option<RangeInclusive<f64>>,
    max_bytes: Option<f64>,
    inbound: bool,
    contribution: f64,
    benign: bool,
}

impl Entry {
    /// Its name in the catalogue.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it is for.
    #[must_use]
    pub const fn category(&self) -> Category {
        self.category
    }

    /// Why it is no C2, in words.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What it takes from the score, in log-odds: at most 0.
    #[must_use]
    pub const fn contribution(&self) -> f64 {
        self.contribution
    }

    /// Whether it marks a series as benign; else it only hints.
    #[must_use]
    pub const fn marks(&self) -> bool {
        self.benign
    }

    /// Whether every condition holds.
    #[must_use]
    pub fn matches(&self, traits: &Traits<'_>) -> bool {
        let key = traits.key;
        let any_or_none = |no_condition: bool, holds: bool| no_condition || holds;
        any_or_none(
            self.ports.is_empty(),
            self.ports.contains(&key.destination_port),
        ) && (!self.inbound || traits.inbound)
            && self.transport.is_none_or(|it| it == key.transport)
            && any_or_none(
                self.destinations.is_empty(),
                self.destinations
                    .iter()
                    .any(|it| it.contains(key.destination)),
            )
            && self.period_s.as_ref().is_none_or(|range| {
                traits
                    .period_s
                    .is_some_and(|period_s| range.contains(&period_s))
            })
            && self
                .max_bytes
                .is_none_or(|most| traits.typical_bytes.is_some_and(|bytes| bytes <= most))
            && any_or_none(
                self.processes.is_empty(),
                traits
                    .process
                    .is_some_and(|process| self.processes.iter().any(|it| it.matches(process))),
            )
            && any_or_none(
                self.domains.is_empty(),
                traits
                    .server_name
                    .is_some_and(|name| self.domains.iter().any(|it| it.matches(name))),
            )
    }

    pub(super) fn as_benign(&self) -> Benign {
        Benign {
            id: Arc::clone(&self.id),
            category: self.category,
            reason: Arc::clone(&self.reason),
        }
    }
}

/// Entries, compiled: looking a series up costs a search for each label of its server's name, and a glance at the
/// entries that name none.
#[derive(Debug, Default)]
pub struct Catalogue {
    entries: Vec<Entry>,
    by_domain: BTreeMap<Box<str>, Vec<usize>>,
    without_domain: Vec<usize>,
}

/// Read once: a constant that takes time to make.
static BUILT_IN: LazyLock<Arc<Catalogue>> = LazyLock::new(|| {
    let entries = file::read(include_str!("catalogue/built_in.toml"));
    // A test reads it; a catalogue with a fault would otherwise be an empty one.
    Arc::new(Catalogue::of(entries.unwrap_or_default()))
});

impl Catalogue {
    /// The catalogue that comes with this library: well-known public services and protocols.
    #[must_use]
    pub fn built_in() -> Arc<Self> {
        Arc::clone(&BUILT_IN)
    }

    /// Reads a catalogue (TOML). An error names the line, the entry and the field.
    ///
    /// # Example
    /// ```
    /// use beaconwatch_detector::context::Catalogue;
    ///
    /// let catalogue = Catalogue::parse(
    ///     r#"
    ///     version = 1
    ///
    ///     [[entry]]
    ///     id = "backup.nightly"
    ///     category = "file_sync"
    ///     reason = "our backup agent reports to its server"
    ///     domains = ["*.backup.example.org"]
    ///     processes = ["/opt/backup/*"]
    ///     contribution = -6.0
    ///     benign = true
    ///     "#,
    /// )?;
    /// assert_eq!(catalogue.entries()[0].id(), "backup.nightly");
    /// # Ok::<(), beaconwatch_detector::context::CatalogueError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, CatalogueError> {
        file::read(text).map(Self::of)
    }

    /// This catalogue with the entries of another: those of the same id are replaced. An entry that is
    /// replaced by one with `contribution = 0` and `benign = false` is switched off.
    #[must_use]
    pub fn extended_with(&self, other: &Self) -> Self {
        let mut entries = self.entries.clone();
        for entry in &other.entries {
            match entries.iter_mut().find(|it| it.id == entry.id) {
                Some(place) => *place = entry.clone(),
                None => entries.push(entry.clone()),
            }
        }
        Self::of(entries)
    }

    /// The entries in their order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that a series looks like.
    #[must_use]
    pub fn find(&self, traits: &Traits<'_>) -> Option<&Entry> {
        let mut best: Option<(usize, &Entry)> = None;
        let mut consider = |places: &[usize]| {
            for place in places {
                let entry = self.entries.get(*place).filter(|it| it.matches(traits));
                let Some(entry) = entry else { continue };
                let rank = |at: usize, it: &Entry| (!it.benign, it.contribution, at);
                if best.is_none_or(|(at, it)| {
                    rank(*place, entry).partial_cmp(&rank(at, it)) == Some(std::cmp::Ordering::Less)
                }) {
                    best = Some((*place, entry));
                }
            }
        };
        if let Some(name) = traits.server_name {
            let name = server_name::normal(name);
            for base in parents(&name) {
                if let Some(places) = self.by_domain.get(base) {
                    consider(places);
                }
            }
        }
        consider(&self.without_domain);
        best.map(|(_, entry)| entry)
    }

    fn of(entries: Vec<Entry>) -> Self {
        let mut catalogue = Self::default();
        for (place, entry) in entries.iter().enumerate() {
            if entry.domains.is_empty() {
                catalogue.without_domain.push(place);
            }
            for domain in &entry.domains {
                let places = catalogue.by_domain.entry(domain.base().into()).or_default();
                places.push(place);
            }
        }
        Self {
            entries,
            ..catalogue
        }
    }
}
