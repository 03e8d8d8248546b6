//! `beaconwatch config check`.

use std::io::{self, Write};
use std::path::Path;

use crate::config::{self, Config, Flags};
use crate::error::Error;
use crate::output::to_stdout;

/// Checks all sections and says what was read.
pub(crate) fn check(file: Option<&Path>) -> Result<(), Error> {
    let loaded = config::load(file, Flags::default())?;
    let config = &loaded.config;
    to_stdout(|out| {
        for warning in &loaded.warnings {
            writeln!(out, "warning: {warning}")?;
        }
        match &loaded.file {
            Some(file) => writeln!(out, "{}: ok", file.display())?,
            None => writeln!(out, "no file, defaults and environment: ok")?,
        }
        if *config == Config::default() {
            return writeln!(out, "every setting has its default");
        }
        sum_up(out, config)
    })?;
    Ok(())
}

fn sum_up(out: &mut dyn Write, config: &Config) -> io::Result<()> {
    let seed = &config.detector.seed;
    writeln!(
        out,
        "detector: {} method, alert threshold {}, at least {} connections over {} s",
        config.detector.profile.name(),
        seed.alert_threshold,
        seed.min_connections,
        seed.min_duration_s,
    )?;
    let sidecar = &config.sidecar;
    writeln!(
        out,
        "sidecar:  state in {}, status API on {}, OTLP on {} (gRPC) and {} (HTTP)",
        sidecar.data_directory.display(),
        sidecar.api.address,
        sidecar.receive.grpc_address,
        sidecar.receive.http_address,
    )?;
    for (name, destination) in &sidecar.destinations {
        writeln!(
            out,
            "          detections go to {name} ({})",
            destination.kind.name()
        )?;
    }
    let endpoint = config.exporter.otlp.endpoint.as_deref();
    writeln!(
        out,
        "exporter: OTLP to {}",
        endpoint.unwrap_or("the default endpoint")
    )
}
