//! Who talks to whom, over all sources: how common a server, a process and a process at a server are, and since
//! when a server is known.
//!
//! # Contract
//! - Counted are different *sources*: an address at a network sensor; an address in a namespace of a host where
//!   the observer stands at the source itself (there, addresses of containers repeat).
//! - At a network sensor a public address counts as a source once it has talked to three different addresses: the Internet is full of scanners that talk to one.
//! - A server is the registered part of its name (`example.org` for `www.example.org`), and apart from that each
//!   address with port and transport.
//! - Shards by source, by time or overlapping ones merge into what one would have counted: merging is
//!   commutative, associative and idempotent, also where keys were dropped. Shards must share seed and bound.
//! - To observe the same again changes nothing but the end of the history: where time matters, the first observation of
//!   each series, name and process is enough.
//! - Nothing is ever forgotten but by starting anew: keep one for some weeks, merge, and begin the next.
//!
//! # Limits
//! At most `max_keys` keys (names, addresses, processes and pairs) with at most 256 bytes each and the map's
//! own 60; of more, a sample by hash is kept ([`Prevalence::keys_not_kept`] says how many are not), and
//! what is not in it is unknown and weighs nothing. Counts of more than 16 sources have a standard
//! error of 6.5 % (see [`super::DistinctCount`]).
//!
//! A name is what the client *said*: an implant can say any. The address is counted apart, so that a common name at
//! an address that only one source uses does not pass for a common server.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

use super::distinct::{DistinctCount, SketchError, sketch_error};
use super::sample::Sample;
use crate::{Observation, Phase, Process, SeriesKey, Side, Timestamp, Transport, server_name};

/// Ports on which a connection normally carries the name of its server.
pub(super) const PORTS_WITH_NAMES: [u16; 4] = [80, 443, 8080, 8443];

/// Different addresses to which a client of one's own talks, at least; a scanner, or a client of a server of one's
/// own, has fewer.
const CONTACTS_OF_A_CLIENT: u32 = 3;

/// How common a server or a process is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sighting {
    /// Different sources, about.
    pub sources: f64,
    /// First sight at any of them.
    pub first_seen: Timestamp,
}

/// A mergeable sketch of who talks to whom.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use beaconwatch_detector::context::Prevalence;
/// use beaconwatch_detector::{Observation, Phase, SeriesKey, Timestamp, Transport};
///
/// let mut prevalence = Prevalence::new(10_000, 7);
/// for host in 1..=3 {
///     let key = SeriesKey {
///         host: Arc::from(""),
///         namespace: Arc::from(""),
///         source: [10, 0, 0, host].into(),
///         destination: [198, 51, 100, 7].into(),
///         destination_port: 443,
///         transport: Transport::Tcp,
///     };
///     let mut seen = Observation::new(Timestamp::default(), Phase::Opened, key);
///     seen.server_name = Some(Arc::from("www.example.org"));
///     prevalence.observe(&seen);
/// }
/// assert_eq!(prevalence.sources(), 3.0);
/// assert_eq!(prevalence.name("example.org").unwrap().sources, 3.0);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Versions", into = "Versions")]
pub struct Prevalence(State);

/// As it is written: versions are added and never changed.
#[derive(Clone, Serialize, Deserialize)]
enum Versions {
    V1(State),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    seed: u64,
    keys: Sample<Seen>,
    sources: DistinctCount,
    /// Addresses to which each public address at a network sensor talks.
    contacts: Sample<DistinctCount>,
    /// Sources of which a process is known.
    with_process: DistinctCount,
    /// Servers at [`PORTS_WITH_NAMES`].
    nameable: DistinctCount,
    /// Those of them whose name is known.
    named: DistinctCount,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seen {
    first: Timestamp,
    sources: DistinctCount,
}

/// What a key means, so that a process and a server of one name are two.
#[derive(Clone, Copy)]
enum Kind {
    Source = 0,
    Name = 1,
    Address = 2,
    Process = 3,
    Pair = 4,
    Contact = 5,
}

/// Two sketches that count differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sketches with seeds {ours} and {theirs} cannot be merged, expected the same seed")]
pub struct MergeError {
    /// Seed of the one.
    pub ours: u64,
    /// Seed of the other.
    pub theirs: u64,
}

impl Prevalence {
    /// An empty sketch of at most `max_keys` keys (at least one). Shards that will be merged take the same seed;
    /// one that outsiders do not know keeps them from choosing what collides.
    #[must_use]
    pub fn new(max_keys: usize, seed: u64) -> Self {
        Self(State {
            seed,
            keys: Sample::new(max_keys.max(1)),
            sources: DistinctCount::default(),
            contacts: Sample::new(max_keys.max(1)),
            with_process: DistinctCount::default(),
            nameable: DistinctCount::default(),
            named: DistinctCount::default(),
            first: None,
            last: None,
        })
    }

