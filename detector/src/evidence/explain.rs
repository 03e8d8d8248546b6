//! Evidence in words.

use std::sync::Arc;

use super::{BASE_RATE, Evidence, PERSISTENCE, SMALLEST_P, SMALLEST_SCORED_P, STEADINESS, Source};
use super::{TEMPER, e_value};
use crate::Signal;

/// What the simulations count down to; beyond it the tail is taken as exponential.
const SMALLEST_SIMULATED_P: f64 = 1e-5;
/// What the smallest p-value that is claimed may cost for several looks at one series.
const SMALLEST_TOLD_P: f64 = 10.0 * SMALLEST_P;

pub(super) fn signals(evidence: &Evidence) -> Vec<Signal> {
    let most = TEMPER * e_value(SMALLEST_SCORED_P).ln();
    let signal = |name: &str, contribution: f64, weight: f64, raw_value, text| Signal {
        name: Arc::from(name),
        score: contribution / weight,
        weight,
        contribution,
        raw_value,
        threshold: None,
        text,
    };
    vec![
        signal(
            "base_rate",
            BASE_RATE,
            BASE_RATE,
            0.02,
            "before any evidence: one series of fifty beats".to_owned(),
        ),
        signal(
            "cadence",
            evidence.cadence(),
            most,
            evidence.p_value,
            cadence(evidence),
        ),
        signal(
            "persistence",
            evidence.persistence(),
            PERSISTENCE,
            f64::from(evidence.active_hours),
            format!(
                "active in {}, at most {} without a pause",
                hours(evidence.active_hours),
                hours(evidence.longest_run_h)
            ),
        ),
        signal(
            "steadiness",
            evidence.steadiness(),
            2.0 * STEADINESS,
            evidence.explained,
            format!(
                "{} beats, of which the period explains {:.0} %",
                evidence.beats,
                100.0 * evidence.explained
            ),
        ),
    ]
}

fn hours(count: u32) -> String {
    format!("{count} {}", if count == 1 { "hour" } else { "hours" })
}

fn cadence(evidence: &Evidence) -> String {
    let p = evidence.p_value;
    if p > 0.05 {
        return format!("no sharper than irregular traffic is (p = {p:.2})");
    }
    let rarity = if p < SMALLEST_SIMULATED_P {
        let series = rounded(1.0 / SMALLEST_SIMULATED_P);
        format!("irregular traffic is as sharp in fewer than one of {series} series")
    } else {
        let series = rounded(1.0 / p);
        format!("irregular traffic is as sharp in one of {series} series")
    };
    match evidence.clock_period_s {
        Some(period_s) => format!(
            "the beats keep to every {} of the clock; {rarity}",
            span(period_s)
        ),
        None => format!(
            "a period of {} ± {:.0} %; {rarity}",
            span(evidence.period_s),
            100.0 * evidence.half_width
        ),
    }
}

pub(super) fn explanation(evidence: &Evidence) -> String {
    let what = match evidence.source {
        Source::Connections => "beats",
        Source::Activity => "beats inside live connections",
    };
    let missed = if evidence.miss_rate > 0.01 {
        format!(", {:.0} % of the beats missed", 100.0 * evidence.miss_rate)
    } else {
        String::new()
    };
    format!(
        "{} {what} about every {} ± {:.0} % ({:.0} % of the gaps{missed}); {}.",
        evidence.beats,
        span(evidence.period_s),
        100.0 * evidence.half_width,
        100.0 * evidence.explained,
        p_text(evidence.p_value),
    )
}

/// A p-value; at the smallest that is claimed, that it is no larger.
fn p_text(p: f64) -> String {
    if p <= SMALLEST_TOLD_P {
        format!("p below {SMALLEST_TOLD_P:.0e}")
    } else {
        format!("p = {p:.1e}")
    }
}

/// Two leading digits.
fn rounded(value: f64) -> String {
    let unit = 10_f64.powf(value.log10().floor() - 1.0).max(1.0);
    let whole = format!("{:.0}", (value / unit).round() * unit);
    let digits = whole.len();
    let mut text = String::with_capacity(digits + digits / 3);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (digits - at) % 3 == 0 {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A span of time that people read: `60.1 s`, `15.0 min`, `7.2 h`.
pub(crate) fn span(seconds: f64) -> String {
    match seconds {
        s if s < 600.0 => format!("{s:.1} s"),
        s if s < 7_200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}
