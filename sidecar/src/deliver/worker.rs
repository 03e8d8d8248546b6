//! The task that serves one destination.
//!
//! # Contract
//! - One attempt at a time. A failure of the whole attempt is followed by a wait for all; a document that
//!   fails alone is held back alone, so that a few that never work keep nothing else waiting.
//! - A document that the destination has taken and not confirmed stays in the outbox and is not sent again
//!   while it is awaited; when its confirmation is lost it is sent again, with the same id.
//! - A stop ends waits once, delivers what it can and asks for confirmations until its deadline.

use std::sync::Arc;
use std::time::Duration;

use beaconwatch_destinations::{AttemptError, Confirmation, Destination, Document, Outcome};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::flight::Flight;
use super::pace::Pace;
use super::progress::Progress;
use super::retry::RetryPolicy;
use super::router::Router;
use crate::clock::Clock;
use crate::store::{Settled, Settlement, Store, StoreError, Wanted};

/// How often a destination that is switched off looks whether it still is, beside being told.
const PAUSE: Duration = Duration::from_secs(10);

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
    flight: Flight,
    pace: Pace,
    /// When confirmations are asked for again.
    next_confirm: Instant,
    random: StdRng,
}

/// What one round came to.
enum Round {
    /// Nothing is to be sent now.
    Empty,
    /// An attempt was made, and more may wait.
    Done,
    /// Nothing shall be sent before this time has passed.
    Wait(Duration),
    /// The destination is switched off.
    Off,
}

/// What became of the documents of an attempt.
#[derive(Default)]
struct Sorted {
    settled: Vec<(u64, Settled)>,
    /// Documents that the destination has taken, settled or not.
    taken: usize,
    /// Documents to try again, why and when at the earliest.
    left: Vec<(u64, String, Option<Duration>)>,
}

impl Worker {
    pub(crate) fn new(
        settings: WorkerSettings,
        store: Store,
        destination: Box<dyn Destination>,
    ) -> Self {
        let now = Instant::now();
        Self {
            settings,
            store,
            destination,
            flight: Flight::default(),
            pace: Pace::new(now),
            next_confirm: now,
            random: StdRng::from_os_rng(),
        }
    }

    /// Delivers until it is told to drain and nothing waits, until it is retired, or until the store stops.
    pub(crate) async fn run(mut self) {
        let mut checkpoints = self.store.checkpoints();
        while !self.settings.retire.is_cancelled() {
            checkpoints.mark_unchanged();
            // Asked before the look at the outbox: the last checkpoint is written before the drain begins, so
            // that only a look that began after it has seen everything.
            let draining = self.is_draining();
            let goes_on = match self.round().await {
                Ok(Round::Done) => true,
                Ok(Round::Wait(time)) => {
                    self.wait(time).await;
                    true
                }
                Ok(Round::Empty) => self.idle(&mut checkpoints, draining).await,
                Ok(Round::Off) => self.off(&mut checkpoints).await,
                Err(StoreError::Stopped) => false,
                Err(error) => {
                    let wait = self.store_failed(&error);
                    self.wait(wait).await;
                    true
                }
            };
            if !goes_on {
                break;
            }
        }
        self.settings
            .progress
            .set_awaited(std::collections::BTreeSet::new());
    }

    fn is_draining(&self) -> bool {
        self.settings.drain.is_cancelled()
    }

