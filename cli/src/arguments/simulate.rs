//! `simulate`.

use std::net::SocketAddr;

use clap::Args;

use super::instance::{InstanceArguments, PrintArguments};
use super::life::span_s;

/// `simulate`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SimulateArguments {
    /// Where to listen for the beacon; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:0")]
    pub(crate) address: SocketAddr,
    /// Seconds between two connections [default: 5, or the shortest that the seed score takes]
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    pub(crate) interval: Option<f64>,
    /// How far an interval may be off, as a part of it
    #[arg(long, value_name = "RATIO", default_value = "0.05", value_parser = jitter)]
    pub(crate) jitter: f64,
    /// Connections to make [default: as many as the instance needs]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(2..=100_000))]
    pub(crate) count: Option<u64>,
    /// How long to make connections: 90s, 30m or 8h
    #[arg(long = "for", value_name = "DURATION", value_parser = span_s, conflicts_with = "count")]
    pub(crate) for_s: Option<u64>,
    /// How long to wait for the finding and its deliveries after the last connection
    #[arg(long, value_name = "DURATION", default_value = "3m", value_parser = span_s)]
    pub(crate) wait: u64,
    #[command(flatten)]
    pub(crate) print: PrintArguments,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
}

fn interval(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|it| (0.05..=86_400.0).contains(it))
        .ok_or_else(|| "expected 0.05 to 86400 seconds".to_owned())
}

fn jitter(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|it| (0.0..=0.5).contains(it))
        .ok_or_else(|| "expected a ratio from 0 to 0.5".to_owned())
}
