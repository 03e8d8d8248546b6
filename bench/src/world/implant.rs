//! Implants: how long they sleep between two calls home, and what happens to the calls.
//!
//! The sleeps are those that public documentation of command-and-control frameworks describes. With the sleep T, the
//! jitter j and a uniform U between 0 and 1:
//!
//! - [`Gap::Subtract`]: T (1 − j U), a sleep with a percentage of jitter that only shortens it (Cobalt Strike's `sleep`);
//! - [`Gap::Symmetric`]: T (1 + j (2 U − 1)), jitter to both sides (Empire, Havoc, Mythic's agents);
//! - [`Gap::Add`]: T + j T U, an interval with a jitter on top (Sliver);
//! - smooth gaps with one mode and mean T (gamma, Weibull, normal cut at 0.05 T) or median T (log-normal): an operator's own
//!   choice, in no framework that we know of, and harder than all of the others.
//!
//! To each sleep comes the time of the exchange, log-normal around 0.12 s. [`Twist`] is what happens to the calls.
//! Schedules are *ordinary* or belong to the *hard set*; a family is what the result is printed for.

use super::DAY_S;
use super::host::Host;
use crate::random::Numbers;

/// How the time from one call to the next is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gap {
    /// Up to a share shorter.
    Subtract(f64),
    /// Up to a share shorter or longer.
    Symmetric(f64),
    /// Up to a share longer.
    Add(f64),
    /// Gamma of this shape.
    Gamma(f64),
    /// Log-normal with this deviation of the logarithm.
    LogNormal(f64),
    /// Weibull of this shape.
    Weibull(f64),
    /// Normal with this relative deviation.
    Normal(f64),
}

/// What happens to the calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Twist {
    /// Nothing.
    Plain,
    /// This share of them is not seen.
    Missed(f64),
    /// Each goes to one of so many addresses, at random.
    Rotated(usize),
    /// The same in turn.
    InTurn(usize),
    /// Another address each hour, of so many.
    Hourly(usize),
    /// They begin so many hours before the end.
    Started(f64),
    /// Only on weekdays, 9 to 17.
    Working,
    /// Now and then one is followed by a burst of connections: a task.
    Tasked,
    /// So many hours of calls, then so many of silence.
    Pauses((f64, f64), (f64, f64)),
    /// A second implant of another period talks to the same address.
    Second(f64),
    /// This share of them is repeated some seconds later.
    Repeated(f64),
    /// The sensor tells whole seconds.
    WholeSeconds,
    /// After one to two hours the sleep is so many times as long.
    Switched(f64),
    /// They are activity inside one long connection.
    Inside,
    /// They are questions for names.
    Names,
}

/// When an implant calls.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// What its result is printed under.
    pub family: &'static str,
    /// Whether it belongs to the hard set.
    pub hard: bool,
    sleep_s: f64,
    gap: Gap,
    twist: Twist,
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Beat {
    /// Since the world began.
    pub time_s: f64,
    /// Which of the implant's addresses.
    pub address: usize,
}

impl Schedule {
    const fn new(family: &'static str, sleep_s: f64, gap: Gap, twist: Twist) -> Self {
        Self {
            family,
            hard: false,
            sleep_s,
            gap,
            twist,
        }
    }

    const fn hard(family: &'static str, sleep_s: f64, gap: Gap, twist: Twist) -> Self {
        Self {
            family,
            hard: true,
            sleep_s,
            gap,
            twist,
        }
    }

    /// Addresses that it talks to.
    #[must_use]
    pub fn addresses(&self) -> usize {
        match self.twist {
            Twist::Rotated(addresses) | Twist::InTurn(addresses) | Twist::Hourly(addresses) => {
                addresses
            }
            _ => 1,
        }
    }

    /// Whether its calls are no connections.
    #[must_use]
    pub fn is_inside_one_connection(&self) -> bool {
        self.twist == Twist::Inside
    }

    /// Whether it asks for names.
    #[must_use]
    pub fn is_dns(&self) -> bool {
        self.twist == Twist::Names
    }

    /// Whether a part of the implants stops when their hosts are off: those that sleep half an hour at most.
    #[must_use]
    pub fn stops_with_its_host(&self) -> bool {
        let by_the_clock = matches!(self.twist, Twist::Working | Twist::Started(_));
        self.sleep_s <= 1_800.0 && !by_the_clock
    }

