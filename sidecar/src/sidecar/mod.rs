//! A running sidecar: its parts, and what can be asked of it. [`start`] puts the parts together, [`tasks`]
//! are what runs in between, [`stop`] ends them in order.

mod start;
mod stop;
mod tasks;

use std::net::SocketAddr;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::observe::{AnalysisReport, Observer};
use crate::receive::Receiver;
use crate::status::{Status, StatusReporter};
use crate::store::{DeadLetter, Store, StoreError};

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
    addresses: Addresses,
    /// Ends the receivers.
    stop_receiving: CancellationToken,
    /// Ends the timer and the API.
    stop_serving: CancellationToken,
    /// Lets the workers end when nothing waits.
    drain: CancellationToken,
    receiving: Vec<JoinHandle<()>>,
    serving: Vec<JoinHandle<()>>,
    workers: Vec<JoinHandle<()>>,
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

    /// The oldest dead letters of a destination, with their numbers.
    pub async fn dead_letters(
        &self,
        destination: &str,
        limit: usize,
    ) -> Result<Vec<(u64, DeadLetter)>, StoreError> {
        self.store.dead_letters(destination, limit).await
    }
}
