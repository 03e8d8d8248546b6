//! Which documents wait for which acknowledgement of the indexers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::{Confirmation, Ticket};

/// Most numbers that are asked for at a time.
const MAX_QUESTION: usize = 1000;

/// Documents of one request.
#[derive(Debug)]
struct Expected {
    tickets: Vec<Ticket>,
    until: Instant,
}

/// All that is not acknowledged yet.
#[derive(Debug)]
pub(super) struct Acknowledgements {
    timeout: Duration,
    next_ticket: u64,
    expected: BTreeMap<u64, Expected>,
    /// Documents whose number was given out again: the server has forgotten them.
    forgotten: Vec<Ticket>,
    /// Numbers up to here were asked for last time.
    asked: u64,
}

impl Acknowledgements {
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            next_ticket: 0,
            expected: BTreeMap::new(),
            forgotten: Vec::new(),
            asked: 0,
        }
    }

    /// The server will acknowledge so many documents under this number; their tickets.
    pub(super) fn expect(
        &mut self,
        id: u64,
        documents: usize,
        now: Instant,
    ) -> impl Iterator<Item = Ticket> + use<> {
        let first = self.next_ticket;
        self.next_ticket += documents as u64;
        let tickets = first..self.next_ticket;
        let expected = Expected {
            tickets: tickets.clone().map(Ticket).collect(),
            until: now + self.timeout,
        };
        if let Some(before) = self.expected.insert(id, expected) {
            // Numbers begin again when the server was started again.
            self.forgotten.extend(before.tickets);
        }
        tickets.map(Ticket)
    }

    /// What will not be acknowledged any more.
    pub(super) fn expired(&mut self, now: Instant) -> Vec<(Ticket, Confirmation)> {
        let lost = |reason: &str| Confirmation::Lost {
            reason: reason.to_owned(),
        };
        let mut all: Vec<_> = std::mem::take(&mut self.forgotten)
            .into_iter()
            .map(|ticket| {
                (
                    ticket,
                    lost("the server gave its number to other documents"),
                )
            })
            .collect();
        let late = self.expected.extract_if(.., |_, it| it.until <= now);
        for (_, Expected { tickets, .. }) in late {
            let late = lost("the indexers did not acknowledge it in time");
            all.extend(tickets.into_iter().map(|ticket| (ticket, late.clone())));
        }
        all
    }

    /// The next question: the numbers after those of the last one, from the beginning again after the end.
    pub(super) fn question(&mut self) -> Option<String> {
        let after = self.expected.range(self.asked.saturating_add(1)..);
        let mut ids: Vec<u64> = after.map(|(&id, _)| id).take(MAX_QUESTION).collect();
        if ids.len() < MAX_QUESTION {
            let rest = MAX_QUESTION - ids.len();
            let before = self.expected.range(..=self.asked).map(|(&id, _)| id);
            ids.extend(before.take(rest));
        }
        self.asked = *ids.last()?;
        Some(serde_json::json!({ "acks": ids }).to_string())
    }

    /// These numbers are acknowledged.
    pub(super) fn acknowledged(&mut self, ids: &[u64]) -> Vec<(Ticket, Confirmation)> {
        let confirmed = ids.iter().filter_map(|id| self.expected.remove(id));
        let tickets = confirmed.flat_map(|expected| expected.tickets);
        tickets
            .map(|ticket| (ticket, Confirmation::Delivered))
            .collect()
    }
}
