//! What is known beside the flows, read from files at the start and at each reload.

use beaconwatch_detector::Context;

use crate::clock::Clock;
use crate::config::{Config, ContextError};

/// Reads the files of the section `context`, and says in the log what became of each list.
pub(crate) async fn open(config: &Config, clock: &Clock) -> Result<Context, ContextError> {
    let (section, now) = (config.context.clone(), clock.now());
    let opened = tokio::task::spawn_blocking(move || section.open(now)).await;
    let opened = opened.map_err(|error| ContextError::Interrupted(error.to_string()))??;
    for (list, report) in &opened.reports {
        let skipped: u64 = report.skipped.values().sum();
        tracing::info!(
            list,
            accepted = report.accepted,
            skipped,
            "an intelligence list was read"
        );
        for error in &report.errors {
            tracing::warn!(list, %error, "an indicator does not count");
        }
    }
    Ok(opened.context)
}
