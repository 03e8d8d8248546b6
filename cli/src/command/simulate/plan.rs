//! How many connections, and how far apart, so that the instance can find them: the library itself is asked,
//! with the settings of the instance. Pure.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use beaconwatch_detector::evidence::PARTING_SILENCE_S;
use beaconwatch_detector::{
    Context, Detector, Observation, Phase, Profile, SeriesKey, Settings, Timestamp, Transport,
};
use serde_json::Value;

use crate::arguments::SimulateArguments;
use crate::output::text;

/// Shortest interval that is chosen for the seed score.
const SEED_INTERVAL_MIN_S: f64 = 2.0;
/// How far the chosen interval lies above the shortest that the seed scores.
const SEED_MARGIN: f64 = 1.05;
/// Interval that is chosen for evidence, so that each connection is a beat of its own.
const EVIDENCE_INTERVAL_S: f64 = 2.5 * PARTING_SILENCE_S;
/// Nobody waits for more connections.
const MOST_CONNECTIONS: u64 = 1000;
/// Range that `false_alerts_per_day` has.
const FEWEST_FALSE_ALERTS: f64 = 1e-6;

/// How the instance scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scoring {
    settings: Settings,
}

impl Scoring {
    /// By the answers of `/api/v1/config` and `/api/v1/status`; what is missing or odd there has its default.
    pub(super) fn of(config: &Value, status: &Value) -> Self {
        let stated = config.pointer("/effective/detector").cloned();
        let settings = stated.and_then(|it| serde_json::from_value::<Settings>(it).ok());
        let mut settings = settings
            .filter(|it| it.validate().is_ok())
            .unwrap_or_default();
        // The beacon competes with the series that the instance has: alone here, it gets its share alone.
        let series = status.pointer("/detector/series").and_then(Value::as_u64);
        let series = f64::from(u32::try_from(series.unwrap_or(0)).unwrap_or(u32::MAX)) + 1.0;
        let share = settings.evidence.false_alerts_per_day / series;
        settings.evidence.false_alerts_per_day = share.max(FEWEST_FALSE_ALERTS);
        Self { settings }
    }

    /// Score from which the instance takes a series for a beacon.
    pub(super) fn alert_threshold(&self) -> f64 {
        self.settings.alert_threshold()
    }

    /// Connections after which the instance finds a beacon; none when it never does.
    fn needed(&self, plan: &Plan) -> Option<u64> {
        let mut detector = Detector::new(self.settings.clone()).ok()?;
        let anywhere = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let key = SeriesKey {
            host: Arc::from(""),
            namespace: Arc::from(""),
            source: anywhere,
            destination: anywhere,
            destination_port: 1,
            transport: Transport::Tcp,
        };
        (1..=MOST_CONNECTIONS).find(|count| {
            let nanos = plan.offset(count - 1).as_nanos();
            let at = Timestamp::from_unix_nanos(i64::try_from(nanos).unwrap_or(i64::MAX));
            detector.observe(at, &Observation::new(at, Phase::Opened, key.clone()));
            let found = detector.analyse(at, &Context::default());
            found.iter().any(|it| it.detected)
        })
    }

    fn interval_s(&self) -> f64 {
        match self.settings.profile {
            Profile::Seed => {
                let seed = &self.settings.seed;
                let shortest = (seed.min_interval_s * SEED_MARGIN).max(SEED_INTERVAL_MIN_S);
                shortest.min(seed.max_interval_s)
            }
            _ => EVIDENCE_INTERVAL_S,
        }
    }

