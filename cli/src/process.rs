//! What the long-running commands share: runtime, signals, log.

use std::io::{self, IsTerminal};

use beaconwatch_exporter::capture::capabilities::{self, CapabilitySet};
use beaconwatch_sidecar::StopReport;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::error::Error;

/// Sends the program's own log to standard error.
pub(crate) fn log_to_stderr(filter: &str) -> Result<(), Error> {
    let filter = EnvFilter::try_new(filter).map_err(|source| Error::LogFilter {
        filter: filter.to_owned(),
        source,
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    Ok(())
}

pub(crate) fn warn_all<'a>(warnings: impl IntoIterator<Item = &'a String>) {
    for warning in warnings {
        tracing::warn!("{warning}");
    }
}

pub(crate) fn multi_threaded() -> Result<Runtime, Error> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}

/// A runtime for a capture: its threads have no capability from their beginning, unless all are kept. The main
/// thread gives up its own once the capture is set up.
pub(crate) fn for_capture(keep_capabilities: bool) -> Result<Runtime, Error> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if !keep_capabilities {
        builder.on_thread_start(|| capabilities::give_up_all_but(CapabilitySet::default()));
    }
    Ok(builder.enable_all().build()?)
}

/// A token that the first SIGINT or SIGTERM cancels. Needs a runtime.
pub(crate) fn shutdown_on_signal() -> Result<CancellationToken, Error> {
    let shutdown = CancellationToken::new();
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    let token = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
    });
    Ok(shutdown)
}

/// Tells what a stop left for the next start.
pub(crate) fn report_stop(report: &StopReport) {
    for (destination, pending) in &report.pending {
        tracing::warn!(destination, pending, "documents wait for the next start");
    }
    if let Some(error) = &report.checkpoint_error {
        tracing::warn!(
            error,
            "the last checkpoint was not written: the journal still has its input"
        );
    }
}
