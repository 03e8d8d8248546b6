//! [`Feed`]: what the instance says, as messages, and what it is asked for.
//!
//! Everything is asked for every so many seconds; where the instance sends events, changes of findings
//! come at once. When it does not answer that is said, and it is asked again and again, until it does.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::view::{Link, Message, Request};
use crate::arguments::WatchArguments;
use crate::client::{Client, ClientError, Query};
use crate::command::instance::segment;

/// Where events come from.
pub(super) const EVENTS: &str = "/api/v1/events";
/// Pauses before events are asked for again: the first, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Asks the instance; ends when it is dropped.
pub(super) struct Feed {
    client: Client,
    sender: Sender<Message>,
    refresh: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
    detail: std::cell::RefCell<Option<JoinHandle<()>>>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        for task in self.tasks.iter().chain(self.detail.get_mut().as_ref()) {
            task.abort();
        }
    }
}

impl Feed {
    /// Begins to ask. Needs a runtime.
    pub(super) fn start(
        client: Client,
        arguments: &WatchArguments,
        sender: Sender<Message>,
    ) -> Self {
        let refresh = Arc::new(Notify::new());
        let (live, heard) = watch::channel(false);
        let poll = Poll {
            client: client.clone(),
            interval: Duration::from_secs_f64(arguments.interval),
            min_score: arguments.min_score,
            min_duration_s: arguments.min_duration.unwrap_or_default(),
            limit: arguments.limit,
            sender: sender.clone(),
            refresh: Arc::clone(&refresh),
            live: heard,
        };
        let events = Events {
            client: client.clone(),
            min_score: arguments.min_score.unwrap_or_default(),
            sender: sender.clone(),
            refresh: Arc::clone(&refresh),
            live,
        };
        Self {
            client,
            sender,
            refresh,
            tasks: vec![tokio::spawn(poll.run()), tokio::spawn(events.run())],
            detail: std::cell::RefCell::new(None),
        }
    }

    /// Does what the interface asks for; what comes of it is a message.
    pub(super) fn ask(&self, request: Request) {
        match request {
            Request::Quit => {}
            Request::Refresh => self.refresh.notify_one(),
            Request::Detail { row, finding } => self.ask_detail(row, finding),
            Request::Acknowledge(finding) => self.change(finding, true),
            Request::TakeBack(finding) => self.change(finding, false),
        }
    }

    fn ask_detail(&self, row: String, finding: Option<String>) {
        let path = match finding {
            Some(finding) => format!("/api/v1/alerts/{}", segment(&finding)),
            None => format!("/api/v1/series/{}", segment(&row)),
        };
        let (client, sender) = (self.client.clone(), self.sender.clone());
        let task = tokio::spawn(async move {
            // What cannot be had is shown as not known: the link says when nothing can.
            let detail = client.get(&path, &Query::new()).await.unwrap_or_default();
            tell(&sender, Message::Detail(row, detail)).await;
        });
        // Only the row that is selected now matters.
        if let Some(before) = self.detail.borrow_mut().replace(task) {
            before.abort();
        }
    }

    fn change(&self, finding: String, acknowledge: bool) {
        let path = format!("/api/v1/alerts/{}/acknowledge", segment(&finding));
        let (client, sender) = (self.client.clone(), self.sender.clone());
        let refresh = Arc::clone(&self.refresh);
        tokio::spawn(async move {
            let answer = if acknowledge {
                client.post(&path, &json!({})).await
            } else {
                client.delete(&path).await
            };
            let message = match answer {
                Ok(_) if acknowledge => Message::Acknowledged(finding),
                Ok(_) => Message::TakenBack(finding),
                Err(error) => Message::Failed(brief(&error)),
            };
            tell(&sender, message).await;
            refresh.notify_one();
        });
    }
}

