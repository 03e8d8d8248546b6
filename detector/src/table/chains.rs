//! Which series share a source, or a server: doubly linked lists through the slots.
//!
//! Contract: a series stands in the list of its source and in that of its server for as long as it is kept. A
//! list is found from any of its series in constant time, kept up in constant time, and read from the series
//! that came last. Cost: 8 bytes a slot and list, and one slot in a hash table for each source and server.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::{Place, Slot};
use crate::series::Series;

/// No slot: the end of a list.
const NONE: Slot = Slot::MAX;

/// What the series of one list share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// Host, network namespace and source.
    Source,
    /// Destination, port and transport, over all hosts and sources.
    Server,
}

impl Shared {
    fn hash(self, hasher: &RandomState, series: &Series) -> u64 {
        let key = &series.key;
        match self {
            Self::Source => hasher.hash_one((&key.host, &key.namespace, key.source)),
            Self::Server => hasher.hash_one((key.destination, key.destination_port, key.transport)),
        }
    }

    fn is_same(self, one: &Series, other: &Series) -> bool {
        let (one, other) = (&one.key, &other.key);
        match self {
            Self::Source => {
                (&one.host, &one.namespace, one.source)
                    == (&other.host, &other.namespace, other.source)
            }
            Self::Server => {
                (one.destination, one.destination_port, one.transport)
                    == (other.destination, other.destination_port, other.transport)
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: Slot,
    next: Slot,
}

/// All lists of one kind.
#[derive(Debug)]
pub(super) struct Chains {
    shared: Shared,
    /// First slot of each list.
    heads: HashTable<Slot>,
    /// By slot.
    links: Vec<Link>,
}

fn series(places: &[Place], slot: Slot) -> Option<&Series> {
    places.get(slot as usize)?.series.as_deref()
}

impl Chains {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            shared,
            heads: HashTable::new(),
            links: Vec::new(),
        }
    }

    /// Number of lists.
    pub(super) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Puts the series of a slot, which stands in no list, at the head of its list.
    pub(super) fn insert(&mut self, slot: Slot, places: &[Place], hasher: &RandomState) {
        let Some(added) = series(places, slot) else {
            return;
        };
        let at = slot as usize;
        if at >= self.links.len() {
            let empty = Link {
                previous: NONE,
                next: NONE,
            };
            self.links.resize(at + 1, empty);
        }
        let shared = self.shared;
        let hash = shared.hash(hasher, added);
        let is_list =
            |head: &Slot| series(places, *head).is_some_and(|it| shared.is_same(it, added));
        let next = if let Some(head) = self.heads.find_mut(hash, is_list) {
            std::mem::replace(head, slot)
        } else {
            let rehash =
                |head: &Slot| series(places, *head).map_or(0, |it| shared.hash(hasher, it));
            self.heads.insert_unique(hash, slot, rehash);
            NONE
        };
        if let Some(link) = self.links.get_mut(next as usize) {
            link.previous = slot;
        }
        if let Some(link) = self.links.get_mut(at) {
            *link = Link {
                previous: NONE,
                next,
            };
        }
    }

    /// Takes the series of a slot, which is still there, out of its list.
    pub(super) fn remove(&mut self, slot: Slot, places: &[Place], hasher: &RandomState) {
        let (Some(gone), Some(link)) = (series(places, slot), self.links.get(slot as usize)) else {
            return;
        };
        let Link { previous, next } = *link;
        if let Some(after) = self.links.get_mut(next as usize) {
            after.previous = previous;
        }
        if let Some(before) = self.links.get_mut(previous as usize) {
            before.next = next;
            return;
        }
        let hash = self.shared.hash(hasher, gone);
        if let Ok(mut head) = self.heads.find_entry(hash, |head| *head == slot) {
            if next == NONE {
                head.remove();
            } else {
                *head.get_mut() = next;
            }
        }
    }

    /// The slot that stands first in the list of a series.
    pub(super) fn head(&self, of: &Series, places: &[Place], hasher: &RandomState) -> Option<Slot> {
        let hash = self.shared.hash(hasher, of);
        let is_list =
            |head: &Slot| series(places, *head).is_some_and(|it| self.shared.is_same(it, of));
        self.heads.find(hash, is_list).copied()
    }

    /// The first slot of every list, in no order that means anything.
    pub(super) fn heads(&self) -> impl Iterator<Item = Slot> {
        self.heads.iter().copied()
    }

    /// The slots of a list from its head.
    pub(super) fn from(&self, head: Slot) -> impl Iterator<Item = Slot> {
        let next = |slot: &Slot| {
            let next = self.links.get(*slot as usize)?.next;
            (next != NONE).then_some(next)
        };
        std::iter::successors(Some(head), next)
    }
}
