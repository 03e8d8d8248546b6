//! Settings of the exporter: section `[exporter]` of `beaconwatch.toml`.
//!
//! Layers, each over the one before: built-in defaults, the file, `OTEL_EXPORTER_OTLP_*`,
//! `OTEL_EXPORTER_OTLP_LOGS_*` and `_METRICS_*`, `BEACONWATCH_EXPORTER__*` (two underscores nest:
//! `BEACONWATCH_EXPORTER__OTLP__ENDPOINT`), flags. Unknown keys are refused with their source. Durations are
//! numbers of seconds, fractions allowed, and end in `_s`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with::{DurationSecondsWithFrac, serde_as};

mod disk;
mod environment;
mod error;
mod interfaces;
mod load;
mod metrics;
mod otlp;
mod owner;
mod privacy;
mod sampling;
mod secret;

#[cfg(test)]
mod tests;

pub use disk::DiskConfig;
pub use environment::OtelEnvironment;
pub use error::ConfigError;
pub use interfaces::InterfacesConfig;
pub use load::{DEFAULT_FILE, Overrides, beaconwatch_environment, load};
pub use metrics::{MetricsConfig, PrometheusConfig};
pub use otlp::{Otlp, SignalOverrides};
pub use owner::{KubernetesConfig, ProcessConfig};
pub use privacy::{PrivacyConfig, PrivateField};
pub use sampling::SamplingConfig;
pub use secret::Secret;

use crate::capture::CaptureSettings;
use crate::deliver::{BatchLimits, RetryPolicy};
use crate::flow::TableSettings;
use crate::otlp::metrics::MetricsSettings;

/// Settings of the exporter.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "ExporterConfig")]
pub struct Config {
    /// Events are handed to the queue this often; a flow that begins and ends in between is one record.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub flush_interval_s: Duration,
    /// A living flow whose counters changed is reported this often.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub update_interval_s: Duration,
    /// The kernel's live flows are read this often: how late the end of an idle UDP flow, an update, or the start of
    /// a TCP connection that lives on can be.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub snapshot_interval_s: Duration,
    /// When there was nothing to send for this long, a heartbeat is sent. Keep it well below
    /// `sidecar.alerts.sensor_silent_after_s`: whoever is silent for that long is reported.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub heartbeat_interval_s: Duration,
    /// A UDP flow without a datagram for this long has ended.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub udp_idle_timeout_s: Duration,
    /// When the exporter stops, this long is spent on sending what is queued.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub drain_timeout_s: Duration,
    /// Flows kept in user space at most.
    pub max_flows: usize,
    /// Executables whose traffic counts as Beaconwatch's own and is never scored, besides this one's and
    /// those named `beaconwatch` and `beaconwatch-exporter` beside it.
    pub own_executables: Vec<PathBuf>,
    /// Users whose processes may count as own, besides root and this one's.
    pub own_user_ids: Vec<u32>,
    /// Identity of the host; the machine id when absent.
    pub host_id: Option<String>,
    /// Name of the host; the kernel's when absent.
    pub host_name: Option<String>,
    /// The kernel part.
    pub capture: CaptureConfig,
    /// Interfaces whose forwarded traffic is captured.
    pub interfaces: InterfacesConfig,
    /// Queue in front of the network.
    pub queue: QueueConfig,
    /// Which flows are reported.
    pub sampling: SamplingConfig,
    /// Limits of one request.
    pub batch: BatchConfig,
    /// Back-off between attempts.
    pub retry: RetryConfig,
    /// Where flow records and metrics go.
    pub otlp: Otlp,
    /// The exporter's own metrics.
    pub metrics: MetricsConfig,
    /// What is said of processes.
    pub process: ProcessConfig,
    /// Names and labels of pods.
    pub kubernetes: KubernetesConfig,
    /// What records do not say plainly.
    pub privacy: PrivacyConfig,
}

