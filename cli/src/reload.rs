//! Reading the configuration again while an instance runs: on SIGHUP, and when its API is asked to.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use beaconwatch_sidecar::{Reloader, Reread, Sidecar};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Flags};
use crate::error::Error;
use crate::process;

/// All layers again, as they were read at the start: the same file, the environment, the same flags.
fn reread(file: Option<&Path>, flags: Flags) -> Reread {
    let file = file.map(Path::to_owned);
    Arc::new(move || {
        let loaded = config::load(file.as_deref(), flags.clone());
        let loaded = loaded.map_err(|error| error.to_string())?;
        process::warn_all(loaded.all_warnings());
        Ok(loaded.config.sidecar)
    })
}

/// Lets a sidecar read its configuration again whenever SIGHUP comes. When it comes because the terminal is
/// gone that the program was started in, it shuts the program down.
pub(crate) fn on_hangup(
    sidecar: &Sidecar,
    file: Option<&Path>,
    flags: Flags,
    shutdown: CancellationToken,
) -> Result<JoinHandle<()>, Error> {
    sidecar.reread_with(reread(file, flags));
    let (reloader, mut hangup) = (sidecar.reloader(), signal(SignalKind::hangup())?);
    let in_terminal = std::io::stdin().is_terminal();
    Ok(tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // A terminal that has hung up does not answer as one any more.
            if in_terminal && !std::io::stdin().is_terminal() {
                shutdown.cancel();
                return;
            }
            reload(&reloader).await;
        }
    }))
}

async fn reload(reloader: &Reloader) {
    match reloader.reread().await {
        Ok(report) => {
            let applied = report.applied.join(", ");
            tracing::warn!(applied, "the configuration was read again");
            if !report.needs_restart.is_empty() {
                let keys = report.needs_restart.join(", ");
                tracing::warn!(keys, "changed, and in force after the next start");
            }
        }
        Err(error) => {
            tracing::error!(%error, "the configuration was read again and changed nothing");
        }
    }
}
