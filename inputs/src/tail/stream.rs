//! Joins the records of connections as they come, with bounded memory.

use std::collections::HashMap;
use std::time::Duration;

use beaconwatch_detector::{ConnectionId, Observation, Phase, Timestamp};

use crate::observation::Observations;
use crate::record::{Kind, Record};

/// Connections in one generation, and how long it takes in more.
const CONNECTIONS_MAX: usize = 1 << 16;
const GENERATION: Duration = Duration::from_hours(1);

/// What was told of a connection.
#[derive(Clone, Debug)]
enum Known {
    /// Something that it carried opened it, and named its server.
    Opened(Option<String>),
    /// Everything.
    Whole,
}

/// What is remembered, in two generations.
#[derive(Debug, Default)]
pub(super) struct Stream {
    young: HashMap<ConnectionId, Known>,
    old: HashMap<ConnectionId, Known>,
    since: Timestamp,
    observations: Observations,
}

impl Stream {
    /// What a record says that was not said before.
    pub(super) fn take(&mut self, mut record: Record) -> Option<Observation> {
        let id = record.id.filter(|_| record.dialect.has_unique_ids());
        let known = id.and_then(|id| self.known(id));
        let (phase, next) = match (record.kind, id, known) {
            (Kind::Activity, _, _) | (Kind::Carried, _, Some(Known::Opened(_))) => {
                (Phase::Activity, None)
            }
            (Kind::Connection | Kind::Carried, _, Some(Known::Whole)) => return None,
            (Kind::Connection, _, Some(Known::Opened(name))) => {
                record.server_name = record.server_name.or(name);
                record.time = end(&record);
                (Phase::Closed, Some(Known::Whole))
            }
            (Kind::Connection, _, None) => (Phase::Whole, Some(Known::Whole)),
            (Kind::Carried, Some(_), None) => {
                let name = record.server_name.clone();
                (Phase::Opened, Some(Known::Opened(name)))
            }
            (Kind::Carried, None, None) => (Phase::Whole, None),
        };
        if let (Some(id), Some(next)) = (id, next) {
            self.remember(id, next, record.time);
        }
        Some(self.observations.make(&record, phase))
    }

    fn known(&self, id: ConnectionId) -> Option<Known> {
        let young = self.young.get(&id);
        young.or_else(|| self.old.get(&id)).cloned()
    }

    fn remember(&mut self, id: ConnectionId, known: Known, time: Timestamp) {
        let full = self.young.len() >= CONNECTIONS_MAX;
        if full || time.saturating_since(self.since) > GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.since = time;
        }
        self.young.insert(id, known);
    }
}

fn end(record: &Record) -> Timestamp {
    let lasted = record.duration.unwrap_or_default().as_nanos();
    let nanos = i64::try_from(lasted).unwrap_or(0);
    Timestamp::from_unix_nanos(record.time.unix_nanos().saturating_add(nanos))
}
