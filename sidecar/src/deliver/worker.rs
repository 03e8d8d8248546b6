//! The task that serves one destination.

use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::progress::Progress;
use super::retry::RetryPolicy;
use super::router::Router;
use crate::clock::Clock;
use crate::store::{Settled, Settlement, Store, StoreError, Wanted};
use beaconwatch_destinations::Document;
use beaconwatch_destinations::{AttemptError, Destination, Outcome};

/// What a worker is made with.
#[derive(Debug)]
pub(crate) struct WorkerSettings {
    pub(crate) progress: Arc<Progress>,
    pub(crate) router: Arc<Router>,
    pub(crate) policy: RetryPolicy,
    pub(crate) max_documents: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_dead_letters: u64,
    pub(crate) clock: Clock,
    /// Once set: deliver what waits, then end.
    pub(crate) drain: CancellationToken,
    /// Once set: end after the attempt that is under way, whatever waits.
    pub(crate) retire: CancellationToken,
}

/// Serves one destination.
#[derive(Debug)]
pub(crate) struct Worker {
    settings: WorkerSettings,
    store: Store,
    destination: Box<dyn Destination>,
    random: StdRng,
}

/// What one round came to.
enum Round {
    /// Nothing waits.
    Empty,
    /// Everything of the batch is settled.
    Settled,
    /// Something is left and shall be tried after this time.
    Wait(Duration),
}

impl Worker {
    pub(crate) fn new(
        settings: WorkerSettings,
        store: Store,
        destination: Box<dyn Destination>,
    ) -> Self {
        Self {
            settings,
            store,
            destination,
            random: StdRng::from_os_rng(),
        }
    }

    /// Delivers until it is told to drain and nothing waits, until it is retired, or until the store stops.
    pub(crate) async fn run(mut self) {
        let mut checkpoints = self.store.checkpoints();
        while !self.settings.retire.is_cancelled() {
            checkpoints.mark_unchanged();
            match self.round().await {
                Ok(Round::Settled) => {}
                Ok(Round::Empty) if self.settings.drain.is_cancelled() => return,
                Ok(Round::Empty) => {
                    if !self.idle(&mut checkpoints).await {
                        return;
                    }
                }
                Ok(Round::Wait(time)) => self.wait(time).await,
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    let wait = self.store_failed(&error);
                    self.wait(wait).await;
                }
            }
        }
    }

    /// Waits after a failure. The beginning of a stop ends the wait: there may be no later chance.
    async fn wait(&self, time: Duration) {
        let drain = &self.settings.drain;
        let draining = drain.is_cancelled();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = drain.cancelled(), if !draining => {}
            () = self.settings.retire.cancelled() => {}
        }
    }

    /// Waits for new documents; false when there can be no more.
    async fn idle(&self, checkpoints: &mut watch::Receiver<u64>) -> bool {
        tokio::select! {
            changed = checkpoints.changed() => changed.is_ok(),
            () = self.settings.drain.cancelled() => true,
            () = self.settings.retire.cancelled() => false,
        }
    }

    async fn round(&mut self) -> Result<Round, StoreError> {
        let waiting = self.store.pending(self.wanted()).await?;
        let (numbers, documents): (Vec<u64>, Vec<Document>) = waiting.into_iter().unzip();
        if documents.is_empty() {
            return Ok(Round::Empty);
        }
        match self.destination.deliver(&documents).await {
            Ok(outcomes) if outcomes.len() == documents.len() => {
                self.settle(&numbers, outcomes).await
            }
            Ok(outcomes) => {
                let reason = format!(
                    "the destination answered for {} of {} documents",
                    outcomes.len(),
                    documents.len()
                );
                Ok(self.failed(
                    &AttemptError {
                        reason,
                        retry_after: None,
                    },
                    documents.len(),
                ))
            }
            Err(error) => Ok(self.failed(&error, documents.len())),
        }
    }

    /// What the next attempt takes.
    fn wanted(&self) -> Wanted {
        let name = self.settings.progress.name();
        let route = self.settings.router.route_of(name);
        let route = route.as_ref().map(|route| route.config());
        Wanted {
            destination: name.to_owned(),
            max_documents: route
                .and_then(|route| route.max_batch_documents)
                .unwrap_or(self.settings.max_documents),
            max_bytes: route
                .and_then(|route| route.max_batch_bytes)
                .unwrap_or(self.settings.max_bytes),
            ..Wanted::default()
        }
    }

    async fn settle(
        &mut self,
        numbers: &[u64],
        outcomes: Vec<Outcome>,
    ) -> Result<Round, StoreError> {
        let mut settled = Vec::new();
        let mut left = Vec::new();
        for (&number, outcome) in numbers.iter().zip(outcomes) {
            match self.judge(outcome) {
                Ok(outcome) => settled.push((number, outcome)),
                Err(reason) => left.push(reason),
            }
        }
        if !settled.is_empty() {
            self.record(settled).await?;
        }
        let documents = left.len();
        match left.pop() {
            None => {
                self.settings.progress.succeeded();
                Ok(Round::Settled)
            }
            Some(reason) => {
                let error = AttemptError {
                    reason,
                    retry_after: None,
                };
                Ok(self.failed(&error, documents))
            }
        }
    }

    /// What the store shall note of an outcome; the reason when it shall note nothing.
    fn judge(&self, outcome: Outcome) -> Result<Settled, String> {
        match outcome {
            Outcome::Delivered => Ok(Settled::Delivered {
                already_there: false,
            }),
            Outcome::Unconfirmed => Ok(Settled::Unconfirmed),
            Outcome::AlreadyThere => Ok(Settled::Delivered {
                already_there: true,
            }),
            Outcome::Refused { reason } => {
                let destination = self.settings.progress.name();
                tracing::warn!(destination, %reason, "a document was refused: it is in the dead letters");
                Ok(Settled::Dead {
                    reason,
                    at: self.settings.clock.now(),
                })
            }
            Outcome::Awaiting(_) => Err("not confirmed yet".to_owned()),
            Outcome::Retry { reason, .. } => Err(reason),
        }
    }

    /// Records outcomes, again and again until the store takes them: a document that was delivered must
    /// not be delivered again only because the disk was full.
    async fn record(&mut self, settled: Vec<(u64, Settled)>) -> Result<(), StoreError> {
        let settlement = Settlement {
            destination: self.settings.progress.name().to_owned(),
            settled,
            retries: self.settings.progress.take_retries(),
            dead_limit: self.settings.max_dead_letters,
        };
        loop {
            match self.store.settle(settlement.clone()).await {
                Ok(_) => return Ok(()),
                Err(StoreError::Stopped) => {
                    self.settings.progress.give_back_retries(settlement.retries);
                    return Err(StoreError::Stopped);
                }
                Err(error) => {
                    let wait = self.store_failed(&error);
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn failed(&mut self, error: &AttemptError, documents: usize) -> Round {
        let destination = self.settings.progress.name().to_owned();
        let failures = self
            .settings
            .progress
            .failed(error.reason.clone(), documents as u64);
        let wait = self
            .settings
            .policy
            .wait(failures, error.retry_after, &mut self.random);
        tracing::warn!(
            destination,
            failures,
            documents,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            reason = %error.reason,
            "delivery failed and will be tried again"
        );
        Round::Wait(wait)
    }

    fn store_failed(&mut self, error: &StoreError) -> Duration {
        let failures = self.settings.progress.failed(error.to_string(), 0);
        self.settings.policy.wait(failures, None, &mut self.random)
    }
}