/// The kernel part.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureConfig {
    /// Size of the ring buffer: a power of two of at least 64 KiB.
    pub ring_bytes: u32,
    /// Size of the ring buffer for slices of payload: a power of two of at least 64 KiB.
    pub slice_ring_bytes: u32,
    /// Most peers of unconnected UDP sockets beyond the first of each, at one time.
    pub max_peers: u32,
    /// Whether names are looked for in the beginning of what connections carry (TLS, QUIC, HTTP/1, DNS).
    pub names: bool,
    /// Payload that a living flow sends after this long without any is reported as activity; 0: never.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub activity_idle_s: Duration,
    /// The cgroup v2 directory whose sockets are captured; the root of the tree when absent.
    pub cgroup: Option<PathBuf>,
    /// Directory of a BPF file system, for this exporter alone, in which the kernel part goes on while no exporter runs; the
    /// next one takes it over. `beaconwatch-exporter unpin` ends it. When absent the kernel part ends with the exporter.
    pub pin_directory: Option<PathBuf>,
}

/// Bounds of the queue; the tighter one holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Records at most.
    pub max_records: usize,
    /// Bytes of memory at most.
    pub max_bytes: usize,
    /// What waits on disk.
    pub disk: DiskConfig,
}

/// Limits of one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchConfig {
    /// Records at most.
    pub max_records: usize,
    /// Encoded bytes at most, before compression.
    pub max_bytes: usize,
}

/// Back-off between attempts.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetryConfig {
    /// Upper bound of the first wait; it doubles.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub initial_s: Duration,
    /// Upper bound of any wait that the receiver did not ask for.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub max_s: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let table = TableSettings::default();
        Self {
            flush_interval_s: Duration::from_secs(1),
            update_interval_s: table.update_interval,
            snapshot_interval_s: Duration::from_secs(5),
            heartbeat_interval_s: Duration::from_mins(1),
            udp_idle_timeout_s: table.udp_idle_timeout,
            drain_timeout_s: Duration::from_secs(5),
            max_flows: table.max_flows,
            own_executables: Vec::new(),
            own_user_ids: Vec::new(),
            host_id: None,
            host_name: None,
            capture: CaptureConfig::default(),
            interfaces: InterfacesConfig::default(),
            queue: QueueConfig::default(),
            sampling: SamplingConfig::default(),
            batch: BatchConfig::default(),
            retry: RetryConfig::default(),
            otlp: Otlp::default(),
            metrics: MetricsConfig::default(),
            process: ProcessConfig::default(),
            kubernetes: KubernetesConfig::default(),
            privacy: PrivacyConfig::default(),
        }
    }
}

impl Default for CaptureConfig {
    fn default() -> Self {
        let settings = CaptureSettings::default();
        Self {
            ring_bytes: settings.ring_bytes,
            slice_ring_bytes: settings.slice_ring_bytes,
            max_peers: settings.max_peers,
            names: settings.take_slices,
            activity_idle_s: settings.activity_idle,
            cgroup: settings.cgroup,
            pin_directory: settings.pin_directory,
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            max_records: 200_000,
            max_bytes: 64 * 1024 * 1024,
            disk: DiskConfig::default(),
        }
    }
}

impl Default for BatchConfig {
    fn default() -> Self {
        let limits = BatchLimits::default();
        Self {
            max_records: limits.max_records,
            max_bytes: limits.max_bytes,
        }
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        let policy = RetryPolicy::default();
        Self {
            initial_s: policy.initial,
            max_s: policy.max,
        }
    }
}

