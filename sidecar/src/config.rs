//! What a sidecar can be told.
//!
//! Every value has a default; unknown keys are refused; [`Config::validate`] checks ranges and names the
//! field. Secrets are not part of the configuration: it names the file or the environment variable that
//! holds them ([`beaconwatch_destinations::Secret`]).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use beaconwatch_detector::{Settings, SettingsError, ecs};
use serde::{Deserialize, Serialize};

use beaconwatch_destinations::{DestinationConfig, SettingError, in_range};

/// Configuration of a sidecar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

/// Receiving OTLP over gRPC and HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveConfig {
    /// Address of the gRPC receiver; port 0 takes a free one.
    pub grpc_address: SocketAddr,
    /// Address of the HTTP receiver (path `/v1/logs`); port 0 takes a free one.
    pub http_address: SocketAddr,
    /// Must be true for addresses that are not loopback: there is no authentication yet.
    pub allow_remote: bool,
    /// Most bytes of a request's body, as it comes and decompressed, 1024..=268435456.
    pub max_body_bytes: usize,
    /// Most log records in a request, 1..=1000000.
    pub max_records: usize,
    /// Most attributes of a record, 32..=10000.
    pub max_attributes: usize,
    /// Most bytes of a string that is kept, 256..=4096.
    pub max_string_bytes: usize,
    /// Most requests at a time over all connections, 1..=1024; more are told to come again.
    pub max_requests: usize,
    /// Most connections per receiver, 1..=65536.
    pub max_connections: usize,
    /// Most records that wait to be stored and scored, 1000..=100000000; past that requests are told to
    /// come again. About 500 bytes each.
    pub max_queued_records: usize,
    /// Most exporters whose sequence numbers are followed, 1..=1000000.
    pub max_exporters: usize,
    /// Milliseconds that a request waits for its turn before it is told to come again, 0..=60000.
    pub max_wait_ms: u64,
    /// Seconds a request may take to come in, 1..=600.
    pub request_timeout_s: u64,
    /// Seconds after which a client that was told to come again should do so, 1..=300.
    pub retry_after_s: u64,
}

impl Default for ReceiveConfig {
    fn default() -> Self {
        Self {
            grpc_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 14317)),
            http_address: SocketAddr::from((Ipv4Addr::LOCALHOST, 14318)),
            allow_remote: false,
            max_body_bytes: 16 << 20,
            max_records: 50_000,
            max_attributes: 128,
            max_string_bytes: 4096,
            max_requests: 16,
            max_connections: 256,
            max_queued_records: 200_000,
            max_exporters: 10_000,
            max_wait_ms: 1000,
            request_timeout_s: 30,
            retry_after_s: 2,
        }
    }
}

/// The status API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Must be true for an address that is not loopback: there is no authentication yet.
    pub allow_remote: bool,
    /// Values of the `Host` header (without port) that are accepted beside loopback names and the address
    /// itself: a web page of another name cannot make a browser read the API.
    pub allowed_hosts: Vec<String>,
    /// Most connections, 1..=65536.
    pub max_connections: usize,
    /// Scored series to show, 1..=1000000: the best scores.
    pub max_series: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            allow_remote: false,
            allowed_hosts: Vec::new(),
            max_connections: 128,
            max_series: 10_000,
        }
    }
}

/// Storing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// The database file; `beaconwatch.redb` in the data directory when not given.
    pub path: Option<PathBuf>,
    /// Bytes of memory for the database's cache, 1048576..=68719476736.
    pub cache_bytes: usize,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: None,
            cache_bytes: 64 << 20,
        }
    }
}

