//! Worlds of the project's own: connections of a company's hosts over days, implants among them, and the truth.
//!
//! A world is made by a seed and is the same on any machine. It holds pairs (source, destination, port, transport) of
//! three kinds, and the generator counts them itself, with nothing of the detector:
//!
//! - **irregular** pairs ([`benign`]), which a detector of beacons should leave alone: their number is what a budget of
//!   false positives is a share of;
//! - **beacons** that harm nobody (time, updates, telemetry, monitoring, mail, push), in neither count;
//! - **implants** ([`implant`]), each at a host of its own, with one pair or, when it rotates, several. A part of them
//!   is the *hard set*.
//!
//! Limits: hosts, sizes and names are much simpler than real ones, so that what uses them (context, learning) proves little
//! here; and whoever changes the detector can see these worlds. Schedules with exponential gaps are left out: no timing
//! can tell them from irregular traffic.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts far below 2^31, sizes and seconds of two weeks"
)]

pub mod benign;
mod host;
pub mod implant;
mod write;

use std::collections::BTreeSet;

use crate::random::Numbers;
use benign::{BEACONS, IRREGULAR};
use host::Host;
use implant::{Beat, Schedule};

/// Seconds of a day.
pub const DAY_S: f64 = 86_400.0;
/// When a world begins: a Monday, midnight (seconds since 1970).
pub const BEGIN_S: f64 = 1_736_121_600.0;

/// Irregular pairs of a host, about.
const PAIRS_OF_A_HOST: usize = 50;
/// Benign beacons for each irregular pair.
const BEACON_SHARE: f64 = 0.03;
/// Servers for each irregular pair; few are asked often.
const SERVER_SHARE: f64 = 0.7;
const POPULARITY: f64 = 2.2;
/// Share of connections that name their server.
const NAMED: f64 = 0.85;

/// What a world is made of.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Another world for each.
    pub seed: u64,
    /// How long it is.
    pub days: u32,
    /// Pairs that do not beat.
    pub irregular: usize,
    /// Implants for each schedule.
    pub implants_each: usize,
}

/// What a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Does not beat.
    Irregular,
    /// Beats and is harmless.
    Beacon,
    /// Belongs to the implant of this index.
    Implant(usize),
}

/// Who talks to whom.
#[derive(Clone, Debug)]
pub struct Pair {
    /// IPv4 address.
    pub source: u32,
    /// IPv4 address.
    pub destination: u32,
    /// Port of the destination.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: &'static str,
    /// Name that the connections give.
    pub server_name: Option<String>,
    /// The truth.
    pub kind: Kind,
    /// Connections of it in the world.
    pub connections: usize,
}

/// A connection, or activity inside one.
#[derive(Clone, Copy, Debug)]
pub struct Contact {
    /// Index of its pair.
    pub pair: usize,
    /// Since the world began.
    pub time_s: f64,
    /// How long it lasts.
    pub duration_s: f64,
    /// Bytes out.
    pub sent: u64,
    /// Bytes in.
    pub received: u64,
}

/// An implant, as the generator knows it.
#[derive(Clone, Debug)]
pub struct Implant {
    /// Its schedule.
    pub schedule: Schedule,
    /// Indices of its pairs.
    pub pairs: Vec<usize>,
    /// Beats in the world, over all its pairs.
    pub beats: usize,
}

/// A world and its truth.
#[derive(Debug)]
pub struct World {
    /// All pairs.
    pub pairs: Vec<Pair>,
    /// All connections, in the order of their times.
    pub connections: Vec<Contact>,
    /// Activity inside long connections, in the order of its times.
    pub activity: Vec<Contact>,
    /// All implants.
    pub implants: Vec<Implant>,
}

impl World {
    /// Makes a world.
    #[must_use]
    pub fn generate(plan: &Plan) -> Self {
        let mut maker = Maker::new(plan);
        for family in &IRREGULAR {
            let pairs = (plan.irregular as f64 * family.share).round() as usize;
            for _ in 0..pairs {
                maker.benign(Kind::Irregular, family.service, family.times);
            }
        }
        for family in &BEACONS {
            let pairs = (plan.irregular as f64 * BEACON_SHARE * family.share).round() as usize;
            for _ in 0..pairs {
                maker.benign(Kind::Beacon, family.service, family.times);
            }
        }
        let schedules = implant::schedules(plan.days);
        for (number, schedule) in schedules.iter().enumerate() {
            for copy in 0..plan.implants_each {
                maker.implant(schedule, number * plan.implants_each + copy);
            }
        }
        maker.finish()
    }

    /// Pairs that have connections and do not beat.
    #[must_use]
    pub fn irregular(&self) -> usize {
        let counted = |pair: &&Pair| pair.kind == Kind::Irregular && pair.connections > 0;
        self.pairs.iter().filter(counted).count()
    }
}

struct Maker {
    numbers: Numbers,
    hosts: Vec<Host>,
    /// Hosts in the order in which implants come to them.
    victims: Vec<usize>,
    servers: usize,
    end_s: f64,
    taken: BTreeSet<(u32, u32, u16)>,
    world: World,
}

