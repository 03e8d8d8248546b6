//! Series and events with the risk that a model gives them, and ranked hosts: as JSON, CSV and tables.

use beaconwatch_detector::Assessment;
use beaconwatch_learning::{Driver, Event, Risk};
use serde::Serialize;
use serde_json::Value;

use super::answer::{count, duration, number, raw, real, score, word};
use super::csv::Cell;
use super::listing::{Column, Listing};
use super::score_line::ScoreLine;

/// Features that a line names.
const DRIVERS: usize = 5;

/// A risk as a line tells it.
#[derive(Debug, Serialize)]
pub(crate) struct RiskFields {
    risk: f64,
    probability: f64,
    anomaly: f64,
    /// What drove them, in words.
    driven_by: String,
    /// What adds most to the log-odds of the probability, either way.
    drivers: Vec<Driver>,
}

impl RiskFields {
    fn new(risk: &Risk) -> Self {
        Self {
            risk: risk.risk,
            probability: risk.probability,
            anomaly: risk.anomaly,
            driven_by: risk.reason(),
            drivers: risk.drivers.iter().take(DRIVERS).copied().collect(),
        }
    }
}

/// A series with its risk.
#[derive(Debug, Serialize)]
pub(crate) struct SeriesRisk<'a> {
    #[serde(flatten)]
    series: ScoreLine<'a>,
    #[serde(flatten)]
    risk: RiskFields,
}

impl<'a> SeriesRisk<'a> {
    pub(crate) fn new(assessment: &'a Assessment, risk: &Risk) -> Self {
        Self {
            series: ScoreLine::new(assessment),
            risk: RiskFields::new(risk),
        }
    }

    /// Names of the columns of [`Self::csv`]: those of a series without a model, then more.
    pub(crate) fn csv_head() -> Vec<&'static str> {
        let more = ["Risk", "Probability", "Anomaly", "Driven_By"];
        ScoreLine::CSV_HEAD.into_iter().chain(more).collect()
    }

    pub(crate) fn csv(&self) -> Vec<Cell> {
        let mut cells = self.series.csv();
        cells.extend([
            Cell::real(Some(self.risk.risk), 4),
            Cell::real(Some(self.risk.probability), 4),
            Cell::real(Some(self.risk.anomaly), 4),
            Cell::Text(self.risk.driven_by.clone()),
        ]);
        cells
    }
}

/// An event of BeaconHunter with its risk.
#[derive(Debug, Serialize)]
pub(crate) struct EventRisk<'a> {
    event_id: &'a str,
    host_id: &'a str,
    timestamp: &'a str,
    src_ip: &'a str,
    dst_ip: &'a str,
    dst_port: u16,
    protocol: &'a str,
    inter_event_seconds: f64,
    proc_name: &'a str,
    country_code: &'a str,
    #[serde(flatten)]
    risk: RiskFields,
}

impl<'a> EventRisk<'a> {
    pub(crate) fn new(event: &'a Event, risk: &Risk) -> Self {
        Self {
            event_id: &event.event_id,
            host_id: &event.host_id,
            timestamp: &event.timestamp,
            src_ip: &event.source,
            dst_ip: &event.destination,
            dst_port: event.destination_port,
            protocol: &event.protocol,
            inter_event_seconds: event.inter_event_s,
            proc_name: &event.process,
            country_code: &event.country,
            risk: RiskFields::new(risk),
        }
    }
}

/// `lines` as a [`Listing`] takes them, of `total`.
pub(crate) fn answer(
    key: &str,
    lines: &[impl Serialize],
    total: usize,
) -> serde_json::Result<Value> {
    let mut answer = serde_json::json!({ "count": lines.len(), "total": total });
    answer[key] = serde_json::to_value(lines)?;
    Ok(answer)
}

/// Series as a table.
pub(crate) const SERIES: Listing = Listing {
    key: "series",
    empty: "No series to show.",
    wide: &[
        Column::number("RISK", |it| score(it, "/risk")),
        Column::number("PROB", |it| score(it, "/probability")),
        Column::number("ANOMALY", |it| score(it, "/anomaly")),
        Column::number("SCORE", |it| score(it, "/score")),
        Column::severity("SEVERITY", |it| word(it, "/severity")),
        Column::word("SOURCE", |it| word(it, "/src")),
        Column::word("DESTINATION", series_place),
        Column::number("COUNT", |it| count(it, "/count")),
        Column::number("INTERVAL", |it| duration(it, "/interval_s")),
        Column::text("DRIVEN BY", |it| word(it, "/driven_by")),
    ],
    narrow: &[
        Column::number("RISK", |it| score(it, "/risk")),
        Column::number("SCORE", |it| score(it, "/score")),
        Column::text("FROM, TO", |it| {
            format!("{}\n{}", word(it, "/src"), series_place(it))
        }),
        Column::text("DRIVEN BY", |it| word(it, "/driven_by")),
    ],
    csv: &[],
};