    /// Takes one observation. Traffic of Beaconwatch itself, the server's side and an observer's own
    /// rhythm count for nothing, as in the detector.
    pub fn observe(&mut self, observation: &Observation) {
        if observation.own || observation.side == Side::Server || observation.phase == Phase::Active
        {
            return;
        }
        let key = &observation.key;
        let time = observation.time;
        let source = self.source(key, observation.side);
        if observation.side == Side::Between && super::way::is_public(key.source) {
            let contact = self.hash(Kind::Contact, &[&octets(key.destination)]);
            if let Some(contacts) = self.0.contacts.entry(source, DistinctCount::default) {
                contacts.insert(contact);
            }
        } else {
            self.0.sources.insert(source);
        }
        let state = &mut self.0;
        state.first = Some(state.first.map_or(time, |first| first.min(time)));
        state.last = state.last.max(Some(time));
        let address = self.address_key(key);
        let name = server_name::of_server(key, observation.server_name.as_deref());
        let name = name.map(|it| self.name_key(it));
        let process = process_name(observation.process.as_deref());
        let process_key = process.map(|it| self.hash(Kind::Process, &[it.as_bytes()]));
        let pair = process.map(|it| self.pair_key(name.unwrap_or(address), it));
        for hash in [Some(address), name, process_key, pair]
            .into_iter()
            .flatten()
        {
            self.see(hash, source, time);
        }
        let state = &mut self.0;
        if process.is_some() {
            state.with_process.insert(source);
        }
        if PORTS_WITH_NAMES.contains(&key.destination_port) && key.transport == Transport::Tcp {
            state.nameable.insert(address);
            if name.is_some() {
                state.named.insert(address);
            }
        }
    }

    /// Takes all that another sketch has seen. The smaller bound of both holds.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        let (ours, theirs) = (self.0.seed, other.0.seed);
        if ours != theirs {
            return Err(MergeError { ours, theirs });
        }
        let (state, other) = (&mut self.0, &other.0);
        state.keys.merge(&other.keys, |one, two| {
            one.first = one.first.min(two.first);
            one.sources.merge(&two.sources);
        });
        state.sources.merge(&other.sources);
        let contacts = |one: &mut DistinctCount, two: &DistinctCount| one.merge(two);
        state.contacts.merge(&other.contacts, contacts);
        state.with_process.merge(&other.with_process);
        state.nameable.merge(&other.nameable);
        state.named.merge(&other.named);
        state.first = match (state.first, other.first) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
        state.last = state.last.max(other.last);
        Ok(())
    }

    /// Sources in all, about.
    #[must_use]
    pub fn sources(&self) -> f64 {
        let clients = self.0.contacts.values().filter(|it| is_client(it)).count();
        let kept = self.0.contacts.share_kept();
        self.0.sources.estimate() + crate::stats::real(clients) / kept
    }

    /// Whether a public address at a network sensor talks to as many others as clients of one's own do.
    #[must_use]
    pub fn is_client(&self, address: IpAddr) -> bool {
        let contact = self.0.contacts.get(self.sensor_source(address));
        contact.is_some_and(is_client)
    }

    /// Sources of which a process was ever known, about.
    #[must_use]
    pub fn sources_with_process(&self) -> f64 {
        self.0.with_process.estimate()
    }

    /// From the first observation to the last.
    #[must_use]
    pub fn history(&self) -> Duration {
        match (self.0.first, self.0.last) {
            (Some(first), Some(last)) => last.saturating_since(first),
            _ => Duration::ZERO,
        }
    }

    /// Share of web servers whose name was ever seen, 0..=1; `None` before the tenth.
    #[must_use]
    pub fn named_share(&self) -> Option<f64> {
        let all = self.0.nameable.estimate();
        (all >= 10.0).then(|| (self.0.named.estimate() / all).min(1.0))
    }

    /// The servers that share the registered part of this name; `None` when unknown.
    #[must_use]
    pub fn name(&self, name: &str) -> Option<Sighting> {
        self.sighting(self.name_key(name))
    }

