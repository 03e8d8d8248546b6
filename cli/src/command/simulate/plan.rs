//! How many connections, and how far apart, so that the instance can find them. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use beaconwatch_detector::SeedSettings;
use serde_json::Value;

use crate::arguments::SimulateArguments;
use crate::output::text;

/// Shortest interval that is chosen.
const INTERVAL_MIN_S: f64 = 2.0;
/// How far the chosen interval lies above the shortest that is scored.
const MARGIN: f64 = 1.05;
/// Connections from which the seed score trusts a period wholly, and the number at which not at all.
const TRUSTED: f64 = 20.0;
const UNTRUSTED: f64 = 4.0;

/// From where on the instance scores a series, and detects it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Gates {
    min_connections: u64,
    min_duration_s: f64,
    min_interval_s: f64,
    max_interval_s: f64,
    pub(super) alert_threshold: f64,
}

impl Default for Gates {
    fn default() -> Self {
        Self::of(&Value::Null)
    }
}

impl Gates {
    /// Of the answer of `/api/v1/config`; what is missing there has its default.
    pub(super) fn of(answer: &Value) -> Self {
        let seed = answer.pointer("/effective/detector/seed");
        let real = |name: &str, default: f64| {
            let value = seed.and_then(|it| it[name].as_f64());
            value
                .filter(|it| it.is_finite() && *it >= 0.0)
                .unwrap_or(default)
        };
        let default = SeedSettings::default();
        let connections = seed.and_then(|it| it["min_connections"].as_u64());
        let default_connections = u64::try_from(default.min_connections).unwrap_or(u64::MAX);
        Self {
            min_connections: connections.unwrap_or(default_connections),
            min_duration_s: real("min_duration_s", default.min_duration_s),
            min_interval_s: real("min_interval_s", default.min_interval_s),
            max_interval_s: real("max_interval_s", default.max_interval_s),
            alert_threshold: real("alert_threshold", default.alert_threshold),
        }
    }

    /// Connections at this interval that make a detection.
    fn needed(&self, interval_s: f64, jitter: f64) -> u64 {
        // A series lasts from its first connection to its last, and the last may come early.
        let over_time = (self.min_duration_s + jitter * interval_s) / interval_s;
        // The score of a beacon with a little jitter lies at .55 and more, and grows with what the period is
        // trusted.
        let trust = ((self.alert_threshold + 0.1 - 0.55) / 0.4).clamp(0.0, 1.0);
        let trusted = UNTRUSTED + trust * (TRUSTED - UNTRUSTED);
        let needed = (over_time.ceil() + 2.0).max(trusted.ceil());
        whole_seconds(needed).max(self.min_connections + 1)
    }
}

/// What will be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) count: u64,
    interval_s: f64,
    jitter: f64,
}

impl Plan {
    /// What is asked for, or as little as the gates let through; a sentence when that cannot be found.
    pub(super) fn of(arguments: &SimulateArguments, gates: &Gates) -> Result<Self, String> {
        let shortest = (gates.min_interval_s * MARGIN).max(INTERVAL_MIN_S);
        let interval_s = arguments
            .interval
            .unwrap_or(shortest.min(gates.max_interval_s));
        if !(gates.min_interval_s..=gates.max_interval_s).contains(&interval_s) {
            return Err(format!(
                "the instance scores intervals of {} to {}, not of {}: it would never find this beacon",
                text::duration(gates.min_interval_s),
                text::duration(gates.max_interval_s),
                text::duration(interval_s)
            ));
        }
        let needed = gates.needed(interval_s, arguments.jitter);
        let asked = arguments.count.or_else(|| {
            let for_s = f64::from(u32::try_from(arguments.for_s?).unwrap_or(u32::MAX));
            Some(whole_seconds(for_s / interval_s) + 1)
        });
        let plan = Self {
            count: asked.unwrap_or(needed),
            interval_s,
            jitter: arguments.jitter,
        };
        if plan.count <= gates.min_connections || plan.duration_s() < gates.min_duration_s {
            return Err(format!(
                "{} over {} are too few: the instance scores {} and more over at least {}; {} would do",
                text::counted(plan.count, "connection", "connections"),
                text::duration(plan.duration_s()),
                text::counted(gates.min_connections, "connection", "connections"),
                text::duration(gates.min_duration_s),
                needed
            ));
        }
        Ok(plan)
    }

