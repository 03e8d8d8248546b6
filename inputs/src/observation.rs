//! From a record to the detector's observation: the same for every format.

use std::collections::HashSet;
use std::sync::Arc;

use beaconwatch_detector::{Observation, Phase, Process, SeriesKey, Side};

use crate::record::{Dialect, Record};

/// Most distinct names that are shared between observations; more are kept one by one.
const SHARED_NAMES_MAX: usize = 1 << 16;

/// Makes observations; names that repeat are shared between them.
#[derive(Debug, Default)]
pub(crate) struct Observations {
    names: HashSet<Arc<str>>,
}

impl Observations {
    /// The observation of a record.
    pub(crate) fn make(&mut self, record: &Record, phase: Phase) -> Observation {
        let sensor = record.sensor.as_deref().map(|name| self.shared(name));
        let process = record.process_name.as_deref().map(|name| {
            Arc::new(Process {
                name: Some(self.shared(name)),
                ..Process::default()
            })
        });
        Observation {
            time: record.time,
            phase,
            key: SeriesKey {
                host: sensor.clone().unwrap_or_else(|| self.shared("")),
                namespace: self.shared(""),
                source: record.source,
                destination: record.destination,
                destination_port: record.destination_port,
                transport: record.transport,
            },
            host_name: sensor,
            connection: record.id,
            side: match record.dialect {
                // Its sensors are the hosts themselves.
                Dialect::BeaconHunter => Side::Client,
                _ => Side::Between,
            },
            source_port: record.source_port,
            server_name: record.server_name.as_deref().map(|name| self.shared(name)),
            process,
            client_fingerprint: record
                .client_fingerprint
                .as_deref()
                .map(|it| self.shared(it)),
            owner: None,
            bytes_out: record.bytes_out,
            bytes_in: record.bytes_in,
            duration: record.duration,
            established: record.established,
            own: false,
        }
    }

    fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = name.into();
        if self.names.len() < SHARED_NAMES_MAX {
            self.names.insert(Arc::clone(&name));
        }
        name
    }
}
