//! What `beaconwatch run` shows while it works: where it stands, what is missing for the first score,
//! and beacons as they are found.
//!
//! It asks the status API, as `beaconwatch status` does. On a terminal one line is written over and over,
//! else a line from time to time.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use beaconwatch_detector::evidence::FEWEST_GAPS;
use beaconwatch_detector::{Profile, SeedSettings, Settings};
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};

use crate::client::{Client, ClientError};
use crate::output::answer::{flag, items, number, word};
use crate::output::text;

const TERMINAL_INTERVAL: Duration = Duration::from_secs(2);
const PLAIN_INTERVAL: Duration = Duration::from_mins(1);
/// Series looked at to find the one that is nearest to a score.
const SERIES_LOOKED_AT: usize = 200;
/// Beacons that are told of once are remembered, up to so many.
const TOLD_MAX: usize = 100_000;

/// Prints lines at once: what reads a pipe must not wait for more.
pub(crate) fn print_lines(lines: &[String]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    out.flush()
}

/// What a series needs to be scored, in the seed's terms: evidence asks for beats and for nothing else.
fn gates(settings: &Settings) -> SeedSettings {
    match settings.profile {
        Profile::Evidence => SeedSettings {
            min_connections: FEWEST_GAPS + 1,
            min_duration_s: 0.0,
            min_interval_s: 0.0,
            alert_threshold: settings.alert_threshold(),
            ..SeedSettings::default()
        },
        _ => settings.seed.clone(),
    }
}

/// Shows progress on standard output.
#[derive(Debug)]
pub(crate) struct Progress {
    client: Client,
    settings: SeedSettings,
    terminal: bool,
    told: HashSet<String>,
    /// Whether the cursor stands behind a line that will be written over.
    open_line: bool,
}

impl Progress {
    pub(crate) fn new(api: SocketAddr, settings: &Settings) -> Result<Self, ClientError> {
        Ok(Self {
            client: Client::of(format!("http://{api}"))?,
            settings: gates(settings),
            terminal: io::stdout().is_terminal(),
            told: HashSet::new(),
            open_line: false,
        })
    }

    /// Shows progress for ever. When standard output can no more be written the work goes on unseen.
    pub(crate) async fn watch(&mut self) -> std::convert::Infallible {
        if let Err(error) = self.watch_until_failure().await {
            tracing::warn!(%error, "progress is no more shown");
        }
        std::future::pending().await
    }

    async fn watch_until_failure(&mut self) -> io::Result<()> {
        let mut ticks = interval(if self.terminal {
            TERMINAL_INTERVAL
        } else {
            PLAIN_INTERVAL
        });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.look().await {
                Ok(seen) => self.show(&seen)?,
                Err(error) => tracing::warn!(%error, "no status"),
            }
        }
    }

    /// Leaves the line that is written over.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.open_line) {
            let mut out = io::stdout().lock();
            writeln!(out)?;
            out.flush()?;
        }
        Ok(())
    }

    async fn look(&self) -> Result<Seen, ClientError> {
        let status = self.client.get("/api/v1/status", &Vec::new()).await?;
        let limit = vec![("limit", SERIES_LOOKED_AT.to_string())];
        let beacons = self.client.get("/api/v1/beacons", &limit).await?;
        let connections = self.client.get("/api/v1/connections", &limit).await?;
        Ok(Seen {
            series: number(&status, "/detector/series"),
            flows: number(&status, "/parts/exporter/flows"),
            beacons: items(&beacons, "/beacons").to_vec(),
            missing: items(&connections, "/pairs")
                .iter()
                .map(|pair| Missing::of(pair, &self.settings))
                .filter(|missing| missing.can_be_scored(&self.settings))
                .min_by(|one, other| one.effort().total_cmp(&other.effort())),
        })
    }

    fn show(&mut self, seen: &Seen) -> io::Result<()> {
        let mut out = io::stdout().lock();
        for beacon in &seen.beacons {
            let found = flag(beacon, "/is_beacon");
            let key = word(beacon, "/pair_key");
            if found && self.told.len() < TOLD_MAX && self.told.insert(key) {
                if std::mem::take(&mut self.open_line) {
                    write!(out, "\r\x1b[K")?;
                }
                writeln!(out, "{}", announcement(beacon))?;
            }
        }
        let line = seen.line(&self.settings);
        if self.terminal {
            let width = usize::from(comfy_table::Table::new().width().unwrap_or(80));
            let line: String = line.chars().take(width.saturating_sub(1)).collect();
            write!(out, "\r\x1b[K{line}")?;
            self.open_line = true;
        } else {
            writeln!(out, "{line}")?;
        }
        out.flush()
    }
}

/// What the status API said.
struct Seen {
    series: u64,
    flows: u64,
    beacons: Vec<Value>,
    missing: Option<Missing>,
}