    fn gap(&self, sleep_s: f64, numbers: &mut Numbers) -> f64 {
        let relative = match self.gap {
            Gap::Subtract(jitter) => 1.0 - jitter * numbers.unit(),
            Gap::Symmetric(jitter) => 1.0 + jitter * numbers.between(-1.0, 1.0),
            Gap::Add(jitter) => 1.0 + jitter * numbers.unit(),
            Gap::Gamma(shape) => numbers.gamma(shape) / shape,
            Gap::LogNormal(sigma) => numbers.log_normal(1.0, sigma),
            Gap::Weibull(shape) => numbers.weibull(shape) * shape / gamma_of_inverse(shape),
            Gap::Normal(sigma) => (1.0 + sigma * numbers.normal()).max(0.05),
        };
        sleep_s * relative + numbers.log_normal(0.12, 0.7)
    }

    fn calls(&self, start_s: f64, end_s: f64, sleep_s: f64, numbers: &mut Numbers) -> Vec<f64> {
        let mut calls = Vec::new();
        let mut time_s = start_s;
        loop {
            time_s += self.gap(sleep_s, numbers);
            if time_s >= end_s {
                return calls;
            }
            calls.push(time_s);
        }
    }

    /// Its calls until the end of the world, in the order of their times.
    #[must_use]
    pub fn beats(&self, end_s: f64, host: &Host, numbers: &mut Numbers) -> Vec<Beat> {
        let start_s = self.start(end_s, host, numbers);
        let mut calls = self.calls_with_pauses(start_s, end_s, numbers);
        self.twist_calls(&mut calls, (start_s, end_s), numbers);
        calls.sort_by(f64::total_cmp);
        let offset = numbers.below(self.addresses());
        let beat = |(number, time_s): (usize, f64)| Beat {
            time_s,
            address: match self.twist {
                Twist::Rotated(addresses) => numbers.below(addresses),
                Twist::InTurn(addresses) => (number + offset) % addresses,
                Twist::Hourly(addresses) => (hour(time_s) + offset) % addresses,
                _ => 0,
            },
        };
        calls.into_iter().enumerate().map(beat).collect()
    }

    /// Somewhere in the first tenth, as a rule.
    fn start(&self, end_s: f64, host: &Host, numbers: &mut Numbers) -> f64 {
        match self.twist {
            Twist::Started(hours) => end_s - hours * 3600.0,
            Twist::Working => 0.0,
            _ => numbers.between(0.0, 0.1) * end_s / host.days().sqrt(),
        }
    }

    fn calls_with_pauses(&self, start_s: f64, end_s: f64, numbers: &mut Numbers) -> Vec<f64> {
        let mut calls = Vec::new();
        match self.twist {
            Twist::Pauses(on_h, off_h) => {
                let mut time_s = start_s;
                while time_s < end_s {
                    let stop_s = time_s + numbers.between(on_h.0, on_h.1) * 3600.0;
                    calls.extend(self.calls(time_s, stop_s.min(end_s), self.sleep_s, numbers));
                    time_s = stop_s + numbers.between(off_h.0, off_h.1) * 3600.0;
                }
            }
            Twist::Switched(times) => {
                let switch_s = (start_s + numbers.between(3_600.0, 7_200.0)).min(end_s);
                calls.extend(self.calls(start_s, switch_s, self.sleep_s, numbers));
                calls.extend(self.calls(switch_s, end_s, self.sleep_s * times, numbers));
            }
            _ => calls = self.calls(start_s, end_s, self.sleep_s, numbers),
        }
        calls
    }

