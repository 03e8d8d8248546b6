//! Stop: in order, within a deadline.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Sidecar;

/// What a stop left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StopReport {
    /// Documents that still wait, by destination: they are delivered after the next start.
    pub pending: Vec<(String, u64)>,
    /// Why the last checkpoint was not written, if it was not: the journal still has its input.
    pub checkpoint_error: Option<String>,
}

impl Sidecar {
    /// Stops within `deadline`: receives nothing more, analyses for the last time, writes a checkpoint,
    /// and tries to deliver what waits. What is left is delivered after the next start.
    pub async fn stop(mut self, deadline: Duration) -> StopReport {
        let end = Instant::now() + deadline;
        self.receiver.stop();
        self.stop_receiving.cancel();
        // Requests that are under way get half of the time: the checkpoint needs some, too.
        let half = Instant::now() + deadline / 2;
        join(&mut self.receiving, half).await;
        self.inputs.stopped(half).await;
        self.stop_serving.cancel();
        let checkpoint_error = match tokio::time::timeout_at(end, self.observer.stop()).await {
            Ok(last) => last.err().map(|error| error.to_string()),
            Err(_elapsed) => Some("the last analysis took longer than the deadline".to_owned()),
        };
        self.deliveries.drain(end).await;
        join(&mut self.serving, end).await;
        let accounts = self.store.accounts().await.unwrap_or_default();
        self.store.stop().await;
        let pending = accounts
            .into_iter()
            .map(|(name, account)| (name, account.backlog.pending))
            .filter(|(_, pending)| *pending > 0)
            .collect();
        StopReport {
            pending,
            checkpoint_error,
        }
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        let tasks = self.receiving.iter().chain(&self.serving);
        tasks.for_each(JoinHandle::abort);
        self.deliveries.abort();
        self.inputs.abort();
        // Each thread holds the other one's channel: neither would see its end.
        self.observer.abandon();
        self.store.abandon();
    }
}

/// Waits for tasks until `end`; those that are not ready are aborted.
async fn join(tasks: &mut Vec<JoinHandle<()>>, end: Instant) {
    for mut task in tasks.drain(..) {
        match tokio::time::timeout_at(end, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "a task failed"),
            Err(_elapsed) => task.abort(),
        }
    }
}
