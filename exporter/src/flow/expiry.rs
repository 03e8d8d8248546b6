//! [`Departed`]: flows that left the table although the kernel may still speak of them.
//!
//! - *ended*: the end was yielded. Late records of it (another CPU's ring order, a snapshot taken before
//!   the close) must not make a second flow. The newest are remembered.
//! - *held*: the kernel still holds the flow, but the table does not: an idle UDP flow whose end was
//!   yielded before the kernel closes it, or a flow that was evicted. They are remembered until the kernel
//!   lets go (a close, or absence from two snapshots in a row).
//!
//! Both sets are bounded. What is forgotten early is counted: a later record of such a flow would make a
//! second flow of the same identity.

use std::collections::VecDeque;

use beaconwatch_records::CounterSet;

use super::FlowId;
use super::key::{FlowMap, FlowSet};

/// What must be known of an evicted flow to yield its end later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evicted {
    pub(super) start_unix_ns: u64,
    pub(super) next_number: u32,
    pub(super) reported: CounterSet,
}

/// What was told of a flow so far, for the exporter that takes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// When the flow began, nanoseconds since the Unix epoch.
    pub start_unix_ns: u64,
    /// Number of its next event.
    pub next_number: u32,
    /// Counters of its last event.
    pub reported: CounterSet,
    /// Whether its end was told, although the kernel still holds it.
    pub ended: bool,
}

impl From<Told> for Evicted {
    fn from(told: Told) -> Self {
        Self {
            start_unix_ns: told.start_unix_ns,
            next_number: told.next_number,
            reported: told.reported,
        }
    }
}

/// Where a departed flow stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Departure {
    /// Its end was yielded.
    Ended,
    /// It was evicted: only its end may still be yielded.
    Evicted(Evicted),
}

#[derive(Debug)]
struct Held {
    generation: u32,
    evicted: Option<Box<Evicted>>,
}

/// Bounded memory of departed flows.
#[derive(Debug)]
pub(super) struct Departed {
    ended: FlowSet,
    ended_order: VecDeque<FlowId>,
    max_ended: usize,
    held: FlowMap<Held>,
    max_held: usize,
    forgotten: u64,
}

impl Departed {
    pub(super) fn new(max_ended: usize, max_held: usize) -> Self {
        Self {
            ended: FlowSet::default(),
            ended_order: VecDeque::new(),
            max_ended: max_ended.max(1),
            held: FlowMap::default(),
            max_held: max_held.max(1),
            forgotten: 0,
        }
    }

    /// Held flows that were given up because there were too many.
    pub(super) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// Whether the flow departed; notes that the kernel spoke of it in this generation.
    pub(super) fn find(&mut self, id: &FlowId, generation: u32) -> Option<Departure> {
        if let Some(held) = self.held.get_mut(id) {
            held.generation = generation;
            return Some(match &held.evicted {
                Some(evicted) => Departure::Evicted(**evicted),
                None => Departure::Ended,
            });
        }
        self.ended.contains(id).then_some(Departure::Ended)
    }

    /// The kernel said that the flow is over.
    pub(super) fn end(&mut self, id: FlowId) {
        self.held.remove(&id);
        if !self.ended.insert(id) {
            return;
        }
        self.ended_order.push_back(id);
        while self.ended_order.len() > self.max_ended {
            if let Some(oldest) = self.ended_order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }

    /// User space is done with the flow, the kernel is not.
    pub(super) fn hold(&mut self, id: FlowId, generation: u32, evicted: Option<Evicted>) {
        if self.held.len() >= self.max_held {
            self.forget_oldest();
        }
        self.held.insert(
            id,
            Held {
                generation,
                evicted: evicted.map(Box::new),
            },
        );
    }

    /// Whether the kernel is taken to hold the flow still.
    pub(super) fn holds(&self, id: &FlowId) -> bool {
        self.held.contains_key(id)
    }

    /// Gives up a sixteenth of the held flows, those first that the kernel has not spoken of for longest.
    fn forget_oldest(&mut self) {
        let count = (self.max_held / 16).max(1);
        let mut by_age: Vec<(u32, FlowId)> = self
            .held
            .iter()
            .map(|(id, held)| (held.generation, *id))
            .collect();
        by_age.sort_unstable();
        for (_, id) in by_age.into_iter().take(count) {
            self.held.remove(&id);
            self.forgotten += 1;
        }
    }

    /// After a whole snapshot: the kernel let go of what it did not speak of in the last two. Returns the
    /// evicted flows among them: their end was lost.
    pub(super) fn sweep(&mut self, generation: u32) -> usize {
        let gone: Vec<(FlowId, bool)> = self
            .held
            .iter()
            .filter(|(_, held)| generation.wrapping_sub(held.generation) >= 2)
            .map(|(id, held)| (*id, held.evicted.is_some()))
            .collect();
        for (id, _) in &gone {
            self.end(*id);
        }
        gone.iter().filter(|(_, evicted)| *evicted).count()
    }
}
