//! Decides which destinations a new document goes to.
//!
//! # Contract
//! The decision is made once, when the document is made, and stands: a document that waits goes where it was
//! routed to, also when the routes have changed since. What a destination does not want is counted
//! (`filtered`, since the start). Routes can be replaced while all else runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use beaconwatch_destinations::{DestinationConfig, Route, SettingError};
use serde_json::Value;

/// Routes by destination.
#[derive(Debug, Default)]
pub(crate) struct Router {
    routes: RwLock<BTreeMap<Arc<str>, Entry>>,
}

#[derive(Clone, Debug)]
struct Entry {
    route: Arc<Route>,
    filtered: Arc<AtomicU64>,
}

impl Router {
    /// Routes to the configured destinations.
    pub(crate) fn new(
        destinations: &BTreeMap<String, DestinationConfig>,
    ) -> Result<Self, SettingError> {
        let router = Self::default();
        router.replace(destinations)?;
        Ok(router)
    }

    /// Replaces all routes, or none when one of them cannot be. Counters go on.
    pub(crate) fn replace(
        &self,
        destinations: &BTreeMap<String, DestinationConfig>,
    ) -> Result<(), SettingError> {
        let mut new = BTreeMap::new();
        for (name, destination) in destinations {
            let field = format!("destinations.{name}.route");
            let route = Arc::new(destination.route.compile(&field)?);
            let filtered = Arc::default();
            new.insert(Arc::from(name.as_str()), Entry { route, filtered });
        }
        let mut routes = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        for (name, entry) in &mut new {
            if let Some(old) = routes.get(name) {
                entry.filtered = Arc::clone(&old.filtered);
            }
        }
        *routes = new;
        Ok(())
    }

    fn read<T>(&self, ask: impl FnOnce(&BTreeMap<Arc<str>, Entry>) -> T) -> T {
        ask(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The destinations that want a document with this body.
    pub(crate) fn route(&self, body: &Value) -> Vec<Arc<str>> {
        self.read(|routes| {
            let mut wanted = Vec::new();
            for (name, entry) in routes {
                if entry.route.wants(body) {
                    wanted.push(Arc::clone(name));
                } else {
                    entry.filtered.fetch_add(1, Ordering::Relaxed);
                }
            }
            wanted
        })
    }

    /// Destinations that new documents may go to.
    pub(crate) fn enabled(&self) -> Vec<Arc<str>> {
        self.read(|routes| {
            let enabled = routes
                .iter()
                .filter(|(_, entry)| entry.route.config().enabled);
            enabled.map(|(name, _)| Arc::clone(name)).collect()
        })
    }

    /// The route to a destination, when it is configured.
    pub(crate) fn route_of(&self, destination: &str) -> Option<Arc<Route>> {
        self.read(|routes| {
            routes
                .get(destination)
                .map(|entry| Arc::clone(&entry.route))
        })
    }

    /// Documents that a destination did not want, since the start.
    pub(crate) fn filtered(&self, destination: &str) -> u64 {
        self.read(|routes| {
            let entry = routes.get(destination);
            entry.map_or(0, |entry| entry.filtered.load(Ordering::Relaxed))
        })
    }
}

#[cfg(test)]
mod tests {
    use beaconwatch_destinations::{MinimumSeverity, RouteConfig};
    use serde_json::json;

    use super::*;

    fn destinations(least: MinimumSeverity) -> BTreeMap<String, DestinationConfig> {
        let critical = DestinationConfig {
            route: RouteConfig {
                minimum_severity: least,
                ..RouteConfig::default()
            },
            ..DestinationConfig::default()
        };
        BTreeMap::from([
            ("all".to_owned(), DestinationConfig::default()),
            ("some".to_owned(), critical),
        ])
    }

    #[test]
    fn a_document_goes_where_it_is_wanted_and_the_rest_is_counted_through_a_change() {
        let router = Router::new(&destinations(MinimumSeverity::Critical)).unwrap();
        let high = json!({"event": {"severity": 73}});
        assert_eq!(router.route(&high), ["all".into()]);
        router
            .replace(&destinations(MinimumSeverity::High))
            .unwrap();
        assert_eq!(router.route(&high), ["all".into(), "some".into()]);
        assert_eq!((router.filtered("all"), router.filtered("some")), (0, 1));
    }

    #[test]
    fn a_route_that_cannot_be_changes_nothing() {
        let router = Router::new(&destinations(MinimumSeverity::Low)).unwrap();
        let mut wrong = destinations(MinimumSeverity::Low);
        wrong.get_mut("some").unwrap().route.max_documents_per_s = Some(0);
        let error = router.replace(&wrong).unwrap_err().to_string();
        assert!(error.contains("destinations.some.route.max_documents_per_s is 0"));
        assert_eq!(router.route(&json!({})).len(), 2);
    }

    #[test]
    fn a_disabled_destination_is_routed_to_by_none() {
        let mut all = destinations(MinimumSeverity::Low);
        all.get_mut("some").unwrap().route.enabled = false;
        let router = Router::new(&all).unwrap();
        assert_eq!(router.enabled(), ["all".into()]);
        assert_eq!(router.route(&json!({})), ["all".into()]);
    }
}
