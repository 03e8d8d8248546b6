//! When a host of a world is on.

use super::DAY_S;
use crate::random::Numbers;

/// Share of hosts that are always on.
const SERVERS: f64 = 0.15;

/// A host: the spans in which it is on, in seconds since the world began.
#[derive(Clone, Debug)]
pub struct Host {
    spans: Vec<(f64, f64)>,
    on_s: f64,
    end_s: f64,
}

impl Host {
    pub(super) fn new(days: u32, numbers: &mut Numbers) -> Self {
        let end_s = f64::from(days) * DAY_S;
        if numbers.chance(SERVERS) {
            return Self::with(vec![(0.0, end_s)], end_s);
        }
        let spans = (0..days)
            .filter_map(|day| {
                let working = if day % 7 < 5 { 0.93 } else { 0.08 };
                let here = day == 0 || numbers.chance(working);
                let start = (8.2 + 0.9 * numbers.normal()).clamp(5.0, 12.0);
                let stop = (17.3 + 1.4 * numbers.normal()).clamp(start + 2.0, 23.8);
                let midnight = f64::from(day) * DAY_S;
                here.then_some((midnight + start * 3600.0, midnight + stop * 3600.0))
            })
            .collect();
        Self::with(spans, end_s)
    }

    fn with(spans: Vec<(f64, f64)>, end_s: f64) -> Self {
        let on_s = spans.iter().map(|(start, stop)| stop - start).sum();
        Self { spans, on_s, end_s }
    }

    /// End of the world.
    #[must_use]
    pub fn end_s(&self) -> f64 {
        self.end_s
    }

    /// Whole days of the world, at least one.
    #[must_use]
    pub fn days(&self) -> f64 {
        self.end_s / DAY_S
    }

    /// Whether it is on.
    #[must_use]
    pub fn is_on(&self, time_s: f64) -> bool {
        let next = self.spans.partition_point(|(start, _)| *start <= time_s);
        next > 0 && time_s < self.spans[next - 1].1
    }

    /// Any moment at which it is on.
    pub fn moment(&self, numbers: &mut Numbers) -> f64 {
        let mut left = numbers.between(0.0, self.on_s);
        for (start, stop) in &self.spans {
            if left < stop - start {
                return start + left;
            }
            left -= stop - start;
        }
        0.0
    }
}
