//! Simulations under way: `beaconwatch simulate` makes harmless connections to a listener of its own and
//! tells the sidecar where that is. Findings of series to there are marked.
//!
//! The exporter marks the traffic of Beaconwatch itself as its own, and own traffic is never scored; that of a
//! registered simulation is let through.
//!
//! # Limits
//! At most [`MAX_SIMULATIONS`] at a time, each of at most [`MAX_SECONDS`].

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use beaconwatch_detector::{Observation, SeriesKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::alert::AlertError;

/// Most simulations at a time.
const MAX_SIMULATIONS: usize = 64;
/// Longest simulation: one week.
const MAX_SECONDS: u64 = 7 * 86_400;
/// Findings of a simulation are marked for this long after its end: it is analysed only then.
const GRACE_NS: i64 = 3600 * 1_000_000_000;

/// One simulation, as the store keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Simulation {
    pub(super) destination: SocketAddr,
    pub(super) begin: Timestamp,
    pub(super) end: Timestamp,
}

/// All simulations.
#[derive(Clone, Debug, Default)]
pub(super) struct Simulations(BTreeMap<(IpAddr, u16), Simulation>);

impl Simulations {
    /// Takes a simulation; one at the same place is replaced.
    pub(super) fn begin(
        &mut self,
        destination: SocketAddr,
        seconds: u64,
        now: Timestamp,
    ) -> Result<(), AlertError> {
        if !(1..=MAX_SECONDS).contains(&seconds) {
            return Err(AlertError::invalid(
                "seconds",
                seconds,
                "1 to 604800 seconds (a week)",
            ));
        }
        self.forget(now);
        let ip = destination.ip().to_canonical();
        let place = (ip, destination.port());
        if self.0.len() >= MAX_SIMULATIONS && !self.0.contains_key(&place) {
            return Err(AlertError::Conflict(format!(
                "{MAX_SIMULATIONS} simulations are under way, which is the most"
            )));
        }
        let nanos = i64::try_from(seconds)
            .unwrap_or(i64::MAX)
            .saturating_mul(1_000_000_000);
        let end = Timestamp::from_unix_nanos(now.unix_nanos().saturating_add(nanos));
        self.0.insert(
            place,
            Simulation {
                destination: SocketAddr::new(ip, destination.port()),
                begin: now,
                end,
            },
        );
        Ok(())
    }

    /// Forgets those that ended long ago.
    fn forget(&mut self, now: Timestamp) {
        self.0.retain(|_, simulation| !is_over(simulation, now));
    }

    pub(super) fn restore(&mut self, simulations: Vec<Simulation>) {
        for it in simulations {
            let place = (it.destination.ip(), it.destination.port());
            self.0.insert(place, it);
        }
    }

    /// What the store keeps.
    pub(super) fn saved(&self) -> Vec<Simulation> {
        self.0.values().copied().collect()
    }

    fn at(&self, key: &SeriesKey) -> Option<&Simulation> {
        if self.0.is_empty() {
            return None;
        }
        self.0
            .get(&(key.destination.to_canonical(), key.destination_port))
    }

    /// Whether a series of now was made by a simulation.
    pub(super) fn made(&self, key: &SeriesKey, now: Timestamp) -> bool {
        self.at(key).is_some_and(|it| !is_over(it, now))
    }

    /// Whether an observation of own traffic belongs to a simulation and shall be scored.
    pub(super) fn lets_through(&self, observation: &Observation) -> bool {
        self.at(&observation.key)
            .is_some_and(|it| it.begin <= observation.time && observation.time <= it.end)
    }
}

fn is_over(simulation: &Simulation, now: Timestamp) -> bool {
    now.unix_nanos() > simulation.end.unix_nanos().saturating_add(GRACE_NS)
}
