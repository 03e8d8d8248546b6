//! Identity of this host and of this run.

use std::fs;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::Privacy;
use crate::config::Config;
use crate::flow::{BootId, Moment};
use crate::otlp::logs::Identity;

/// Who exports: settings first, then what the host says of itself. A run gets a random identity.
///
/// Without a machine id the host's identity is a hash of its name: stable, but only as unique as the name. Of a name
/// that is left out it is the run's identity, because a hash can be guessed.
#[must_use]
pub fn identify(
    config: &Config,
    privacy: &Privacy,
    started: Moment,
    own_namespace: u64,
) -> Identity {
    let host_name = privacy.host_name(name(config));
    let exporter_id = hex::encode(rand::random::<[u8; 16]>());
    let host_id = config
        .host_id
        .clone()
        .or_else(|| first_line(Path::new("/etc/machine-id")))
        .or_else(|| first_line(Path::new("/var/lib/dbus/machine-id")))
        .unwrap_or_else(|| match host_name.as_str() {
            "" => exporter_id.clone(),
            name => format!("{:032x}", xxh3_128(name.as_bytes())),
        });
    Identity {
        exporter_id,
        host_id,
        host_name,
        own_namespace,
        started,
    }
}

/// Name of this host: the settings' or the kernel's.
#[must_use]
pub fn name(config: &Config) -> String {
    config.host_name.clone().unwrap_or_else(|| {
        first_line(Path::new("/proc/sys/kernel/hostname")).unwrap_or_else(|| "unknown".to_owned())
    })
}

/// Identity of this boot; 0 when the kernel does not tell.
#[must_use]
pub fn boot_id() -> BootId {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .ok()
        .and_then(|text| BootId::parse(&text))
        .unwrap_or_else(|| {
            tracing::warn!("boot id unknown: flow identities may repeat after a reboot");
            BootId::default()
        })
}

fn first_line(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}