    /// The server at an address; `None` when unknown.
    #[must_use]
    pub fn address(&self, key: &SeriesKey) -> Option<Sighting> {
        self.sighting(self.address_key(key))
    }

    /// A process, by its name; `None` when unknown.
    #[must_use]
    pub fn process(&self, name: &str) -> Option<Sighting> {
        self.sighting(self.hash(Kind::Process, &[name.as_bytes()]))
    }

    /// A process at a server (by its name, or its address when it has none); `None` when unknown.
    #[must_use]
    pub fn process_at(
        &self,
        key: &SeriesKey,
        server_name: Option<&str>,
        process: &str,
    ) -> Option<Sighting> {
        let server = server_name.map_or_else(|| self.address_key(key), |it| self.name_key(it));
        self.sighting(self.pair_key(server, process))
    }

    /// Keys that are kept.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.0.keys.len()
    }

    /// Keys that were seen and are not kept, about: those are unknown and weigh nothing.
    #[must_use]
    pub fn keys_not_kept(&self) -> f64 {
        self.0.keys.keys_ever() - crate::stats::real(self.keys())
    }

    fn see(&mut self, hash: u64, source: u64, time: Timestamp) {
        let seen = self.0.keys.entry(hash, || Seen {
            first: time,
            sources: DistinctCount::default(),
        });
        if let Some(seen) = seen {
            seen.first = seen.first.min(time);
            seen.sources.insert(source);
        }
    }

    fn sighting(&self, hash: u64) -> Option<Sighting> {
        self.0.keys.get(hash).map(|seen| Sighting {
            sources: seen.sources.estimate(),
            first_seen: seen.first,
        })
    }

    fn sensor_source(&self, address: IpAddr) -> u64 {
        self.hash(Kind::Source, &[&octets(address)])
    }

    fn source(&self, key: &SeriesKey, side: Side) -> u64 {
        let address = octets(key.source);
        match side {
            Side::Between => self.sensor_source(key.source),
            Side::Client | Side::Server => {
                let (host, namespace) = (key.host.as_bytes(), key.namespace.as_bytes());
                self.hash(Kind::Source, &[&address, host, namespace])
            }
        }
    }

    fn address_key(&self, key: &SeriesKey) -> u64 {
        let port = key.destination_port.to_be_bytes();
        let transport = match key.transport {
            Transport::Icmp => 1,
            Transport::Tcp => 6,
            Transport::Udp => 17,
            Transport::Other(number) => number,
        };
        self.hash(
            Kind::Address,
            &[&octets(key.destination), &port, &[transport]],
        )
    }

    fn name_key(&self, name: &str) -> u64 {
        let name = server_name::normal(name);
        let registered = server_name::registered_domain(&name).unwrap_or(&name);
        self.hash(Kind::Name, &[registered.as_bytes()])
    }

    fn pair_key(&self, server: u64, process: &str) -> u64 {
        self.hash(Kind::Pair, &[&server.to_be_bytes(), process.as_bytes()])
    }

    fn hash(&self, kind: Kind, parts: &[&[u8]]) -> u64 {
        let mut hasher = Xxh3::with_seed(self.0.seed);
        hasher.update(&[kind as u8]);
        for part in parts {
            // With the lengths, parts cannot be cut in two ways.
            hasher.update(&part.len().to_be_bytes());
            hasher.update(part);
        }
        hasher.digest()
    }
}

/// Name of a process: of its command, else the last part of its path.
pub(super) fn process_name(process: Option<&Process>) -> Option<&str> {
    let process = process?;
    let path = process.executable.as_deref();
    let last = path.map(|path| path.rsplit(['/', '\\']).next().unwrap_or(path));
    process.name.as_deref().or(last).filter(|it| !it.is_empty())
}

fn is_client(contacts: &DistinctCount) -> bool {
    contacts.estimate() >= f64::from(CONTACTS_OF_A_CLIENT) - 0.5
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

impl TryFrom<Versions> for Prevalence {
    type Error = SketchError;

    fn try_from(versions: Versions) -> Result<Self, SketchError> {
        let Versions::V1(state) = versions;
        state.keys.check()?;
        state.contacts.check()?;
        if state.first.is_some() != state.last.is_some() || state.first > state.last {
            let value = format!("{:?}", state.first);
            return Err(sketch_error("first", value, "not after the last"));
        }
        Ok(Self(state))
    }
}

impl From<Prevalence> for Versions {
    fn from(prevalence: Prevalence) -> Self {
        Self::V1(prevalence.0)
    }
}
