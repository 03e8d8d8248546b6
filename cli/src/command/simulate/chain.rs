//! [`Chain`]: how far the beacon came, step by step, and why no further.

use std::cell::Cell;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use serde_json::{Value, json};

use crate::client::{Client, Query};
use crate::command::instance::segment;
use crate::error::Error;
use crate::output::answer::{items, number, optional, real, score, word};
use crate::output::text;

/// Documents are made with the finding: a finding that has none after so many looks gets none.
const LOOKS_FOR_DELIVERIES: u32 = 3;

/// Where the beacon goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place(pub(super) SocketAddr);

impl Place {
    fn query(self) -> Query {
        vec![
            ("destination", self.0.ip().to_string()),
            ("port", self.0.port().to_string()),
        ]
    }

    fn is_of(self, it: &Value) -> bool {
        it["dst_port"] == self.0.port() && it["dst_ip"] == self.0.ip().to_string()
    }
}

/// Everything that is known of the chain.
#[derive(Debug)]
pub(super) struct Chain {
    place: Place,
    planned: u64,
    threshold: f64,
    made: Rc<Cell<u64>>,
    seen: u64,
    beacon: Option<Value>,
    alert: Option<Value>,
    destinations: Vec<Value>,
    analysed_at: u64,
    /// Looks since the finding was there.
    looks_at_alert: u32,
    why: Option<String>,
}

/// A step as it is shown.
struct Step {
    name: String,
    state: State,
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Missing,
    /// Not wanted by the settings.
    Apart,
}

impl Chain {
    pub(super) fn new(place: Place, planned: u64, threshold: f64) -> Self {
        Self {
            place,
            planned,
            threshold,
            made: Rc::new(Cell::new(0)),
            seen: 0,
            beacon: None,
            alert: None,
            destinations: Vec::new(),
            analysed_at: 0,
            looks_at_alert: 0,
            why: None,
        }
    }