impl Config {
    /// Checks what types cannot say. Opens nothing.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.validate_durations()?;
        self.validate_counts()?;
        self.interfaces.validate()?;
        self.queue.disk.validate()?;
        self.metrics.validate()?;
        self.sampling.validate()?;
        self.otlp.logs_connection()?;
        self.otlp.metrics_connection()?;
        self.process.validate()?;
        self.kubernetes.validate()?;
        self.privacy.validate()
    }

    fn validate_durations(&self) -> Result<(), ConfigError> {
        const SHORTEST: Duration = Duration::from_millis(10);
        let activity_idle = self.capture.activity_idle_s;
        if !activity_idle.is_zero() && activity_idle < SHORTEST {
            return Err(ConfigError::invalid(
                "capture.activity_idle_s",
                activity_idle.as_secs_f64(),
                "0 or 0.01 to 86400 seconds",
            ));
        }
        for (key, value, least) in [
            ("capture.activity_idle_s", activity_idle, Duration::ZERO),
            ("flush_interval_s", self.flush_interval_s, SHORTEST),
            ("update_interval_s", self.update_interval_s, SHORTEST),
            ("snapshot_interval_s", self.snapshot_interval_s, SHORTEST),
            ("heartbeat_interval_s", self.heartbeat_interval_s, SHORTEST),
            ("udp_idle_timeout_s", self.udp_idle_timeout_s, SHORTEST),
            ("drain_timeout_s", self.drain_timeout_s, Duration::ZERO),
            ("retry.initial_s", self.retry.initial_s, SHORTEST),
            ("retry.max_s", self.retry.max_s, SHORTEST),
            ("metrics.interval_s", self.metrics.interval_s, SHORTEST),
        ] {
            if !(least..=Duration::from_hours(24)).contains(&value) {
                let expected = format!("{} to 86400 seconds", least.as_secs_f64());
                return Err(ConfigError::invalid(key, value.as_secs_f64(), &expected));
            }
        }
        Ok(())
    }

    fn validate_counts(&self) -> Result<(), ConfigError> {
        for (key, value, most) in [
            ("max_flows", self.max_flows, 1 << 26),
            ("queue.max_records", self.queue.max_records, 1 << 30),
            ("queue.max_bytes", self.queue.max_bytes, 1 << 40),
            ("batch.max_records", self.batch.max_records, 1 << 20),
            ("batch.max_bytes", self.batch.max_bytes, 64 << 20),
        ] {
            if !(1..=most).contains(&value) {
                return Err(ConfigError::invalid(key, value, &format!("1 to {most}")));
            }
        }
        for (key, bytes) in [
            ("capture.ring_bytes", self.capture.ring_bytes),
            ("capture.slice_ring_bytes", self.capture.slice_ring_bytes),
        ] {
            if !bytes.is_power_of_two() || bytes < 64 << 10 {
                let expected = "a power of two of at least 65536";
                return Err(ConfigError::invalid(key, bytes, expected));
            }
        }
        if self.capture.max_peers == 0 {
            return Err(ConfigError::invalid("capture.max_peers", 0, "at least 1"));
        }
        self.validate_pins()
    }

    fn validate_pins(&self) -> Result<(), ConfigError> {
        if let Some(directory) = &self.capture.pin_directory
            && !directory.is_absolute()
        {
            return Err(ConfigError::invalid(
                "capture.pin_directory",
                format_args!("`{}`", directory.display()),
                "an absolute path",
            ));
        }
        Ok(())
    }

    /// How to capture.
    #[must_use]
    pub fn capture_settings(&self) -> CaptureSettings {
        CaptureSettings {
            udp_idle_timeout: self.udp_idle_timeout_s,
            ring_bytes: self.capture.ring_bytes,
            slice_ring_bytes: self.capture.slice_ring_bytes,
            take_slices: self.capture.names,
            activity_idle: self.capture.activity_idle_s,
            max_peers: self.capture.max_peers,
            cgroup: self.capture.cgroup.clone(),
            interfaces: self.interfaces.settings(),
            pin_directory: self.capture.pin_directory.clone(),
            max_told: self.max_flows,
            ..CaptureSettings::default()
        }
    }

    /// Limits and intervals of the flow table.
    #[must_use]
    pub fn table_settings(&self) -> TableSettings {
        TableSettings {
            max_flows: self.max_flows,
            update_interval: self.update_interval_s,
            udp_idle_timeout: self.udp_idle_timeout_s,
            activity_idle: self.capture.activity_idle_s,
            ..TableSettings::default()
        }
    }

    /// Limits of one request.
    #[must_use]
    pub const fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            max_records: self.batch.max_records,
            max_bytes: self.batch.max_bytes,
        }
    }

    /// Back-off between attempts.
    #[must_use]
    pub const fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy {
            initial: self.retry.initial_s,
            max: self.retry.max_s,
        }
    }

    /// Where metrics go.
    pub(crate) fn metrics_settings(
        &self,
        queue_capacity: usize,
    ) -> Result<MetricsSettings, ConfigError> {
        let otlp = if self.metrics_enabled() {
            Some((self.otlp.metrics_connection()?, self.metrics.interval_s))
        } else {
            None
        };
        Ok(MetricsSettings {
            otlp,
            listen: self.metrics.prometheus.listen,
            max_attribute_sets: self.metrics.max_attribute_sets,
            queue_capacity,
        })
    }

    /// Whether the exporter sends its own metrics.
    #[must_use]
    pub fn metrics_enabled(&self) -> bool {
        self.metrics
            .enabled
            .unwrap_or_else(|| self.otlp.has_endpoint())
    }
}

/// Headers of a request, by name.
pub type Headers = BTreeMap<String, Secret>;
