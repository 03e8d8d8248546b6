//! The tasks that run from start to stop.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::observe::Observer;
use crate::receive::Receiver;
use crate::store::StoreError;

/// Ends receiving when a thread has ended: what would be acknowledged then might never be scored.
pub(super) async fn watch_parts(
    failure: impl Future<Output = &'static str>,
    receiver: Receiver,
    stop: CancellationToken,
) {
    tokio::select! {
        () = stop.cancelled() => {}
        part = failure => {
            tracing::error!(part, "a thread ended: no more requests are taken");
            receiver.stop();
        }
    }
}

/// Analyses at every interval; when the interval changes, the next analysis is one new interval away.
pub(super) async fn analyse_regularly(
    observer: Observer,
    mut interval: watch::Receiver<Duration>,
    stop: CancellationToken,
) {
    let mut next = Instant::now() + *interval.borrow_and_update();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            Ok(()) = interval.changed() => {
                next = Instant::now() + *interval.borrow_and_update();
                continue;
            }
            () = tokio::time::sleep_until(next) => {}
        }
        match observer.analyse().await {
            Ok(report) => tracing::debug!(?report, "analysed"),
            Err(StoreError::Stopped) => return,
            Err(error) => tracing::error!(%error, "the analysis was not saved"),
        }
        // One that took longer than the interval is not made up for.
        next = (next + *interval.borrow()).max(Instant::now());
    }
}