impl Seen {
    fn line(&self, settings: &SeedSettings) -> String {
        let seen = format!(
            "{}, {}",
            text::counted(self.flows, "flow", "flows"),
            text::counted(self.series, "series", "series"),
        );
        let found = self.beacons.iter().filter(|it| flag(it, "/is_beacon"));
        let rest = match (found.count(), self.beacons.first(), &self.missing) {
            (0, Some(best), _) => format!(
                "best score {:.2} ({}), a beacon has {} or more",
                score(best),
                word(best, "/pair_key"),
                settings.alert_threshold,
            ),
            (0, None, Some(missing)) => format!("first score {missing}"),
            (0, None, None) if settings.min_duration_s > 0.0 => format!(
                "a score needs {} connections over {}",
                settings.min_connections,
                text::duration(settings.min_duration_s)
            ),
            (0, None, None) => format!("a score needs {} connections", settings.min_connections),
            (found, _, _) => text::counted(found as u64, "beacon", "beacons"),
        };
        format!("{seen}; {rest}")
    }
}

/// What a series lacks to be scored.
struct Missing {
    pair: String,
    connections: u64,
    duration_s: f64,
    /// Mean time between its connections.
    pace_s: f64,
}

impl Missing {
    fn of(pair: &Value, settings: &SeedSettings) -> Self {
        let count = number(pair, "/connection_count");
        let duration_s = pair
            .pointer("/duration_seconds")
            .and_then(Value::as_f64)
            .unwrap_or_default();
        let needed = u64::try_from(settings.min_connections).unwrap_or(u64::MAX);
        let intervals = u32::try_from(count.saturating_sub(1)).unwrap_or(u32::MAX);
        Self {
            pair: word(pair, "/pair_key"),
            connections: needed.saturating_sub(count),
            duration_s: (settings.min_duration_s - duration_s).max(0.0),
            // Of a series with one connection nobody knows when it goes on.
            pace_s: if intervals == 0 {
                settings.max_interval_s
            } else {
                duration_s / f64::from(intervals)
            },
        }
    }

    /// Whether its pace is one that is scored at all.
    fn can_be_scored(&self, settings: &SeedSettings) -> bool {
        (settings.min_interval_s..=settings.max_interval_s).contains(&self.pace_s)
    }

    /// About how long it takes until it can be scored, if it goes on as it did.
    fn effort(&self) -> f64 {
        let connections = f64::from(u32::try_from(self.connections).unwrap_or(u32::MAX));
        self.duration_s.max(connections * self.pace_s)
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let connections = text::counted(self.connections, "connection", "connections");
        let duration = text::duration(self.duration_s.ceil());
        // The name stands last: a narrow terminal cuts it.
        match (self.connections > 0, self.duration_s > 0.0) {
            (true, true) => write!(f, "after {connections} and {duration} more"),
            (true, false) => write!(f, "after {connections} more"),
            (false, true) => write!(f, "after {duration} more"),
            (false, false) => f.write_str("with the next analysis"),
        }?;
        write!(f, ": {}", self.pair)
    }
}

fn announcement(beacon: &Value) -> String {
    let interval = beacon.pointer("/interval_s").and_then(Value::as_f64);
    let process = match beacon.pointer("/process/name").and_then(Value::as_str) {
        Some(name) => format!(" by {}", text::harmless(name)),
        None => String::new(),
    };
    format!(
        "BEACON {:.2} {} {}{process}, {} every {}",
        score(beacon),
        word(beacon, "/severity"),
        word(beacon, "/pair_key"),
        text::counted(
            number(beacon, "/connection_count"),
            "connection",
            "connections"
        ),
        interval.map_or_else(|| "?".to_owned(), text::duration),
    )
}

fn score(beacon: &Value) -> f64 {
    beacon
        .pointer("/combined_score")
        .and_then(Value::as_f64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pair(count: u64, duration_s: f64) -> Value {
        json!({"pair_key": "a->b:1/TCP", "connection_count": count, "duration_seconds": duration_s})
    }

    fn missing(count: u64, duration_s: f64) -> String {
        Missing::of(&pair(count, duration_s), &SeedSettings::default()).to_string()
    }

    #[test]
    fn what_a_series_lacks_is_told_in_connections_and_time() {
        assert_eq!(
            missing(4, 60.0),
            "after 6 connections and 4 min more: a->b:1/TCP"
        );
        assert_eq!(missing(9, 400.0), "after 1 connection more: a->b:1/TCP");
        assert_eq!(missing(20, 270.0), "after 30 s more: a->b:1/TCP");
        assert_eq!(missing(10, 300.0), "with the next analysis: a->b:1/TCP");
    }

    #[test]
    fn the_series_that_will_be_scored_first_is_the_nearest() {
        let settings = SeedSettings::default();
        let slow = Missing::of(&pair(9, 8.0 * 3600.0), &settings);
        let fast = Missing::of(&pair(5, 40.0), &settings);
        let lone = Missing::of(&pair(1, 0.0), &settings);
        assert!(fast.effort() < slow.effort() && slow.effort() < lone.effort());
        assert!(fast.can_be_scored(&settings) && lone.can_be_scored(&settings));
        let flood = Missing::of(&pair(900, 90.0), &settings);
        assert!(
            !flood.can_be_scored(&settings),
            "ten a second are no beacon for the seed score"
        );
    }
}
