//! Section `api`: the HTTP API and the web page.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use beaconwatch_destinations::{SecretSource, SettingError, in_range};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ConfigError, count, local};

/// The HTTP API and the web page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApiConfig {
    /// Address; port 0 takes a free one.
    pub address: SocketAddr,
    /// Must be true for an address that is not loopback. Such an address needs tokens, too.
    pub allow_remote: bool,
    /// Values of the `Host` header (without port) that are accepted beside loopback names and the address
    /// itself: a web page of another name cannot make a browser read the API.
    pub allowed_hosts: Vec<String>,
    /// Who may read and operate, by name. Without a token with the role `operate` the sidecar makes one:
    /// `api-token` in the data directory.
    pub tokens: BTreeMap<String, TokenConfig>,
    /// Certificate and key; without them the API speaks plain HTTP.
    pub tls: Option<TlsConfig>,
    /// Most connections, 1..=65536.
    pub max_connections: usize,
    /// Most requests that are worked on at a time, 1..=1024; more are told to come again.
    pub max_requests: usize,
    /// Most bytes of a request's body, 1024..=16777216. Batches of telemetry have the limit of
    /// `receive.max_body_bytes`.
    pub max_body_bytes: usize,
    /// Seconds after which a request is given up, 1..=600.
    pub request_timeout_s: u64,
    /// Scored series to show, 1..=1000000: the best scores.
    pub max_series: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            allow_remote: false,
            allowed_hosts: Vec::new(),
            tokens: BTreeMap::new(),
            tls: None,
            max_connections: 128,
            max_requests: 64,
            max_body_bytes: 1 << 20,
            request_timeout_s: 20,
            max_series: 10_000,
        }
    }
}

/// What the bearer of a token may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read everything.
    Read,
    /// Read and change everything that the API can change.
    Operate,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenConfig {
    /// What its bearer may do.
    pub role: Role,
    /// Where the token is; at least 16 bytes.
    pub secret: SecretSource,
}

/// TLS of a listening socket. The files are read again when they change and at a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ServerTlsConfig")]
pub struct TlsConfig {
    /// PEM file with the certificate and the ones above it.
    pub certificate_file: PathBuf,
    /// PEM file with the certificate's private key.
    pub key_file: PathBuf,
}

impl ApiConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let remote = "api.allow_remote";
        local("api.address", self.address, self.allow_remote, remote)?;
        if !self.address.ip().to_canonical().is_loopback() && self.tokens.is_empty() {
            return Err(SettingError::value(
                "api.tokens",
                "empty".to_owned(),
                "at least one token, because other hosts can reach api.address",
            )
            .into());
        }
        for name in self.tokens.keys() {
            check_token_name("api.tokens", name)?;
        }
        let connections = count(self.max_connections);
        in_range("api.max_connections", connections, 1, 65_536)?;
        in_range("api.max_requests", count(self.max_requests), 1, 1024)?;
        let body = count(self.max_body_bytes);
        in_range("api.max_body_bytes", body, 1024, 16 << 20)?;
        in_range("api.request_timeout_s", self.request_timeout_s, 1, 600)?;
        let series = count(self.max_series);
        Ok(in_range("api.max_series", series, 1, 1_000_000)?)
    }
}

/// Names of tokens stand in the audit; two of them mean what the sidecar itself says there.
pub(super) fn check_token_name(section: &str, name: &str) -> Result<(), ConfigError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'@');
    let taken = ["local", "anonymous"].contains(&name);
    if (1..=64).contains(&name.len()) && name.bytes().all(fits) && !taken {
        return Ok(());
    }
    Err(SettingError::value(
        section,
        name.to_owned(),
        "names of 1 to 64 ASCII letters, digits, '-', '_', '.' and '@', none of them local or anonymous",
    )
    .into())
}