    fn twist_calls(&self, calls: &mut Vec<f64>, window: (f64, f64), numbers: &mut Numbers) {
        let mut more = Vec::new();
        match self.twist {
            Twist::Missed(share) => calls.retain(|_| !numbers.chance(share)),
            Twist::Working => calls.retain(|time_s| is_working_time(*time_s)),
            Twist::WholeSeconds => calls.iter_mut().for_each(|time_s| *time_s = time_s.floor()),
            Twist::Second(times) => {
                more = self.calls(window.0, window.1, self.sleep_s * times, numbers);
            }
            Twist::Repeated(share) => more.extend(
                calls
                    .iter()
                    .filter(|_| numbers.chance(share))
                    .map(|time_s| time_s + 1.0)
                    .collect::<Vec<_>>(),
            ),
            Twist::Tasked => {
                let mut next_s = window.0 + numbers.exponential(5_400.0);
                for call_s in calls.iter() {
                    if *call_s >= next_s {
                        more.extend(task(*call_s, numbers));
                        next_s = call_s + numbers.exponential(5_400.0);
                    }
                }
            }
            _ => {}
        }
        calls.extend(more.into_iter().filter(|time_s| *time_s < window.1));
    }
}

/// Connections of a task: 8 to 100, some seconds apart.
fn task(start_s: f64, numbers: &mut Numbers) -> Vec<f64> {
    let mut time_s = start_s;
    let count = 8 + numbers.below(93);
    let mut connection = || {
        time_s += 0.2 + numbers.exponential(3.0);
        time_s
    };
    (0..count).map(|_| connection()).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "hours of a world, which begins at 0"
)]
fn hour(time_s: f64) -> usize {
    (time_s / 3600.0) as usize
}

fn is_working_time(time_s: f64) -> bool {
    let hour = time_s % DAY_S / 3600.0;
    (time_s / DAY_S) % 7.0 < 5.0 && (9.0..17.0).contains(&hour)
}

/// Γ(1/shape), so that a Weibull sample over Γ(1 + 1/shape) has mean 1; for the shapes that are used here.
fn gamma_of_inverse(shape: f64) -> f64 {
    if shape < 2.5 {
        // Γ(1/2)
        std::f64::consts::PI.sqrt()
    } else {
        // Γ(1/3.5)
        3.149_115_1
    }
}

/// The schedules of a world of so many days.
#[must_use]
pub fn schedules(days: u32) -> Vec<Schedule> {
    let mut all = Vec::new();
    if days <= 2 {
        ordinary_of_a_day(&mut all);
        ordinary_with_twists(&mut all);
        hard_of_a_day(&mut all);
    } else {
        slow(&mut all);
        hard_and_slow(&mut all);
    }
    all
}

fn ordinary_of_a_day(all: &mut Vec<Schedule>) {
    use Twist::{Missed, Plain};
    for sleep_s in [45.0, 150.0, 480.0, 1_800.0] {
        for jitter in [0.0, 0.25, 0.45] {
            all.push(Schedule::new(
                "subtract",
                sleep_s,
                Gap::Subtract(jitter),
                Plain,
            ));
        }
    }
    for (sleep_s, jitter) in [(45.0, 0.15), (240.0, 0.35), (1_200.0, 0.25)] {
        all.push(Schedule::new(
            "symmetric",
            sleep_s,
            Gap::Symmetric(jitter),
            Plain,
        ));
        all.push(Schedule::new("add", sleep_s, Gap::Add(2.0 * jitter), Plain));
    }
    for share in [0.15, 0.35] {
        all.push(Schedule::new(
            "missed",
            90.0,
            Gap::Subtract(0.25),
            Missed(share),
        ));
        all.push(Schedule::new(
            "missed",
            420.0,
            Gap::Symmetric(0.15),
            Missed(share),
        ));
    }
}

fn ordinary_with_twists(all: &mut Vec<Schedule>) {
    use Twist::{Inside, Names, Rotated, Started, Tasked, Working};
    let gap = Gap::Subtract(0.25);
    for (family, sleep_s, twist) in [
        ("rotated", 45.0, Rotated(2)),
        ("rotated", 240.0, Rotated(3)),
        ("started late", 75.0, Started(1.5)),
        ("started late", 420.0, Started(5.0)),
        ("working hours", 240.0, Working),
        ("tasked", 75.0, Tasked),
        ("inside a connection", 75.0, Inside),
        ("names", 40.0, Names),
    ] {
        all.push(Schedule::new(family, sleep_s, gap, twist));
    }
}

