//! [`Memory`]: a bounded map that keeps what is asked for.
//!
//! Two generations: when the newer one is full it becomes the older one, which is dropped. What is still asked for moves over.
//! So a value is found by one look-up while it is in use, and nothing needs a list of ages.

use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(crate) struct Memory<K, V> {
    newer: HashMap<K, V>,
    older: HashMap<K, V>,
    max_generation: usize,
    forgotten: u64,
}

impl<K: Eq + Hash, V> Memory<K, V> {
    /// Remembers at most twice `max_generation` values.
    pub(crate) fn new(max_generation: usize) -> Self {
        Self {
            newer: HashMap::new(),
            older: HashMap::new(),
            max_generation: max_generation.max(1),
            forgotten: 0,
        }
    }

    pub(crate) fn get(&mut self, key: &K) -> Option<V>
    where
        V: Clone,
    {
        if let Some(value) = self.newer.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.older.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.newer.len() >= self.max_generation && !self.newer.contains_key(&key) {
            let dropped = std::mem::replace(&mut self.older, std::mem::take(&mut self.newer));
            self.forgotten += dropped.len() as u64;
        }
        self.newer.insert(key, value);
    }

    /// Forgets a value and hands it over.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let older = self.older.remove(key);
        self.newer.remove(key).or(older)
    }

    /// How many values were dropped that nobody had removed.
    pub(crate) const fn forgotten(&self) -> u64 {
        self.forgotten
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_keeps_what_is_asked_for() {
        let mut memory = Memory::new(4);
        memory.insert(0, "kept");
        for key in 1..1000 {
            memory.insert(key, "seen once");
            assert_eq!(memory.get(&0), Some("kept"));
            assert!(memory.len() <= 8);
        }
        assert_eq!(memory.forgotten(), 1000 - memory.len() as u64);
        assert_eq!(memory.get(&1), None);
        assert_eq!(memory.get(&999), Some("seen once"));
    }
}
