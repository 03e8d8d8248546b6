//! What a sidecar can be told.
//!
//! Every value has a default; unknown keys are refused; [`Config::validate`] checks ranges and names the
//! field; each section does so in its own file. Secrets are not part of the configuration: it names the file or the environment variable that
//! holds them ([`beaconwatch_destinations::Secret`]).

mod alerts;
mod api;
mod context;
mod delivery;
mod inputs;
mod receive;
mod risk;
mod rules;
mod store;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use beaconwatch_detector::{Settings, SettingsError, ecs};
use serde::{Deserialize, Serialize};

use crate::alert::AllowConfig;
use crate::observe::{Rules, Scoring};
use beaconwatch_destinations::{DestinationConfig, SettingError, in_range};

pub use alerts::AlertsConfig;
pub use api::{ApiConfig, Role, TlsConfig, TokenConfig};
pub use context::{ContextConfig, ContextError, ListConfig, ListFormat, OpenedContext};
pub use delivery::DeliveryConfig;
pub use inputs::{InputConfig, TailConfig};
pub use receive::ReceiveConfig;
pub use risk::{RiskConfig, RiskError};
pub use rules::RulesConfig;
pub use store::StoreConfig;

/// Configuration of a sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "SidecarConfig")]
pub struct Config {
    /// Folder of the store and of files that detections are written to.
    pub data_directory: PathBuf,
    /// Namespace of the data stream `logs-beaconwatch.detection-<namespace>`: 1 to 100 lower-case ASCII
    /// letters, digits and `_`.
    pub namespace: String,
    /// Name of this detector in its documents, at most 255 bytes.
    pub observer_name: Option<String>,
    /// Seconds between two analyses, 1..=3600.
    pub analysis_interval_s: u64,
    /// Seconds after which a finding that goes on gets a new document, 60..=2592000.
    pub update_interval_s: u64,
    /// Findings to know, 1..=10000000; past that the oldest are forgotten.
    pub max_findings: usize,
    /// Receiving OTLP.
    pub receive: ReceiveConfig,
    /// What is read beside OTLP, by name.
    pub inputs: BTreeMap<String, InputConfig>,
    /// What is known beside the flows.
    pub context: ContextConfig,
    /// The risk that a learnt model gives, beside the score.
    pub risk: RiskConfig,
    /// Sigma rules that are evaluated here.
    pub rules: RulesConfig,
    /// The life of findings.
    pub alerts: AlertsConfig,
    /// What is allowed: findings of it are closed, and make no more documents.
    pub allow: Vec<AllowConfig>,
    /// The status API.
    pub api: ApiConfig,
    /// Storing.
    pub store: StoreConfig,
    /// Delivering.
    pub delivery: DeliveryConfig,
    /// Where detections go, by name.
    pub destinations: BTreeMap<String, DestinationConfig>,
    /// Settings of the detector: a section of its own in a configuration file.
    #[serde(skip)]
    pub detector: Settings,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_directory: PathBuf::from("/var/lib/beaconwatch"),
            namespace: "default".to_owned(),
            observer_name: None,
            analysis_interval_s: 30,
            update_interval_s: 3600,
            max_findings: 100_000,
            receive: ReceiveConfig::default(),
            inputs: BTreeMap::new(),
            context: ContextConfig::default(),
            risk: RiskConfig::default(),
            rules: RulesConfig::default(),
            alerts: AlertsConfig::default(),
            allow: Vec::new(),
            api: ApiConfig::default(),
            store: StoreConfig::default(),
            delivery: DeliveryConfig::default(),
            destinations: BTreeMap::from([("file".to_owned(), DestinationConfig::default())]),
            detector: Settings::default(),
        }
    }
}

/// What documents say of where they come from and go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) namespace: String,
    pub(crate) observer_name: Option<String>,
}

impl Labels {
    pub(crate) fn borrow(&self) -> ecs::Labels<'_> {
        ecs::Labels {
            namespace: &self.namespace,
            observer_name: self.observer_name.as_deref(),
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// A value of another type than the setting's.
    #[error("{field} is {value}: {problem}")]
    Unreadable {
        /// Dotted name.
        field: String,
        /// What was given.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An address that other hosts can reach, without consent.
    #[error(
        "{field} is {address}, which other hosts can reach: set {consent} = true to allow it, expected a loopback address"
    )]
    Remote {
        /// Dotted name of the address.
        field: &'static str,
        /// The address.
        address: SocketAddr,
        /// Dotted name of the consent.
        consent: &'static str,
    },
    /// An entry of the allow-list.
    #[error("allow[{index}].{reason}")]
    Allow {
        /// Place of the entry, from 0.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// A setting of the detector.
    #[error("detector.{0}")]
    Detector(#[from] SettingsError),
}

impl ConfigError {
    /// Dotted name of what is wrong; of the detector's settings behind `detector`.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::Setting(setting) => setting.field().to_owned(),
            Self::Unreadable { field, .. } => field.clone(),
            Self::Remote { field, .. } => (*field).to_owned(),
            Self::Allow { index, .. } => format!("allow[{index}]"),
            Self::Detector(SettingsError::OutOfRange { name, .. }) => format!("detector.{name}"),
        }
    }
}

