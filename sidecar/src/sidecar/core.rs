//! The threads behind a sidecar: the store and the scoring.

use std::sync::{Arc, RwLock};

use beaconwatch_detector::Context;

use super::StartError;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::control::{self, OVERRIDES};
use crate::deliver::Router;
use crate::observe::{Board, Books, Engine, EngineSettings, Observer, SharedBoard};
use crate::sigma::OpenedRules;
use crate::store::{Restored, Store, StoreSettings};

/// Both threads, and the configuration in force.
pub(super) struct Core {
    pub(super) store: Store,
    pub(super) observer: Observer,
    pub(super) board: SharedBoard,
    pub(super) router: Arc<Router>,
    /// As it was given.
    pub(super) base: Config,
    /// What the API was told in an earlier run.
    pub(super) overrides: serde_json::Value,
    /// Both together.
    pub(super) config: Config,
}

impl Core {
    /// [`Self::start`] on a thread that may block.
    pub(super) async fn start_blocking(
        config: Config,
        context: Context,
        sigma: OpenedRules,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let start = move || Self::start(config, context, sigma, clock);
        let started = tokio::task::spawn_blocking(start).await;
        started.map_err(std::io::Error::other)?
    }

    /// Opens the store, restores the engine from it and starts both threads. Blocks.
    fn start(
        base: Config,
        context: Context,
        sigma: OpenedRules,
        clock: Clock,
    ) -> Result<Self, StartError> {
        let board: SharedBoard = Arc::new(RwLock::new(Board::new(base.api.max_series)));
        let router = Router::new(&base.destinations).map_err(ConfigError::from)?;
        let router = Arc::new(router);
        let books = Books::default();
        let mut engine = Engine::new(EngineSettings {
            scoring: base.scoring(),
            context,
            sigma,
            prevalence_keys: base.context.max_prevalence_keys,
            labels: base.labels(),
            books: books.clone(),
            finding_limit: base.max_findings,
            exporter_limit: base.receive.max_exporters,
            clock,
            board: Arc::clone(&board),
            router: Arc::clone(&router),
        })
        .map_err(ConfigError::from)?;
        let (observer, messages) = Observer::channel(books);
        let settings = StoreSettings {
            path: base.store_path(),
            cache_bytes: base.store.cache_bytes,
        };
        let journal = observer.clone();
        let mut stored = None;
        let store = Store::open(
            settings,
            &mut |restored| match restored {
                Restored::Setting { name, value } => {
                    stored = (name == OVERRIDES)
                        .then(|| value.to_vec())
                        .or(stored.take());
                    Ok(())
                }
                other => engine.restore(&other),
            },
            Arc::new(move |journaled| journal.apply(journaled)),
        )?;
        let (config, overrides) = control::effective(&base, stored.as_deref());
        let configured = engine.configure(config.scoring());
        configured.map_err(ConfigError::from)?;
        let replaced = router.replace(&config.destinations);
        replaced.map_err(ConfigError::from)?;
        let serving = store.clone();
        std::thread::Builder::new()
            .name("detect".to_owned())
            .spawn(move || engine.serve(&serving, messages))?;
        Ok(Self {
            store,
            observer,
            board,
            router,
            base,
            overrides,
            config,
        })
    }
}
