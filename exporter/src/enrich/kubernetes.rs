//! Pods by their uid: a place for each at once, and what the kubelet says of it as soon as it is known.
//!
//! - [`Pods`] is the collecting task's: it hands out a [`PodPlace`] for each uid and waits for nothing;
//! - [`PodReader`] is a task of its own: when a place is new it asks the kubelet for its list of pods, fills the places
//!   that the list knows, and asks again for those that it does not, with growing pauses.
//!
//! Limits: twice 4,096 pods are remembered, 1,024 wait, each for ten minutes; an answer may have 64 MiB. Labels are those of the
//! moment when the pod was first seen. What a record says of a pod that the kubelet has not told yet is its uid.

mod client;
mod pod_list;
mod reader;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::memory::Memory;

pub use client::KubernetesError;
pub use reader::PodReader;

const MAX_PODS: usize = 4096;
const MAX_WAITING: usize = 1024;
const GIVE_UP_AFTER: Duration = Duration::from_mins(10);

/// What the kubelet says of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The node that it runs on.
    pub node: Option<String>,
    /// Labels that the settings list: name of the attribute, and value.
    pub labels: Vec<(String, String)>,
    /// Its containers.
    pub containers: Vec<PodContainer>,
}

/// A container of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodContainer {
    /// Identity that the runtime gave it.
    pub id: String,
    /// Name in the pod.
    pub name: String,
    /// The runtime: what stands before `://` in the kubelet's answer.
    pub runtime: String,
}

impl Pod {
    /// The container of an identity.
    #[must_use]
    pub fn container(&self, id: &str) -> Option<&PodContainer> {
        self.containers.iter().find(|container| container.id == id)
    }
}

/// Place of one pod, filled later.
#[derive(Debug)]
pub struct PodPlace {
    uid: Arc<str>,
    pod: OnceLock<Pod>,
}

impl PodPlace {
    fn new(uid: &str) -> Self {
        Self {
            uid: Arc::from(uid),
            pod: OnceLock::new(),
        }
    }

    /// The pod's uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// The pod, once the kubelet has told.
    #[must_use]
    pub fn get(&self) -> Option<&Pod> {
        self.pod.get()
    }

    /// A place that is filled.
    #[cfg(test)]
    pub(crate) fn of(uid: &str, pod: Pod) -> Self {
        let place = Self::new(uid);
        assert!(place.pod.set(pod).is_ok());
        place
    }
}

/// Places that the kubelet has not told of yet.
#[derive(Debug, Default)]
struct Waiting {
    places: Mutex<HashMap<Arc<str>, Waiter>>,
    arrived: Notify,
}

#[derive(Debug)]
struct Waiter {
    place: Arc<PodPlace>,
    since: Instant,
}

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Waiter>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, place: &Arc<PodPlace>) {
        let mut places = self.lock();
        if places.len() >= MAX_WAITING {
            tracing::debug!(uid = place.uid(), "pod stays unknown: too many wait");
            return;
        }
        let since = Instant::now();
        let place = Arc::clone(place);
        places.insert(Arc::clone(&place.uid), Waiter { place, since });
        drop(places);
        self.arrived.notify_one();
    }

    /// Fills what is known; returns how many places that were.
    fn fill(&self, pods: &mut HashMap<String, Pod>) -> usize {
        let mut places = self.lock();
        let before = places.len();
        places.retain(|uid, waiter| match pods.remove(&**uid) {
            // Set once: a place waits once.
            Some(pod) => waiter.place.pod.set(pod).is_err(),
            None => true,
        });
        before - places.len()
    }

    /// Forgets who waits for too long: the pod is gone. Returns whether anybody still waits.
    fn give_up(&self, now: Instant) -> bool {
        let mut places = self.lock();
        places.retain(|_, it| now.saturating_duration_since(it.since) < GIVE_UP_AFTER);
        !places.is_empty()
    }
}

/// Places of pods by uid.
#[derive(Debug)]
pub struct Pods {
    places: Memory<Arc<str>, Arc<PodPlace>>,
    waiting: Option<Arc<Waiting>>,
}

impl Pods {
    /// Pods that nobody asks the kubelet about.
    #[must_use]
    pub fn unasked() -> Self {
        Self {
            places: Memory::new(MAX_PODS),
            waiting: None,
        }
    }

    fn asked(waiting: Arc<Waiting>) -> Self {
        Self {
            waiting: Some(waiting),
            ..Self::unasked()
        }
    }

    /// The place of a pod.
    pub(super) fn find(&mut self, uid: &str) -> Arc<PodPlace> {
        let key = Arc::from(uid);
        if let Some(place) = self.places.get(&key) {
            return place;
        }
        let place = Arc::new(PodPlace::new(uid));
        self.places.insert(key, Arc::clone(&place));
        if let Some(waiting) = &self.waiting {
            waiting.add(&place);
        }
        place
    }
}

#[cfg(test)]
mod tests;
