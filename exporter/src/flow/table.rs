//! [`FlowTable`]: kernel records in, flow events out.
//!
//! Contract, for any order, loss or repetition of records:
//! - every flow has exactly one event with number 0, and it is its first;
//! - a flow has at most one end, and nothing after it;
//! - its start never changes;
//! - the deltas of its events add up to the totals of the last one;
//! - a flow whose close comes before it was announced, and which had no activity, yields one event, an end
//!   with number 0.
//!
//! Activity is told when it is known what was exchanged: see [`FlowEventKind::Activity`].
//!
//! Ends of a flow: the kernel's close; for UDP and ICMP the idle timeout, seen in a snapshot of the kernel's live
//! flows (the kernel itself closes an idle flow only when its next datagram comes or its socket closes);
//! absence from two whole snapshots in a row, when the close was lost (then without a reason).
//!
//! The table is bounded. When it is full, a sixteenth leaves at once: the flows with the oldest news. Their
//! counters so far are yielded, the eviction is counted, and a later close still yields their end.
//! The contract has one limit: a flow that was evicted and then also fell out of the bounded memory of
//! departed flows ([`TableCounters::forgotten`]) is announced a second time if the kernel speaks of it again.
//!
//! Of a flow that an earlier run announced ([`FlowTable::inherit`]) the contract holds for both runs' events together.

use std::time::Duration;

use beaconwatch_records::{CloseReason, CounterSet, FlowRecord, Protocol, RecordKind, Role};

use super::expiry::{Departed, Departure, Evicted, Told};
use super::key::FlowMap;
use super::{BootId, FlowEvent, FlowEventKind, FlowId, Moment};

#[cfg(test)]
mod tests;

/// Limits and intervals of a [`FlowTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableSettings {
    /// Flows kept at most.
    pub max_flows: usize,
    /// Ended flows remembered, so that late records do not revive them.
    pub max_ended: usize,
    /// A living flow whose counters changed is reported this often.
    pub update_interval: Duration,
    /// A flow of UDP or ICMP without a packet for longer than this has ended.
    pub udp_idle_timeout: Duration,
    /// What makes the kernel tell activity: shorter than this no exchange is taken to be over.
    pub activity_idle: Duration,
}

impl Default for TableSettings {
    fn default() -> Self {
        Self {
            max_flows: 131_072,
            max_ended: 65_536,
            update_interval: Duration::from_mins(1),
            udp_idle_timeout: Duration::from_secs(10),
            activity_idle: Duration::from_secs(1),
        }
    }
}

/// What happened in a [`FlowTable`] since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableCounters {
    /// Flows in the table now.
    pub active: usize,
    /// Flows seen.
    pub flows: u64,
    /// Flows evicted because the table was full.
    pub evicted: u64,
    /// Flows ended because the kernel no longer knew them: their close was lost.
    pub close_lost: u64,
    /// Evicted flows that were forgotten before their end.
    pub forgotten: u64,
    /// Records of flows that had departed; nothing is lost by them.
    pub late: u64,
    /// Records that make no sense (unknown kind, role or protocol).
    pub invalid: u64,
}

#[derive(Debug)]
struct Flow {
    record: FlowRecord,
    reported: CounterSet,
    reported_boot_ns: u64,
    start_unix_ns: u64,
    next_number: u32,
    generation: u32,
    // Boxed: few flows have one.
    exchange: Option<Box<Exchange>>,
}

/// Activity whose extent is not known yet.
#[derive(Debug)]
struct Exchange {
    start_ns: u64,
    /// Counters when it began.
    before: CounterSet,
}

/// The flows that live, as far as user space knows.
#[derive(Debug)]
pub struct FlowTable {
    boot: BootId,
    settings: TableSettings,
    // Boxed: a table of large entries that doubles would need three times the memory of its flows.
    flows: FlowMap<Box<Flow>>,
    departed: Departed,
    unannounced: Vec<FlowId>,
    /// Flows that an earlier run told of and the kernel has not spoken of since.
    inherited: FlowMap<Told>,
    forsaken: Vec<FlowId>,
    generation: u32,
    counters: TableCounters,
}