/// Gaps with one mode and no edge, and wide jitter.
const SMOOTH: [(&str, Gap); 9] = [
    ("symmetric 80 %", Gap::Symmetric(0.8)),
    ("subtract 80 %", Gap::Subtract(0.8)),
    ("gamma", Gap::Gamma(4.0)),
    ("gamma", Gap::Gamma(9.0)),
    ("log-normal", Gap::LogNormal(0.35)),
    ("log-normal", Gap::LogNormal(0.5)),
    ("Weibull", Gap::Weibull(2.0)),
    ("Weibull", Gap::Weibull(3.5)),
    ("normal", Gap::Normal(0.3)),
];

fn hard_of_a_day(all: &mut Vec<Schedule>) {
    use Twist::{Hourly, InTurn, Missed, Pauses, Plain, Repeated, Rotated, Second, Tasked};
    for sleep_s in [70.0, 280.0, 840.0] {
        for (family, gap) in SMOOTH {
            all.push(Schedule::hard(family, sleep_s, gap, Plain));
        }
        for (family, jitter, twist) in [
            ("missed 50 %", 0.25, Missed(0.5)),
            ("rotated 4 to 10", 0.2, Rotated(4)),
            ("rotated 4 to 10", 0.2, Rotated(7)),
            ("in turn", 0.2, InTurn(6)),
            ("long sleeps", 0.3, Pauses((0.7, 2.5), (1.0, 4.0))),
            ("two periods", 0.1, Second(3.4)),
        ] {
            all.push(Schedule::hard(
                family,
                sleep_s,
                Gap::Subtract(jitter),
                twist,
            ));
        }
    }
    for (family, sleep_s, jitter, twist) in [
        ("rotated 4 to 10", 70.0, 0.3, Rotated(10)),
        ("hourly", 70.0, 0.3, Hourly(24)),
        ("hourly", 240.0, 0.3, Hourly(8)),
        ("bursts", 70.0, 0.4, Tasked),
        ("bursts", 280.0, 0.2, Tasked),
        ("long period", 7_200.0, 0.3, Plain),
        ("repeated", 70.0, 0.2, Repeated(0.4)),
        ("whole seconds", 70.0, 0.3, Twist::WholeSeconds),
        ("short", 6.0, 0.4, Plain),
    ] {
        all.push(Schedule::hard(
            family,
            sleep_s,
            Gap::Subtract(jitter),
            twist,
        ));
    }
}

fn slow(all: &mut Vec<Schedule>) {
    for sleep_s in [10_800.0, 21_600.0, 64_800.0] {
        for jitter in [0.05, 0.25] {
            all.push(Schedule::new(
                "slow",
                sleep_s,
                Gap::Subtract(jitter),
                Twist::Plain,
            ));
        }
    }
    let wide = Gap::Subtract(0.45);
    let usual = Gap::Subtract(0.25);
    all.push(Schedule::new("subtract", 5_400.0, wide, Twist::Plain));
    all.push(Schedule::new(
        "working hours",
        2_700.0,
        usual,
        Twist::Working,
    ));
    all.push(Schedule::new(
        "switched",
        75.0,
        usual,
        Twist::Switched(60.0),
    ));
}

fn hard_and_slow(all: &mut Vec<Schedule>) {
    use Twist::{Hourly, Missed, Pauses, Plain, Rotated, Second};
    for sleep_s in [7_200.0, 14_400.0, 43_200.0] {
        let jitter = Gap::Subtract(0.5);
        all.push(Schedule::hard("slow 50 %", sleep_s, jitter, Plain));
        let missed = Missed(0.3);
        all.push(Schedule::hard(
            "slow, missed 30 %",
            sleep_s,
            Gap::Subtract(0.2),
            missed,
        ));
    }
    for (family, gap) in SMOOTH {
        all.push(Schedule::hard(family, 5_400.0, gap, Plain));
    }
    for (family, sleep_s, jitter, twist) in [
        ("long sleeps", 900.0, 0.3, Pauses((2.0, 5.0), (10.0, 40.0))),
        ("two periods", 3_300.0, 0.1, Second(3.4)),
        ("missed 50 %", 3_300.0, 0.2, Missed(0.5)),
        ("rotated 4 to 10", 1_800.0, 0.2, Rotated(6)),
        ("hourly", 900.0, 0.3, Hourly(100)),
    ] {
        all.push(Schedule::hard(
            family,
            sleep_s,
            Gap::Subtract(jitter),
            twist,
        ));
    }
}
