//! Start: everything that can be wrong is found before anything runs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::core::Core;
use super::tasks::{analyse_regularly, watch_parts};
use super::{Addresses, Sidecar};
use crate::api::{self, Access, AccessError, Api, Readers};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, ContextError, RiskError, TlsConfig};
use crate::context;
use crate::control::{Control, Parts};
use crate::deliver::{Deliveries, DestinationError, Prepared};
use crate::input::Inputs;
use crate::listen::{self, ListenError, Listener, Tls, TlsError};
use crate::observe::SharedBoard;
use crate::receive::{self, Receiver, Senders};
use crate::risk::{self, RiskModel};
use crate::sigma::RulesError;
use crate::status::{StatusReporter, StatusSource};
use crate::store::StoreError;
use crate::token::TokenError;

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
    /// The API's tokens cannot be had.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The receivers' tokens cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What is known beside the flows cannot be read.
    #[error("context: {0}")]
    Context(#[from] ContextError),
    /// The model cannot be read.
    #[error("risk.model: {0}")]
    Risk(#[from] RiskError),
    /// Sigma rules cannot be read.
    #[error("rules: {0}")]
    Rules(#[from] RulesError),
    /// A destination cannot be made.
    #[error(transparent)]
    Destination(#[from] DestinationError),
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
        warn_of_reach(config);
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

/// Who may come in, and how.
struct Doors {
    access: Access,
    tls: Option<Tls>,
    senders: Senders,
    receive_tls: Option<Tls>,
}

impl Doors {
    /// Blocks.
    fn open(config: &Config) -> Result<Self, StartError> {
        let open = |section, tls: &Option<TlsConfig>| {
            let tls = tls.clone();
            tls.map(|tls| Tls::open(section, tls)).transpose()
        };
        Ok(Self {
            access: Access::open(&config.api, &config.data_directory)?,
            tls: open("api.tls", &config.api.tls)?,
            senders: Senders::open(&config.receive)?,
            receive_tls: open("receive.tls", &config.receive.tls)?,
        })
    }
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
        let doors = Doors::open(&config)?;
        let listeners = Listeners::bind(&config).await?;
        let destinations = Prepared::first(&config)?;
        let context = context::open(&config, &clock).await?;
        let risk = RiskModel::new(risk::open(&config).await?);
        let sigma = config.rules.read().await?;
        let core = Core::start_blocking(config, context, sigma, clock.clone()).await?;
        let deliveries = Deliveries::new(core.store.clone(), core.router, clock.clone());
        deliveries.start(destinations, &core.config);
        let (analysis_interval, interval) = watch::channel(core.config.analysis_interval());
        let receive = core.config.receive.clone();
        let receiver = Receiver::new(receive, core.store.clone(), clock.clone());
        let stop_receiving = CancellationToken::new();
        let observer = core.observer.clone();
        let inputs = Inputs::new(receiver.clone(), observer, stop_receiving.clone());
        let reporter = StatusReporter {
            receiver: receiver.clone(),
            observer: core.observer.clone(),
            store: core.store.clone(),
            deliveries: deliveries.clone(),
            inputs: inputs.clone(),
            parts: parts.into(),
            started: clock.now(),
            clock,
            analysis_interval: interval.clone(),
        };
        let controlled = Parts {
            clock: reporter.clock.clone(),
            observer: core.observer.clone(),
            deliveries: deliveries.clone(),
            access: doors.access.clone(),
            senders: doors.senders.clone(),
            inputs: inputs.clone(),
            analysis_interval,
            risk: risk.clone(),
        };
        let config = core.config.clone();
        let control = Control::new(controlled, core.base, core.overrides, core.config)?;
        let mut sidecar = Self {
            addresses: listeners.addresses(),
            receiver,
            observer: core.observer,
            store: core.store,
            reporter,
            control,
            deliveries,
            inputs,
            stop_receiving,
            stop_serving: CancellationToken::new(),
            receiving: Vec::new(),
            serving: Vec::new(),
        };
        sidecar.serve(listeners, doors, &config, (core.board, risk), interval);
        sidecar.inputs.apply(&config.inputs).await;
        Ok(sidecar)
    }

    fn serve(
        &mut self,
        listeners: Listeners,
        doors: Doors,
        config: &Config,
        (board, risk): (SharedBoard, RiskModel),
        interval: watch::Receiver<Duration>,
    ) {
        let api = Api {
            observer: self.observer.clone(),
            board,
            risk,
            status: self.reporter.clone(),
            control: self.control.clone(),
            receiver: self.receiver.clone(),
            deliveries: self.deliveries.clone(),
            store: self.store.clone(),
            clock: self.reporter.clock.clone(),
            labels: config.labels(),
            readers: Readers::new(self.stop_serving.clone()),
            max_body_bytes: config.api.max_body_bytes,
        };
        let api = api::router(api, doors.access, &config.api, self.addresses.api);
        let stop = || self.stop_serving.clone();
        let analysing = analyse_regularly(self.observer.clone(), interval, stop());
        self.serving = vec![
            tokio::spawn(listen::serve(listeners.api, api, doors.tls, stop())),
            tokio::spawn(analysing),
            tokio::spawn(watch_parts(self.failure(), self.receiver.clone(), stop())),
        ];
        let stop = || self.stop_receiving.clone();
        let http = receive::http_router(self.receiver.clone(), doors.senders.clone());
        let grpc = receive::grpc_router(self.receiver.clone(), doors.senders);
        let tls = || doors.receive_tls.clone();
        self.receiving = vec![
            tokio::spawn(listen::serve(listeners.http, http, tls(), stop())),
            tokio::spawn(listen::serve(listeners.grpc, grpc, tls(), stop())),
        ];
    }
}

/// What is open to other hosts is so by consent, and still worth a line in the log.
fn warn_of_reach(config: &Config) {
    let reachable = |address: SocketAddr| !address.ip().to_canonical().is_loopback();
    let receive = &config.receive;
    for address in [receive.grpc_address, receive.http_address] {
        if !reachable(address) {
            continue;
        }
        if receive.tokens.is_empty() {
            tracing::warn!(%address, "other hosts can reach this receiver, and it asks nobody who they are: see receive.tokens");
        }
        if receive.tls.is_none() {
            tracing::warn!(%address, "other hosts can reach this receiver, and flows and tokens go over the network in clear: see receive.tls");
        }
    }
    if reachable(config.api.address) && config.api.tls.is_none() {
        let address = config.api.address;
        tracing::warn!(%address, "other hosts can reach the API, and its tokens go over the network in clear: see api.tls");
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
