//! Start: everything that can be wrong is found before anything runs.

use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use beaconwatch_destinations::{BuildError, Destination, DestinationConfig, Surroundings};
use tokio_util::sync::CancellationToken;

use super::tasks::{analyse_regularly, serve_grpc, watch};
use super::{Addresses, Sidecar};
use crate::api::{self, Api};
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::deliver::{Progress, RetryPolicy, Worker, WorkerSettings};
use crate::listen::{self, ListenError, Listener};
use crate::observe::{Board, Engine, EngineSettings, Observer, SharedBoard};
use crate::receive::{self, LogsServer, Receiver};
use crate::status::{StatusReporter, StatusSource};
use crate::store::{Store, StoreError, StoreSettings};

/// Why a sidecar did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be.
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    /// The data directory cannot be made.
    #[error("cannot make data directory {path}: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address cannot be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A destination cannot be made.
    #[error("destination {name}: {source}")]
    Destination {
        /// Its name.
        name: String,
        /// Why.
        source: BuildError,
    },
    /// A thread cannot be started.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The sockets of a sidecar.
struct Listeners {
    grpc: Listener,
    http: Listener,
    api: Listener,
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, ListenError> {
        let connections = config.receive.max_connections;
        let (grpc, http) = (config.receive.grpc_address, config.receive.http_address);
        Ok(Self {
            grpc: Listener::bind(grpc, "OTLP over gRPC", connections).await?,
            http: Listener::bind(http, "OTLP over HTTP", connections).await?,
            api: Listener::bind(
                config.api.address,
                "the status API",
                config.api.max_connections,
            )
            .await?,
        })
    }

    fn addresses(&self) -> Addresses {
        Addresses {
            grpc: self.grpc.address(),
            http: self.http.address(),
            api: self.api.address(),
        }
    }
}

/// The threads behind a sidecar.
struct Core {
    store: Store,
    observer: Observer,
    board: SharedBoard,
}

impl Core {
    /// [`Self::start`] on a thread that may block.
    async fn start_blocking(config: Config, clock: Clock) -> Result<(Self, Config), StartError> {
        let start = move || Self::start(&config, &clock).map(|core| (core, config));
        let started = tokio::task::spawn_blocking(start).await;
        started.map_err(std::io::Error::other)?
    }

    /// Opens the store, restores the engine from it and starts both threads. Blocks.
    fn start(config: &Config, clock: &Clock) -> Result<Self, StartError> {
        let board: SharedBoard = Arc::new(RwLock::new(Board::new(config.api.max_series)));
        let mut engine = Engine::new(EngineSettings {
            detector: config.detector.clone(),
            labels: config.labels(),
            update_interval: Duration::from_secs(config.update_interval_s),
            finding_limit: config.max_findings,
            exporter_limit: config.receive.max_exporters,
            outbox_limit: config.delivery.max_pending_documents,
            clock: clock.clone(),
            board: Arc::clone(&board),
        })
        .map_err(ConfigError::from)?;
        let (observer, messages) = Observer::channel();
        let settings = StoreSettings {
            path: config.store_path(),
            cache_bytes: config.store.cache_bytes,
            destinations: config.destinations.keys().cloned().collect(),
        };
        let journal = observer.clone();
        let store = Store::open(
            settings,
            &mut |restored| engine.restore(&restored),
            Arc::new(move |journaled| journal.apply(journaled)),
        )?;
        let serving = store.clone();
        std::thread::Builder::new()
            .name("detect".to_owned())
            .spawn(move || engine.serve(&serving, messages))?;
        Ok(Self {
            store,
            observer,
            board,
        })
    }
}

/// Destinations, and where their progress is told.
type Destinations = Vec<(Arc<Progress>, Box<dyn Destination>)>;

