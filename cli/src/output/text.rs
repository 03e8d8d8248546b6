//! Words, numbers and times for people.

use beaconwatch_detector::Timestamp;
use jiff::tz::TimeZone;

/// `text` without characters that a terminal would obey: names come from the network.
pub(crate) fn harmless(text: &str) -> String {
    text.chars()
        .map(|c| if is_harmful(c) { '\u{fffd}' } else { c })
        .collect()
}

/// Like [`harmless`], but lines stay lines.
pub(crate) fn harmless_lines(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(harmless).collect();
    lines.join("\n")
}

/// Whether a terminal would obey `c` instead of showing it.
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control() || is_bidi_control(c)
}

/// Characters that reorder what stands around them on the screen.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// `2024-04-19 00:00:01` in UTC, to the second.
pub(crate) fn time(time: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time.unix_nanos())).map_or_else(
        |_| format!("{:.0} s", time.unix_seconds()),
        |time| {
            time.to_zoned(TimeZone::UTC)
                .strftime("%Y-%m-%d %H:%M:%S")
                .to_string()
        },
    )
}

/// `2024-04-19T00:00:01.123456789Z`: RFC 3339 in UTC with all its digits.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(time.unix_nanos()))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

/// Seconds in the unit that reads best: `14 s`, `4.5 min`, `1 h`, `2 d`.
pub(crate) fn duration(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 0.9995 => (s * 1000.0, "ms"),
        s if s < 120.0 => (s, "s"),
        s if s < 7200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    // Three digits say enough.
    let digits = if value >= 99.95 {
        0
    } else {
        usize::from(value < 99.95)
    };
    let number = format!("{value:.digits$}");
    let number = number.strip_suffix(".0").unwrap_or(&number);
    format!("{number} {unit}")
}

/// A ratio as a percentage: `3 %`, `0.2 %`.
pub(crate) fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    if value > 0.0 && value < 0.95 {
        format!("{value:.1} %")
    } else {
        format!("{value:.0} %")
    }
}

/// `1 series`, `2 files`: `count` and a noun in the right form.
pub(crate) fn counted(count: u64, one: &str, many: &str) -> String {
    format!(
        "{} {}",
        thousands(count),
        if count == 1 { one } else { many }
    )
}

/// Breaks lines between words so that none is wider than `width` where that can be; what goes on stands
/// `indent` characters in.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut current = String::new();
        let mut used = 0;
        // Spaces stay as they are where no line is broken: columns are made of them.
        for word in line.split_inclusive(' ') {
            let length = word.trim_end().chars().count();
            if used > indent && used + length > width {
                lines.push(current.trim_end().to_owned());
                current = " ".repeat(indent);
                used = indent;
            }
            current.push_str(word);
            used += word.chars().count();
        }
        lines.push(current.trim_end().to_owned());
    }
    lines.join("\n")
}

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_in_the_unit_that_reads_best() {
        let written: Vec<String> = [
            0.0, 0.25, 1.0, 14.04, 60.0, 119.96, 120.0, 271.0, 3600.0, 9000.0, 200_000.0,
        ]
        .into_iter()
        .map(duration)
        .collect();
        assert_eq!(
            written,
            [
                "0 ms", "250 ms", "1 s", "14 s", "60 s", "120 s", "2 min", "4.5 min", "60 min",
                "2.5 h", "2.3 d"
            ]
        );
    }

    #[test]
    fn long_lines_are_broken_between_words_and_stand_in() {
        assert_eq!(
            wrapped(
                "name    one two three four\nshort\n\nunbreakable-word",
                16,
                8
            ),
            "name    one two\n        three\n        four\nshort\n\nunbreakable-word"
        );
        assert_eq!(wrapped("a b", 80, 12), "a b");
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let grouped: Vec<String> = [0, 999, 1000, 1_234_567]
            .into_iter()
            .map(thousands)
            .collect();
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn what_a_terminal_would_obey_is_replaced() {
        assert_eq!(
            harmless("a\u{1b}[2Jb\n\u{202e}c"),
            "a\u{fffd}[2Jb\u{fffd}\u{fffd}c"
        );
    }

    #[test]
    fn times_are_utc_and_never_fail() {
        assert_eq!(
            time(Timestamp::from_unix_nanos(1_713_484_801_500_000_000)),
            "2024-04-19 00:00:01"
        );
        assert_eq!(
            rfc3339(Timestamp::from_unix_nanos(1_500_000_000)),
            "1970-01-01T00:00:01.5Z"
        );
        assert!(!time(Timestamp::from_unix_nanos(i64::MAX)).is_empty());
        assert!(!rfc3339(Timestamp::from_unix_nanos(i64::MIN)).is_empty());
    }
}