impl Maker {
    fn new(plan: &Plan) -> Self {
        let mut numbers = Numbers::new(plan.seed);
        let hosts = (plan.irregular / PAIRS_OF_A_HOST).max(20);
        let mut victims: Vec<usize> = (0..hosts).collect();
        for last in (1..hosts).rev() {
            victims.swap(last, numbers.below(last + 1));
        }
        Self {
            hosts: (0..hosts)
                .map(|_| Host::new(plan.days, &mut numbers))
                .collect(),
            victims,
            numbers,
            servers: ((plan.irregular as f64 * SERVER_SHARE) as usize).max(100),
            end_s: f64::from(plan.days) * DAY_S,
            taken: BTreeSet::new(),
            world: World {
                pairs: Vec::new(),
                connections: Vec::new(),
                activity: Vec::new(),
                implants: Vec::new(),
            },
        }
    }

    fn source(host: usize) -> u32 {
        0x0a14_0000 + host as u32
    }

    fn benign(&mut self, kind: Kind, service: benign::Service, times: benign::Times) {
        let (host, server, port) = loop {
            let host = self.numbers.below(self.hosts.len());
            let server = (self.servers as f64 * self.numbers.unit().powf(POPULARITY)) as usize;
            let port = self.numbers.one_of(service.ports);
            let address = service.address(server);
            if self.taken.insert((Self::source(host), address, port)) {
                break (host, server, port);
            }
        };
        let named = service.named && self.numbers.chance(NAMED);
        let pair = self.pair(Pair {
            source: Self::source(host),
            destination: service.address(server),
            port,
            transport: service.transport,
            server_name: named.then(|| format!("www.s{server}.example")),
            kind,
            connections: 0,
        });
        let times = times(&mut self.numbers, &self.hosts[host]);
        let sizes = Sizes::any(&mut self.numbers, kind);
        for time_s in times {
            let contact = sizes.contact(pair, time_s, &mut self.numbers);
            self.connect(contact);
        }
    }

    fn implant(&mut self, schedule: &Schedule, number: usize) {
        let host = self.victims[number % self.victims.len()];
        let asleep = schedule.stops_with_its_host() && self.numbers.chance(0.25);
        let spans = &self.hosts[host];
        let beats: Vec<Beat> = schedule
            .beats(self.end_s, spans, &mut self.numbers)
            .into_iter()
            .filter(|beat| !asleep || spans.is_on(beat.time_s))
            .collect();
        let implant = self.world.implants.len();
        let port = self.numbers.one_of(&[80, 443, 443, 443, 8080, 8443]);
        let pairs: Vec<usize> = (0..schedule.addresses())
            .map(|_| self.implant_pair(host, port, implant, schedule))
            .collect();
        let sizes = Sizes::any(&mut self.numbers, Kind::Implant(implant));
        for beat in &beats {
            let contact = sizes.contact(pairs[beat.address], beat.time_s, &mut self.numbers);
            if schedule.is_inside_one_connection() {
                self.world.activity.push(contact);
            } else {
                self.connect(contact);
            }
        }
        if let (true, Some(first)) = (schedule.is_inside_one_connection(), beats.first()) {
            let mut whole = sizes.contact(pairs[0], first.time_s, &mut self.numbers);
            whole.duration_s = beats.last().map_or(0.0, |last| last.time_s - first.time_s);
            whole.sent = whole.sent.saturating_mul(beats.len() as u64);
            self.connect(whole);
        }
        self.world.implants.push(Implant {
            schedule: *schedule,
            pairs,
            beats: beats.len(),
        });
    }

    /// A pair to a server that nobody else talks to.
    fn implant_pair(
        &mut self,
        host: usize,
        port: u16,
        implant: usize,
        schedule: &Schedule,
    ) -> usize {
        let number = self.world.pairs.len() as u32;
        let named = self.numbers.chance(0.7);
        let (port, transport) = if schedule.is_dns() {
            (53, "udp")
        } else {
            (port, "tcp")
        };
        self.pair(Pair {
            source: Self::source(host),
            destination: 0xcb00_0000 + number,
            port,
            transport,
            server_name: named.then(|| format!("cdn.c{number}.example")),
            kind: Kind::Implant(implant),
            connections: 0,
        })
    }

    fn pair(&mut self, pair: Pair) -> usize {
        self.world.pairs.push(pair);
        self.world.pairs.len() - 1
    }

    fn connect(&mut self, contact: Contact) {
        if (0.0..self.end_s).contains(&contact.time_s) {
            self.world.pairs[contact.pair].connections += 1;
            self.world.connections.push(contact);
        }
    }

    fn finish(mut self) -> World {
        let by_time = |a: &Contact, b: &Contact| a.time_s.total_cmp(&b.time_s);
        self.world.connections.sort_by(by_time);
        self.world.activity.sort_by(by_time);
        self.world
    }
}

/// How large the connections of a pair are. Half of all that beats sends the same each time.
struct Sizes {
    sent: f64,
    received: f64,
    sigma: f64,
}

impl Sizes {
    fn any(numbers: &mut Numbers, kind: Kind) -> Self {
        let constant = if kind == Kind::Irregular { 0.1 } else { 0.5 };
        Self {
            sent: numbers.log_normal(700.0, 0.8),
            received: numbers.log_normal(2_500.0, 1.2),
            sigma: if numbers.chance(constant) {
                0.0
            } else {
                numbers.between(0.02, 0.9)
            },
        }
    }

    fn contact(&self, pair: usize, time_s: f64, numbers: &mut Numbers) -> Contact {
        Contact {
            pair,
            time_s,
            duration_s: numbers.log_normal(0.5, 1.0),
            sent: numbers.log_normal(self.sent, self.sigma) as u64,
            received: numbers.log_normal(self.received, self.sigma) as u64,
        }
    }
}

#[cfg(test)]
mod tests;
