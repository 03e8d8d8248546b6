//! [`Succession`]: how an exporter goes on where an earlier one ended, by the [`Ledger`].
//!
//! Same identity, next number, and for each flow that the receiver knows its next record. What is about to leave the process is
//! in the ledger before; so nothing is told twice, and what is lost with the process leaves a gap.

use beaconwatch_records::Owner;

use crate::capture::CaptureError;
use crate::capture::ledger::Ledger;
use crate::flow::{FlowEvent, FlowEventKind, FlowTable, Told};
use crate::names::{Answer, NameReader};
use crate::otlp::logs::{Content, Identity, NumberedEvent};

/// Keeps the ledger while the exporter runs.
#[derive(Debug)]
pub(crate) struct Succession {
    ledger: Box<Ledger>,
    first_sequence: u64,
}

/// The identity of the run that this one takes over from, and its reading of the clocks: so that start times of processes
/// stay the same. A first run's own are kept.
pub(crate) fn inherit_identity(ledger: &mut Ledger, identity: &mut Identity) {
    let exporter_id = format!("{:032x}", ledger.exporter_id());
    // A host without any other identity has the exporter's.
    if identity.host_id == identity.exporter_id {
        identity.host_id.clone_from(&exporter_id);
    }
    identity.exporter_id = exporter_id;
    identity.started = ledger.started(identity.started);
}

impl Succession {
    /// Puts what an earlier run told into the table.
    pub(crate) fn new(
        mut ledger: Box<Ledger>,
        table: &mut FlowTable,
        names: &mut NameReader,
        name_settings: u64,
    ) -> Result<Self, CaptureError> {
        let told = ledger.told()?;
        if !told.is_empty() {
            tracing::info!(flows = told.len(), "flows of an earlier run go on");
        }
        for (id, told) in told {
            table.inherit(id, told);
        }
        names.inherit(ledger.inherit_names(name_settings));
        let first_sequence = ledger.next_sequence();
        Ok(Self {
            ledger,
            first_sequence,
        })
    }

    /// Number of the first record of this run.
    pub(crate) const fn first_sequence(&self) -> u64 {
        self.first_sequence
    }

    /// Records of an earlier run's ring buffer that nobody can read.
    pub(crate) const fn discarded(&self) -> u64 {
        self.ledger.discarded()
    }

    /// Whether a socket that is marked as the exporter's own belongs to this run or the one before.
    pub(crate) fn is_own(&self, owner: &Owner) -> bool {
        self.ledger.is_own(owner.pid, owner.process_start_ns)
    }

    /// Notes what is about to be queued.
    pub(crate) fn tell(
        &mut self,
        numbered: &[NumberedEvent],
        table: &FlowTable,
    ) -> Result<(), CaptureError> {
        for event in numbered {
            if let Content::Flow { event, names, .. } = &event.content {
                let is_kept = self.tell_event(event, table)?;
                if let Some(names) = names.as_ref().filter(|_| is_kept) {
                    self.ledger.tell_names(event.id, names);
                }
            }
        }
        Ok(())
    }

    /// Whether more may be told of the flow.
    fn tell_event(&mut self, event: &FlowEvent, table: &FlowTable) -> Result<bool, CaptureError> {
        let ended = event.kind == FlowEventKind::End;
        // An end that the kernel part has not told: it may speak of the flow again.
        if ended && !table.holds(&event.id) {
            if event.number > 0 {
                self.ledger.forget(event.id)?;
            }
            return Ok(false);
        }
        let told = Told {
            start_unix_ns: event.start_unix_ns,
            next_number: event.number.saturating_add(1),
            reported: event.record.counters,
            ended,
        };
        self.ledger.tell(event.id, &told)?;
        Ok(true)
    }

    /// Keeps what DNS answers said.
    pub(crate) fn keep_answers(&mut self, answers: &[Answer]) {
        for answer in answers {
            self.ledger.keep_answer(answer);
        }
    }

    /// Forgets flows of which nothing more can be told.
    pub(crate) fn forget_departed(&mut self, table: &mut FlowTable) -> Result<(), CaptureError> {
        for id in table.take_forsaken() {
            self.ledger.forget(id)?;
        }
        self.ledger.forget_ended(|id| table.holds(id))
    }

    /// See [`Ledger::advance`].
    pub(crate) fn advance(
        &mut self,
        next_sequence: u64,
        waiting: usize,
    ) -> Result<(), CaptureError> {
        self.ledger.advance(next_sequence, waiting)
    }

    /// See [`Ledger::count_losses`].
    pub(crate) fn count_losses(&mut self, losses: &[u64]) -> Result<(), CaptureError> {
        self.ledger.count_losses(losses)
    }
}
