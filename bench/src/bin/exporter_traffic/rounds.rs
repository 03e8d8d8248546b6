//! Interleaved rounds and their statistics.

use std::time::{Duration, Instant};

use beaconwatch_bench::process;

use crate::Outcome;

/// Ends what is attached; gives how many records were lost.
pub(crate) type Stop = Box<dyn FnOnce() -> Outcome<u64>>;

/// What one or more rounds took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Round {
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    pub(crate) count: u64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
impl Round {
    /// Seconds of CPU for one.
    pub(crate) fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() / self.count as f64
    }

    /// Seconds for one.
    pub(crate) fn wall_each(&self) -> f64 {
        self.wall.as_secs_f64() / self.count as f64
    }

    fn and(self, other: Self) -> Self {
        Self {
            cpu: self.cpu + other.cpu,
            wall: self.wall + other.wall,
            count: self.count + other.count,
        }
    }
}

/// Two rounds without what is measured around two rounds with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cycle {
    pub(crate) without: Round,
    pub(crate) with: Round,
    exporter: Duration,
}

impl Cycle {
    /// Seconds of CPU that the exporter's threads took for one while the rounds ran.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    pub(crate) fn exporter_each(&self) -> f64 {
        self.exporter.as_secs_f64() / self.with.count as f64
    }
}

/// All cycles of one comparison.
pub(crate) struct Rounds {
    pub(crate) cycles: Vec<Cycle>,
    /// Units of one round.
    pub(crate) size: u64,
    /// Records that the exporter lost in all cycles.
    pub(crate) lost: u64,
}

/// A median and the 95 % interval of the true one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Median {
    pub(crate) middle: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Rounds {
    /// Runs cycles for so long; `attach` starts what is measured, `work` makes the given number of units, and each round takes
    /// about `round` of CPU.
    pub(crate) fn run(
        length: Duration,
        round: Duration,
        attach: impl Fn() -> Outcome<Stop>,
        mut work: impl FnMut(u64) -> Outcome<Round>,
    ) -> Outcome<Self> {
        const TRIAL: u64 = 200;
        work(TRIAL)?;
        let each = work(TRIAL)?.cpu_each();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousands"
        )]
        let size = ((round.as_secs_f64() / each) as u64).clamp(10, 10_000);
        let (mut cycles, mut lost) = (Vec::new(), 0);
        let start = Instant::now();
        while start.elapsed() < length || cycles.len() < 3 {
            let before = work(size)?;
            let stop = attach()?;
            let idle = process::processor_time()?;
            let with = work(size)?.and(work(size)?);
            let exporter = process::processor_time()?.saturating_sub(idle);
            lost += stop()?;
            cycles.push(Cycle {
                without: before.and(work(size)?),
                with,
                exporter,
            });
        }
        Ok(Self { cycles, size, lost })
    }

    /// The median over the cycles of what is read from each. The interval's ends are the order statistics that the true
    /// median lies between in 95 % of samples (normal approximation of the binomial distribution).
    pub(crate) fn median_of(&self, read: impl Fn(&Cycle) -> f64) -> Median {
        let mut values: Vec<f64> = self.cycles.iter().map(read).collect();
        values.sort_by(f64::total_cmp);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let count = values.len() as f64;
        let reach = 1.96 * count.sqrt() / 2.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the count"
        )]
        let at = |rank: f64| {
            let index = rank.clamp(1.0, count) as usize - 1;
            values.get(index).copied().unwrap_or(f64::NAN)
        };
        Median {
            middle: f64::midpoint(at((count / 2.0).ceil()), at((count / 2.0).floor() + 1.0)),
            low: at((count / 2.0 - reach).floor()),
            high: at((count / 2.0 + reach).ceil() + 1.0),
        }
    }
}
