//! `watch`.

use clap::Args;

use super::instance::InstanceArguments;
use super::lists::{score, seconds};

/// `watch`.
#[derive(Clone, Debug, Args)]
pub(crate) struct WatchArguments {
    /// Seconds between two looks at what the instance does not tell of by itself
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = interval)]
    pub(crate) interval: f64,
    /// Show findings and series with at least this score
    #[arg(long, value_name = "SCORE", value_parser = score)]
    pub(crate) min_score: Option<f64>,
    /// Show series that have lasted at least so many seconds from the first to the last connection
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) min_duration: Option<f64>,
    /// Show at most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 500,
          value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) limit: u64,
    /// Instead of an interface, print findings and then each change of one: a JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
}

fn interval(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|it| (0.2..=3600.0).contains(it))
        .ok_or_else(|| "expected 0.2 to 3600 seconds".to_owned())
}