fn series_place(it: &Value) -> String {
    let place = format!(
        "{} {}/{}",
        word(it, "/dst"),
        number(it, "/dport"),
        word(it, "/proto")
    );
    match super::answer::optional(it, "/server_name") {
        Some(name) => format!("{name} ({place})"),
        None => place,
    }
}

/// Events as a table and as CSV.
pub(crate) const EVENTS: Listing = Listing {
    key: "events",
    empty: "No event to show.",
    wide: &[
        Column::number("RISK", |it| score(it, "/risk")),
        Column::number("PROB", |it| score(it, "/probability")),
        Column::number("ANOMALY", |it| score(it, "/anomaly")),
        Column::word("EVENT", |it| word(it, "/event_id")),
        Column::word("HOST", |it| word(it, "/host_id")),
        Column::word("TIME", |it| word(it, "/timestamp")),
        Column::word("DESTINATION", event_place),
        Column::number("INTERVAL", |it| duration(it, "/inter_event_seconds")),
        Column::word("PROCESS", |it| word(it, "/proc_name")),
        Column::text("DRIVEN BY", |it| word(it, "/driven_by")),
    ],
    narrow: &[
        Column::number("RISK", |it| score(it, "/risk")),
        Column::text("EVENT", |it| {
            let place = event_place(it);
            format!(
                "{} {}\n{place}",
                word(it, "/host_id"),
                word(it, "/event_id")
            )
        }),
        Column::text("DRIVEN BY", |it| word(it, "/driven_by")),
    ],
    csv: &[
        ("event_id", |it| Cell::Text(raw(it, "/event_id"))),
        ("host_id", |it| Cell::Text(raw(it, "/host_id"))),
        ("timestamp", |it| Cell::Text(raw(it, "/timestamp"))),
        ("src_ip", |it| Cell::Text(raw(it, "/src_ip"))),
        ("dst_ip", |it| Cell::Text(raw(it, "/dst_ip"))),
        ("dst_port", |it| Cell::integer(number(it, "/dst_port"))),
        ("protocol", |it| Cell::Text(raw(it, "/protocol"))),
        ("inter_event_seconds", |it| {
            Cell::real(real(it, "/inter_event_seconds"), 3)
        }),
        ("proc_name", |it| Cell::Text(raw(it, "/proc_name"))),
        ("country_code", |it| Cell::Text(raw(it, "/country_code"))),
        ("risk", |it| Cell::real(real(it, "/risk"), 6)),
        ("probability", |it| Cell::real(real(it, "/probability"), 6)),
        ("anomaly", |it| Cell::real(real(it, "/anomaly"), 6)),
        ("driven_by", |it| Cell::Text(raw(it, "/driven_by"))),
    ],
};

fn event_place(it: &Value) -> String {
    format!("{}:{}", word(it, "/dst_ip"), number(it, "/dst_port"))
}

/// Hosts as a table and as CSV; the heads of the CSV begin with those of the older system's.
pub(crate) const HOSTS: Listing = Listing {
    key: "hosts",
    empty: "No host has been scored.",
    wide: &[
        Column::word("HOST", |it| word(it, "/host")),
        Column::number("MAX RISK", |it| {
            score(it, of_host(it, "/max_risk", "/max_score"))
        }),
        Column::number("MEAN RISK", |it| {
            score(it, of_host(it, "/mean_risk", "/mean_score"))
        }),
        Column::number("FINDINGS", |it| count(it, "/findings")),
        Column::number("SCORED", |it| count(it, "/scored")),
        Column::number("EVENTS", |it| count(it, "/event_count")),
        Column::text("TOP REASON", |it| word(it, "/reason")),
    ],
    narrow: &[
        Column::word("HOST", |it| word(it, "/host")),
        Column::number("MAX", |it| {
            score(it, of_host(it, "/max_risk", "/max_score"))
        }),
        Column::number("MEAN", |it| {
            score(it, of_host(it, "/mean_risk", "/mean_score"))
        }),
        Column::number("FINDINGS", |it| count(it, "/findings")),
        Column::text("TOP REASON", |it| word(it, "/reason")),
    ],
    csv: &[
        ("host_id", |it| Cell::Text(raw(it, "/host"))),
        ("event_count", |it| {
            Cell::integer(number(it, "/event_count"))
        }),
        ("mean_risk", |it| {
            Cell::real(real(it, of_host(it, "/mean_risk", "/mean_score")), 6)
        }),
        ("max_risk", |it| {
            Cell::real(real(it, of_host(it, "/max_risk", "/max_score")), 6)
        }),
        ("scored", |it| Cell::integer(number(it, "/scored"))),
        ("findings", |it| Cell::integer(number(it, "/findings"))),
        ("reason", |it| Cell::Text(raw(it, "/reason"))),
    ],
};

/// Where a host's risk stands, or its score where an instance gives no risk.
fn of_host(host: &Value, risk: &'static str, score: &'static str) -> &'static str {
    if real(host, risk).is_some() {
        risk
    } else {
        score
    }
}
