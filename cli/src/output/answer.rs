//! Reads what the API answers, made harmless for a terminal. What is missing or of another kind than expected is
//! shown as `-` or counted as nothing: an instance of another version must not stop a command.

use jiff::Timestamp;
use serde_json::Value;

use super::text;

/// The integer at `pointer`, or 0.
pub(crate) fn number(value: &Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

/// The number at `pointer`.
pub(crate) fn real(value: &Value, pointer: &str) -> Option<f64> {
    value.pointer(pointer).and_then(Value::as_f64)
}

/// Whether `true` stands at `pointer`.
pub(crate) fn flag(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// The text at `pointer`.
pub(crate) fn optional(value: &Value, pointer: &str) -> Option<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(text::harmless)
}

/// The text at `pointer`, or `-`.
pub(crate) fn word(value: &Value, pointer: &str) -> String {
    optional(value, pointer).unwrap_or_else(|| "-".to_owned())
}

/// The text at `pointer` as it is, for what makes it harmless itself.
pub(crate) fn raw(value: &Value, pointer: &str) -> String {
    let text = value.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

/// The integer at `pointer` with its thousands apart.
pub(crate) fn count(value: &Value, pointer: &str) -> String {
    text::thousands(number(value, pointer))
}

/// The entries of the list at `pointer`.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The RFC 3339 time at `pointer`.
pub(crate) fn timestamp(value: &Value, pointer: &str) -> Option<Timestamp> {
    value.pointer(pointer)?.as_str()?.parse().ok()
}

/// The RFC 3339 time at `pointer` in UTC without its fraction.
pub(crate) fn moment(value: &Value, pointer: &str) -> String {
    match timestamp(value, pointer) {
        Some(time) => time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        None => word(value, pointer),
    }
}

/// The score at `pointer`, with two digits.
pub(crate) fn score(value: &Value, pointer: &str) -> String {
    real(value, pointer).map_or_else(|| "-".to_owned(), |score| format!("{score:.2}"))
}

/// The seconds at `pointer`, in the unit that reads best.
pub(crate) fn duration(value: &Value, pointer: &str) -> String {
    real(value, pointer).map_or_else(|| "-".to_owned(), text::duration)
}

/// The ratio at `pointer`, as a percentage.
pub(crate) fn percent(value: &Value, pointer: &str) -> String {
    real(value, pointer).map_or_else(|| "-".to_owned(), text::percent)
}

/// `198.51.100.7:443/tcp`.
pub(crate) fn endpoint(it: &Value) -> String {
    let address = word(it, "/dst_ip");
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address
    };
    let protocol = word(it, "/protocol").to_ascii_lowercase();
    format!("{address}:{}/{protocol}", number(it, "/dst_port"))
}

/// `198.51.100.7:443/tcp (c2.example)`.
pub(crate) fn place(it: &Value) -> String {
    let place = endpoint(it);
    match optional(it, "/server_name") {
        Some(name) => format!("{place} ({name})"),
        None => place,
    }
}

/// `curl (1234)`.
pub(crate) fn process(it: &Value) -> String {
    match it.pointer("/process/pid").and_then(Value::as_u64) {
        Some(pid) => format!("{} ({pid})", word(it, "/process/name")),
        None => "-".to_owned(),
    }
}
