//! [`Row`]: a finding or a scored series as the table needs it, harmless for the terminal.

use jiff::Timestamp;
use serde_json::Value;

use crate::output::answer::{
    endpoint, flag, items, number, optional, process, real, timestamp, word,
};
use crate::output::text;

/// A line of the table.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    /// Id of the finding or of the series.
    pub(super) id: String,
    /// Id of the finding, where there is one.
    pub(super) finding: Option<String>,
    /// Only what is about a series has one.
    pub(super) score: Option<f64>,
    pub(super) severity: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) server_name: Option<String>,
    pub(super) process: String,
    pub(super) executable: Option<String>,
    pub(super) count: u64,
    pub(super) interval_s: Option<f64>,
    pub(super) jitter: Option<f64>,
    pub(super) last_seen: Option<Timestamp>,
    pub(super) state: State,
    /// The reasons in words.
    pub(super) explanation: String,
    pub(super) signals: Vec<Contribution>,
    /// Changes whenever the instance knows something new of it.
    pub(super) version: String,
}

/// What became of it, in one word each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) life: Life,
    pub(super) acknowledged_by: Option<String>,
    pub(super) suppressed: bool,
    pub(super) allowed: Option<String>,
    pub(super) simulated: bool,
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Life {
    /// A series that is no detection.
    #[default]
    Below,
    /// A series that is listed as benign.
    Benign,
    /// A detection.
    Open,
    /// A finding that has ended.
    Closed,
}

/// What one signal adds to the score.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Contribution {
    pub(super) name: String,
    pub(super) added: f64,
    pub(super) weight: f64,
    pub(super) text: String,
}

impl Row {
    /// Of an alert of the API; nothing when it has no id.
    pub(super) fn of_alert(alert: &Value) -> Option<Self> {
        let id = optional(alert, "/alert_id")?;
        let details = &alert["details"];
        let about_series = details.pointer("/src_ip").is_some();
        let mut row = Self::of_series(details, id.clone());
        row.finding = Some(id);
        row.score = real(details, "/score");
        row.severity = word(alert, "/severity");
        row.explanation = word(alert, "/description");
        row.signals = signals(details, "/signals");
        row.version = format!("{} {}", word(alert, "/updated"), number(alert, "/revision"));
        if !about_series {
            row.source =
                optional(details, "/host_name").unwrap_or_else(|| word(details, "/sensor_id"));
            row.destination = word(alert, "/title");
            row.last_seen = timestamp(alert, "/updated");
        }
        row.state = State {
            life: if alert["state"] == "closed" {
                Life::Closed
            } else {
                Life::Open
            },
            acknowledged_by: optional(alert, "/acknowledged/by"),
            suppressed: alert["suppressed_until"].is_string(),
            allowed: optional(alert, "/allowed/reason"),
            simulated: flag(alert, "/simulated"),
        };
        Some(row)
    }

    /// Of a beacon of the API; nothing when it has no id.
    pub(super) fn of_beacon(beacon: &Value) -> Option<Self> {
        let id = optional(beacon, "/id").or_else(|| optional(beacon, "/pair_key"))?;
        let mut row = Self::of_series(beacon, id);
        row.finding = optional(beacon, "/finding_id");
        row.score = real(beacon, "/combined_score");
        row.severity = word(beacon, "/severity");
        row.explanation = word(beacon, "/explanation/text");
        row.signals = signals(beacon, "/explanation/contributing_signals");
        row.version = format!(
            "{} {} {}",
            word(beacon, "/last_seen"),
            row.count,
            word(beacon, "/acknowledged/at")
        );
        row.state = State {
            acknowledged_by: optional(beacon, "/acknowledged/by"),
            allowed: optional(beacon, "/allowed/reason"),
            life: if flag(beacon, "/is_beacon") {
                Life::Open
            } else if beacon.pointer("/benign/id").is_some() {
                Life::Benign
            } else {
                Life::Below
            },
            ..State::default()
        };
        Some(row)
    }

    fn of_series(it: &Value, id: String) -> Self {
        Self {
            id,
            finding: None,
            score: None,
            severity: String::new(),
            source: word(it, "/src_ip"),
            destination: endpoint(it),
            server_name: optional(it, "/server_name"),
            process: process(it),
            executable: optional(it, "/process/executable"),
            count: number(it, "/connection_count"),
            interval_s: real(it, "/interval_s"),
            jitter: real(it, "/jitter"),
            last_seen: timestamp(it, "/last_seen"),
            state: State::default(),
            explanation: String::new(),
            signals: Vec::new(),
            version: String::new(),
        }
    }

    /// Whether `wanted` (in lower case) stands anywhere in it.
    pub(super) fn has(&self, wanted: &str) -> bool {
        let state = self.state.long();
        let mut fields = [
            &self.id,
            &self.severity,
            &self.source,
            &self.destination,
            &self.process,
            &state,
        ]
        .into_iter()
        .chain(&self.server_name)
        .chain(&self.executable);
        fields.any(|field| field.to_lowercase().contains(wanted))
    }

    /// Where it goes, by name where there is one.
    pub(super) fn goes_to(&self) -> String {
        // Most are TCP: what is not is worth the room.
        let to = self.destination.strip_suffix("/tcp");
        let to = to.unwrap_or(&self.destination);
        match &self.server_name {
            Some(name) => {
                let port = to.rsplit_once(':').map_or("", |(_, port)| port);
                format!("{name}:{port}")
            }
            None => to.to_owned(),
        }
    }

    /// How grave it is, to sort by.
    pub(super) fn gravity(&self) -> u8 {
        match self.severity.as_str() {
            "critical" => 4,
            "high" => 3,
            "medium" => 2,
            "low" => 1,
            _ => 0,
        }
    }

    /// Time since the last connection.
    pub(super) fn age(&self, now: Timestamp) -> String {
        self.last_seen.map_or_else(
            || "-".to_owned(),
            |seen| {
                let seconds = now.duration_since(seen).as_secs_f64().floor();
                if seconds < 1.0 {
                    "now".to_owned()
                } else {
                    text::duration(seconds)
                }
            },
        )
    }
}

impl State {
    /// Four letters or so.
    pub(super) fn short(&self) -> &'static str {
        match self {
            Self {
                allowed: Some(_), ..
            } => "allow",
            Self {
                life: Life::Closed, ..
            } => "done",
            Self {
                acknowledged_by: Some(_),
                ..
            } => "ack",
            Self {
                suppressed: true, ..
            } => "quiet",
            Self {
                simulated: true, ..
            } => "simul",
            Self {
                life: Life::Open, ..
            } => "open",
            _ => "",
        }
    }

    /// All of it.
    pub(super) fn long(&self) -> String {
        let first = match self.life {
            Life::Closed => "closed",
            Life::Open => "open",
            Life::Below => "below the alert threshold",
            Life::Benign => "listed as benign",
        };
        let mut words = vec![first.to_owned()];
        words.extend(
            self.acknowledged_by
                .iter()
                .map(|by| format!("acknowledged by {by}")),
        );
        words.extend(self.suppressed.then(|| "suppressed".to_owned()));
        words.extend(self.allowed.iter().map(|why| format!("allowed: {why}")));
        words.extend(self.simulated.then(|| "simulated".to_owned()));
        words.join(", ")
    }
}

fn signals(it: &Value, pointer: &str) -> Vec<Contribution> {
    let signal = |it: &Value| Contribution {
        name: word(it, "/name"),
        added: real(it, "/contribution").unwrap_or_default(),
        weight: real(it, "/weight").unwrap_or_default(),
        text: word(it, "/text"),
    };
    items(it, pointer).iter().map(signal).collect()
}