    /// Seconds from the first connection to the last.
    pub(super) fn duration_s(&self) -> f64 {
        let intervals = self.count.saturating_sub(1);
        f64::from(u32::try_from(intervals).unwrap_or(u32::MAX)) * self.interval_s
    }

    /// Time of a connection after the first. Jitter moves each by itself, so that they do not drift, and
    /// spreads evenly without chance: a multiple of the golden ratio.
    pub(super) fn offset(&self, number: u64) -> Duration {
        const GOLDEN: f64 = 0.618_033_988_749_894_9;
        let number = f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let spread = (number * GOLDEN).fract() - 0.5;
        let seconds = number * self.interval_s + spread * self.jitter * self.interval_s;
        Duration::from_secs_f64(seconds.max(0.0))
    }

    /// What will be done, for people.
    pub(super) fn sentence(&self, address: SocketAddr) -> String {
        format!(
            "{} to {address}, one every {}: this takes {}.",
            text::counted(self.count, "harmless connection", "harmless connections"),
            text::duration(self.interval_s),
            text::duration(self.duration_s())
        )
    }
}

/// Seconds, or whatever else is counted, without a fraction.
pub(super) fn whole_seconds(value: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that is cast saturates, and what is negative or no number is nothing"
    )]
    let whole = value as u64;
    whole
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        simulate: SimulateArguments,
    }

    fn plan(arguments: &[&str], gates: &Gates) -> Result<Plan, String> {
        let line = Line::try_parse_from([&["simulate"], arguments].concat());
        Plan::of(&line.ok().unwrap().simulate, gates)
    }

    fn fast() -> Gates {
        Gates::of(&json!({"effective": {"detector": {"seed": {
            "min_connections": 10, "min_duration_s": 12, "min_interval_s": 0.4, "max_interval_s": 60.0,
        }}}}))
    }

    #[test]
    fn with_the_defaults_of_the_seed_it_takes_a_little_more_than_five_minutes() {
        let plan = plan(&[], &Gates::default()).unwrap();
        assert!(plan.interval_s > 10.0, "{plan:?}");
        assert!((300.0..340.0).contains(&plan.duration_s()), "{plan:?}");
    }

    #[test]
    fn settings_of_the_instance_make_it_shorter_and_a_higher_threshold_longer() {
        let short = plan(&[], &fast()).unwrap();
        assert!(
            short.interval_s <= 2.0 && short.duration_s() < 30.0,
            "{short:?}"
        );
        let strict = Gates {
            alert_threshold: 0.9,
            ..fast()
        };
        assert!(plan(&[], &strict).unwrap().count > short.count);
    }

    #[test]
    fn what_could_never_be_found_is_refused_with_what_could() {
        for (arguments, words) in [
            (
                &["--interval", "2"][..],
                "intervals of 10 s to 60 min, not of 2 s",
            ),
            (&["--interval", "4000"], "not of 66.7 min"),
            (&["--count", "5"], "5 connections over 42 s are too few"),
            (
                &["--for", "1m"],
                "too few: the instance scores 10 connections and more over at least 5 min",
            ),
        ] {
            let error = plan(arguments, &Gates::default()).unwrap_err();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
        assert_eq!(
            plan(&["--interval", "20", "--count", "40"], &Gates::default())
                .unwrap()
                .count,
            40
        );
    }

    #[test]
    fn jitter_keeps_the_order_and_the_pace() {
        let plan = plan(&["--jitter", "0.5"], &fast()).unwrap();
        let times: Vec<f64> = (0..1000).map(|n| plan.offset(n).as_secs_f64()).collect();
        for pair in times.windows(2) {
            let gap = pair[1] - pair[0];
            assert!(
                (plan.interval_s * 0.5..=plan.interval_s * 1.5).contains(&gap),
                "{gap}"
            );
        }
        assert!((times[999] / 999.0 - plan.interval_s).abs() < 0.01);
    }

    #[test]
    fn odd_answers_of_the_instance_are_passed_over() {
        let odd = json!({"effective": {"detector": {"seed": {"min_connections": -1, "min_interval_s": "x", "min_duration_s": -5.0}}}});
        assert_eq!(Gates::of(&odd), Gates::default());
    }
}
