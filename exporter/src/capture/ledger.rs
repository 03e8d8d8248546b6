//! [`Ledger`]: what must outlive the process, so that the next exporter goes on where this one ended.
//!
//! Maps of the kernel, pinned beside those of the kernel part and used by no program:
//!
//! | pin | what is in it |
//! |---|---|
//! | `ledger-state` | the exporter's id, the number of its next record, how far the ring buffer was read and its losses were counted |
//! | `ledger-flows` | each flow that was announced and has not ended: its start, its next number, the counters last told |
//! | `ledger-names`, `ledger-answers` | names of such flows, and DNS answers, see `names` |
//!
//! Written before a record leaves the process, so they hold whatever ends it: after an orderly stop they are exact, after a
//! SIGKILL the next exporter begins behind every number that this one gave, and behind one more for each event that had none
//! yet and each record of the kernel part that was read and became no event. Those numbers reach no receiver: what was lost shows as a
//! gap. The kernel part's maps and these vanish together at the next boot.
//!
//! Limits: of what was read and became no event it is known how many records they were, not of which flows: a gap may be larger
//! than the loss, never smaller. An activity whose extent was still to be read is lost without a number. A flow that
//! finds no room ([`Ledger::unkept`]) would be announced a second time.

use std::{collections::HashSet, os::fd::AsFd, sync::Arc};

use aya::maps::{Array, HashMap, Map, MapData, MapError, MapType};
use beaconwatch_records::{FLOW_RECORD_BYTES, LOSS_COUNTERS};

mod names;
mod state;

pub(crate) use self::names::Inherited;
use self::names::KeptNames;
use self::state::{FlowValue, LOSSES, Run, State, StateValue, this_layout, told_of, value_of};
use super::{
    CaptureError,
    pins::Pins,
    syscall::pinned::{MapShape, ReadPosition, make_map},
};
use crate::flow::{FlowId, Moment, Told};
use crate::names::{Answer, FlowNames};

const STATE: &str = "ledger-state";
const FLOWS: &str = "ledger-flows";
const KIND_HASH: u32 = 1;
const KIND_ARRAY: u32 = 2;
const KIND_LRU_HASH: u32 = 9;
const BPF_F_NO_PREALLOC: u32 = 1;

/// Bytes of a record in the ring buffer, its header included.
const ENTRY_BYTES: u64 = (FLOW_RECORD_BYTES as u64 + 8).next_multiple_of(8);

/// Takes note of what was told; see the module.
pub struct Ledger {
    states: Array<MapData, StateValue>,
    flows: HashMap<MapData, FlowKey, FlowValue>,
    names: KeptNames,
    state: State,
    written: Option<State>,
    predecessor: Option<Run>,
    position: Option<ReadPosition>,
    /// Losses that were counted before this run.
    counted_losses: [u64; LOSSES],
    /// Flows that ended while the kernel part still holds them.
    ended: HashSet<FlowId>,
    unkept: u64,
    discarded: u64,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Ledger")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// A flow's identity as a key of the map.
type FlowKey = [u8; 16];

impl Ledger {
    /// Opens what an earlier run left, or begins anew. The flows of an earlier run are still in it.
    pub(super) fn open(pins: &Pins, max_flows: usize) -> Result<Self, CaptureError> {
        let states = Map::Array(open_pinned(pins, STATE, STATE_SHAPE)?);
        let states = Array::try_from(states).map_err(wrong(STATE))?;
        let flows = open_flows(pins, max_flows)?;
        let found = State::read(&states.get(&0, 0).map_err(wrong(STATE))?);
        let run = Run::this();
        Ok(Self {
            states,
            flows,
            names: KeptNames::open(pins, max_flows)?,
            state: found.map_or_else(|| State::new(run), |found| State { run, ..found }),
            written: None,
            predecessor: found.map(|found| found.run),
            position: None,
            counted_losses: [0; LOSSES],
            ended: HashSet::new(),
            unkept: 0,
            discarded: 0,
        })
    }

    /// Whether the pinned maps hold what this build puts there.
    pub(super) fn fits(&self) -> bool {
        self.state.layout == this_layout()
    }

    /// The kernel part of an earlier run goes on: what it did since that run is this one's.
    pub(super) fn take_over(&mut self, ring: impl AsFd) -> Result<(), CaptureError> {
        let position = ReadPosition::of(ring.as_fd()).map_err(CaptureError::system("mmap"))?;
        let untold = position.get().saturating_sub(self.state.read_position) / ENTRY_BYTES;
        self.state.next_sequence = self
            .state
            .next_sequence
            .saturating_add(self.state.waiting)
            .saturating_add(untold);
        self.state.waiting = 0;
        self.state.read_position = position.get();
        self.position = Some(position);
        self.counted_losses = self.state.losses;
        self.write()
    }