    /// Why the instance cannot find beacons of such an interval, if so.
    fn refuses(&self, interval_s: f64, jitter: f64) -> Option<String> {
        let seed = &self.settings.seed;
        match self.settings.profile {
            Profile::Seed => {
                let scored = seed.min_interval_s..=seed.max_interval_s;
                (!scored.contains(&interval_s)).then(|| {
                    format!(
                        "the instance scores intervals of {} to {}, not of {}: it would never find this beacon",
                        text::duration(seed.min_interval_s),
                        text::duration(seed.max_interval_s),
                        text::duration(interval_s)
                    )
                })
            }
            _ => (interval_s * (1.0 - jitter) <= PARTING_SILENCE_S).then(|| {
                format!(
                    "the instance takes connections within {} for one beat, and these are {} apart: it would never \
                     find this beacon",
                    text::duration(PARTING_SILENCE_S),
                    text::duration(interval_s)
                )
            }),
        }
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
    /// What is asked for, or a little more than the instance needs; a sentence when it could not find that.
    pub(super) fn of(arguments: &SimulateArguments, scoring: &Scoring) -> Result<Self, String> {
        let mut plan = Self {
            count: MOST_CONNECTIONS,
            interval_s: arguments.interval.unwrap_or_else(|| scoring.interval_s()),
            jitter: arguments.jitter,
        };
        if let Some(reason) = scoring.refuses(plan.interval_s, plan.jitter) {
            return Err(reason);
        }
        let needed = scoring.needed(&plan).ok_or_else(|| {
            format!(
                "with its settings the instance does not find {} at intervals of {}",
                text::counted(MOST_CONNECTIONS, "connection", "connections"),
                text::duration(plan.interval_s)
            )
        })?;
        let asked = arguments.count.or_else(|| {
            let for_s = f64::from(u32::try_from(arguments.for_s?).unwrap_or(u32::MAX));
            Some(whole_seconds(for_s / plan.interval_s) + 1)
        });
        // A real clock is less even than the plan.
        plan.count = asked.unwrap_or(needed + 2 + needed / 8);
        if plan.count < needed {
            return Err(format!(
                "{} over {} are too few: the instance needs {needed}",
                text::counted(plan.count, "connection", "connections"),
                text::duration(plan.duration_s()),
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

    fn plan(arguments: &[&str], scoring: &Scoring) -> Result<Plan, String> {
        let line = Line::try_parse_from([&["simulate"], arguments].concat());
        Plan::of(&line.ok().unwrap().simulate, scoring)
    }

    fn scoring(detector: &Value, series: u64) -> Scoring {
        let config = json!({"effective": {"detector": detector}});
        Scoring::of(&config, &json!({"detector": {"series": series}}))
    }

    fn seed() -> Scoring {
        scoring(&json!({"profile": "seed"}), 0)
    }

    #[test]
    fn evidence_takes_about_a_minute_and_more_series_take_longer() {
        let alone = plan(&[], &Scoring::default()).unwrap();
        assert!((30.0..90.0).contains(&alone.duration_s()), "{alone:?}");
        let crowd = plan(&[], &scoring(&json!({}), 1_000_000)).unwrap();
        assert!(crowd.count > alone.count, "{crowd:?} {alone:?}");
        let uneven = plan(&["--jitter", "0.3"], &Scoring::default()).unwrap();
        assert!(uneven.count > alone.count, "{uneven:?} {alone:?}");
    }

    #[test]
    fn with_the_defaults_of_the_seed_it_takes_a_little_more_than_five_minutes() {
        let plan = plan(&[], &seed()).unwrap();
        assert!(plan.interval_s > 10.0, "{plan:?}");
        assert!((300.0..400.0).contains(&plan.duration_s()), "{plan:?}");
    }

    #[test]
    fn settings_of_the_instance_make_it_shorter_and_a_higher_threshold_longer() {
        let fast = |threshold: f64| {
            scoring(
                &json!({"profile": "seed", "seed": {
                    "min_connections": 10, "min_duration_s": 12, "min_interval_s": 0.4,
                    "max_interval_s": 60.0, "alert_threshold": threshold,
                }}),
                0,
            )
        };
        let short = plan(&[], &fast(0.7)).unwrap();
        assert!(
            short.interval_s <= 2.0 && short.duration_s() < 40.0,
            "{short:?}"
        );
        assert!(plan(&[], &fast(0.9)).unwrap().count > short.count);
    }

    #[test]
    fn what_could_never_be_found_is_refused_with_what_could() {
        for (scoring, arguments, words) in [
            (
                seed(),
                &["--interval", "2"][..],
                "intervals of 10 s to 60 min, not of 2 s",
            ),
            (seed(), &["--interval", "4000"], "not of 66.7 min"),
            (
                seed(),
                &["--count", "5"],
                "5 connections over 42 s are too few: the instance needs",
            ),
            (seed(), &["--for", "1m"], "too few: the instance needs"),
            (Scoring::default(), &["--interval", "1.5"], "for one beat"),
            (Scoring::default(), &["--count", "3"], "are too few"),
            (
                scoring(&json!({"evidence": {"alert_threshold": 1.0}}), 0),
                &[],
                "does not find 1,000 connections",
            ),
        ] {
            let error = plan(arguments, &scoring).unwrap_err();
            assert!(error.contains(words), "{arguments:?}: {error}");
        }
        let asked = plan(&["--interval", "20", "--count", "40"], &seed());
        assert_eq!(asked.unwrap().count, 40);
    }

    #[test]
    fn jitter_keeps_the_order_and_the_pace() {
        let plan = plan(&["--jitter", "0.5", "--count", "1000"], &Scoring::default()).unwrap();
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
        for odd in [
            json!({"min_connections": -1}),
            json!({"evidence": {"alert_threshold": 7}}),
            json!("x"),
            Value::Null,
        ] {
            assert_eq!(scoring(&odd, 0), Scoring::of(&Value::Null, &Value::Null));
        }
    }
}
