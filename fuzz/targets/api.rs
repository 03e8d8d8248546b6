#![no_main]
//! What requests of the API say: a cursor is written in one way, numbers in bodies stay what they are, a name in
//! `Host` is this machine's, and a patch changes nothing but what may change.

use beaconwatch_sidecar::fuzzing::{
    alerts_cursor, body, connections_cursor, host_is_accepted, page_cursor, patched,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use url::{Host, Url};

fuzz_target!(|bytes: &[u8]| {
    check_body(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    check_cursors(text);
    check_host(text);
    if let Ok(patch) = serde_json::from_str(text) {
        check_patch(&patch);
    }
});

fn check_cursors(text: &str) {
    let _refused = (alerts_cursor(text), connections_cursor(text));
    if let Some(cursor) = page_cursor(text) {
        assert_eq!(cursor, text);
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#')
    {
        return;
    }
    let query = format!(
        "cursor={}",
        text.replace('%', "%25")
            .replace('+', "%2B")
            .replace('&', "%26")
    );
    for cursor in [alerts_cursor(&query), connections_cursor(&query)]
        .into_iter()
        .flatten()
    {
        assert_eq!(cursor, text);
    }
}

/// A page in a browser that names this host reaches this machine by it, or the name is refused.
fn check_host(host: &str) {
    if !host_is_accepted(host) {
        return;
    }
    let Ok(url) = Url::parse(&format!("http://{host}/")) else {
        return;
    };
    let is_here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    assert!(is_here, "{host:?} is {url}");
}

fn check_body(bytes: &[u8]) {
    let Ok(sent) = serde_json::from_slice::<Value>(bytes) else {
        return;
    };
    for read in body(bytes).into_iter().flatten() {
        same_numbers(&read, &sent);
    }
}

/// Every number that was sent and read is the same number.
fn same_numbers(read: &Value, sent: &Value) {
    match (read, sent) {
        (Value::Object(read), Value::Object(sent)) => {
            for (name, value) in read {
                if let Some(sent) = sent.get(name) {
                    same_numbers(value, sent);
                }
            }
        }
        (Value::Array(read), Value::Array(sent)) => {
            read.iter()
                .zip(sent)
                .for_each(|(read, sent)| same_numbers(read, sent));
        }
        (Value::Number(read), sent) => assert_eq!(read.as_f64(), sent.as_f64(), "{sent}"),
        _ => {}
    }
}

fn check_patch(patch: &Value) {
    let Ok((before, after)) = patched(patch) else {
        return;
    };
    compare(&before, &after, &mut Vec::new());
}

fn compare<'a>(before: &'a Value, after: &'a Value, path: &mut Vec<&'a str>) {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        assert!(
            before == after || may_change(path),
            "{path:?}: {before} to {after}"
        );
        return;
    };
    for name in old.keys().chain(new.keys()) {
        path.push(name);
        let at =
            |fields: &'a serde_json::Map<String, Value>| fields.get(name).unwrap_or(&Value::Null);
        compare(at(old), at(new), path);
        path.pop();
    }
}

/// The list of the documentation (`PATCH /api/v1/config`).
fn may_change(path: &[&str]) -> bool {
    match path {
        ["detector", "max_series" | "max_starts_per_series", ..] => false,
        [
            "detector" | "alerts" | "update_interval_s" | "analysis_interval_s",
            ..,
        ] => true,
        ["destinations", _, "route", ..] => true,
        _ => false,
    }
}