impl FlowTable {
    /// An empty table for the flows of one boot.
    #[must_use]
    pub fn new(boot: BootId, settings: TableSettings) -> Self {
        Self {
            boot,
            settings,
            flows: FlowMap::default(),
            departed: Departed::new(settings.max_ended, settings.max_flows),
            unannounced: Vec::new(),
            inherited: FlowMap::default(),
            forsaken: Vec::new(),
            generation: 0,
            counters: TableCounters::default(),
        }
    }

    /// Goes on with a flow of which an earlier run told: its start is not told again, its numbers and deltas go on.
    pub fn inherit(&mut self, id: FlowId, told: Told) {
        if told.ended {
            self.departed.hold(id, self.generation, None);
        } else {
            self.inherited.insert(id, told);
        }
    }

    /// Flows of an earlier run whose end was lost: the kernel holds them no more and no record tells of them. Each is yielded
    /// once.
    pub fn take_forsaken(&mut self) -> Vec<FlowId> {
        std::mem::take(&mut self.forsaken)
    }

    /// Whether the kernel is taken to hold a flow whose end was told.
    #[must_use]
    pub fn holds(&self, id: &FlowId) -> bool {
        self.departed.holds(id)
    }

    /// Takes one record from the kernel; yields what it makes known. Starts wait for [`Self::announce`].
    pub fn apply(&mut self, record: &FlowRecord, now: Moment, events: &mut Vec<FlowEvent>) {
        let Some(kind) = kind_of(record) else {
            self.counters.invalid += 1;
            return;
        };
        let id = FlowId::of(self.boot, record);
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.absorb(record);
            flow.generation = self.generation;
        } else if let Some(departure) = self.departed.find(&id, self.generation) {
            self.apply_late(id, record, kind, departure, events);
            return;
        } else {
            self.counters.flows += 1;
            let flow = match self.inherited.remove(&id) {
                Some(told) => Flow::returned(record, told.into(), self.generation),
                None => Flow::new(record, now, self.generation),
            };
            if kind == RecordKind::Close {
                events.push(self.closed(id, flow));
                return;
            }
            self.make_room(events);
            if flow.next_number == 0 {
                self.note_unannounced(id);
            }
            self.flows.insert(id, Box::new(flow));
        }
        match kind {
            RecordKind::Open => {}
            RecordKind::Update => self.updated(id, record, events),
            RecordKind::Activity => {
                if let Some(flow) = self.flows.get_mut(&id) {
                    flow.begin_exchange(id, record, events);
                }
            }
            RecordKind::Close => {
                if let Some(mut flow) = self.flows.remove(&id) {
                    flow.end_exchange(id, flow.record.counters, events);
                    let event = self.closed(id, *flow);
                    events.push(event);
                }
            }
        }
    }

    /// Whether the flow of this record lives, as far as it was told.
    #[must_use]
    pub fn knows(&self, record: &FlowRecord) -> bool {
        self.flows.contains_key(&FlowId::of(self.boot, record))
    }

    /// Takes a whole snapshot of the kernel's live flows: besides what each record says, flows that it
    /// misses twice in a row have ended.
    pub fn apply_snapshot(
        &mut self,
        records: &[FlowRecord],
        now: Moment,
        events: &mut Vec<FlowEvent>,
    ) {
        self.generation = self.generation.wrapping_add(1);
        for record in records {
            self.apply(record, now, events);
        }
        let generation = self.generation;
        let gone = |flow: &Flow| generation.wrapping_sub(flow.generation) >= 2;
        let missing: Vec<FlowId> = self
            .flows
            .iter()
            .filter(|(_, flow)| gone(flow))
            .map(|(id, _)| *id)
            .collect();
        for id in missing {
            if let Some(mut flow) = self.flows.remove(&id) {
                self.counters.close_lost += 1;
                flow.end_exchange(id, flow.record.counters, events);
                let end_ns = flow.record.last_packet_ns.max(flow.record.start_ns);
                events.push(flow.event(id, FlowEventKind::End, end_ns));
                self.departed.end(id);
            }
        }
        self.counters.close_lost += self.departed.sweep(generation) as u64;
        if generation >= 2 && !self.inherited.is_empty() {
            self.counters.close_lost += self.inherited.len() as u64;
            self.forsaken
                .extend(self.inherited.drain().map(|(id, _)| id));
        }
    }

    /// Yields the start of every flow that is new since the last call and still lives.
    pub fn announce(&mut self, events: &mut Vec<FlowEvent>) {
        for id in self.unannounced.drain(..) {
            if let Some(flow) = self.flows.get_mut(&id)
                && flow.next_number == 0
            {
                let start_ns = flow.record.start_ns;
                events.push(flow.event(id, FlowEventKind::Start, start_ns));
            }
        }
    }

    /// Yields an update of every flow whose counters changed since its last event, whatever the interval:
    /// for the moment when the exporter stops.
    pub fn report_changes(&mut self, events: &mut Vec<FlowEvent>) {
        for (id, flow) in &mut self.flows {
            flow.end_exchange(*id, flow.record.counters, events);
            if flow.next_number > 0 && flow.record.counters != flow.reported {
                let time_ns = flow.record.time_ns;
                events.push(flow.event(*id, FlowEventKind::Update, time_ns));
            }
        }
    }

    /// What happened so far.
    #[must_use]
    pub fn counters(&self) -> TableCounters {
        TableCounters {
            active: self.flows.len(),
            forgotten: self.departed.forgotten(),
            ..self.counters
        }
    }

    /// The list may hold flows that ended since; it never grows beyond twice the table.
    fn note_unannounced(&mut self, id: FlowId) {
        if self.unannounced.len() >= self.settings.max_flows.max(1).saturating_mul(2) {
            let flows = &self.flows;
            self.unannounced
                .retain(|id| flows.get(id).is_some_and(|flow| flow.next_number == 0));
        }
        self.unannounced.push(id);
    }

    fn updated(&mut self, id: FlowId, record: &FlowRecord, events: &mut Vec<FlowEvent>) {
        if self.is_idle(record) {
            if let Some(mut flow) = self.flows.remove(&id) {
                flow.end_exchange(id, flow.record.counters, events);
                let end_ns = flow.end_as_idle();
                events.push(flow.event(id, FlowEventKind::End, end_ns));
                self.departed.hold(id, self.generation, None);
            }
            return;
        }
        let interval = nanoseconds(self.settings.update_interval);
        let activity_idle_ns = nanoseconds(self.settings.activity_idle);
        let Some(flow) = self.flows.get_mut(&id) else {
            return;
        };
        if let Some(exchange) = &flow.exchange
            && record.time_ns.saturating_sub(exchange.start_ns) >= activity_idle_ns
        {
            flow.end_exchange(id, record.counters, events);
        }
        if flow.next_number > 0
            && flow.record.counters != flow.reported
            && flow.record.time_ns.saturating_sub(flow.reported_boot_ns) >= interval
        {
            let time_ns = flow.record.time_ns;
            events.push(flow.event(id, FlowEventKind::Update, time_ns));
        }
    }

    /// The end of a flow that the kernel closed.
    fn closed(&mut self, id: FlowId, mut flow: Flow) -> FlowEvent {
        let idle =
            flow.record.close_reason == CloseReason::Idle as u8 || self.is_idle(&flow.record);
        let end_ns = if idle {
            flow.end_as_idle()
        } else {
            flow.record.time_ns
        };
        if idle {
            // The kernel may speak of an idle flow again, until its socket is gone.
            self.departed.hold(id, self.generation, None);
        } else {
            self.departed.end(id);
        }
        flow.event(id, FlowEventKind::End, end_ns)
    }

    fn is_idle(&self, record: &FlowRecord) -> bool {
        let quiet_since = record.last_packet_ns.max(record.start_ns);
        record.protocol != Protocol::Tcp as u8
            && record.time_ns.saturating_sub(quiet_since)
                > nanoseconds(self.settings.udp_idle_timeout)
    }

    fn apply_late(
        &mut self,
        id: FlowId,
        record: &FlowRecord,
        kind: RecordKind,
        departure: Departure,
        events: &mut Vec<FlowEvent>,
    ) {
        match (kind, departure) {
            (RecordKind::Close, Departure::Evicted(evicted)) => {
                let flow = Flow::returned(record, evicted, self.generation);
                self.departed.end(id);
                let event = self.closed(id, flow);
                events.push(event);
            }
            _ => self.counters.late += 1,
        }
    }

    /// Evicts a batch when the table is full: one pass over the table pays for many insertions.
    fn make_room(&mut self, events: &mut Vec<FlowEvent>) {
        let max = self.settings.max_flows.max(1);
        if self.flows.len() < max {
            return;
        }
        let mut by_news: Vec<(u64, FlowId)> = self
            .flows
            .iter()
            .map(|(id, flow)| (flow.record.time_ns, *id))
            .collect();
        let count = (max / 16).max(1).min(by_news.len());
        if count < by_news.len() {
            by_news.select_nth_unstable(count);
        }
        for (_, id) in by_news.into_iter().take(count) {
            if let Some(flow) = self.flows.remove(&id) {
                self.evict(id, *flow, events);
            }
        }
    }

    fn evict(&mut self, id: FlowId, mut flow: Flow, events: &mut Vec<FlowEvent>) {
        self.counters.evicted += 1;
        flow.end_exchange(id, flow.record.counters, events);
        if flow.next_number == 0 {
            let start_ns = flow.record.start_ns;
            events.push(flow.event(id, FlowEventKind::Start, start_ns));
        } else if flow.record.counters != flow.reported {
            let time_ns = flow.record.time_ns;
            events.push(flow.event(id, FlowEventKind::Update, time_ns));
        }
        let evicted = Evicted {
            start_unix_ns: flow.start_unix_ns,
            next_number: flow.next_number,
            reported: flow.reported,
        };
        self.departed.hold(id, self.generation, Some(evicted));
    }
}