    /// The kernel part begins anew: flows of an earlier one have other identities. Until [`Self::begun`] nobody can take
    /// over, because the maps are exchanged one by one.
    pub(super) fn begin(&mut self) -> Result<(), CaptureError> {
        self.state.next_sequence = self.state.next_sequence.saturating_add(self.state.waiting);
        self.state.waiting = 0;
        self.state.layout = 0;
        self.state.losses = [0; LOSSES];
        self.state.read_position = 0;
        self.write()?;
        let stale: Vec<FlowKey> = self.flows.keys().flatten().collect();
        for flow in stale {
            remove(&mut self.flows, flow)?;
        }
        Ok(())
    }

    /// The maps are exchanged; `discarded` records of the earlier ones were never read.
    pub(super) fn begun(&mut self, ring: impl AsFd, discarded: u64) -> Result<(), CaptureError> {
        let position = ReadPosition::of(ring.as_fd()).map_err(CaptureError::system("mmap"))?;
        self.state.layout = this_layout();
        self.position = Some(position);
        self.discarded = discarded;
        self.write()
    }

    /// Losses that an earlier run has counted, by [`LossCounter`](beaconwatch_records::LossCounter).
    pub(super) fn counted_losses(&self) -> [u64; LOSS_COUNTERS as usize] {
        let mut counted = [0; LOSS_COUNTERS as usize];
        for (to, from) in counted.iter_mut().zip(self.counted_losses) {
            *to = from;
        }
        counted
    }

    /// Identity of the exporter: the same for all runs that take over from each other.
    #[must_use]
    pub const fn exporter_id(&self) -> u128 {
        self.state.exporter_id
    }

    /// Number of the next record.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.state.next_sequence
    }

    /// Records that waited in a ring buffer of another layout and were discarded with it.
    #[must_use]
    pub const fn discarded(&self) -> u64 {
        self.discarded
    }

    /// Announced flows for which there was no room.
    #[must_use]
    pub const fn unkept(&self) -> u64 {
        self.unkept
    }

    /// Both clocks when the first of these runs began; `now`, which is kept, for the first.
    pub fn started(&mut self, now: Moment) -> Moment {
        if self.state.started.unix_ns == 0 {
            self.state.started = now;
        }
        self.state.started
    }

    /// What an earlier run told of flows that the kernel part still holds, or whose ends wait to be read.
    pub fn told(&self) -> Result<Vec<(FlowId, Told)>, CaptureError> {
        let entries = self.flows.iter();
        entries
            .map(|entry| {
                let (id, value) = entry.map_err(wrong(FLOWS))?;
                Ok((FlowId::from_bytes(id), told_of(&value)))
            })
            .collect()
    }

    /// What an earlier run knew of names, if `settings` stands for the same settings of them; of flows, of those in
    /// [`Self::told`].
    pub(crate) fn inherit_names(&mut self, settings: u64) -> Inherited {
        let flows = &self.flows;
        let is_told = |id: &FlowId| flows.get(&id.to_bytes(), 0).is_ok();
        self.names.inherit(settings, is_told)
    }

    /// Keeps the names of a flow that is about to be told and lives on.
    pub(crate) fn tell_names(&mut self, id: FlowId, names: &Arc<FlowNames>) {
        self.names.tell(id, names);
    }

    /// Keeps what a DNS answer said.
    pub(crate) fn keep_answer(&mut self, answer: &Answer) {
        self.names.keep_answer(answer);
    }

    /// Whether a socket that the kernel part marked as the exporter's own is this run's or its predecessor's: a pid is given
    /// to another process while no exporter runs.
    #[must_use]
    pub fn is_own(&self, pid: u32, start_ns: u64) -> bool {
        let mut runs = [Some(self.state.run), self.predecessor]
            .into_iter()
            .flatten();
        runs.any(|run| run.is(pid, start_ns))
    }

    /// Keeps what is about to be told of a flow that lives on.
    pub fn tell(&mut self, id: FlowId, told: &Told) -> Result<(), CaptureError> {
        let value = value_of(told);
        match self.flows.insert(id.to_bytes(), value, 0) {
            Ok(()) => {
                if told.ended {
                    self.ended.insert(id);
                }
                Ok(())
            }
            Err(error) if is_full(&error) => {
                if self.unkept == 0 {
                    tracing::warn!(
                        "no room to keep what was told of a flow: the next run would announce it again"
                    );
                }
                self.unkept += 1;
                Ok(())
            }
            Err(error) => Err(wrong(FLOWS)(error)),
        }
    }

    /// Forgets a flow that is over.
    pub fn forget(&mut self, id: FlowId) -> Result<(), CaptureError> {
        self.ended.remove(&id);
        self.names.forget(id);
        remove(&mut self.flows, id.to_bytes())
    }

    /// Forgets the flows that ended and that the kernel part has let go since.
    pub fn forget_ended(&mut self, is_held: impl Fn(&FlowId) -> bool) -> Result<(), CaptureError> {
        let gone: Vec<FlowId> = self
            .ended
            .iter()
            .filter(|id| !is_held(id))
            .copied()
            .collect();
        gone.into_iter().try_for_each(|id| self.forget(id))
    }