/// Delivering, the same for all destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Most documents in one attempt, 1..=10000.
    pub max_batch_documents: usize,
    /// Most bytes of documents in one attempt (a larger document goes alone), 1024..=33554432.
    pub max_batch_bytes: usize,
    /// Milliseconds to wait after the first failure; each further one doubles it, 1..=60000.
    pub initial_backoff_ms: u64,
    /// Seconds that a wait may grow to, 1..=3600.
    pub max_backoff_s: u64,
    /// Documents that may wait for a destination; past that no new ones are made until it catches up,
    /// 1..=10000000.
    pub max_pending_documents: u64,
    /// Dead letters to keep per destination, 0..=1000000; past that the oldest go.
    pub max_dead_letters: u64,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            max_batch_documents: 500,
            max_batch_bytes: 5 << 20,
            initial_backoff_ms: 500,
            max_backoff_s: 60,
            max_pending_documents: 100_000,
            max_dead_letters: 10_000,
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot be.
    #[error(transparent)]
    Setting(#[from] SettingError),
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
    /// A setting of the detector.
    #[error("detector.{0}")]
    Detector(#[from] SettingsError),
}

impl Config {
    /// Checks every value. Opens nothing.
    pub fn validate(&self) -> Result<(), ConfigError> {
        in_range("analysis_interval_s", self.analysis_interval_s, 1, 3600)?;
        in_range("update_interval_s", self.update_interval_s, 60, 2_592_000)?;
        in_range("max_findings", count(self.max_findings), 1, 10_000_000)?;
        self.validate_labels()?;
        self.receive.validate()?;
        self.api.validate()?;
        in_range(
            "store.cache_bytes",
            count(self.store.cache_bytes),
            1 << 20,
            64 << 30,
        )?;
        self.delivery.validate()?;
        for (name, destination) in &self.destinations {
            check_name(name)?;
            destination.validate(&format!("destinations.{name}"))?;
        }
        Ok(self.detector.validate()?)
    }

    /// What documents say of where they come from and go to.
    pub(crate) fn labels(&self) -> Labels {
        Labels {
            namespace: self.namespace.clone(),
            observer_name: self.observer_name.clone(),
        }
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

impl ReceiveConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        const CONSENT: &str = "receive.allow_remote";
        local(
            "receive.grpc_address",
            self.grpc_address,
            self.allow_remote,
            CONSENT,
        )?;
        local(
            "receive.http_address",
            self.http_address,
            self.allow_remote,
            CONSENT,
        )?;
        in_range(
            "receive.max_body_bytes",
            count(self.max_body_bytes),
            1024,
            256 << 20,
        )?;
        in_range("receive.max_records", count(self.max_records), 1, 1_000_000)?;
        in_range(
            "receive.max_attributes",
            count(self.max_attributes),
            32,
            10_000,
        )?;
        in_range(
            "receive.max_string_bytes",
            count(self.max_string_bytes),
            256,
            4096,
        )?;
        self.validate_totals()
    }

    /// What all requests together may take.
    fn validate_totals(&self) -> Result<(), ConfigError> {
        in_range("receive.max_requests", count(self.max_requests), 1, 1024)?;
        in_range(
            "receive.max_connections",
            count(self.max_connections),
            1,
            65_536,
        )?;
        let queued = count(self.max_queued_records);
        in_range("receive.max_queued_records", queued, 1000, 100_000_000)?;
        in_range(
            "receive.max_exporters",
            count(self.max_exporters),
            1,
            1_000_000,
        )?;
        in_range("receive.max_wait_ms", self.max_wait_ms, 0, 60_000)?;
        in_range("receive.request_timeout_s", self.request_timeout_s, 1, 600)?;
        Ok(in_range(
            "receive.retry_after_s",
            self.retry_after_s,
            1,
            300,
        )?)
    }
}

impl ApiConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        local(
            "api.address",
            self.address,
            self.allow_remote,
            "api.allow_remote",
        )?;
        in_range(
            "api.max_connections",
            count(self.max_connections),
            1,
            65_536,
        )?;
        Ok(in_range(
            "api.max_series",
            count(self.max_series),
            1,
            1_000_000,
        )?)
    }
}

impl DeliveryConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let batch = count(self.max_batch_documents);
        in_range("delivery.max_batch_documents", batch, 1, 10_000)?;
        in_range(
            "delivery.max_batch_bytes",
            count(self.max_batch_bytes),
            1024,
            32 << 20,
        )?;
        in_range(
            "delivery.initial_backoff_ms",
            self.initial_backoff_ms,
            1,
            60_000,
        )?;
        in_range("delivery.max_backoff_s", self.max_backoff_s, 1, 3600)?;
        in_range(
            "delivery.max_pending_documents",
            self.max_pending_documents,
            1,
            10_000_000,
        )?;
        Ok(in_range(
            "delivery.max_dead_letters",
            self.max_dead_letters,
            0,
            1_000_000,
        )?)
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