impl Flow {
    fn new(record: &FlowRecord, now: Moment, generation: u32) -> Self {
        Self {
            record: *record,
            reported: CounterSet::default(),
            reported_boot_ns: record.start_ns,
            start_unix_ns: now.unix_of(record.start_ns),
            next_number: 0,
            generation,
            exchange: None,
        }
    }

    /// A flow that was told of before: evicted, or by an earlier run.
    fn returned(record: &FlowRecord, evicted: Evicted, generation: u32) -> Self {
        let mut record = *record;
        record.counters = larger(record.counters, evicted.reported);
        Self {
            record,
            reported: evicted.reported,
            reported_boot_ns: record.time_ns,
            start_unix_ns: evicted.start_unix_ns,
            next_number: evicted.next_number,
            generation,
            exchange: None,
        }
    }

    /// Takes over what is newer. Totals only grow, so the larger one is the newer one in any order.
    fn absorb(&mut self, news: &FlowRecord) {
        let known = &mut self.record;
        known.counters = larger(known.counters, news.counters);
        known.payload_sent = known.payload_sent.max(news.payload_sent);
        known.payload_received = known.payload_received.max(news.payload_received);
        known.retransmits = known.retransmits.max(news.retransmits);
        known.last_packet_ns = known.last_packet_ns.max(news.last_packet_ns);
        known.flags |= news.flags;
        known.established |= news.established;
        if known.owner.pid == 0 {
            known.owner = news.owner;
        }
        // Known later than the opening, and the last user later still.
        if news.handler_pid != 0 && news.time_ns >= known.time_ns {
            known.handler_pid = news.handler_pid;
            known.handler_start_ns = news.handler_start_ns;
        }
        if known.netns_cookie == 0 {
            known.netns_cookie = news.netns_cookie;
        }
        if news.smoothed_rtt_us != 0 && news.time_ns >= known.time_ns {
            known.smoothed_rtt_us = news.smoothed_rtt_us;
        }
        if news.local_port != 0 && news.time_ns >= known.time_ns {
            known.local_address = news.local_address;
            known.local_port = news.local_port;
        }
        known.time_ns = known.time_ns.max(news.time_ns);
        if news.kind == RecordKind::Close as u8 {
            known.kind = news.kind;
            known.close_reason = news.close_reason;
            known.time_ns = news.time_ns;
        }
    }

