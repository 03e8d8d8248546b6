//! `beaconwatch detect`: the sidecar alone.

use std::path::Path;
use std::time::Duration;

use beaconwatch_sidecar::Sidecar;

use crate::arguments::DetectArguments;
use crate::config::{self, Flags};
use crate::error::Error;
use crate::process;
use crate::reload;

/// A stop takes at most so long.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// Receives, scores and delivers until a signal comes.
pub(crate) fn run(file: Option<&Path>, arguments: &DetectArguments) -> Result<(), Error> {
    let loaded = config::load(file, Flags::detect(arguments))?;
    process::warn_all(loaded.all_warnings());
    process::multi_threaded()?.block_on(async {
        let shutdown = process::shutdown_on_signal()?;
        let sidecar = Sidecar::start(loaded.config.sidecar).await?;
        let reloading = reload::on_hangup(&sidecar, file, loaded.flags, shutdown.clone())?;
        let addresses = sidecar.addresses();
        tracing::info!(
            otlp_grpc = %addresses.grpc,
            otlp_http = %addresses.http,
            api = %addresses.api,
            "receiving"
        );
        let failed = tokio::select! {
            () = shutdown.cancelled() => None,
            part = sidecar.failure() => Some(part),
        };
        tracing::info!("stopping");
        reloading.abort();
        process::report_stop(&sidecar.stop(STOP_DEADLINE).await);
        failed.map_or(Ok(()), |part| Err(Error::Ended(part)))
    })
}
