//! What is known beside the times of a series: how common its server is, what lists say, what it looks like.
//!
//! # Contract
//! - Context is the caller's: sketches, lists and a catalogue that it makes, shares and passes with each call. Cloning
//!   a [`Context`] copies pointers.
//! - It weighs in with the method `evidence`, in log-odds beside the contributions of [`crate::evidence`]: the
//!   signals of an assessment add up to the log-odds of its score. What each piece weighs and why stands with
//!   [`BOUND`]; all together stay within it, a mark as benign apart ([`MOST_BENIGN`]).
//! - The p-value and the promise about false alerts are those of the times alone. Context raises or lowers the score;
//!   it cannot make a detection of a series without cadence. For the same context, less p never lowers the score.
//! - A series that an entry of the catalogue marks as benign is no detection and says why
//!   ([`crate::Assessment::benign`]); its cadence stays in its signals. It is not marked when an intelligence list names
//!   its server, when its program runs from where none should (in memory, temporary, hidden, in another's name),
//!   or when it says a common name to an address that nobody else uses.
//!
//! # Default
//! [`Context::default`] has the built-in catalogue, weighs what a series knows by itself, and nothing else. With
//! [`Context::timing_only`] times alone speak.

mod catalogue;
mod commonness;
mod distinct;
mod intelligence;
mod prevalence;
mod process;
mod sample;
mod signals;
mod subdomains;
mod traffic;
mod way;
mod weights;

use std::sync::Arc;

pub use catalogue::{Benign, Catalogue, CatalogueError, Category, Entry, Traits};
pub use distinct::{DistinctCount, MOST_EXACT, SketchError};
pub use intelligence::{
    Hit, Intelligence, IntelligenceBuilder, IntelligenceError, Limits, LineError, ListReport,
    SkipReason,
};
pub use prevalence::{MergeError, Prevalence, Sighting};
pub use subdomains::SubdomainCounts;
pub use weights::{BOUND, MOST_BENIGN};

use crate::evidence::Evidence;
use crate::series::Series;
use crate::server_name::{DNS_PORT, of_server};
use crate::{Network, Signal, Timestamp, Transport};
use commonness::{Server, World};
use signals::Found;
use way::Way;

/// Name of the signal that takes what a mark as benign takes.
const MARK: &str = "benign";
/// Most own networks.
const MAX_OWN_NETWORKS: usize = 10_000;

/// What the caller knows beside the observations.
///
/// # Example
/// ```
/// use std::sync::Arc;
///
/// use beaconwatch_detector::Context;
/// use beaconwatch_detector::context::{IntelligenceBuilder, Prevalence};
///
/// let mut lists = IntelligenceBuilder::default();
/// lists.add_plain("our own", 0.9, ["c2.example.net # seen in March", "198.51.100.0/28"]);
/// let context = Context::default()
///     .with_prevalence(Arc::new(Prevalence::new(100_000, 7)))
///     .with_intelligence(Arc::new(lists.build()));
/// ```
#[derive(Clone, Debug)]
pub struct Context {
    weighs: bool,
    catalogue: Option<Arc<Catalogue>>,
    intelligence: Option<Arc<Intelligence>>,
    world: Option<World>,
    subdomains: Option<Arc<SubdomainCounts>>,
    named_share: Option<f64>,
    own_networks: Arc<[Network]>,
}

impl Default for Context {
    fn default() -> Self {
        Self {
            weighs: true,
            catalogue: Some(Catalogue::built_in()),
            intelligence: None,
            world: None,
            subdomains: None,
            named_share: None,
            own_networks: Arc::default(),
        }
    }
}

/// What context says of a series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weighed {
    pub(crate) signals: Vec<Signal>,
    pub(crate) benign: Option<Benign>,
    /// For after the sentence of the times.
    pub(crate) sentence: String,
}

impl Weighed {
    /// Takes the mark as benign back.
    pub(crate) fn unmark(&mut self) {
        self.benign = None;
        self.signals.retain(|signal| &*signal.name != MARK);
        self.sentence = signals::sentence(&self.signals);
    }
}

impl Context {
    /// No context: times alone make the score, and nothing is marked as benign.
    #[must_use]
    pub fn timing_only() -> Self {
        Self {
            weighs: false,
            catalogue: None,
            ..Self::default()
        }
    }

    /// With another catalogue of benign beacons. To add to the built-in one: [`Catalogue::extended_with`].
    #[must_use]
    pub fn with_catalogue(self, catalogue: Arc<Catalogue>) -> Self {
        Self {
            catalogue: Some(catalogue),
            ..self
        }
    }

    /// With intelligence lists.
    #[must_use]
    pub fn with_intelligence(self, intelligence: Arc<Intelligence>) -> Self {
        Self {
            intelligence: Some(intelligence),
            ..self
        }
    }

    /// With who talks to whom. It must have observed what the detector did.
    #[must_use]
    pub fn with_prevalence(self, prevalence: Arc<Prevalence>) -> Self {
        Self {
            world: Some(World::new(prevalence)),
            ..self
        }
    }

    /// With the numbers of names below domains.
    #[must_use]
    pub fn with_subdomains(self, subdomains: Arc<SubdomainCounts>) -> Self {
        Self {
            subdomains: Some(subdomains),
            ..self
        }
    }

    /// Says for which share of web servers the inputs know a name, 0..=1, in place of what the prevalence says. A
    /// value outside of it, or no number, counts as not known.
    #[must_use]
    pub fn with_named_share(self, share: f64) -> Self {
        Self {
            named_share: (0.0..=1.0).contains(&share).then_some(share),
            ..self
        }
    }

