//! `beaconwatch export`: the exporter alone, as `beaconwatch-exporter`.

use std::path::Path;

use beaconwatch_exporter::capture::capabilities;
use beaconwatch_exporter::config::Overrides;
use beaconwatch_exporter::otlp::client;
use beaconwatch_exporter::replay::{self, ReplaySettings};
use beaconwatch_exporter::{Config, Exporter};

use crate::arguments::{ExportArguments, RightsArguments};
use crate::config::{self, Flags};
use crate::error::Error;
use crate::process;

/// Captures and sends until a signal comes, or replays captures to their end.
pub(crate) fn run(file: Option<&Path>, arguments: ExportArguments) -> Result<(), Error> {
    let loaded = config::load(file, Flags::default())?;
    process::warn_all(&loaded.warnings);
    let mut config = loaded.config.exporter;
    let overrides = Overrides {
        endpoint: arguments.endpoint,
        protocol: arguments.protocol,
    };
    overrides.apply(&mut config);
    config.validate()?;
    if !config.otlp.has_endpoint() {
        config.otlp.endpoint = Some(config.otlp.protocol.default_endpoint().to_owned());
    }
    let replayed = ReplaySettings {
        files: arguments.replay,
        speed: arguments.speed,
        host_name: arguments.host_name,
    };
    let rights = arguments.rights;
    let runtime = process::for_capture(rights.keep_capabilities)?;
    if replayed.files.is_empty() {
        return runtime.block_on(capture(config, rights));
    }
    let sent = runtime.block_on(send_captures(config, replayed));
    // Stopped before its end, standard input is still being read.
    runtime.shutdown_background();
    sent
}

async fn send_captures(config: Config, replayed: ReplaySettings) -> Result<(), Error> {
    let shutdown = process::shutdown_on_signal()?;
    let target = client::connect(&config.otlp.logs_connection()?)?;
    replay::export(config, replayed, target, shutdown).await?;
    Ok(())
}

async fn capture(config: Config, rights: RightsArguments) -> Result<(), Error> {
    let shutdown = process::shutdown_on_signal()?;
    let connection = config.otlp.logs_connection()?;
    let hashes = config.process.hash;
    let exporter = Exporter::start(config, client::connect(&connection)?)?;
    // This future runs on the main thread from here to its end, and the collector within it.
    if !rights.keep_capabilities {
        capabilities::keep_for_running_capture(hashes);
    }
    tracing::info!(
        endpoint = %connection.endpoint,
        exporter = exporter.identity().exporter_id,
        host = exporter.identity().host_name,
        "exporting"
    );
    let counters = exporter.run(shutdown).await?;
    tracing::info!(
        flows = counters.flows,
        made = counters.made,
        delivered = counters.delivered,
        "stopped"
    );
    Ok(())
}