/// Makes every destination before anything starts: a wrong one is an error of the start.
fn build_destinations(config: &Config) -> Result<Destinations, StartError> {
    let build = |(name, destination): (&String, &DestinationConfig)| {
        let built = destination.kind.build(&Surroundings {
            data_directory: &config.data_directory,
            namespace: &config.namespace,
            observer_name: config.observer_name.as_deref(),
        });
        let failed = |source| StartError::Destination {
            name: name.clone(),
            source,
        };
        Ok((
            Arc::new(Progress::new(name.clone(), destination.kind.name())),
            built.map_err(failed)?,
        ))
    };
    config.destinations.iter().map(build).collect()
}

impl Sidecar {
    /// Opens the store, restores what it holds, and starts to listen, to score and to deliver.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, Clock::system(), Vec::new()).await
    }

    /// Like [`Self::start`], with a clock and further parts of the status.
    pub async fn start_with(
        config: Config,
        clock: Clock,
        parts: Vec<Box<dyn StatusSource>>,
    ) -> Result<Self, StartError> {
        config.validate()?;
        make_directory(&config.data_directory)?;
        let listeners = Listeners::bind(&config).await?;
        let destinations = build_destinations(&config)?;
        let (core, config) = Core::start_blocking(config, clock.clone()).await?;
        let receiver = Receiver::new(config.receive.clone(), core.store.clone(), clock.clone());
        let reporter = StatusReporter {
            receiver: receiver.clone(),
            observer: core.observer.clone(),
            store: core.store.clone(),
            progress: destinations.iter().map(|it| Arc::clone(&it.0)).collect(),
            parts: parts.into(),
            started: clock.now(),
            clock: clock.clone(),
            analysis_interval_s: config.analysis_interval_s,
        };
        let mut sidecar = Self {
            addresses: listeners.addresses(),
            receiver,
            observer: core.observer,
            store: core.store,
            reporter,
            stop_receiving: CancellationToken::new(),
            stop_serving: CancellationToken::new(),
            drain: CancellationToken::new(),
            receiving: Vec::new(),
            serving: Vec::new(),
            workers: Vec::new(),
        };
        sidecar.serve(listeners, &config, core.board);
        sidecar.deliver(destinations, &config, &clock);
        Ok(sidecar)
    }

    fn serve(&mut self, listeners: Listeners, config: &Config, board: SharedBoard) {
        let api = Api {
            observer: self.observer.clone(),
            board,
            status: self.reporter.clone(),
        };
        let api = api::router(api, self.addresses.api, &config.api.allowed_hosts);
        let stop = || self.stop_serving.clone();
        let analysing =
            analyse_regularly(self.observer.clone(), config.analysis_interval(), stop());
        self.serving = vec![
            tokio::spawn(listen::serve(listeners.api, api, stop())),
            tokio::spawn(analysing),
            tokio::spawn(watch(self.failure(), self.receiver.clone(), stop())),
        ];
        let stop = || self.stop_receiving.clone();
        let router = receive::router(self.receiver.clone());
        let server = LogsServer::new(self.receiver.clone());
        let timeout = Duration::from_secs(config.receive.request_timeout_s);
        self.receiving = vec![
            tokio::spawn(listen::serve(listeners.http, router, stop())),
            tokio::spawn(serve_grpc(listeners.grpc, server, timeout, stop())),
        ];
    }

    fn deliver(&mut self, destinations: Destinations, config: &Config, clock: &Clock) {
        for (progress, destination) in destinations {
            let settings = WorkerSettings {
                progress,
                policy: RetryPolicy {
                    initial: Duration::from_millis(config.delivery.initial_backoff_ms),
                    maximum: Duration::from_secs(config.delivery.max_backoff_s),
                },
                max_documents: config.delivery.max_batch_documents,
                max_bytes: config.delivery.max_batch_bytes,
                max_dead_letters: config.delivery.max_dead_letters,
                clock: clock.clone(),
                drain: self.drain.clone(),
            };
            let worker = Worker::new(settings, self.store.clone(), destination);
            self.workers.push(tokio::spawn(worker.run()));
        }
    }
}

fn make_directory(path: &std::path::Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(path)
        .map_err(|source| StartError::Directory {
            path: path.to_owned(),
            source,
        })
}