    /// With public addresses that are one's own, so that traffic to them counts as internal: the first 10 000.
    #[must_use]
    pub fn with_own_networks(self, networks: &[Network]) -> Self {
        Self {
            own_networks: networks.iter().take(MAX_OWN_NETWORKS).copied().collect(),
            ..self
        }
    }

    /// The intelligence lists.
    #[must_use]
    pub fn intelligence(&self) -> Option<&Intelligence> {
        self.intelligence.as_deref()
    }

    /// What context says of a series. Without evidence there is no score to add to: only the mark.
    pub(crate) fn weigh(
        &self,
        series: &Series,
        evidence: Option<&Evidence>,
        now: Timestamp,
    ) -> Weighed {
        if !self.weighs {
            return Weighed::default();
        }
        let mut found = Found::default();
        let way = self.way(series);
        self.weigh_lists(series, way, now, &mut found);
        if let Some(process) = series.process() {
            process::weigh(process, &mut found);
        }
        let server = self.world.as_ref().map(|world| world.server(series));
        let in_doubt = found.contribution("intelligence") > 0.0
            || found.contribution("process_path") >= weights::PATH_AGAINST_BENIGN
            || server.is_some_and(|it| it.is_pretended);
        let entry = self.catalogue_entry(series, way, evidence);
        let entry = entry.filter(|entry| !(in_doubt && entry.marks()));
        let benign = entry.filter(|entry| entry.marks());
        if evidence.is_none() {
            return Weighed {
                benign: benign.map(Entry::as_benign),
                ..Weighed::default()
            };
        }
        self.weigh_rest(series, way, server, now, &mut found);
        if let Some(hint) = entry.filter(|entry| !entry.marks()) {
            let (weight, text) = (hint.contribution(), hint.reason().to_owned());
            found.add("catalogue", weight, weight, weight, text);
        }
        let mut signals = found.bounded(weight_of_cadence(evidence));
        signals.extend(benign.and_then(mark));
        Weighed {
            sentence: signals::sentence(&signals),
            signals,
            benign: benign.map(Entry::as_benign),
        }
    }

    fn way(&self, series: &Series) -> Way {
        let way = way::way(&series.key, &self.own_networks);
        match (way, &self.world) {
            (Way::Outbound, Some(world)) if world.leads_in(&series.key) => Way::Called,
            // A host of one's own can have a public address.
            (Way::Inbound, Some(world)) if world.is_client(series.key.source) => Way::Internal,
            _ => way,
        }
    }

    fn weigh_lists(&self, series: &Series, way: Way, now: Timestamp, found: &mut Found) {
        let Some(lists) = &self.intelligence else {
            return;
        };
        let name = series.server_name.value.as_deref();
        let outsider = way.is_inward().then_some(series.key.source);
        let hit = lists.find(series.key.destination, name, now);
        if let Some(hit) = hit.or_else(|| lists.find(outsider?, None, now)) {
            let (weight, confidence) = (weights::INTELLIGENCE, hit.confidence);
            let text = format!("the list {:?} names {}", hit.list, hit.indicator);
            found.add(
                "intelligence",
                weight * confidence,
                weight,
                confidence,
                text,
            );
        }
    }

    fn weigh_rest(
        &self,
        series: &Series,
        way: Way,
        server: Option<Server>,
        now: Timestamp,
        found: &mut Found,
    ) {
        way::weigh(series, way, found);
        if let (Some(world), Some(server)) = (&self.world, server) {
            commonness::weigh(series, way, world, server, now, found);
        }
        if way == Way::Outbound {
            traffic::weigh(series, found);
            let from_world = || self.world.as_ref()?.named_share;
            traffic::weigh_name(series, self.named_share.or_else(from_world), found);
        }
        self.weigh_dns(series, found);
    }

    /// Queries carry the name that is asked for as that of the server, where the input tells it.
    fn weigh_dns(&self, series: &Series, found: &mut Found) {
        let dns = series.key.destination_port == DNS_PORT
            && matches!(series.key.transport, Transport::Udp | Transport::Tcp);
        let (Some(counts), Some(name), true) =
            (&self.subdomains, series.server_name.value.as_deref(), dns)
        else {
            return;
        };
        let domain = crate::registered_domain(name);
        if let (Some(names), Some(domain)) = (counts.below(name), domain) {
            traffic::weigh_subdomains(names, domain, found);
        }
    }

    fn catalogue_entry(
        &self,
        series: &Series,
        way: Way,
        evidence: Option<&Evidence>,
    ) -> Option<&Entry> {
        let out = series.sizes_out.typical_bytes();
        let back = series.sizes_in.typical_bytes();
        let traits = Traits {
            key: &series.key,
            server_name: of_server(&series.key, series.server_name.value.as_deref()),
            process: series.process().map(|it| &**it),
            period_s: evidence.map(|it| it.period_s),
            typical_bytes: out.zip(back).map(|(out, back)| out.max(back)),
            inbound: way.is_inward(),
        };
        self.catalogue.as_ref()?.find(&traits)
    }
}

/// How much what speaks for a beacon counts: nothing makes one of a series that does not beat.
fn weight_of_cadence(evidence: Option<&Evidence>) -> f64 {
    let decades = evidence.map_or(0.0, Evidence::decades);
    (decades / weights::DECADES_AT_FULL_WEIGHT).clamp(0.0, 1.0)
}

/// What a mark takes.
fn mark(entry: &Entry) -> Option<Signal> {
    let mut found = Found::default();
    let weight = entry.contribution();
    let text = format!("{}: {}", entry.category().name(), entry.reason());
    found.add(MARK, weight, weight, weight, text);
    found.into_signals().pop()
}
