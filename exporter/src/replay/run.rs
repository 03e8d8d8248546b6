//! [`export`]: a whole replay, from the files to the receiver.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_128;

use super::{Replay, ReplayError, ReplaySettings};
use crate::config::Config;
use crate::enrich::Privacy;
use crate::otlp::LogsTarget;
use crate::pipeline::{Exporter, RunError};
use crate::telemetry::Counters;

/// Replays captures through an exporter until they end or `shutdown`; returns what was exported and lost.
///
/// When a capture cannot be read on, what came before is exported first, and logged.
pub async fn export(
    config: Config,
    settings: ReplaySettings,
    target: Arc<dyn LogsTarget>,
    shutdown: CancellationToken,
) -> Result<Counters, ReplayError> {
    let config = of_host(config, settings.host_name.as_deref())?;
    let opened = {
        let config = config.clone();
        let settings = settings.clone();
        tokio::task::spawn_blocking(move || Replay::open(&settings, &config))
    };
    let replay = tokio::select! {
        // Standard input may never say anything.
        () = shutdown.cancelled() => return Ok(Counters::default()),
        opened = opened => opened.map_err(RunError::from)??,
    };
    let progress = replay.progress();
    let exporter = Exporter::with_source(config, replay, target)?;
    progress.wait_for(exporter.telemetry());
    let identity = exporter.identity();
    tracing::info!(
        exporter = identity.exporter_id,
        host = identity.host_name,
        "replaying"
    );
    let counters = Box::pin(exporter.run(shutdown)).await?;
    let lost: u64 = counters.losses.iter().map(|(_, lost)| lost).sum();
    tracing::info!(
        packets = progress.packets(),
        unreadable = progress.unreadable(),
        flows = counters.flows,
        made = counters.made,
        delivered = counters.delivered,
        lost,
        "replayed"
    );
    progress.failure().map_or(Ok(counters), Err)
}

/// A host that is named is not this one: its identity is made of its name, as that of a host without a machine id.
fn of_host(mut config: Config, name: Option<&str>) -> Result<Config, ReplayError> {
    let Some(name) = name else {
        return Ok(config);
    };
    config.host_name = Some(name.to_owned());
    if config.host_id.is_none() {
        let privacy = Privacy::new(&config.privacy).map_err(RunError::from)?;
        let told = privacy.host_name(name.to_owned());
        if !told.is_empty() {
            config.host_id = Some(format!("{:032x}", xxh3_128(told.as_bytes())));
        }
    }
    Ok(config)
}
