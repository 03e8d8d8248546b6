//! Section `api`: the status API.

use std::net::{Ipv4Addr, SocketAddr};

use beaconwatch_destinations::in_range;
use serde::{Deserialize, Serialize};

use super::{ConfigError, count, local};

/// The status API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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

impl ApiConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
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
