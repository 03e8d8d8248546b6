//! The seed score in words.

use std::fmt::Write as _;
use std::sync::Arc;

use super::{CV_WEIGHT, Gate, JITTER_WEIGHT, PERIODICITY_WEIGHT, SeedScore, enough};
use crate::Signal;
use crate::settings::SeedSettings;

/// Name of the signal from the coefficient of variation.
const CV: &str = "coefficient_of_variation";
/// Name of the signal from near intervals and the spectrum.
const PERIODICITY: &str = "periodicity";
/// Name of the signal from the largest deviation.
const JITTER: &str = "jitter";

impl std::fmt::Display for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connections { found, minimum } => {
                write!(
                    formatter,
                    "{found} connections, at least {minimum} are needed"
                )
            }
            Self::Duration { found_s, minimum_s } => write!(
                formatter,
                "{found_s:.1} s from first to last connection, at least {minimum_s:.1} s are needed"
            ),
            Self::Interval {
                found_s,
                minimum_s,
                maximum_s,
            } => write!(
                formatter,
                "median interval of {found_s:.1} s, scored are {minimum_s:.1} s to {maximum_s:.1} s"
            ),
        }
    }
}

pub(super) fn signals(score: &SeedScore, settings: &SeedSettings) -> Vec<Signal> {
    let signal = |name: &str, value: f64, weight: f64, raw_value, threshold, text| Signal {
        name: Arc::from(name),
        score: value,
        weight,
        contribution: weight * value,
        raw_value,
        threshold,
        text,
    };
    let cv = score.intervals.coefficient_of_variation;
    let near = score
        .near_median
        .max(score.spectrum.map_or(0.0, |peak| peak.score));
    vec![
        signal(
            CV,
            score.cv_score,
            CV_WEIGHT,
            cv,
            Some(settings.cv_threshold),
            cv_text(score, settings),
        ),
        signal(
            PERIODICITY,
            score.periodicity_score,
            PERIODICITY_WEIGHT,
            near,
            None,
            periodicity_text(score),
        ),
        signal(
            JITTER,
            score.jitter_score,
            JITTER_WEIGHT,
            score.intervals.maximum_deviation_s,
            Some(score.jitter_threshold_s),
            jitter_text(score),
        ),
    ]
}

pub(super) fn explanation(score: &SeedScore) -> String {
    let intervals = &score.intervals;
    format!(
        "{} connections with a median interval of {:.1} s (variation {:.0} %, largest deviation {:.1} s, \
         {:.0} % of the intervals near the median).",
        score.starts,
        intervals.median_s,
        100.0 * intervals.coefficient_of_variation,
        intervals.maximum_deviation_s,
        100.0 * score.near_median,
    )
}

fn cv_text(score: &SeedScore, settings: &SeedSettings) -> String {
    format!(
        "the intervals vary by {:.1} % of their mean of {:.1} s (a beacon: below {:.1} %)",
        100.0 * score.intervals.coefficient_of_variation,
        score.intervals.mean_s,
        100.0 * settings.cv_threshold,
    )
}

fn periodicity_text(score: &SeedScore) -> String {
    let mut text = format!(
        "{:.0} % of the intervals lie near the median of {:.1} s",
        100.0 * score.near_median,
        score.intervals.median_s,
    );
    // Writing to a string cannot fail.
    if let Some(peak) = score.spectrum {
        let _infallible = write!(
            text,
            "; the spectrum peaks at {:.1} s with {:.0} % of its power, {}{:.1} times the next peak",
            peak.period_s,
            100.0 * peak.share,
            if peak.ratio >= 3.0 { "at least " } else { "" },
            peak.ratio,
        );
    }
    let weight = enough(score.starts);
    if weight < 1.0 {
        let _infallible = write!(
            text,
            "; counted at {:.0} % for {} connections",
            100.0 * weight,
            score.starts
        );
    }
    text
}

fn jitter_text(score: &SeedScore) -> String {
    format!(
        "no interval is further than {:.1} s from the median (tolerated: {:.1} s)",
        score.intervals.maximum_deviation_s, score.jitter_threshold_s,
    )
}