    /// Notes activity; one that was not told yet ends with it.
    fn begin_exchange(&mut self, id: FlowId, record: &FlowRecord, events: &mut Vec<FlowEvent>) {
        if let Some(exchange) = &self.exchange
            && record.time_ns <= exchange.start_ns
        {
            return;
        }
        self.end_exchange(id, record.counters, events);
        self.exchange = Some(Box::new(Exchange {
            start_ns: record.time_ns,
            before: record.counters,
        }));
    }

    /// Tells the activity that was noted, if there is one; `until` are the counters at its end.
    fn end_exchange(&mut self, id: FlowId, until: CounterSet, events: &mut Vec<FlowEvent>) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        if self.next_number == 0 {
            events.push(self.event(id, FlowEventKind::Start, self.record.start_ns));
        }
        let exchanged = difference(until, exchange.before);
        events.push(self.event(id, FlowEventKind::Activity { exchanged }, exchange.start_ns));
    }

    /// Marks the flow as ended by idleness; returns when it ended.
    fn end_as_idle(&mut self) -> u64 {
        self.record.close_reason = CloseReason::Idle as u8;
        self.record.last_packet_ns.max(self.record.start_ns)
    }

    /// Makes the flow's next event.
    fn event(&mut self, id: FlowId, kind: FlowEventKind, time_ns: u64) -> FlowEvent {
        let number = self.next_number;
        let delta = difference(self.record.counters, self.reported);
        self.next_number = number.saturating_add(1);
        self.reported = self.record.counters;
        self.reported_boot_ns = self.reported_boot_ns.max(self.record.time_ns);
        let lived_ns = time_ns.saturating_sub(self.record.start_ns);
        FlowEvent {
            id,
            kind,
            number,
            start_unix_ns: self.start_unix_ns,
            time_unix_ns: self.start_unix_ns.saturating_add(lived_ns),
            delta,
            record: self.record,
        }
    }
}

/// The kind of a record whose enumerations are all known.
fn kind_of(record: &FlowRecord) -> Option<RecordKind> {
    Role::try_from(record.role).ok()?;
    Protocol::try_from(record.protocol).ok()?;
    RecordKind::try_from(record.kind).ok()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn larger(one: CounterSet, other: CounterSet) -> CounterSet {
    CounterSet {
        bytes_sent: one.bytes_sent.max(other.bytes_sent),
        bytes_received: one.bytes_received.max(other.bytes_received),
        packets_sent: one.packets_sent.max(other.packets_sent),
        packets_received: one.packets_received.max(other.packets_received),
    }
}

fn difference(total: CounterSet, reported: CounterSet) -> CounterSet {
    CounterSet {
        bytes_sent: total.bytes_sent.saturating_sub(reported.bytes_sent),
        bytes_received: total.bytes_received.saturating_sub(reported.bytes_received),
        packets_sent: total.packets_sent.saturating_sub(reported.packets_sent),
        packets_received: total
            .packets_received
            .saturating_sub(reported.packets_received),
    }
}
