//! Joins the records of each connection, over all files.

use std::collections::{HashMap, HashSet};

use beaconwatch_detector::{ConnectionId, Observation, Phase, Timestamp};

use super::observation::Observations;
use super::record::{Dialect, Kind, Record};
use super::report::Report;

/// Collects records and makes observations of them.
#[derive(Default)]
pub(crate) struct Joiner {
    connections: Vec<Observation>,
    /// The first connection of each identity, and what told of it.
    by_id: HashMap<ConnectionId, (usize, Dialect)>,
    /// Connections of flows whose identity was used before, at another time.
    by_id_and_time: HashMap<(ConnectionId, Timestamp), usize>,
    /// Records of what connections carried, where the connection itself is not known yet.
    carried: Vec<Observation>,
    activity: Vec<Observation>,
    observations: Observations,
    duplicates: u64,
}

impl Joiner {
    pub(crate) fn add(&mut self, record: &Record) {
        match record.kind {
            Kind::Connection => self.add_connection(record),
            Kind::Activity => {
                let observation = self.observations.make(record, Phase::Activity);
                self.activity.push(observation);
            }
            Kind::Carried => self.add_carried(record),
        }
    }

    fn add_connection(&mut self, record: &Record) {
        let observation = self.observations.make(record, Phase::Whole);
        let known = record.id.and_then(|id| self.known(id, record));
        match known.and_then(|index| self.connections.get_mut(index)) {
            Some(known) if is_way_back(known, record) => {
                known.bytes_in = known.bytes_in.or(record.bytes_out);
            }
            Some(known) => {
                self.duplicates += 1;
                keep_longer(known, observation);
            }
            None => self.connections.push(observation),
        }
    }

    /// The connection that the record tells of again; else notes that it will be the next one.
    ///
    /// Zeek's uid is unique over all sensors, so that it alone tells. Whoever made flows may use one uid
    /// again: there the time must agree too.
    fn known(&mut self, id: ConnectionId, record: &Record) -> Option<usize> {
        let next = self.connections.len();
        let Some(&(first, dialect)) = self.by_id.get(&id) else {
            self.by_id.insert(id, (next, record.dialect));
            return None;
        };
        let unique = dialect == record.dialect && dialect.has_unique_ids();
        let time = self
            .connections
            .get(first)
            .map(|connection| connection.time);
        if unique || time == Some(record.time) {
            return Some(first);
        }
        let index = *self.by_id_and_time.entry((id, record.time)).or_insert(next);
        (index != next).then_some(index)
    }

    fn add_carried(&mut self, record: &Record) {
        let known = record
            .id
            .and_then(|id| self.by_id.get(&id))
            .map(|(index, _)| *index);
        let observation = self.observations.make(record, Phase::Opened);
        match known.and_then(|index| self.connections.get_mut(index)) {
            Some(connection) => describe(connection, &observation),
            None => self.carried.push(observation),
        }
    }

    /// All observations, sorted by time.
    pub(crate) fn finish(mut self, report: &mut Report) -> Vec<Observation> {
        self.settle_carried();
        self.settle_activity();
        report.duplicates += self.duplicates;
        let mut observations = self.connections;
        observations.append(&mut self.activity);
        observations.sort_by_key(|observation| observation.time);
        observations
    }

    /// Names the connections that became known later; what is left stands for its connection.
    fn settle_carried(&mut self) {
        let mut carried = std::mem::take(&mut self.carried);
        carried.sort_by_key(|observation| observation.time);
        let mut opened: HashMap<ConnectionId, usize> = HashMap::new();
        for mut observation in carried {
            let Some(id) = observation.connection else {
                observation.phase = Phase::Whole;
                self.connections.push(observation);
                continue;
            };
            if let Some(known) = self
                .by_id
                .get(&id)
                .and_then(|(at, _)| self.connections.get_mut(*at))
            {
                describe(known, &observation);
            } else if let Some(first) = opened.get(&id).and_then(|at| self.connections.get_mut(*at))
            {
                describe(first, &observation);
                observation.phase = Phase::Activity;
                self.activity.push(observation);
            } else {
                opened.insert(id, self.connections.len());
                self.connections.push(observation);
            }
        }
    }

    /// Gives activity its totals, and parts the connections that it belongs to into begin and end.
    fn settle_activity(&mut self) {
        self.activity.sort_by_key(|observation| observation.time);
        let mut totals: HashMap<ConnectionId, (u64, u64)> = HashMap::new();
        let mut active: HashSet<usize> = HashSet::new();
        for observation in &mut self.activity {
            let Some(id) = observation.connection else {
                continue;
            };
            let (bytes_out, bytes_in) = totals.entry(id).or_default();
            accumulate(bytes_out, &mut observation.bytes_out);
            accumulate(bytes_in, &mut observation.bytes_in);
            if let Some((index, _)) = self.by_id.get(&id) {
                active.insert(*index);
            }
        }
        for index in active {
            if let Some(connection) = self.connections.get_mut(index) {
                let closed = part(connection);
                self.activity.extend(closed);
            }
        }
    }
}

fn accumulate(total: &mut u64, bytes: &mut Option<u64>) {
    if let Some(bytes) = bytes {
        *total = total.saturating_add(*bytes);
        *bytes = *total;
    }
}

/// Turns a whole connection into its beginning and returns its end, when that is known.
fn part(connection: &mut Observation) -> Option<Observation> {
    connection.phase = Phase::Opened;
    let duration = connection.duration.take()?;
    let mut closed = connection.clone();
    let nanos = i64::try_from(duration.as_nanos()).ok()?;
    closed.time = Timestamp::from_unix_nanos(connection.time.unix_nanos().checked_add(nanos)?);
    closed.phase = Phase::Closed;
    closed.duration = Some(duration);
    connection.bytes_out = None;
    connection.bytes_in = None;
    Some(closed)
}

/// Suricata's netflow events tell each direction by itself.
fn is_way_back(known: &Observation, record: &Record) -> bool {
    known.key.source == record.destination
        && known.key.destination == record.source
        && known.source_port == record.destination_port
        && known.key.destination_port == record.source_port
}

/// Takes over what a record of the same connection names and this one does not.
fn describe(connection: &mut Observation, by: &Observation) {
    if connection.server_name.is_none() {
        connection.server_name.clone_from(&by.server_name);
    }
    if connection.client_fingerprint.is_none() {
        connection
            .client_fingerprint
            .clone_from(&by.client_fingerprint);
    }
}

/// Of two records of one connection the one that saw more of it stays.
fn keep_longer(known: &mut Observation, other: Observation) {
    if other.duration > known.duration {
        let shorter = std::mem::replace(known, other);
        describe(known, &shorter);
    } else {
        describe(known, &other);
    }
}
