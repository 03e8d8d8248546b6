//! The lists of what an instance knows.

use std::net::IpAddr;

use clap::{Args, ValueEnum};

use super::instance::ListArguments;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Severity {
    /// Score below 0.7
    Low,
    /// Score of at least 0.7
    Medium,
    /// Score of at least 0.8
    High,
    /// Score of at least 0.9
    Critical,
}

impl Severity {
    /// The API's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// `beacons`.
#[derive(Debug, Args)]
pub(crate) struct BeaconsArguments {
    /// Show series with at least this score
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) min_score: Option<f64>,
    /// Show series of at least this severity
    #[arg(long, value_enum)]
    pub(crate) severity: Option<Severity>,
    #[command(flatten)]
    pub(crate) ends: Ends,
    /// Show series of this process
    #[arg(long, value_name = "NAME")]
    pub(crate) process: Option<String>,
    /// Show series to this server name
    #[arg(long, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    #[command(flatten)]
    pub(crate) list: ListArguments,
}

/// From where, and to where.
#[derive(Debug, Default, Args)]
pub(crate) struct Ends {
    /// Show series from this address or network
    #[arg(long, value_name = "IP[/BITS]", value_parser = network)]
    pub(crate) source: Option<String>,
    /// Show series to this address or network
    #[arg(long, value_name = "IP[/BITS]", value_parser = network)]
    pub(crate) destination: Option<String>,
    /// Show series to this port
    #[arg(long = "dest-port", value_name = "PORT")]
    pub(crate) destination_port: Option<u16>,
}

/// `long-conns`.
#[derive(Debug, Args)]
pub(crate) struct LongConnsArguments {
    /// Show series that have lasted at least so many seconds from the first to the last connection
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "3600")]
    pub(crate) min_duration: f64,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) list: ListArguments,
}

/// Order of a list of connection series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ConnectionOrder {
    /// Most connections first
    #[default]
    Count,
    /// Longest first
    Duration,
    /// Latest first
    LastSeen,
}

impl ConnectionOrder {
    /// The API's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Duration => "duration",
            Self::LastSeen => "last_seen",
        }
    }
}

/// `connections`.
#[derive(Debug, Args)]
pub(crate) struct ConnectionsArguments {
    /// What comes first
    #[arg(long, value_enum)]
    pub(crate) sort: Option<ConnectionOrder>,
    /// Show series that have lasted at least so many seconds from the first to the last connection
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) min_duration: Option<f64>,
    #[command(flatten)]
    pub(crate) ends: Ends,
    #[command(flatten)]
    pub(crate) list: ListArguments,
}

/// A score from 0 to 1.
pub(crate) fn score(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|score| (0.0..=1.0).contains(score))
        .ok_or_else(|| "expected a score from 0 to 1".to_owned())
}

/// Seconds, at most a century.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=3.2e9).contains(seconds))
        .ok_or_else(|| "expected a number of seconds that is not negative".to_owned())
}

/// An IP address, or a network as `ADDRESS/BITS`.
pub(crate) fn network(text: &str) -> Result<String, String> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let expected = || "expected an IP address, or a network such as 192.0.2.0/24".to_owned();
    let address: IpAddr = address.parse().map_err(|_not_one| expected())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits.map(str::parse::<u8>) {
        None => Ok(text.to_owned()),
        Some(Ok(bits)) if bits <= most => Ok(text.to_owned()),
        Some(_) => Err(expected()),
    }
}
