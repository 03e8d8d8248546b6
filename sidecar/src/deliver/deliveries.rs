//! The workers of all destinations: started, exchanged while the sidecar runs, and ended.
//!
//! Contract: a worker that is exchanged ends its attempt first; what waited for its destination waits in
//! the store and is taken up by the next one. A destination that cannot be made is told before anything is
//! exchanged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use beaconwatch_destinations::{
    BuildError, Destination, DestinationConfig, SettingError, Surroundings,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Progress, RetryPolicy, Router, Worker, WorkerSettings};
use crate::clock::Clock;
use crate::config::Config;
use crate::store::Store;

/// An attempt that lasts longer is given up when its worker is exchanged: its documents are sent again.
const EXCHANGE_DEADLINE: Duration = Duration::from_secs(10);

/// A destination that cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("destination {name}: {source}")]
pub struct DestinationError {
    /// Its name.
    pub name: String,
    /// Why.
    pub source: BuildError,
}

/// One destination, made and not yet served.
#[derive(Debug)]
struct Made {
    progress: Arc<Progress>,
    destination: Box<dyn Destination>,
}

/// Destinations that are made, and those that go.
#[derive(Debug)]
pub(crate) struct Prepared {
    made: Vec<Made>,
    /// Names of workers to end: of what is gone and of what is made anew.
    ended: Vec<String>,
}

/// A worker that runs.
#[derive(Debug)]
struct Running {
    progress: Arc<Progress>,
    /// Ends it after its attempt.
    retire: CancellationToken,
    task: JoinHandle<()>,
}

/// All workers.
#[derive(Clone, Debug)]
pub(crate) struct Deliveries {
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    pub(super) store: Store,
    /// The configuration in force, for tests of destinations.
    config: Arc<Mutex<Option<Arc<Config>>>>,
    router: Arc<Router>,
    clock: Clock,
    /// Lets all workers end when nothing waits.
    drain: CancellationToken,
}

impl Prepared {
    /// Makes every destination of a configuration.
    pub(crate) fn first(config: &Config) -> Result<Self, DestinationError> {
        Self::changed(None, config)
    }

    /// Makes the destinations that the new configuration has otherwise than the old one.
    pub(crate) fn between(old: &Config, new: &Config) -> Result<Self, DestinationError> {
        Self::changed(Some(old), new)
    }

    fn changed(old: Option<&Config>, new: &Config) -> Result<Self, DestinationError> {
        let stays = |name: &String, destination: &DestinationConfig| {
            old.is_some_and(|old| {
                let known = old.destinations.get(name).map(|known| &known.kind);
                known == Some(&destination.kind) && old.delivery == new.delivery
            })
        };
        let changed = new.destinations.iter();
        let changed = changed.filter(|(name, destination)| !stays(name, destination));
        let made: Vec<Made> = changed
            .map(|(name, destination)| make(name, destination, new))
            .collect::<Result<_, _>>()?;
        let names = old.into_iter().flat_map(|old| old.destinations.keys());
        let ended = names.filter(|name| {
            let anew = |made: &Made| made.progress.name() == name.as_str();
            !new.destinations.contains_key(*name) || made.iter().any(anew)
        });
        Ok(Self {
            ended: ended.cloned().collect(),
            made,
        })
    }
}

fn make(
    name: &str,
    destination: &DestinationConfig,
    config: &Config,
) -> Result<Made, DestinationError> {
    let surroundings = Surroundings {
        data_directory: &config.data_directory,
        namespace: &config.namespace,
        observer_name: config.observer_name.as_deref(),
    };
    let built = destination.kind.build(&surroundings);
    Ok(Made {
        progress: Arc::new(Progress::new(name.to_owned(), destination.kind.name())),
        destination: built.map_err(|source| DestinationError {
            name: name.to_owned(),
            source,
        })?,
    })
}

impl Deliveries {
    /// No workers yet.
    pub(crate) fn new(store: Store, router: Arc<Router>, clock: Clock) -> Self {
        Self {
            running: Arc::default(),
            store,
            config: Arc::default(),
            router,
            clock,
            drain: CancellationToken::new(),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<String, Running>) -> T) -> T {
        work(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The configuration in force; none before the start.
    pub(super) fn config(&self) -> Option<Arc<Config>> {
        self.config
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Which documents go where.
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    /// Exchanges workers; those whose routes alone have changed stay. New documents go to the configuration's destinations from now on.
    pub(crate) async fn apply(
        &self,
        prepared: Prepared,
        config: &Config,
    ) -> Result<(), SettingError> {
        self.router.replace(&config.destinations)?;
        let end = Instant::now() + EXCHANGE_DEADLINE;
        let ended: Vec<Running> = self.with(|running| {
            let names = prepared.ended.iter();
            names.filter_map(|name| running.remove(name)).collect()
        });
        for worker in &ended {
            worker.retire.cancel();
        }
        for worker in ended {
            join(worker.task, end).await;
        }
        self.start(prepared, config);
        // A destination that was switched off looks again.
        self.store.wake();
        Ok(())
    }

    /// Starts the workers of what was made.
    pub(crate) fn start(&self, prepared: Prepared, config: &Config) {
        *self.config.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(config.clone()));
        let delivery = &config.delivery;
        for Made {
            progress,
            destination,
        } in prepared.made
        {
            let retire = CancellationToken::new();
            let settings = WorkerSettings {
                progress: Arc::clone(&progress),
                router: Arc::clone(&self.router),
                policy: RetryPolicy {
                    initial: Duration::from_millis(delivery.initial_backoff_ms),
                    maximum: Duration::from_secs(delivery.max_backoff_s),
                },
                max_documents: delivery.max_batch_documents,
                max_bytes: delivery.max_batch_bytes,
                max_dead_letters: delivery.max_dead_letters,
                clock: self.clock.clone(),
                drain: self.drain.clone(),
                retire: retire.clone(),
            };
            let worker = Worker::new(settings, self.store.clone(), destination);
            let running = Running {
                progress: Arc::clone(&progress),
                retire,
                task: tokio::spawn(worker.run()),
            };
            self.with(|all| all.insert(progress.name().to_owned(), running));
        }
    }

    /// What became of the deliveries of each destination, by name.
    pub(crate) fn progress(&self) -> Vec<Arc<Progress>> {
        self.with(|running| {
            let workers = running.values();
            workers.map(|it| Arc::clone(&it.progress)).collect()
        })
    }

    /// Lets the workers deliver what waits and waits for them until `end`; those that are not ready then are
    /// ended.
    pub(crate) async fn drain(&self, end: Instant) {
        self.drain.cancel();
        for worker in self.with(std::mem::take).into_values() {
            join(worker.task, end).await;
        }
    }

    /// Ends all workers where they stand.
    pub(crate) fn abort(&self) {
        self.with(|running| running.values().for_each(|worker| worker.task.abort()));
    }
}

async fn join(mut task: JoinHandle<()>, end: Instant) {
    match tokio::time::timeout_at(end, &mut task).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "a worker failed"),
        Err(_elapsed) => task.abort(),
    }
}