impl Config {
    /// Checks every value. Opens nothing.
    pub fn validate(&self) -> Result<(), ConfigError> {
        in_range("analysis_interval_s", self.analysis_interval_s, 1, 3600)?;
        in_range("update_interval_s", self.update_interval_s, 60, 2_592_000)?;
        in_range("max_findings", count(self.max_findings), 1, 10_000_000)?;
        self.validate_labels()?;
        self.receive.validate()?;
        self.context.validate()?;
        self.risk.validate()?;
        self.rules.validate()?;
        self.alerts.validate()?;
        self.validate_allow()?;
        self.api.validate()?;
        self.store.validate()?;
        self.delivery.validate()?;
        for (name, input) in &self.inputs {
            check_name(name)?;
            input.validate(&format!("inputs.{name}"))?;
        }
        for (name, destination) in &self.destinations {
            check_name(name)?;
            destination.validate(&format!("destinations.{name}"))?;
        }
        Ok(self.detector.validate()?)
    }

    /// What of the scoring thread's settings can change while it runs.
    pub(crate) fn scoring(&self) -> Scoring {
        Scoring {
            detector: self.detector.clone(),
            rules: self.rules(),
            allow: self.allow.clone(),
            allow_limit: self.alerts.max_allow_entries,
            audit_limit: self.alerts.max_audit_entries,
            outbox_limit: self.delivery.max_pending_documents,
        }
    }

    /// What documents say of where they come from and go to.
    pub(crate) fn labels(&self) -> Labels {
        Labels {
            namespace: self.namespace.clone(),
            observer_name: self.observer_name.clone(),
        }
    }

    /// The times of findings' lives.
    fn rules(&self) -> Rules {
        Rules {
            update_interval: Duration::from_secs(self.update_interval_s),
            close_after: Duration::from_secs(self.alerts.close_after_s),
            close_after_intervals: self.alerts.close_after_intervals,
            reopen_within: Duration::from_secs(self.alerts.reopen_within_s),
            document_acknowledgements: self.alerts.document_acknowledgements,
            sensor_silence: self.alerts.sensor_silence(),
        }
    }

    fn validate_allow(&self) -> Result<(), ConfigError> {
        for (index, entry) in self.allow.iter().enumerate() {
            entry.rule().map_err(|source| ConfigError::Allow {
                index,
                reason: source.to_string(),
            })?;
        }
        Ok(())
    }

    fn validate_labels(&self) -> Result<(), ConfigError> {
        let name = self.namespace.as_bytes();
        let fits = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        if !(1..=100).contains(&name.len()) || !name.iter().all(fits) {
            return Err(SettingError::value(
                "namespace",
                self.namespace.clone(),
                "1 to 100 lower-case ASCII letters, digits and '_'",
            )
            .into());
        }
        match &self.observer_name {
            Some(name) if !(1..=255).contains(&name.len()) => {
                Err(SettingError::value("observer_name", name.clone(), "1 to 255 bytes").into())
            }
            _ => Ok(()),
        }
    }

    /// The database file.
    #[must_use]
    pub fn store_path(&self) -> PathBuf {
        let path = self.store.path.clone();
        path.unwrap_or_else(|| self.data_directory.join("beaconwatch.redb"))
    }

    /// Time between two analyses.
    #[must_use]
    pub fn analysis_interval(&self) -> Duration {
        Duration::from_secs(self.analysis_interval_s)
    }
}

fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn local(
    field: &'static str,
    address: SocketAddr,
    allowed: bool,
    consent: &'static str,
) -> Result<(), ConfigError> {
    if allowed || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(ConfigError::Remote {
        field,
        address,
        consent,
    })
}

/// Names of destinations stand in the store's keys, in logs and in addresses of the API.
fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) {
        return Ok(());
    }
    Err(SettingError::value(
        "destinations",
        name.to_owned(),
        "names of 1 to 64 ASCII letters, digits, '-' and '_'",
    )
    .into())
}

#[cfg(test)]
mod tests;
