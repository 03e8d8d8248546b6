//! The ledger's values, as words in its maps.

use std::fs;

use beaconwatch_records::{CounterSet, LAYOUT_VERSION, LOSS_COUNTERS, STORAGE_VERSION};

use crate::flow::{Moment, Told};

/// Version of the ledger's own values.
const VERSION: u32 = 1;
/// `sysconf(_SC_CLK_TCK)` is 100 on every architecture of Linux.
const TICK_NS: u64 = 10_000_000;

/// Losses that have room in the state.
pub(super) const LOSSES: usize = 32;
const STATE_WORDS: usize = 11 + LOSSES;
const FLOW_WORDS: usize = 6;
pub(super) type StateValue = [u64; STATE_WORDS];
pub(super) type FlowValue = [u64; FLOW_WORDS];

const _: () = assert!(LOSS_COUNTERS as usize <= LOSSES);
const _: () = assert!(size_of::<StateValue>() == 344 && size_of::<FlowValue>() == 48);

/// A process, for as long as its pid may be another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) pid: u32,
    /// In hundredths of a second since the boot, as `proc_pid_stat(5)` has it.
    pub(super) start_ticks: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) exporter_id: u128,
    pub(super) next_sequence: u64,
    /// Events that have no number yet.
    pub(super) waiting: u64,
    pub(super) started: Moment,
    /// Layouts of what the pinned maps of the kernel part hold; 0 while they are exchanged.
    pub(super) layout: u64,
    pub(super) read_position: u64,
    pub(super) run: Run,
    pub(super) losses: [u64; LOSSES],
}

/// Layout of the pinned maps of this build.
pub(super) const fn this_layout() -> u64 {
    (LAYOUT_VERSION as u64) << 32 | STORAGE_VERSION as u64
}

pub(super) fn value_of(told: &Told) -> FlowValue {
    let CounterSet {
        bytes_sent,
        bytes_received,
        packets_sent,
        packets_received,
    } = told.reported;
    let number = u64::from(told.next_number) | u64::from(told.ended) << 32;
    let start = told.start_unix_ns;
    [
        start,
        number,
        bytes_sent,
        bytes_received,
        packets_sent,
        packets_received,
    ]
}

pub(super) fn told_of(value: &FlowValue) -> Told {
    let [
        start_unix_ns,
        number,
        bytes_sent,
        bytes_received,
        packets_sent,
        packets_received,
    ] = *value;
    Told {
        start_unix_ns,
        next_number: low(number),
        reported: CounterSet {
            bytes_sent,
            bytes_received,
            packets_sent,
            packets_received,
        },
        ended: number >> 32 != 0,
    }
}

/// The lower half of a word.
fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or_default()
}

impl Run {
    /// Whether a process with this pid is it; `start_ns` is 0 where the kernel's types do not tell.
    pub(super) const fn is(self, pid: u32, start_ns: u64) -> bool {
        let same_start = start_ns == 0 || self.start_ticks.abs_diff(start_ns / TICK_NS) <= 1;
        self.pid == pid && same_start
    }

    pub(super) fn this() -> Self {
        Self {
            pid: std::process::id(),
            start_ticks: start_ticks().unwrap_or_default(),
        }
    }
}

/// When this process began.
fn start_ticks() -> Option<u64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_name, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(19)?.parse().ok()
}

impl State {
    pub(super) fn new(run: Run) -> Self {
        Self {
            exporter_id: rand::random(),
            next_sequence: 0,
            waiting: 0,
            started: Moment {
                boot_ns: 0,
                unix_ns: 0,
            },
            layout: 0,
            read_position: 0,
            run,
            losses: [0; LOSSES],
        }
    }

    pub(super) fn words(&self) -> StateValue {
        let id = self.exporter_id;
        let words = [
            u64::from(VERSION),
            u64::try_from(id >> 64).unwrap_or_default(),
            u64::try_from(id & u128::from(u64::MAX)).unwrap_or_default(),
            self.next_sequence,
            self.waiting,
            self.started.boot_ns,
            self.started.unix_ns,
            self.layout,
            self.read_position,
            u64::from(self.run.pid),
            self.run.start_ticks,
        ];
        let mut value = [0; STATE_WORDS];
        for (to, from) in value.iter_mut().zip(words.into_iter().chain(self.losses)) {
            *to = from;
        }
        value
    }

    /// `None` when no run has written it, or one of another version.
    pub(super) fn read(value: &StateValue) -> Option<Self> {
        let (words, rest) = value.split_first_chunk()?;
        let [
            version,
            high,
            low_half,
            next_sequence,
            waiting,
            boot_ns,
            unix_ns,
            layout,
            read_position,
            pid,
            start_ticks,
        ] = *words;
        Some(Self {
            exporter_id: u128::from(high) << 64 | u128::from(low_half),
            next_sequence,
            waiting,
            started: Moment { boot_ns, unix_ns },
            layout,
            read_position,
            run: Run {
                pid: low(pid),
                start_ticks,
            },
            losses: rest.try_into().ok()?,
        })
        .filter(|_| version == u64::from(VERSION))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written_and_one_of_another_version_is_none() {
        let mut state = State::new(Run {
            pid: 7,
            start_ticks: 8,
        });
        state.next_sequence = u64::MAX;
        state.waiting = 1;
        state.started = Moment {
            boot_ns: 2,
            unix_ns: 3,
        };
        state.layout = this_layout();
        state.read_position = 5;
        state.losses[LOSSES - 1] = 6;
        let mut words = state.words();
        assert_eq!(State::read(&words), Some(state));
        words[0] += 1;
        assert_eq!(State::read(&words), None);
        assert_eq!(State::read(&[0; STATE_WORDS]), None, "as a new map is");
    }

    #[test]
    fn what_was_told_of_a_flow_is_read_as_it_was_written() {
        let counters = CounterSet {
            bytes_sent: 1,
            bytes_received: u64::MAX,
            packets_sent: 3,
            packets_received: 4,
        };
        for ended in [false, true] {
            let told = Told {
                start_unix_ns: 9,
                next_number: u32::MAX,
                reported: counters,
                ended,
            };
            assert_eq!(told_of(&value_of(&told)), told);
        }
    }

    #[test]
    fn another_process_with_the_same_pid_is_not_this_run() {
        let run = Run {
            pid: 7,
            start_ticks: 1000,
        };
        assert!(run.is(7, 1000 * TICK_NS) && run.is(7, 0));
        assert!(!run.is(7, 1002 * TICK_NS) && !run.is(8, 1000 * TICK_NS));
    }

    #[test]
    fn a_process_knows_when_it_began() {
        let ticks = start_ticks().unwrap();
        let now = crate::capture::clock::boottime_ns().unwrap() / TICK_NS;
        assert!((1..=now).contains(&ticks), "{ticks} {now}");
    }
}
