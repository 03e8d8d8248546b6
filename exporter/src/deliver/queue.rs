//! [`Queue`]: bounded queue of numbered events between the flow table and the sender.
//!
//! Holds events and not encoded records: an event takes a fraction of the memory. When it is full the oldest
//! events go, and are counted: every record carries totals, so a later record of a flow makes up for the
//! bytes of an earlier one, and after an outage an analyst needs the present first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::otlp::logs::NumberedEvent;
use crate::telemetry::{LossPlace, Telemetry};

/// Bounded queue with one reader; see the module.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    capacity: usize,
    telemetry: Arc<Telemetry>,
    arrived: Notify,
    overflowed: Notify,
    crowded: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<NumberedEvent>,
    in_flight: usize,
    overflows: u64,
    closed: bool,
}

impl Queue {
    /// A queue of at most `max_records` events and, at their size in memory, `max_bytes`.
    #[must_use]
    pub fn new(max_records: usize, max_bytes: usize, telemetry: Arc<Telemetry>) -> Self {
        let capacity = max_records
            .min(max_bytes / size_of::<NumberedEvent>())
            .max(1);
        Self {
            state: Mutex::default(),
            capacity,
            telemetry,
            arrived: Notify::new(),
            overflowed: Notify::new(),
            crowded: Notify::new(),
        }
    }

    /// Events that fit.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Appends events; the oldest go when there is no room.
    pub fn push(&self, events: impl IntoIterator<Item = NumberedEvent>) {
        let mut state = self.lock();
        state.events.extend(events);
        let excess = state.events.len().saturating_sub(self.capacity);
        if excess > 0 {
            state.events.drain(..excess);
            self.telemetry.lose(LossPlace::Queue, excess as u64);
            state.overflows += 1;
            self.overflowed.notify_one();
        }
        if self.is_crowded(&state) {
            self.crowded.notify_one();
        }
        self.publish(&state);
        self.arrived.notify_one();
    }

    /// No more events will come: what is queued is still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for events and takes at most `max` of them; `None` once the queue is closed and empty.
    pub async fn take(&self, max: usize) -> Option<Vec<NumberedEvent>> {
        loop {
            {
                let mut state = self.lock();
                if !state.events.is_empty() {
                    let count = state.events.len().min(max.max(1));
                    let taken: Vec<NumberedEvent> = state.events.drain(..count).collect();
                    state.in_flight = taken.len();
                    self.publish(&state);
                    return Some(taken);
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Takes the oldest events, at most `max`, beside those that are being sent.
    pub fn take_oldest(&self, max: usize) -> Vec<NumberedEvent> {
        let mut state = self.lock();
        let count = state.events.len().min(max.max(1));
        let taken = state.events.drain(..count).collect();
        self.publish(&state);
        taken
    }

    /// Puts back what [`Queue::take_oldest`] took.
    pub fn put_back(&self, events: Vec<NumberedEvent>) {
        let mut state = self.lock();
        for event in events.into_iter().rev() {
            state.events.push_front(event);
        }
        self.publish(&state);
    }

    /// Gives back events that did not fit into a request; they are the next to be taken.
    pub fn give_back(&self, events: Vec<NumberedEvent>) {
        {
            let mut state = self.lock();
            state.in_flight = state.in_flight.saturating_sub(events.len());
        }
        self.put_back(events);
    }

    /// What was taken is done with.
    pub fn settle(&self) {
        let mut state = self.lock();
        state.in_flight = 0;
        self.publish(&state);
    }

    /// Counts everything still queued as lost; returns how much that was.
    pub fn discard(&self, place: LossPlace) -> usize {
        let mut state = self.lock();
        let count = state.events.len();
        state.events.clear();
        self.telemetry.lose(place, count as u64);
        self.publish(&state);
        count
    }

    /// Whether everything that was queued is done with.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.events.is_empty() && state.in_flight == 0
    }

    /// How often the queue has overflowed.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.lock().overflows
    }

    /// Returns once the queue has overflowed more often than `seen`.
    pub async fn overflowed_since(&self, seen: u64) {
        while self.overflows() <= seen {
            self.overflowed.notified().await;
        }
    }

    /// Returns once half of the room is taken.
    pub async fn crowded(&self) {
        loop {
            if self.is_crowded(&self.lock()) {
                return;
            }
            self.crowded.notified().await;
        }
    }

    fn is_crowded(&self, state: &State) -> bool {
        state.events.len() >= self.capacity.div_ceil(2)
    }

    fn publish(&self, state: &State) {
        self.telemetry
            .set_queue(state.events.len(), state.in_flight);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
