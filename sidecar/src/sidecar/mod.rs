//! A running sidecar: its parts, and what can be asked of it. [`start`] puts the parts together, [`tasks`]
//! are what runs in between, [`stop`] ends them in order.

mod core;
mod start;
mod stop;
mod tasks;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::alert::Actor;
use crate::config::Config;
use crate::control::{Control, ControlError, ReloadReport, Reread, View};
use crate::deliver::Deliveries;
use crate::input::Inputs;
use crate::observe::{AnalysisReport, Observer};
use crate::receive::Receiver;
use crate::status::{Status, StatusReporter};
use crate::store::{DeadLetter, DeadLetterPage, Store, StoreError};

pub use start::StartError;
pub use stop::StopReport;

/// The addresses that are listened on, with the ports that the kernel chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// OTLP over gRPC.
    pub grpc: SocketAddr,
    /// OTLP over HTTP.
    pub http: SocketAddr,
    /// The status API.
    pub api: SocketAddr,
}

/// A running sidecar. Dropping it without [`Self::stop`] loses nothing that was acknowledged.
#[derive(Debug)]
pub struct Sidecar {
    receiver: Receiver,
    observer: Observer,
    store: Store,
    reporter: StatusReporter,
    control: Control,
    deliveries: Deliveries,
    inputs: Inputs,
    addresses: Addresses,
    /// Ends the receivers and the inputs.
    stop_receiving: CancellationToken,
    /// Ends the timer and the API.
    stop_serving: CancellationToken,
    receiving: Vec<JoinHandle<()>>,
    serving: Vec<JoinHandle<()>>,
}

/// Reads a sidecar's configuration again.
#[derive(Clone, Debug)]
pub struct Reloader(Control);

impl Reloader {
    /// As [`Sidecar::reread`] does.
    pub async fn reread(&self) -> Result<ReloadReport, ControlError> {
        self.0.reread(None).await
    }
}

impl Sidecar {
    /// Where requests from inside of the process go.
    #[must_use]
    pub fn receiver(&self) -> Receiver {
        self.receiver.clone()
    }

    /// The addresses that are listened on.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The state of every part.
    pub async fn status(&self) -> Result<Status, StoreError> {
        self.reporter.status().await
    }

    /// Analyses what has come in, without waiting for the interval, and writes a checkpoint.
    pub async fn analyse(&self) -> Result<AnalysisReport, StoreError> {
        self.observer.analyse().await
    }

    /// Resolves to the name of a part that ended although nobody had asked it to: then the sidecar takes
    /// no more requests, and all that is left to do is to stop it.
    pub fn failure(&self) -> impl Future<Output = &'static str> + Send + use<> {
        let (observer, store) = (self.observer.clone(), self.store.clone());
        async move {
            tokio::select! {
                () = observer.stopped() => "detect",
                () = store.stopped() => "store",
            }
        }
    }

    /// The configuration in force, as far as it can be changed at runtime.
    #[must_use]
    pub fn configuration(&self) -> Arc<View> {
        self.control.view()
    }

    /// Changes the configuration by a merge patch (RFC 7396: `null` removes what was set before). What is set
    /// stays over restarts and reloads. An error changes nothing.
    pub async fn change_configuration(
        &self,
        patch: &serde_json::Value,
        actor: &str,
    ) -> Result<Arc<View>, ControlError> {
        self.control.change(patch, &Actor::in_process(actor)).await
    }

    /// Reads the configuration again, in the way of [`Self::reread_with`], and reloads.
    pub async fn reread(&self) -> Result<ReloadReport, ControlError> {
        self.control.reread(None).await
    }

    /// Reads the configuration again, also while somebody else holds the sidecar.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader(self.control.clone())
    }

    /// Takes another configuration while running: what can be changed is applied, the rest stays as it was
    /// and is named. An error changes nothing.
    pub async fn reload(&self, config: Config) -> Result<ReloadReport, ControlError> {
        self.control.reload(config, None).await
    }

    /// Says how the configuration is read again, for a reload by the API. Only the first call counts.
    pub fn reread_with(&self, reread: Reread) {
        self.control.reread_with(reread);
    }

    /// The oldest dead letters of a destination, with their numbers.
    pub async fn dead_letters(
        &self,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        let page = DeadLetterPage {
            destination: destination.to_owned(),
            after: 0,
            limit,
        };
        self.store.dead_letters(page).await
    }
}
