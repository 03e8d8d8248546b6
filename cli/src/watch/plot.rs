//! Beats and intervals as characters. Pure: times in, lines out.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::output::text;

/// Columns that a beat needs, to be told from its neighbours.
const COLUMNS_PER_BEAT: usize = 3;
/// Eighths of a cell, from none to all.
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Intervals beyond so many medians stand in the last column.
const MEDIANS_SHOWN: f64 = 3.0;

/// The latest beats on a line of `width` columns, and the times of its ends.
pub(super) struct Beats {
    /// A mark where a connection began.
    pub(super) ticks: String,
    /// Times below both ends.
    pub(super) axis: String,
    /// How many beats are shown.
    pub(super) shown: usize,
}

/// The latest of `times` (seconds since 1970, in any order).
pub(super) fn beats(times: &[f64], width: usize) -> Option<Beats> {
    let mut times: Vec<f64> = times.iter().copied().filter(|it| it.is_finite()).collect();
    times.sort_by(f64::total_cmp);
    let shown = times.len().min((width / COLUMNS_PER_BEAT).max(2));
    let latest = times.get(times.len() - shown..)?;
    let (first, last) = (*latest.first()?, *latest.last()?);
    if width < 2 || last <= first {
        return None;
    }
    let mut counts = vec![0_u32; width];
    for time in latest {
        let at = column((time - first) / (last - first), width);
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    let mark = |count: &u32| match count {
        0 => '·',
        1 => '│',
        _ => '┃',
    };
    Some(Beats {
        ticks: counts.iter().map(mark).collect(),
        axis: ends(&clock(first), &clock(last), width),
        shown,
    })
}

/// Intervals between `times` as bars of `height` lines, lowest line last, and what the ends stand for.
pub(super) fn histogram(
    times: &[f64],
    width: usize,
    height: usize,
) -> Option<(Vec<String>, String)> {
    let gaps = gaps(times);
    let (least, most) = (*gaps.first()?, *gaps.last()?);
    let median = *gaps.get(gaps.len() / 2)?;
    // Some room on both sides, so that a beacon without jitter is a peak and not the whole width.
    let low = (least - 0.2 * median).max(0.0);
    let high = (most.min(MEDIANS_SHOWN * median)) + 0.2 * median;
    if width < 2 || height == 0 || high <= low {
        return None;
    }
    let mut counts = vec![0_u32; width];
    for gap in &gaps {
        let at = column((gap - low) / (high - low), width);
        if let Some(count) = counts.get_mut(at) {
            *count += 1;
        }
    }
    let highest = f64::from(*counts.iter().max()?);
    let eighths = f64::from(u32::try_from(height * 8).unwrap_or(u32::MAX));
    let lines = (0..height).rev().map(|line| {
        let below = f64::from(u32::try_from(line * 8).unwrap_or(u32::MAX));
        let bar = |count: &u32| {
            let level = (f64::from(*count) / highest * eighths).ceil();
            BARS.get(whole((level - below).clamp(0.0, 8.0)))
                .copied()
                .unwrap_or(' ')
        };
        counts.iter().map(bar).collect()
    });
    let right = if most > high {
        format!("{} and more", text::duration(high))
    } else {
        text::duration(high)
    };
    Some((lines.collect(), ends(&text::duration(low), &right, width)))
}

/// A bar of up to `width` cells for a share of 0 to 1.
pub(super) fn bar(share: f64, width: usize) -> String {
    let cells = f64::from(u32::try_from(width).unwrap_or(u32::MAX));
    let mut eighths = whole((share.clamp(0.0, 1.0) * cells * 8.0).round());
    let mut bar = String::new();
    for _ in 0..width {
        let here = eighths.min(8);
        eighths -= here;
        // Cells fill from the left: the bar is laid down of full cells and a half one.
        bar.push(match here {
            8 => '█',
            5..=7 => '▓',
            1..=4 => '▒',
            _ => '░',
        });
    }
    bar
}

/// Positive gaps between `times`, sorted.
fn gaps(times: &[f64]) -> Vec<f64> {
    let mut times: Vec<f64> = times.iter().copied().filter(|it| it.is_finite()).collect();
    times.sort_by(f64::total_cmp);
    let pairs = times.iter().zip(times.iter().skip(1));
    let mut gaps: Vec<f64> = pairs.map(|(one, next)| next - one).collect();
    gaps.retain(|gap| *gap > 0.0);
    gaps.sort_by(f64::total_cmp);
    gaps
}

/// The column of a share of 0 to 1.
fn column(share: f64, width: usize) -> usize {
    let columns = f64::from(u32::try_from(width).unwrap_or(u32::MAX));
    whole(share * columns).min(width.saturating_sub(1))
}

/// A number that is not negative without its fraction.
fn whole(value: f64) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float that is cast saturates, and what is negative or no number is nothing"
    )]
    let whole = value as usize;
    whole
}

