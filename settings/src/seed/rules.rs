//! What becomes of each key of the seed that stands alone.

/// What becomes of a key.
#[derive(Debug)]
pub(super) enum Rule {
    /// Sets this key of ours.
    Sets(&'static str),
    /// Sets this key of ours, which is a whole number.
    Whole(&'static str),
    /// Has no counterpart; this takes its place.
    Replaced(&'static str),
    /// Has this value here and no other.
    Fixed { value: f64, advice: &'static str },
    /// Is always so here.
    AlwaysTrue(&'static str),
    /// Size of the ring buffer.
    Pages,
    /// A part of the API's address.
    Address,
}

use Rule::{Address, AlwaysTrue, Fixed, Pages, Replaced, Sets, Whole};

/// Sections that a YAML file may have.
pub(super) const SECTIONS: &[&str] = &[
    "exporter",
    "detector",
    "sidecar",
    "data_plane",
    "control_plane",
    "detection",
    "alerting",
    "logging",
    "persistence",
    "whitelist",
    "benign_baseline",
    "api_key",
];

pub(super) const API_KEY: &str = "is not read from the configuration, where everybody who reads the file would have it: put it into a file of its own and name that in sidecar.api.tokens.<name>.secret.file, with role = operate";

const WEIGHTS: &str = "has no effect: the weights of the seed score are fixed (0.4 coefficient of variation, 0.4 periodicity, 0.2 jitter), and sizes do not count";
const LOGGING: &str = "has no effect: the log goes to standard error, and --log or RUST_LOG says how much of it; the service manager keeps and rotates it";
const BOTH_PROTOCOLS: &str =
    "is false and has no effect: TCP and UDP are always captured; sidecar.allow can leave one out";

const DATA_PLANE: &[(&str, Rule)] = &[
    (
        "interface",
        Replaced(
            "has no effect: every connection of the host is captured at its sockets, whatever the interface",
        ),
    ),
    ("export_interval", Sets("exporter.flush_interval_s")),
    ("control_plane_host", Replaced(ENDPOINT)),
    ("control_plane_port", Replaced(ENDPOINT)),
    ("connection_timeout", Sets("exporter.otlp.timeout_s")),
    ("max_buffer_size", Whole("exporter.queue.max_records")),
    ("ring_buffer_pages", Pages),
    ("track_tcp", AlwaysTrue(BOTH_PROTOCOLS)),
    ("track_udp", AlwaysTrue(BOTH_PROTOCOLS)),
];

const ENDPOINT: &str = "has no effect: flow records go over OTLP, to exporter.otlp.endpoint; in `beaconwatch run` they stay in the process";

const CONTROL_PLANE: &[(&str, Rule)] = &[
    ("listen_address", Address),
    ("listen_port", Address),
    ("max_connections", Whole("sidecar.receive.max_connections")),
    (
        "data_retention",
        Replaced(
            "has no effect: series are bounded by number (detector.max_series) and not by age, so that slow beacons are found",
        ),
    ),
    (
        "cleanup_interval",
        Replaced(
            "has no effect: there is nothing to clean up, because a full table makes room as it goes",
        ),
    ),
    ("api_key", Replaced(API_KEY)),
];

const DETECTION: &[(&str, Rule)] = &[
    ("min_connections", Whole("detector.seed.min_connections")),
    ("min_duration", Sets("detector.seed.min_duration_s")),
    (
        "time_window",
        Replaced(
            "has no effect: a series is scored over its newest connections (detector.max_starts_per_series), so that beacons slower than the window are found",
        ),
    ),
    ("cv_threshold", Sets("detector.seed.cv_threshold")),
    (
        "periodicity_threshold",
        Replaced(
            "has no effect, as in the seed, where it is only shown: detector.seed.alert_threshold decides",
        ),
    ),
    ("jitter_threshold", Sets("detector.seed.jitter_threshold_s")),
    ("min_beacon_interval", Sets("detector.seed.min_interval_s")),
    ("max_beacon_interval", Sets("detector.seed.max_interval_s")),
    ("cv_weight", weight(0.4)),
    ("periodicity_weight", weight(0.4)),
    ("jitter_weight", weight(0.2)),
    ("size_weight", weight(0.0)),
    ("alert_threshold", Sets("detector.seed.alert_threshold")),
    ("alert_cooldown", Whole("sidecar.update_interval_s")),
    ("analysis_interval", Whole("sidecar.analysis_interval_s")),
];

const fn weight(value: f64) -> Rule {
    Fixed {
        value,
        advice: WEIGHTS,
    }
}

const LOGGING_KEYS: &[(&str, Rule)] = &[
    ("level", Replaced(LOGGING)),
    ("format", Replaced(LOGGING)),
    ("file", Replaced(LOGGING)),
    ("max_size_mb", Replaced(LOGGING)),
    ("backup_count", Replaced(LOGGING)),
];

const PERSISTENCE: &[(&str, Rule)] = &[(
    "db_path",
    Replaced(
        "has no effect: the state is always kept, in sidecar.store.path, in a format of its own",
    ),
)];

/// The rules of a section; none when it is not known or has none.
pub(super) fn section(name: &str) -> Option<&'static [(&'static str, Rule)]> {
    Some(match name {
        "data_plane" => DATA_PLANE,
        "control_plane" => CONTROL_PLANE,
        "detection" => DETECTION,
        "logging" => LOGGING_KEYS,
        "persistence" => PERSISTENCE,
        _ => return None,
    })
}
