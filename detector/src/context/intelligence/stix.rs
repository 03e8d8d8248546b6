//! STIX 2.1 bundles: indicators whose pattern says that one of some values is seen (OASIS STIX 2.1, sections 4.7 and 9).

use jiff::Timestamp as Instant;
use serde::Deserialize;
use serde_json::Value;

use super::{IntelligenceBuilder, IntelligenceError, Reading, SkipReason};
use crate::Timestamp;

/// Longest pattern that is read.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// What can be told of a server.
const PATHS: [&str; 4] = [
    "domain-name:value",
    "ipv4-addr:value",
    "ipv6-addr:value",
    "url:value",
];

#[derive(Deserialize)]
struct Bundle {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    objects: Vec<Value>,
}

pub(super) fn read(
    builder: &mut IntelligenceBuilder,
    reading: &mut Reading,
    text: &str,
    now: Timestamp,
) -> Result<(), IntelligenceError> {
    let error = |message: String| IntelligenceError::Format {
        format: "STIX bundle",
        message,
    };
    let bundle: Bundle = serde_json::from_str(text).map_err(|it| error(it.to_string()))?;
    if bundle.kind != "bundle" {
        let kind: String = bundle.kind.chars().take(100).collect();
        return Err(error(format!("type is {kind:?}, expected \"bundle\"")));
    }
    for (number, object) in (1..).zip(&bundle.objects) {
        if object.get("type").and_then(Value::as_str) == Some("indicator") {
            read_indicator(builder, reading, number, object, now);
        }
    }
    Ok(())
}

fn read_indicator(
    builder: &mut IntelligenceBuilder,
    reading: &mut Reading,
    number: u64,
    object: &Value,
    now: Timestamp,
) {
    let Some(until) = valid_until(reading, number, object, now) else {
        return;
    };
    let Some(comparisons) = pattern(reading, number, object) else {
        return;
    };
    let share = object.get("confidence").and_then(Value::as_f64);
    let share = share.map_or(1.0, |percent| percent / 100.0);
    for (path, value) in comparisons {
        if PATHS.contains(&path.as_str()) {
            builder.add(reading, number, &path, &value, share, until);
        } else {
            reading.skip(SkipReason::OtherKind);
        }
    }
}

/// Until when an indicator counts; `None` when it does not any more, which is counted.
fn valid_until(reading: &mut Reading, number: u64, object: &Value, now: Timestamp) -> Option<i64> {
    if object.get("revoked").and_then(Value::as_bool) == Some(true) {
        reading.skip(SkipReason::Revoked);
        return None;
    }
    let until = match object.get("valid_until") {
        None | Some(Value::Null) => return Some(i64::MAX),
        Some(value) => value,
    };
    let Some(nanos) = until.as_str().and_then(instant) else {
        let expected = "a time such as 2026-01-31T00:00:00Z";
        reading.skip(SkipReason::NotAnIndicator);
        reading.error(number, "valid_until", &until.to_string(), expected);
        return None;
    };
    if nanos <= now.unix_nanos() {
        reading.skip(SkipReason::Expired);
        return None;
    }
    Some(nanos)
}

/// The comparisons of an indicator's pattern; `None` when it is another one, which is counted.
fn pattern(reading: &mut Reading, number: u64, object: &Value) -> Option<Vec<(String, String)>> {
    let kind = object.get("pattern_type").and_then(Value::as_str);
    let pattern = object.get("pattern").and_then(Value::as_str);
    let (Some("stix") | None, Some(pattern)) = (kind, pattern) else {
        reading.skip(SkipReason::Unsupported);
        let found = kind.unwrap_or("absent");
        reading.error(number, "pattern_type", found, "stix, and a pattern");
        return None;
    };
    if pattern.len() > MAX_PATTERN_BYTES {
        reading.skip(SkipReason::TooLong);
        return None;
    }
    let found = comparisons(pattern);
    if found.is_none() {
        reading.skip(SkipReason::Unsupported);
        let expected = "comparisons for equality, joined with OR";
        reading.error(number, "pattern", pattern, expected);
    }
    found
}

fn instant(text: &str) -> Option<i64> {
    let nanos = text.parse::<Instant>().ok()?.as_nanosecond();
    // Later than the year 2262 is for ever.
    i64::try_from(nanos)
        .ok()
        .or((nanos > 0).then_some(i64::MAX))
}

/// Path and value of each comparison, when one of them being seen is enough; `None` for any other pattern.
fn comparisons(pattern: &str) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut rest = pattern.trim_start();
    loop {
        rest = rest.strip_prefix('[')?.trim_start();
        loop {
            let (comparison, after) = comparison(rest)?;
            found.push(comparison);
            rest = after.trim_start();
            match word(rest, "OR") {
                Some(after) => rest = after,
                None => break,
            }
        }
        rest = rest.strip_prefix(']')?.trim_start();
        if rest.is_empty() {
            return Some(found);
        }
        rest = word(rest, "OR")?;
    }
}

/// `path = 'value'` at the beginning of a text, and what follows it.
fn comparison(text: &str) -> Option<((String, String), &str)> {
    let (path, rest) = text.split_once('=')?;
    let path = path.trim();
    // Other operators and words leave a blank or a sign in it.
    let part = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.'[]*".contains(&byte);
    if path.is_empty() || !path.bytes().all(part) {
        return None;
    }
    let rest = rest.trim_start().strip_prefix('\'')?;
    let mut value = String::new();
    let mut letters = rest.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next()?.1),
            '\'' => return Some(((path.to_owned(), value), rest.get(at + 1..)?)),
            _ => value.push(letter),
        }
    }
    None
}

/// What follows a word.
fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(word)?;
    (rest.starts_with(char::is_whitespace) || rest.starts_with('[')).then(|| rest.trim_start())
}