/// `left` and `right` at the ends of a line.
fn ends(left: &str, right: &str, width: usize) -> String {
    let used = left.chars().count() + right.chars().count();
    match width.checked_sub(used).filter(|room| *room > 0) {
        Some(room) => format!("{left}{}{right}", " ".repeat(room)),
        None => right.chars().take(width).collect(),
    }
}

/// Time of day in UTC.
fn clock(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float that is cast saturates; what is no time is refused next"
    )]
    let milliseconds = (seconds * 1000.0) as i64;
    Timestamp::from_millisecond(milliseconds).map_or_else(
        |_| String::new(),
        |time| {
            time.to_zoned(TimeZone::UTC)
                .strftime("%H:%M:%S")
                .to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(seconds: f64, count: u32) -> Vec<f64> {
        (0..count)
            .map(|n| 1_700_000_000.0 + f64::from(n) * seconds)
            .collect()
    }

    #[test]
    fn a_regular_beat_is_a_row_of_even_ticks() {
        let beats = beats(&every(60.0, 5), 21).unwrap();
        assert_eq!(beats.ticks, "│····│····│····│····│");
        assert_eq!(
            (beats.axis.as_str(), beats.shown),
            ("22:13:20     22:17:20", 5)
        );
    }

    #[test]
    fn only_the_latest_beats_that_have_room_are_shown() {
        let beats = beats(&every(60.0, 500), 30).unwrap();
        assert_eq!(beats.shown, 10);
        assert_eq!(beats.ticks.chars().filter(|c| *c == '│').count(), 10);
    }

    #[test]
    fn intervals_of_a_beacon_are_one_peak() {
        let (lines, axis) = histogram(&every(60.0, 20), 20, 2).unwrap();
        assert_eq!(lines.len(), 2);
        for line in &lines {
            assert_eq!(line.chars().count(), 20);
            assert_eq!(line.chars().filter(|c| *c != ' ').count(), 1, "{line:?}");
        }
        assert_eq!(axis, "48 s            72 s");
        let mut missed = every(60.0, 20);
        missed.remove(10);
        let (lines, axis) = histogram(&missed, 20, 2).unwrap();
        assert_eq!(lines[1].chars().filter(|c| *c != ' ').count(), 2);
        assert_eq!(axis, "48 s         2.2 min");
    }

    #[test]
    fn what_cannot_be_plotted_is_left_out_and_never_a_panic() {
        for times in [
            &[][..],
            &[1.0],
            &[1.0, 1.0],
            &[f64::NAN, 1.0],
            &[f64::INFINITY, 1.0, f64::NEG_INFINITY],
        ] {
            assert!(beats(times, 40).is_none(), "{times:?}");
            assert!(histogram(times, 40, 3).is_none(), "{times:?}");
        }
        for width in 0..10 {
            for times in [&[0.0, 1e300][..], &[-1e300, 1e300], &[0.0, 1.0, 3.0]] {
                drop((beats(times, width), histogram(times, width, 3)));
                assert_eq!(bar(times[1], width).chars().count(), width);
            }
        }
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!(bar(f64::NAN, 2), "░░");
    }
}
