//! How fast and how small user space is: flow records through the table to encoded OTLP, and the memory of a
//! living flow. Prints JSON lines; rates are per second of
//! processor time of one thread.
//!
//! `cargo run --release -p beaconwatch-bench --bin exporter_encoding`

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use beaconwatch_exporter::enrich::Attribution;
use beaconwatch_exporter::flow::{BootId, FlowEvent, FlowTable, Moment, TableSettings};
use beaconwatch_exporter::otlp::logs::{Content, Identity, LogEncoder, NumberedEvent};
use beaconwatch_records::{CloseReason, CounterSet, FlowRecord, Owner, RecordKind, Role};

/// Counts the bytes that are allocated at one time, while memory is measured.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "a global allocator")]
// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if COUNTS.load(Ordering::Relaxed) {
            ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NOW: Moment = Moment {
    boot_ns: 900_000_000_000,
    unix_ns: 1_700_000_000_000_000_000,
};

fn record(cookie: u64, kind: RecordKind) -> FlowRecord {
    let mut local_address = [0; 16];
    local_address[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 10]);
    let mut remote_address = [0; 16];
    remote_address[10..].copy_from_slice(&[0xff, 0xff, 198, 51, 100, 7]);
    FlowRecord {
        cookie,
        netns_cookie: 1,
        start_ns: 800_000_000_000 + cookie,
        time_ns: 801_000_000_000 + cookie,
        last_packet_ns: 801_000_000_000,
        counters: CounterSet {
            bytes_sent: 1234,
            bytes_received: 56_789,
            packets_sent: 12,
            packets_received: 34,
        },
        payload_sent: 500,
        payload_received: 50_000,
        owner: Owner {
            process_start_ns: 1_000_000_000,
            cgroup_id: 3251,
            pid: 4711,
            uid: 1000,
            comm: *b"curl\0\0\0\0\0\0\0\0\0\0\0\0",
        },
        local_address,
        remote_address,
        smoothed_rtt_us: 182,
        retransmits: 0,
        local_port: 40_000,
        remote_port: 443,
        kind: kind as u8,
        role: Role::Client as u8,
        protocol: 6,
        close_reason: CloseReason::FinLocal as u8,
        flags: 4,
        established: 1,
        ..FlowRecord::ZERO
    }
}

fn table(max_flows: usize) -> FlowTable {
    FlowTable::new(
        BootId(1),
        TableSettings {
            max_flows,
            ..TableSettings::default()
        },
    )
}

fn encoder() -> LogEncoder {
    LogEncoder::new(Identity {
        exporter_id: "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d".to_owned(),
        host_id: "8f14e45fceea167a5a36dedd4bea2543".to_owned(),
        host_name: "web-3".to_owned(),
        own_namespace: 1,
        started: NOW,
    })
}

/// Seconds that this thread has run on a processor: what other programs take does not count.
fn cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let ran_ns: u64 = text
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or_default();
    ran_ns as f64 / 1e9
}

/// Whole flows (open and close) through the table; then their events to encoded requests.
fn rate(flows: u64, batch: usize) -> (f64, f64, f64) {
    let mut table = table(1 << 20);
    let mut events: Vec<FlowEvent> = Vec::new();
    let began = cpu_s();
    for cookie in 0..flows {
        table.apply(&record(cookie, RecordKind::Open), NOW, &mut events);
        table.apply(&record(cookie, RecordKind::Close), NOW, &mut events);
    }
    let table_s = cpu_s() - began;
    let encoder = encoder();
    let owner = std::sync::Arc::new(Attribution {
        name: Some("curl".into()),
        user_id: Some(1000),
        user_name: Some("alice".into()),
        executable: Some("/usr/bin/curl".into()),
        ..Attribution::default()
    });
    let began = cpu_s();
    let mut bytes = 0;
    let mut events = events.into_iter().zip(0u64..).peekable();
    while events.peek().is_some() {
        let mut request = encoder.request(batch, usize::MAX);
        for (event, sequence) in events.by_ref().take(batch) {
            request.push(&NumberedEvent {
                sequence,
                observed_unix_ns: NOW.unix_ns,
                content: Content::Flow {
                    interface: None,
                    event,
                    owner: owner.clone(),
                    handler: None,
                    names: None,
                    own: false,
                },
            });
        }
        bytes += black_box(request.finish()).len();
    }
    (table_s, cpu_s() - began, bytes as f64)
}

/// Allocated bytes a flow, for a table of `flows` living flows that were announced.
fn memory(flows: u64) -> f64 {
    COUNTS.store(true, Ordering::Relaxed);
    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut table = table(1 << 22);
    let mut events = Vec::new();
    for cookie in 0..flows {
        table.apply(&record(cookie, RecordKind::Open), NOW, &mut events);
    }
    table.announce(&mut events);
    drop(events);
    let bytes = ALLOCATED.load(Ordering::Relaxed) - before;
    COUNTS.store(false, Ordering::Relaxed);
    black_box(&table);
    bytes as f64 / flows as f64
}

#[expect(clippy::print_stdout, reason = "the result")]
fn main() {
    const FLOWS: u64 = 400_000;
    for round in 0..3 {
        let (table_s, encode_s, bytes) = rate(FLOWS, 2048);
        let flows = FLOWS as f64;
        println!(
            r#"{{"bench":"exporter_encode","round":{round},"flows":{FLOWS},"table_records_per_s":{:.0},"encoded_records_per_s":{:.0},"table_and_encode_flows_per_s":{:.0},"bytes_per_record":{:.0}}}"#,
            2.0 * flows / table_s,
            flows / encode_s,
            flows / (table_s + encode_s),
            bytes / flows,
        );
    }
    for flows in [60_000, 100_000, 115_000, 230_000] {
        println!(
            r#"{{"bench":"exporter_memory","flows":{flows},"bytes_per_live_flow":{:.0},"bytes_per_queued_record":{}}}"#,
            memory(flows),
            size_of::<NumberedEvent>(),
        );
    }
}
