//! Section `receive`: how flow records come in.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use beaconwatch_destinations::{SecretSource, in_range};
use serde::{Deserialize, Serialize};

use super::api::check_token_name;
use super::{ConfigError, TlsConfig, count, local};

/// Receiving OTLP over gRPC and HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ReceiveConfig {
    /// Address of the gRPC receiver; port 0 takes a free one.
    pub grpc_address: SocketAddr,
    /// Address of the HTTP receiver (path `/v1/logs`); port 0 takes a free one.
    pub http_address: SocketAddr,
    /// Must be true for addresses that are not loopback. Such addresses should have `tokens` and `tls`, too.
    pub allow_remote: bool,
    /// Who may send, by name: where their bearer tokens are, at least 16 bytes each. Without any token everybody may who
    /// reaches the addresses.
    pub tokens: BTreeMap<String, SecretSource>,
    /// Certificate and key of both receivers; without them they speak plain HTTP.
    pub tls: Option<TlsConfig>,
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
            tokens: BTreeMap::new(),
            tls: None,
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

impl ReceiveConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
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
        for name in self.tokens.keys() {
            check_token_name("receive.tokens", name)?;
        }
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
