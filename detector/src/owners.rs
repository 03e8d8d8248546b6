//! Owners of processes, each kept once over all series.
//!
//! Contract: what is kept of an owner is bounded ([`bounded`]) and shared ([`Owners`]). Series of one process point to
//! one value; owners that differ, as when a program is started anew for each beat, share the texts that they have in
//! common. No result depends on what is shared.
//!
//! Memory: 8 bytes of its series; a different owner takes 240 bytes and a place in a table, and its texts as far as no
//! other owner has them: at most 13 of [`MAX_TEXT_BYTES`]. An owner that no series has any more goes at the latest when
//! there are twice as many as were in use when they were last counted. Measured with 100,000 series: 4 bytes a series where
//! a process has 50, 220 where it has one, 470 where every connection is a new process.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::Arc;

use hashbrown::HashTable;

use crate::Owner;

/// Longest text of an owner that is kept. A longer one is left out; of a command line the begin is kept, so that
/// nobody hides a container behind long arguments.
pub(crate) const MAX_TEXT_BYTES: usize = 1024;
/// Values that are kept before any is looked at again.
const FEWEST_VALUES: usize = 1024;

/// An owner without what is too long.
pub(crate) fn bounded(owner: &Arc<Owner>) -> Arc<Owner> {
    let fits = |text: &Arc<str>| text.len() <= MAX_TEXT_BYTES;
    if texts(owner).into_iter().flatten().all(fits) {
        return Arc::clone(owner);
    }
    let mut kept = Owner::clone(owner);
    if let Some(line) = &mut kept.command_line
        && let Some(begin) = line.get(..line.floor_char_boundary(MAX_TEXT_BYTES))
    {
        *line = Arc::from(begin);
    }
    for text in texts_mut(&mut kept) {
        text.take_if(|text| !fits(text));
    }
    Arc::new(kept)
}

/// The owners that series have.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    owners: Pool<Owner>,
    texts: Pool<str>,
}

impl Owners {
    /// The kept value that equals this one.
    pub(crate) fn share(&mut self, owner: &Arc<Owner>) -> Arc<Owner> {
        if let Some(known) = self.owners.find(owner) {
            return known;
        }
        let mut own = Owner::clone(owner);
        for text in texts_mut(&mut own).into_iter().flatten() {
            *text = self.texts.share(text);
        }
        self.owners.share(&Arc::new(own))
    }
}

/// Values, each once, for as long as somebody else has them.
#[derive(Debug)]
struct Pool<T: ?Sized> {
    values: HashTable<Arc<T>>,
    /// Keyed at random: nobody outside can choose texts that collide.
    hasher: RandomState,
    /// How many there may be before the unused ones go.
    sweep_at: usize,
}

impl<T: ?Sized> Default for Pool<T> {
    fn default() -> Self {
        Self {
            values: HashTable::new(),
            hasher: RandomState::new(),
            sweep_at: FEWEST_VALUES,
        }
    }
}

impl<T: ?Sized + Eq + Hash> Pool<T> {
    fn find(&self, value: &Arc<T>) -> Option<Arc<T>> {
        let hash = self.hasher.hash_one(value);
        self.values.find(hash, |it| it == value).cloned()
    }

    fn share(&mut self, value: &Arc<T>) -> Arc<T> {
        if let Some(known) = self.find(value) {
            return known;
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|it| Arc::strong_count(it) > 1);
            self.sweep_at = self.values.len().saturating_mul(2).max(FEWEST_VALUES);
        }
        let hasher = &self.hasher;
        let hash = hasher.hash_one(value);
        self.values
            .insert_unique(hash, Arc::clone(value), |it| hasher.hash_one(it));
        Arc::clone(value)
    }
}

/// Declares the texts of an owner, borrowed both ways: a field that is added has to be named here.
macro_rules! texts {
    ($($text:ident),*) => {
        fn texts(owner: &Owner) -> [&Option<Arc<str>>; 13] {
            let Owner { parent_pid: _, $($text),* } = owner;
            [$($text),*]
        }

        fn texts_mut(owner: &mut Owner) -> [&mut Option<Arc<str>>; 13] {
            let Owner { parent_pid: _, $($text),* } = owner;
            [$($text),*]
        }
    };
}

texts!(
    user_name,
    command_line,
    executable_sha256,
    parent_name,
    parent_executable,
    container_id,
    container_runtime,
    unit,
    user_unit,
    pod_uid,
    pod_name,
    pod_namespace,
    pod_container
);

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(parent: u32) -> Arc<Owner> {
        Arc::new(Owner {
            parent_pid: Some(parent),
            container_id: Some(Arc::from("3f4a5b6c7d8e")),
            pod_name: Some(Arc::from("web-x2x7k")),
            ..Owner::default()
        })
    }

    #[test]
    fn equal_owners_are_one_and_others_share_their_texts() {
        let mut owners = Owners::default();
        let [first, again, other] = [1, 1, 2].map(|parent| owners.share(&owner(parent)));
        assert!(Arc::ptr_eq(&first, &again) && first != other);
        let container = |it: &Owner| it.container_id.clone().unwrap();
        assert!(Arc::ptr_eq(&container(&first), &container(&other)));
    }

    #[test]
    fn owners_that_nobody_has_any_more_go() {
        let mut owners = Owners::default();
        let held: Vec<_> = (0..100).map(|it| owners.share(&owner(it))).collect();
        for parent in 0..100_000 {
            owners.share(&owner(parent));
            assert!(owners.owners.values.len() <= FEWEST_VALUES);
        }
        for (parent, kept) in (0..).zip(&held) {
            assert!(Arc::ptr_eq(kept, &owners.share(&owner(parent))));
        }
        assert!(owners.texts.values.len() <= 3, "they are the same texts");
    }

    #[test]
    fn of_hostile_lengths_a_command_line_keeps_its_begin_and_other_texts_go() {
        let long = |text: &str| Some(Arc::<str>::from(text.repeat(100_000)));
        let mut hostile = Owner::default();
        for text in texts_mut(&mut hostile) {
            *text = long("€");
        }
        hostile.container_id = Some(Arc::from("3f4a5b6c7d8e"));
        let kept = bounded(&Arc::new(hostile));
        assert_eq!(kept.container_id.as_deref(), Some("3f4a5b6c7d8e"));
        let line = kept.command_line.as_deref().unwrap();
        assert_eq!(line, "€".repeat(MAX_TEXT_BYTES / 3));
        assert_eq!(texts(&kept).into_iter().flatten().count(), 2);
        let short = owner(7);
        assert!(Arc::ptr_eq(&bounded(&short), &short));
    }
}