    /// Counts the connections that were made.
    pub(super) fn made_counter(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.made)
    }

    /// Asks the instance how far it is.
    pub(super) async fn look(&mut self, client: &Client) -> Result<(), Error> {
        let query = self.place.query();
        let pairs = client.get("/api/v1/connections", &query).await?;
        let pairs = items(&pairs, "/pairs")
            .iter()
            .filter(|it| self.place.is_of(it));
        self.seen = pairs.map(|it| number(it, "/connection_count")).sum();
        let beacons = client.get("/api/v1/beacons", &query).await?;
        let beacons = items(&beacons, "/beacons").iter();
        self.beacon = beacons
            .filter(|it| self.place.is_of(it))
            .max_by(|one, other| {
                let score = |it: &Value| real(it, "/combined_score").unwrap_or_default();
                score(one).total_cmp(&score(other))
            })
            .cloned();
        self.look_for_alert(client).await
    }

    async fn look_for_alert(&mut self, client: &Client) -> Result<(), Error> {
        let query = vec![
            ("simulated", "true".to_owned()),
            ("destination", self.place.0.ip().to_string()),
        ];
        let place = self.place;
        let found = client
            .find("/api/v1/alerts", &query, "alerts", |it| {
                place.is_of(&it["details"])
            })
            .await?;
        let Some(id) = found.and_then(|it| Some(it["alert_id"].as_str()?.to_owned())) else {
            return Ok(());
        };
        self.looks_at_alert += 1;
        let path = format!("/api/v1/alerts/{}", segment(&id));
        self.alert = Some(client.get(&path, &Query::new()).await?);
        let destinations = client.get("/api/v1/destinations", &Query::new()).await?;
        self.destinations = items(&destinations, "/destinations")
            .iter()
            .filter(|it| it["configured"] != false)
            .cloned()
            .collect();
        Ok(())
    }

    /// Asks for an analysis now when more was seen than at the last one that was asked for. An instance that
    /// does not make one now makes one later.
    pub(super) async fn ask_for_analysis(&mut self, client: &Client) {
        if self.alert.is_none() && self.seen > self.analysed_at && self.seen >= self.made.get() {
            self.analysed_at = self.seen;
            drop(client.post("/api/v1/analyze", &json!({})).await);
        }
    }

    /// Whether there is nothing to wait for.
    pub(super) fn is_settled(&self) -> bool {
        let Some(alert) = &self.alert else {
            return false;
        };
        let deliveries = items(alert, "/deliveries");
        let known = !deliveries.is_empty() || self.looks_at_alert >= LOOKS_FOR_DELIVERIES;
        known && deliveries.iter().all(|it| it["state"] != "pending")
    }

    /// Whether the beacon came through to at least one destination, and to each that wants it.
    pub(super) fn is_whole(&self) -> bool {
        let steps = self.steps();
        let delivered = steps
            .iter()
            .any(|it| it.name.starts_with("delivered") && it.state == State::Whole);
        delivered && steps.iter().all(|it| it.state != State::Missing)
    }

    /// Finds out why something is missing.
    pub(super) async fn explain(&mut self, client: &Client) -> Result<(), Error> {
        if self.alert.is_some() {
            return Ok(());
        }
        let status = client.get("/api/v1/status", &Query::new()).await?;
        self.why = Some(self.reason(&status));
        Ok(())
    }

    fn reason(&self, status: &Value) -> String {
        if let Some(error) = optional(status, "/store/error") {
            return format!("the store of the instance fails: {error}");
        }
        if self.seen == 0 {
            return match status.pointer("/parts/exporter") {
                Some(_) => {
                    "it captures, but these connections did not come through: see the losses in \
                            `beaconwatch status`, and whether it captures in this network namespace"
                        .to_owned()
                }
                None => {
                    "it does not capture itself: does an exporter run on this host and send to it? \
                         `beaconwatch sensors` shows who sends"
                        .to_owned()
                }
            };
        }
        let Some(beacon) = &self.beacon else {
            return format!(
                "{} are not scored yet; the last analysis was at {}",
                text::counted(self.seen, "connection", "connections"),
                word(status, "/detector/last_analysis")
            );
        };
        if let Some(why) = optional(beacon, "/allowed/reason") {
            return format!(
                "the allow-list holds it ({}): {why}",
                word(beacon, "/allowed/id")
            );
        }
        if real(beacon, "/combined_score").unwrap_or_default() < self.threshold {
            return format!(
                "its score is {}, a detection has {} and more: {}",
                score(beacon, "/combined_score"),
                self.threshold,
                word(beacon, "/explanation/text")
            );
        }
        "it is a detection, but no finding marked as simulated was opened in time: --wait waits longer"
            .to_owned()
    }

    /// Where it stands, in a line.
    pub(super) fn sentence(&self) -> String {
        let made = format!(
            "{} of {} connections made, {} seen",
            self.made.get(),
            self.planned,
            self.seen
        );
        match (&self.alert, &self.beacon) {
            (Some(_), _) => format!("{made}, found, waiting for deliveries"),
            (None, Some(beacon)) => format!("{made}, score {}", score(beacon, "/combined_score")),
            (None, None) => made,
        }
    }

    fn steps(&self) -> Vec<Step> {
        let step = |name: &str, whole: bool, text: String| Step {
            name: name.to_owned(),
            state: if whole { State::Whole } else { State::Missing },
            text,
        };
        let why = || self.why.clone().unwrap_or_else(|| "not yet".to_owned());
        let made = format!("{} to {}", self.made.get(), self.place.0);
        let mut steps = vec![step("connections made", self.made.get() > 0, made)];
        if self.seen == 0 && self.alert.is_none() {
            steps.push(step("seen by the instance", false, why()));
            return steps;
        }
        steps.push(step(
            "seen by the instance",
            true,
            text::thousands(self.seen),
        ));
        let Some(scored) = self.scored() else {
            steps.push(step("scored", false, why()));
            return steps;
        };
        steps.push(step("scored", true, scored));
        let Some(alert) = &self.alert else {
            steps.push(step("finding opened", false, why()));
            return steps;
        };
        let id = word(alert, "/alert_id");
        steps.push(step(
            "finding opened",
            true,
            format!("{id}, marked as simulated"),
        ));
        steps.extend(self.destinations.iter().map(|it| delivery(it, alert)));
        if self.destinations.is_empty() {
            let text = "no destination is configured".to_owned();
            steps.push(step("delivered", false, text));
        }
        steps
    }

    /// The score, from wherever it is known.
    fn scored(&self) -> Option<String> {
        if let Some(beacon) = &self.beacon {
            let score = score(beacon, "/combined_score");
            return Some(format!("{score}, {}", word(beacon, "/severity")));
        }
        let alert = self.alert.as_ref()?;
        Some(score(alert, "/details/score"))
    }

    /// Prints each step.
    pub(super) fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        for step in self.steps() {
            let mark = match step.state {
                State::Whole => "ok",
                State::Missing => "MISSING",
                State::Apart => "-",
            };
            writeln!(out, "{mark:<8} {:<22} {}", step.name, step.text)?;
        }
        let end = if self.is_whole() {
            "The chain is whole, from the connection to the document."
        } else {
            "The chain is not whole."
        };
        writeln!(out, "{end}")
    }

    /// The steps for a program.
    pub(super) fn as_json(&self) -> Value {
        let steps: Vec<Value> = self
            .steps()
            .into_iter()
            .map(|it| {
                let state = match it.state {
                    State::Whole => "ok",
                    State::Missing => "missing",
                    State::Apart => "not_wanted",
                };
                json!({"step": it.name, "state": state, "text": it.text})
            })
            .collect();
        json!({
            "whole": self.is_whole(),
            "destination": self.place.0.ip(),
            "port": self.place.0.port(),
            "connections": self.made.get(),
            "alert_id": self.alert.as_ref().map(|it| it["alert_id"].clone()),
            "steps": steps,
        })
    }
}

/// What became of the finding's documents at one destination.
fn delivery(destination: &Value, alert: &Value) -> Step {
    let name = word(destination, "/name");
    let deliveries = items(alert, "/deliveries").iter();
    let of_it: Vec<&Value> = deliveries
        .filter(|it| it["destination"] == destination["name"])
        .collect();
    let why = |it: &Value| {
        optional(it, "/reason")
            .or_else(|| optional(destination, "/last_error"))
            .map_or_else(String::new, |why| format!(": {why}"))
    };
    let worst = ["dead", "pending", "unconfirmed", "delivered"];
    let worst = worst
        .iter()
        .find_map(|state| of_it.iter().find(|it| it["state"] == **state));
    let (state, text) = match worst {
        None => (
            State::Apart,
            "its settings want no simulated findings, or none as grave as this".to_owned(),
        ),
        Some(it) => became(it, &why(it)),
    };
    Step {
        name: format!("delivered to {name}"),
        state,
        text,
    }
}

/// What became of one document.
fn became(delivery: &Value, why: &str) -> (State, String) {
    let id = word(delivery, "/event_id");
    match delivery["state"].as_str() {
        Some("delivered") => (State::Whole, format!("document {id}")),
        Some("unconfirmed") => (
            State::Whole,
            format!("document {id} sent; this destination does not confirm"),
        ),
        Some("pending") => (State::Missing, format!("the document still waits{why}")),
        _ => (
            State::Missing,
            format!("the document was refused for good{why}"),
        ),
    }
}