    /// Waits after a failure. The beginning of a stop ends the wait: there may be no later chance.
    async fn wait(&self, time: Duration) {
        let draining = self.is_draining();
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.settings.drain.cancelled(), if !draining => {}
            () = self.settings.retire.cancelled() => {}
        }
    }

    /// Waits until there may be something to do; false when there can be no more. `draining` says whether the
    /// drain had begun before the outbox was found empty.
    async fn idle(&self, checkpoints: &mut watch::Receiver<u64>, draining: bool) -> bool {
        let awaiting = self.flight.is_awaiting().then_some(self.next_confirm);
        let due = awaiting.into_iter().chain(self.flight.next_due()).min();
        if draining && due.is_none() {
            return false;
        }
        let later = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = checkpoints.changed() => changed.is_ok(),
            () = later => true,
            () = self.settings.drain.cancelled(), if !draining => true,
            () = self.settings.retire.cancelled() => false,
        }
    }

    /// Waits until a switched off destination may be on again; false at a stop.
    async fn off(&self, checkpoints: &mut watch::Receiver<u64>) -> bool {
        tokio::select! {
            changed = checkpoints.changed() => changed.is_ok(),
            () = tokio::time::sleep(PAUSE) => true,
            () = self.settings.drain.cancelled() => false,
            () = self.settings.retire.cancelled() => false,
        }
    }

    async fn round(&mut self) -> Result<Round, StoreError> {
        if self.flight.is_awaiting() && Instant::now() >= self.next_confirm {
            self.confirm().await?;
        }
        let now = Instant::now();
        let wanted = match self.wanted(now) {
            Ok(wanted) => wanted,
            Err(round) => return Ok(round),
        };
        let waiting = self.store.pending(wanted).await?;
        let (numbers, documents): (Vec<u64>, Vec<Document>) = waiting.into_iter().unzip();
        if documents.is_empty() {
            self.flight.forget_due(now);
            return Ok(Round::Empty);
        }
        self.pace.took(documents.len());
        match self.destination.deliver(&documents).await {
            Ok(outcomes) if outcomes.len() == documents.len() => {
                self.settle(&numbers, outcomes).await
            }
            Ok(outcomes) => {
                let error = AttemptError::new(format!(
                    "the destination answered for {} of {} documents",
                    outcomes.len(),
                    documents.len()
                ));
                Ok(Round::Wait(self.failed(&error, documents.len())))
            }
            Err(error) => Ok(Round::Wait(self.failed(&error, documents.len()))),
        }
    }

    /// What the next attempt takes, by route, pace and room.
    fn wanted(&mut self, now: Instant) -> Result<Wanted, Round> {
        let name = self.settings.progress.name();
        let route = self.settings.router.route_of(name);
        let route = route.as_ref().map(|route| route.config());
        if route.is_some_and(|route| !route.enabled) {
            return Err(Round::Off);
        }
        let room = self.flight.room();
        if room == 0 {
            return Err(Round::Wait(
                self.next_confirm.saturating_duration_since(now),
            ));
        }
        let most = route
            .and_then(|route| route.max_batch_documents)
            .unwrap_or(self.settings.max_documents);
        let per_s = route.and_then(|route| route.max_documents_per_s);
        let max_documents = self
            .pace
            .allowed(per_s, most.min(room), now)
            .map_err(Round::Wait)?;
        Ok(Wanted {
            destination: name.to_owned(),
            max_documents,
            max_bytes: route
                .and_then(|route| route.max_batch_bytes)
                .unwrap_or(self.settings.max_bytes),
            skip: self.flight.skip(now),
        })
    }

    async fn settle(
        &mut self,
        numbers: &[u64],
        outcomes: Vec<Outcome>,
    ) -> Result<Round, StoreError> {
        let mut sorted = Sorted::default();
        for (&number, outcome) in numbers.iter().zip(outcomes) {
            self.sort(number, outcome, &mut sorted);
        }
        self.settings.progress.set_awaited(self.flight.awaited());
        self.record(sorted.settled).await?;
        let Some((_, reason, _)) = sorted.left.last() else {
            self.settings.progress.succeeded();
            return Ok(Round::Done);
        };
        let error = AttemptError {
            reason: reason.clone(),
            retry_after: sorted.left.iter().filter_map(|(_, _, asked)| *asked).max(),
        };
        let documents = sorted.left.len();
        for (number, _, asked) in sorted.left {
            self.hold(number, asked);
        }
        if sorted.taken == 0 {
            return Ok(Round::Wait(self.failed(&error, documents)));
        }
        tracing::warn!(
            destination = self.settings.progress.name(),
            documents,
            reason = %error.reason,
            "some documents of an attempt will be tried again"
        );
        let progress = &self.settings.progress;
        progress.failed_partly(error.reason, documents as u64);
        // A destination that says when to come back is not asked before, for whatever document.
        Ok(error.retry_after.map_or(Round::Done, |asked| {
            Round::Wait(asked.min(self.settings.policy.maximum))
        }))
    }

    /// Takes note of one outcome.
    fn sort(&mut self, number: u64, outcome: Outcome, sorted: &mut Sorted) {
        let already_there = matches!(outcome, Outcome::AlreadyThere);
        let settled = match outcome {
            Outcome::Delivered | Outcome::AlreadyThere => Settled::Delivered { already_there },
            Outcome::Unconfirmed => Settled::Unconfirmed,
            Outcome::Refused { reason } => self.refused(reason),
            Outcome::Awaiting(ticket) => {
                self.flight.taken(ticket, number);
                sorted.taken += 1;
                return;
            }
            Outcome::Retry {
                reason,
                retry_after,
            } => {
                sorted.left.push((number, reason, retry_after));
                return;
            }
        };
        self.flight.settled(number);
        sorted.taken += 1;
        sorted.settled.push((number, settled));
    }

    fn refused(&self, reason: String) -> Settled {
        let destination = self.settings.progress.name();
        tracing::warn!(destination, %reason, "a document was refused: it is in the dead letters");
        Settled::Dead {
            reason,
            at: self.settings.clock.now(),
        }
    }

    /// Holds a document back after a failure of its own.
    fn hold(&mut self, number: u64, asked: Option<Duration>) {
        let failures = self.flight.failures(number).saturating_add(1);
        let policy = self.settings.policy;
        let wait = policy.wait(failures, asked, &mut self.random);
        self.flight.hold(number, Instant::now() + wait);
    }

    /// Asks what became of the documents that are awaited.
    async fn confirm(&mut self) -> Result<(), StoreError> {
        let confirmed = self.destination.confirm().await;
        self.next_confirm = Instant::now() + self.settings.policy.initial;
        let confirmed = match confirmed {
            Ok(confirmed) => confirmed,
            Err(error) => {
                let wait = self.failed(&error, 0);
                self.next_confirm = Instant::now() + wait;
                return Ok(());
            }
        };
        let mut settled = Vec::new();
        for (ticket, confirmation) in confirmed {
            let Some(number) = self.flight.confirmed(ticket) else {
                continue;
            };
            match confirmation {
                Confirmation::Delivered => {
                    let already_there = false;
                    self.flight.settled(number);
                    settled.push((number, Settled::Delivered { already_there }));
                }
                Confirmation::Lost { reason } => {
                    self.hold(number, None);
                    let progress = &self.settings.progress;
                    tracing::warn!(destination = progress.name(), %reason, "a document was not confirmed: it is sent again");
                    progress.failed_partly(reason, 1);
                }
            }
        }
        self.settings.progress.set_awaited(self.flight.awaited());
        self.record(settled).await
    }

    /// Records outcomes, again and again until the store takes them: a document that was delivered must
    /// not be delivered again only because the disk was full.
    async fn record(&mut self, settled: Vec<(u64, Settled)>) -> Result<(), StoreError> {
        if settled.is_empty() {
            return Ok(());
        }
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

    /// Tells of a failure of the whole destination; how long to wait.
    fn failed(&mut self, error: &AttemptError, documents: usize) -> Duration {
        let progress = &self.settings.progress;
        let failures = progress.failed(error.reason.clone(), documents as u64);
        let policy = self.settings.policy;
        let wait = policy.wait(failures, error.retry_after, &mut self.random);
        tracing::warn!(
            destination = progress.name(),
            failures,
            documents,
            wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
            reason = %error.reason,
            "delivery failed and will be tried again"
        );
        wait
    }

    fn store_failed(&mut self, error: &StoreError) -> Duration {
        let failures = self.settings.progress.failed(error.to_string(), 0);
        self.settings.policy.wait(failures, None, &mut self.random)
    }
}

#[cfg(test)]
mod tests;
