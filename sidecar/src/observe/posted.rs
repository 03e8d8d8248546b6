//! Which batches of telemetry were applied: each counts once, over restarts, too.
//!
//! The joiner in front of the journal forgets at a restart what it has seen; this is saved with the state that the
//! batches changed, in one transaction.
//!
//! # Limits
//! [`BATCH_IDS_MAX`] ids of each of [`NODES`] nodes; past that the oldest ids and the node that was silent for longest
//! go.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use beaconwatch_inputs::telemetry::BATCH_IDS_MAX;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::receive::Poster;

/// Nodes whose batches are remembered.
const NODES: usize = 1024;

/// The newest batches of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ids {
    /// Digests of their ids, oldest first. A sender that makes two ids collide hides a batch of its own only.
    ids: VecDeque<u128>,
    /// Number of the node's last batch among all.
    last: u64,
}

/// The newest batches of all nodes.
#[derive(Debug, Default)]
pub(super) struct PostedBatches {
    nodes: HashMap<Arc<str>, Ids>,
    changed: BTreeSet<Arc<str>>,
    /// Batches so far.
    count: u64,
}

impl PostedBatches {
    /// Takes note of a batch; false when it was applied before.
    pub(super) fn arrive(&mut self, poster: &Poster) -> bool {
        let id = xxh3_128(poster.batch_id.as_bytes());
        let node = self.nodes.entry(Arc::clone(&poster.exporter)).or_default();
        if node.ids.contains(&id) {
            return false;
        }
        self.count += 1;
        node.last = self.count;
        node.ids.push_back(id);
        if node.ids.len() > BATCH_IDS_MAX {
            node.ids.pop_front();
        }
        self.changed.insert(Arc::clone(&poster.exporter));
        self.limit_nodes();
        true
    }

    fn limit_nodes(&mut self) {
        while self.nodes.len() > NODES {
            let oldest = self.nodes.iter().min_by_key(|(_, ids)| ids.last);
            let Some(oldest) = oldest.map(|(node, _)| Arc::clone(node)) else {
                return;
            };
            self.nodes.remove(&oldest);
            self.changed.insert(oldest);
        }
    }

    /// Takes back what was saved of a node.
    pub(super) fn restore(&mut self, node: &str, ids: Ids) {
        self.count = self.count.max(ids.last);
        self.nodes.insert(node.into(), ids);
    }

    /// Nodes that have changed since the last call; none means forgotten.
    pub(super) fn take_changes(&mut self) -> Vec<(Arc<str>, Option<&Ids>)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|node| {
                let ids = self.nodes.get(&node);
                (node, ids)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poster(node: usize, batch: usize) -> Poster {
        Poster {
            exporter: format!("telemetry:{node}").into(),
            batch_id: batch.to_string().into(),
        }
    }

    #[test]
    fn a_batch_of_a_node_arrives_once_also_after_a_restore() {
        let mut posted = PostedBatches::default();
        assert!(posted.arrive(&poster(1, 1)));
        assert!(!posted.arrive(&poster(1, 1)));
        assert!(posted.arrive(&poster(2, 1)), "another node's");
        let saved: Vec<_> = posted
            .take_changes()
            .into_iter()
            .map(|(node, ids)| (node, ids.cloned().unwrap()))
            .collect();
        assert_eq!(saved.len(), 2);
        let mut restored = PostedBatches::default();
        for (node, ids) in saved {
            restored.restore(&node, ids);
        }
        assert!(!restored.arrive(&poster(1, 1)));
        assert!(restored.take_changes().is_empty());
    }

    #[test]
    fn ids_and_nodes_are_bounded_and_the_oldest_go() {
        let mut posted = PostedBatches::default();
        for batch in 0..=BATCH_IDS_MAX {
            assert!(posted.arrive(&poster(0, batch)));
        }
        assert!(posted.arrive(&poster(0, 0)), "the oldest is forgotten");
        assert!(!posted.arrive(&poster(0, BATCH_IDS_MAX)));
        posted.take_changes();
        for node in 1..=NODES {
            posted.arrive(&poster(node, 0));
        }
        assert_eq!(posted.nodes.len(), NODES);
        let gone: Vec<_> = posted
            .take_changes()
            .into_iter()
            .filter(|(_, ids)| ids.is_none())
            .map(|(node, _)| node.to_string())
            .collect();
        assert_eq!(gone, ["telemetry:0"]);
    }
}