    /// Keeps how far this run has come: every record that was read became a number below `next_sequence`, one of `waiting`
    /// events, or what the table knows of a flow that lives.
    pub fn advance(&mut self, next_sequence: u64, waiting: usize) -> Result<(), CaptureError> {
        self.state.next_sequence = next_sequence;
        self.state.waiting = waiting as u64;
        if let Some(position) = &self.position {
            self.state.read_position = position.get();
        }
        self.write()
    }

    /// Keeps which losses were counted, since this run began.
    pub fn count_losses(&mut self, losses: &[u64]) -> Result<(), CaptureError> {
        let before = self.counted_losses.iter();
        for ((to, before), more) in self.state.losses.iter_mut().zip(before).zip(losses) {
            *to = before.saturating_add(*more);
        }
        self.write()
    }

    fn write(&mut self) -> Result<(), CaptureError> {
        if self.written != Some(self.state) {
            let value = self.state.words();
            self.states.set(0, value, 0).map_err(wrong(STATE))?;
            self.written = Some(self.state);
        }
        Ok(())
    }
}

const STATE_SHAPE: MapShape = MapShape {
    kind: KIND_ARRAY,
    key_bytes: 4,
    value_bytes: 344,
    max_entries: 1,
    flags: 0,
};
const FLOWS_SHAPE: MapShape = MapShape {
    kind: KIND_HASH,
    key_bytes: 16,
    value_bytes: 48,
    max_entries: 0,
    flags: BPF_F_NO_PREALLOC,
};

fn wrong(map: &'static str) -> impl Fn(MapError) -> CaptureError {
    move |source| CaptureError::Map { map, source }
}

fn is_full(error: &MapError) -> bool {
    let MapError::SyscallError(error) = error else {
        return false;
    };
    let full = [libc::E2BIG, libc::ENOMEM];
    error
        .io_error
        .raw_os_error()
        .is_some_and(|code| full.contains(&code))
}

fn remove(
    flows: &mut HashMap<MapData, FlowKey, FlowValue>,
    key: FlowKey,
) -> Result<(), CaptureError> {
    match flows.remove(&key) {
        Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
        Err(MapError::SyscallError(error))
            if error.io_error.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(())
        }
        Err(error) => Err(wrong(FLOWS)(error)),
    }
}

fn shape_of(map: &MapData, name: &'static str) -> Result<MapShape, CaptureError> {
    let info = map.info().map_err(wrong(name))?;
    Ok(MapShape {
        kind: match info.map_type() {
            Ok(MapType::Hash) => KIND_HASH,
            Ok(MapType::Array) => KIND_ARRAY,
            Ok(MapType::LruHash) => KIND_LRU_HASH,
            _ => 0,
        },
        key_bytes: info.key_size(),
        value_bytes: info.value_size(),
        max_entries: info.max_entries(),
        flags: info.map_flags(),
    })
}

/// What an earlier run pinned, or a new one in its place where that has another shape.
fn open_pinned(pins: &Pins, name: &'static str, shape: MapShape) -> Result<MapData, CaptureError> {
    match pins.map(name)? {
        Some(found) if shape_of(&found, name)? == shape => Ok(found),
        _ => make_pinned(pins, name, shape),
    }
}

fn make_pinned(pins: &Pins, name: &'static str, shape: MapShape) -> Result<MapData, CaptureError> {
    let mut title = [0; 16];
    for (to, from) in title.iter_mut().zip(name.replace('-', "_").bytes()) {
        *to = from;
    }
    let map = make_map(shape, title).map_err(CaptureError::system("making a map"))?;
    pins.replace(map.as_fd(), name)?;
    MapData::from_fd(map).map_err(wrong(name))
}

/// One of another size is replaced, and its flows are kept.
fn open_flows(
    pins: &Pins,
    max_flows: usize,
) -> Result<HashMap<MapData, FlowKey, FlowValue>, CaptureError> {
    let typed = |map| HashMap::try_from(Map::HashMap(map)).map_err(wrong(FLOWS));
    let shape = MapShape {
        max_entries: u32::try_from(max_flows.max(1)).unwrap_or(u32::MAX),
        ..FLOWS_SHAPE
    };
    let Some(found) = pins.map(FLOWS)? else {
        return typed(make_pinned(pins, FLOWS, shape)?);
    };
    let other = shape_of(&found, FLOWS)?;
    if other == shape {
        return typed(found);
    }
    let mut kept = Vec::new();
    if (MapShape {
        max_entries: shape.max_entries,
        ..other
    }) == shape
    {
        let found: HashMap<_, FlowKey, FlowValue> = typed(found)?;
        kept.extend(found.iter().flatten());
    }
    let mut flows = typed(make_pinned(pins, FLOWS, shape)?)?;
    let lost = kept
        .into_iter()
        .filter(|(key, value)| flows.insert(key, value, 0).is_err())
        .count();
    if lost > 0 {
        tracing::warn!(
            flows = lost,
            "no room to keep what an earlier run told of flows: they are announced again"
        );
    }
    Ok(flows)
}
