//! What happens, as it happens: server-sent events.
//!
//! `event: alert` carries an alert that changed; `event: status` a few counters, at once and every
//! [`STATUS_INTERVAL`]; `event: reset` says that the reader was too slow and missed some: it should ask for the lists
//! again. At most [`MAX_READERS`] read at a time. The stream ends when the sidecar stops.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Interval;
use tokio_util::sync::CancellationToken;

use super::Api;
use super::error::{ApiError, ErrorAnswer};
use crate::alert::{Alert, Finding};

/// Readers at a time.
const MAX_READERS: usize = 64;
const STATUS_INTERVAL: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_secs(5);

/// Places of readers, and what ends their streams.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Readers {
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self {
            room: Arc::new(Semaphore::new(MAX_READERS)),
            stop,
        }
    }
}

/// A few counters.
#[derive(Debug, Serialize)]
struct Counters {
    open: u64,
    closed: u64,
    acknowledged: u64,
    allowed: u64,
    records: u64,
    records_waiting: usize,
}

/// One reader's stream.
struct Reading {
    api: Api,
    news: Receiver<Arc<Finding>>,
    timer: Interval,
    number: u64,
    _place: OwnedSemaphorePermit,
}

/// What happens, as it happens.
#[utoipa::path(
    get, path = "/api/v1/events", tag = "alerts",
    responses(
        (status = 200, description = "Server-sent events: alert, status, reset.", body = str,
            content_type = "text/event-stream"),
        (status = 429, description = "Too many read.", body = ErrorAnswer),
    )
)]
pub(super) async fn events(
    State(api): State<Api>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let room = Arc::clone(&api.readers.room).try_acquire_owned();
    let place = room.map_err(|_full| ApiError::Busy {
        reason: format!("{MAX_READERS} read events, which is the limit: send again later"),
        retry_after: RETRY,
    })?;
    let mut timer = tokio::time::interval(STATUS_INTERVAL);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let reading = Reading {
        news: api.observer.alerts().events(),
        timer,
        number: 0,
        _place: place,
        api,
    };
    let stream = futures::stream::unfold(reading, |mut reading| async {
        let event = reading.next().await?;
        Some((Ok(event), reading))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::default()))
}

impl Reading {
    /// The next event; none when the sidecar stops.
    async fn next(&mut self) -> Option<Event> {
        let stop = self.api.readers.stop.clone();
        self.number += 1;
        let event = tokio::select! {
            () = stop.cancelled() => return None,
            news = self.news.recv() => match news {
                Ok(finding) => event("alert", &Alert::of(&finding)),
                Err(RecvError::Lagged(_)) => Event::default().event("reset").data("{}"),
                Err(RecvError::Closed) => return None,
            },
            _ = self.timer.tick() => event("status", &self.counters()),
        };
        Some(event.id(self.number.to_string()))
    }

    fn counters(&self) -> Counters {
        let alerts = self.api.observer.alerts().counts();
        let receiver = &self.api.receiver;
        let records = &receiver.counters().records;
        Counters {
            open: alerts.open,
            closed: alerts.closed,
            acknowledged: alerts.acknowledged,
            allowed: alerts.allowed,
            records: records.load(std::sync::atomic::Ordering::Relaxed),
            records_waiting: receiver.waiting(),
        }
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    // JSON in one line has no line's end in it, which is all that this could fail for.
    let data = serde_json::to_string(data).unwrap_or_default();
    Event::default().event(name).data(data)
}