/// The first line of an error says what happened.
fn brief(error: &ClientError) -> String {
    let whole = error.to_string();
    let text = match error {
        ClientError::Unreachable { reason, .. } => reason,
        ClientError::Token { advice, .. } => advice,
        ClientError::Role { message, .. } | ClientError::Refused { message, .. } => message,
        _ => &whole,
    };
    text.lines().next().unwrap_or_default().to_owned()
}

/// The interface may be gone: then nobody needs to know.
async fn tell(sender: &Sender<Message>, message: Message) {
    drop(sender.send(message).await);
}

/// Asks for everything again and again.
struct Poll {
    client: Client,
    interval: Duration,
    min_score: Option<f64>,
    min_duration_s: f64,
    limit: u64,
    sender: Sender<Message>,
    refresh: Arc<Notify>,
    live: watch::Receiver<bool>,
}

impl Poll {
    async fn run(mut self) {
        loop {
            let link = match self.look().await {
                Ok(()) if *self.live.borrow_and_update() => Link::Live,
                Ok(()) => Link::Polling,
                Err(error) => Link::Lost(brief(&error)),
            };
            tell(&self.sender, Message::Link(link)).await;
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = self.refresh.notified() => {}
            }
        }
    }

    async fn look(&self) -> Result<(), ClientError> {
        let status = self.client.get("/api/v1/status", &Query::new()).await?;
        tell(&self.sender, Message::Status(status)).await;
        let limit = vec![("limit", self.limit.to_string())];
        let mut findings = self.client.get("/api/v1/alerts", &limit).await?;
        keep(&mut findings, "alerts", |it| {
            self.wants(&it["details"], "score")
        });
        tell(&self.sender, Message::Findings(findings)).await;
        let mut query = limit;
        query.extend(self.min_score.map(|it| ("min_score", it.to_string())));
        let mut beacons = self.client.get("/api/v1/beacons", &query).await?;
        keep(&mut beacons, "beacons", |it| {
            self.wants(it, "combined_score")
        });
        tell(&self.sender, Message::Beacons(beacons)).await;
        Ok(())
    }

    fn wants(&self, series: &Value, score: &str) -> bool {
        let score = series[score].as_f64();
        let lasted = series["duration_seconds"].as_f64().or_else(|| {
            let at = |name: &str| series[name].as_str()?.parse::<jiff::Timestamp>().ok();
            Some(
                at("last_seen")?
                    .duration_since(at("first_seen")?)
                    .as_secs_f64(),
            )
        });
        score.unwrap_or_default() >= self.min_score.unwrap_or_default()
            && lasted.unwrap_or_default() >= self.min_duration_s
    }
}

fn keep(answer: &mut Value, key: &str, wanted: impl Fn(&Value) -> bool) {
    if let Some(entries) = answer[key].as_array_mut() {
        entries.retain(wanted);
    }
}

/// Hears of changes.
struct Events {
    client: Client,
    min_score: f64,
    sender: Sender<Message>,
    refresh: Arc<Notify>,
    live: watch::Sender<bool>,
}

impl Events {
    async fn run(self) {
        let mut pause = PAUSE_MIN;
        loop {
            match self.client.events(EVENTS).await {
                Ok(mut events) => {
                    pause = PAUSE_MIN;
                    self.live.send_replace(true);
                    self.refresh.notify_one();
                    while let Ok(event) = events.next().await {
                        self.hear(&event.name, &event.data).await;
                    }
                    self.live.send_replace(false);
                    self.refresh.notify_one();
                }
                // An instance without events has them no later either.
                Err(error) if matches!(error.status(), Some(404 | 405)) => return,
                Err(_no_answer) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn hear(&self, name: &str, data: &str) {
        if name != "alert" {
            return;
        }
        let Ok(alert) = serde_json::from_str::<Value>(data) else {
            return;
        };
        let score = alert.pointer("/details/score").and_then(Value::as_f64);
        if score.unwrap_or_default() >= self.min_score {
            tell(&self.sender, Message::Finding(alert)).await;
        }
    }
}
