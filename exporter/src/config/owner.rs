//! Settings of what user space adds to a flow's owner: sections `[exporter.process]` and `[exporter.kubernetes]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_with::{DurationSecondsWithFrac, serde_as};

use super::ConfigError;

/// What every pod has of its service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Longest list of labels: each is an attribute of every record of a pod.
const MAX_LABELS: usize = 32;

/// What is said of processes, and where it is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessConfig {
    /// Whether records carry the command line. It may hold passwords.
    pub command_line: bool,
    /// Whether records carry the SHA-256 of the executable. A thread of its own computes it, once a file; no
    /// record waits for it.
    pub hash: bool,
    /// Larger executables are not hashed.
    pub hash_max_bytes: u64,
    /// The host's `/proc`: elsewhere when the exporter runs in a container.
    pub proc_directory: PathBuf,
    /// Names of the host's users, in the form of passwd(5); read again when it changes.
    pub passwd_file: PathBuf,
}

/// Names and labels of pods, from the kubelet of this node.
#[serde_as]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct KubernetesConfig {
    /// Whether the kubelet is asked. Pods are told by their uid without it.
    pub enabled: bool,
    /// Where a list of the node's pods is had; `https://<node_name>:10250/pods` when absent. An API server does as
    /// well: `https://kubernetes.default.svc/api/v1/pods?fieldSelector=spec.nodeName=<node>`.
    pub url: Option<String>,
    /// Name or address of the node; the variable `NODE_NAME` when absent, else the name of the host.
    pub node_name: Option<String>,
    /// Token of a service account that may get `nodes/proxy` (or `nodes/pods`); that of the exporter's own pod when absent. Read
    /// before each request, because it is renewed.
    pub token_file: Option<PathBuf>,
    /// Who may have signed the server's certificate (PEM); the cluster's authority, as the exporter's own pod has it,
    /// when absent. No others are trusted.
    pub ca_file: Option<PathBuf>,
    /// Keys of the labels that records carry, at most 32.
    pub labels: Vec<String>,
    /// Longest wait for an answer.
    #[serde_as(as = "DurationSecondsWithFrac<f64>")]
    pub timeout_s: Duration,
}

impl Default for ProcessConfig {
    fn default() -> Self {
        Self {
            command_line: false,
            hash: false,
            hash_max_bytes: 256 << 20,
            proc_directory: "/proc".into(),
            passwd_file: "/etc/passwd".into(),
        }
    }
}

impl Default for KubernetesConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            url: None,
            node_name: None,
            token_file: None,
            ca_file: None,
            labels: Vec::new(),
            timeout_s: Duration::from_secs(10),
        }
    }
}

impl ProcessConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        const MOST: u64 = 16 << 30;
        if !(1..=MOST).contains(&self.hash_max_bytes) {
            let expected = format!("1 to {MOST}");
            return Err(ConfigError::invalid(
                "process.hash_max_bytes",
                self.hash_max_bytes,
                &expected,
            ));
        }
        Ok(())
    }
}

impl KubernetesConfig {
    /// Where the token is.
    #[must_use]
    pub fn token_file(&self) -> PathBuf {
        let default = || Path::new(SERVICE_ACCOUNT).join("token");
        self.token_file.clone().unwrap_or_else(default)
    }

    /// Where the certificates are.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        let default = || Path::new(SERVICE_ACCOUNT).join("ca.crt");
        self.ca_file.clone().unwrap_or_else(default)
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.url {
            // The token goes there: never in the clear.
            if !url.starts_with("https://") || url.parse::<http::Uri>().is_err() {
                let expected = "a URL that begins with https://";
                return Err(ConfigError::invalid("kubernetes.url", url, expected));
            }
        }
        if self.labels.len() > MAX_LABELS {
            let expected = format!("at most {MAX_LABELS} keys");
            let count = format!("a list of {}", self.labels.len());
            return Err(ConfigError::invalid("kubernetes.labels", count, &expected));
        }
        // Keys of labels: a DNS name as prefix (253) and a name (63).
        let wrong = |key: &&String| key.is_empty() || key.len() > 317 || !key.is_ascii();
        if let Some(key) = self.labels.iter().find(wrong) {
            let expected = "keys of labels, such as app.kubernetes.io/name";
            return Err(ConfigError::invalid("kubernetes.labels", key, expected));
        }
        let range = Duration::from_millis(100)..=Duration::from_mins(5);
        if !range.contains(&self.timeout_s) {
            let value = self.timeout_s.as_secs_f64();
            let expected = "0.1 to 300 seconds";
            return Err(ConfigError::invalid(
                "kubernetes.timeout_s",
                value,
                expected,
            ));
        }
        Ok(())
    }
}
