//! `beacons`, `long-conns`, `connections`, `sensors` and `audit`: lists of what a running instance knows,
//! and `analyze`.
//!
//! The CSV of `beacons`, `long-conns` and `connections` has the heads, the units and the names of severities that
//! the seed's has: programs read it.

use std::path::Path;

use serde_json::Value;

use super::instance::{self, Instance};
use crate::arguments::{
    AskArguments, BeaconsArguments, ConnectionOrder, ConnectionsArguments, Ends, ListArguments,
    LongConnsArguments,
};
use crate::client::Query;
use crate::error::Error;
use crate::output::answer::{
    count, duration, endpoint, moment, number, optional, percent, place, process, raw, real, score,
    word,
};
use crate::output::csv;
use crate::output::listing::{Column, CsvColumn, Listing};
use crate::output::text;

/// The scored series.
pub(crate) fn beacons(arguments: &BeaconsArguments, config: Option<&Path>) -> Result<(), Error> {
    let mut query = Query::new();
    query.extend(arguments.min_score.map(|it| ("min_score", it.to_string())));
    query.extend(
        arguments
            .severity
            .map(|it| ("severity", it.name().to_owned())),
    );
    query.extend(arguments.process.clone().map(|it| ("process", it)));
    query.extend(arguments.server_name.clone().map(|it| ("server_name", it)));
    ends(&mut query, &arguments.ends);
    show(&BEACONS, "/api/v1/beacons", &query, &arguments.list, config)
}

/// Series by how long they last.
pub(crate) fn long_conns(
    arguments: &LongConnsArguments,
    config: Option<&Path>,
) -> Result<(), Error> {
    let mut query = vec![
        ("sort", ConnectionOrder::Duration.name().to_owned()),
        ("min_duration", arguments.min_duration.to_string()),
    ];
    ends(&mut query, &arguments.ends);
    show(
        &LONG_CONNS,
        "/api/v1/connections",
        &query,
        &arguments.list,
        config,
    )
}

/// All series.
pub(crate) fn connections(
    arguments: &ConnectionsArguments,
    config: Option<&Path>,
) -> Result<(), Error> {
    let mut query = Query::new();
    query.extend(arguments.sort.map(|it| ("sort", it.name().to_owned())));
    query.extend(
        arguments
            .min_duration
            .map(|it| ("min_duration", it.to_string())),
    );
    ends(&mut query, &arguments.ends);
    show(
        &CONNECTIONS,
        "/api/v1/connections",
        &query,
        &arguments.list,
        config,
    )
}

/// Who sends.
pub(crate) fn sensors(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Error> {
    // The API gives all of them: what is too many is cut here.
    let instance = Instance::of(&arguments.instance, config)?;
    let mut answer = instance.get("/api/v1/sensors", &Query::new())?;
    cut(&mut answer, SENSORS.key, arguments.list.limit);
    SENSORS.print(&arguments.list, &answer)
}

/// Who changed what.
pub(crate) fn audit(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Error> {
    show(&AUDIT, "/api/v1/audit", &Query::new(), arguments, config)
}

/// Scores everything now.
pub(crate) fn analyze(arguments: &AskArguments, config: Option<&Path>) -> Result<(), Error> {
    let instance = Instance::of(&arguments.instance, config)?;
    let answer = instance.post("/api/v1/analyze", &Value::Object(serde_json::Map::new()))?;
    instance::print(&arguments.print, &answer, |out, it| {
        let took = real(it, "/duration_ms").unwrap_or_default() / 1000.0;
        writeln!(
            out,
            "{} scored in {}, {} detected, {} made.",
            text::counted(number(it, "/assessed"), "series", "series"),
            text::duration(took),
            count(it, "/detected"),
            text::counted(number(it, "/documents"), "document", "documents"),
        )
    })
}

/// Asks for a list in pieces and prints it.
pub(super) fn show(
    listing: &Listing,
    path: &str,
    query: &Query,
    arguments: &ListArguments,
    config: Option<&Path>,
) -> Result<(), Error> {
    let instance = Instance::of(&arguments.instance, config)?;
    let answer = instance.list(path, query, listing.key, arguments.list.limit)?;
    listing.print(&arguments.list, &answer)
}

fn ends(query: &mut Query, ends: &Ends) {
    query.extend(ends.source.clone().map(|it| ("source", it)));
    query.extend(ends.destination.clone().map(|it| ("destination", it)));
    query.extend(ends.destination_port.map(|it| ("port", it.to_string())));
}

/// Keeps the first `limit` entries of a list that the API gives whole.
pub(super) fn cut(answer: &mut Value, key: &str, limit: Option<u64>) {
    let limit = limit.and_then(|it| usize::try_from(it).ok());
    let (Some(limit), Some(entries)) = (limit, answer[key].as_array_mut()) else {
        return;
    };
    let total = entries.len();
    entries.truncate(limit);
    let kept = entries.len();
    answer["count"] = Value::from(kept);
    answer["total"] = Value::from(total);
}

/// Severity, or that it is listed as benign.
fn rank(it: &Value) -> String {
    match it.pointer("/benign/id") {
        Some(Value::String(_)) => "benign".to_owned(),
        _ => word(it, "/severity"),
    }
}

const BEACONS: Listing = Listing {
    key: "beacons",
    empty: "No series has been scored yet: `beaconwatch connections` shows what was seen.",
    wide: &[
        Column::number("SCORE", |it| score(it, "/combined_score")),
        Column::severity("SEVERITY", rank),
        Column::word("SOURCE", |it| word(it, "/src_ip")),
        Column::word("DESTINATION", place),
        Column::word("PROCESS", process),
        Column::number("COUNT", |it| count(it, "/connection_count")),
        Column::number("INTERVAL", |it| duration(it, "/interval_s")),
        Column::number("JITTER", |it| percent(it, "/jitter")),
        Column::word("LAST SEEN (UTC)", |it| moment(it, "/last_seen")),
        Column::word("ALLOWED", |it| allowed(it).unwrap_or_default()),
    ],
    narrow: &[
        Column::severity("SCORE", |it| {
            format!("{}\n{}", score(it, "/combined_score"), rank(it))
        }),
        Column::text("FROM, TO", narrow_ends),
        Column::number("COUNT", |it| count(it, "/connection_count")),
        Column::number("EVERY", |it| duration(it, "/interval_s")),
        Column::number("JITTER", |it| percent(it, "/jitter")),
        Column::word("LAST (UTC)", |it| {
            moment(it, "/last_seen").replacen(' ', "\n", 1)
        }),
    ],
    csv: &[
        ("Score", |it| {
            csv::Cell::real(real(it, "/combined_score"), 4)
        }),
        ("Severity", |it| {
            csv::Cell::Text(raw(it, "/severity").to_ascii_uppercase())
        }),
        ("Source_IP", |it| csv::Cell::Text(raw(it, "/src_ip"))),
        // A series is made of connections from many ports.
        ("Source_Port", |_| csv::Cell::Own("-".to_owned())),
        ("Dest_IP", |it| csv::Cell::Text(raw(it, "/dst_ip"))),
        ("Dest_Port", |it| {
            csv::Cell::integer(number(it, "/dst_port"))
        }),
        ("Protocol", |it| csv::Cell::Text(raw(it, "/protocol"))),
        ("Connections", |it| {
            csv::Cell::integer(number(it, "/connection_count"))
        }),
        // Seconds: the mean interval, and the furthest that one lies from the median.
        ("Interval", |it| {
            csv::Cell::real(real(it, "/interval_stats/mean"), 2)
        }),
        ("Jitter", |it| {
            csv::Cell::real(real(it, "/interval_stats/jitter"), 2)
        }),
    ],
};

const CONNECTIONS_WIDE: &[Column] = &[
    Column::number("COUNT", |it| count(it, "/connection_count")),
    Column::word("SOURCE", |it| word(it, "/src_ip")),
    Column::word("DESTINATION", place),
    Column::number("DURATION", |it| duration(it, "/duration_seconds")),
    Column::word("FIRST SEEN (UTC)", |it| moment(it, "/first_seen")),
    Column::word("LAST SEEN (UTC)", |it| moment(it, "/last_seen")),
];

const CONNECTIONS_NARROW: &[Column] = &[
    Column::number("COUNT", |it| count(it, "/connection_count")),
    Column::text("FROM, TO", narrow_ends),
    Column::number("DURATION", |it| duration(it, "/duration_seconds")),
    Column::word("FIRST, LAST (UTC)", |it| {
        format!(
            "{}\n{}",
            moment(it, "/first_seen"),
            moment(it, "/last_seen")
        )
    }),
];

const DURATION_CSV: CsvColumn = ("Duration", |it| {
    csv::Cell::real(real(it, "/duration_seconds"), 3)
});
const SOURCE_CSV: CsvColumn = ("Source_IP", |it| csv::Cell::Text(raw(it, "/src_ip")));
const DESTINATION_CSV: CsvColumn = ("Dest_IP", |it| csv::Cell::Text(raw(it, "/dst_ip")));
const PORT_CSV: CsvColumn = ("Dest_Port", |it| {
    csv::Cell::integer(number(it, "/dst_port"))
});
const PROTOCOL_CSV: CsvColumn = ("Protocol", |it| csv::Cell::Text(raw(it, "/protocol")));
const COUNT_CSV: CsvColumn = ("Connections", |it| {
    csv::Cell::integer(number(it, "/connection_count"))
});
const FIRST_CSV: CsvColumn = ("First_Seen", |it| csv::Cell::Text(raw(it, "/first_seen")));
const LAST_CSV: CsvColumn = ("Last_Seen", |it| csv::Cell::Text(raw(it, "/last_seen")));

const CONNECTIONS: Listing = Listing {
    key: "pairs",
    empty: "No connection has been seen yet.",
    wide: CONNECTIONS_WIDE,
    narrow: CONNECTIONS_NARROW,
    csv: &[
        SOURCE_CSV,
        DESTINATION_CSV,
        PORT_CSV,
        PROTOCOL_CSV,
        COUNT_CSV,
        DURATION_CSV,
        FIRST_CSV,
        LAST_CSV,
    ],
};

const LONG_CONNS: Listing = Listing {
    empty: "No series has lasted that long: see --min-duration.",
    csv: &[
        DURATION_CSV,
        SOURCE_CSV,
        DESTINATION_CSV,
        PORT_CSV,
        PROTOCOL_CSV,
        COUNT_CSV,
        FIRST_CSV,
        LAST_CSV,
    ],
    ..CONNECTIONS
};

const SENSORS: Listing = Listing {
    key: "sensors",
    empty: "No sensor has sent anything yet.",
    wide: &[
        Column::word("SENSOR", |it| word(it, "/id")),
        Column::word("HOST", |it| word(it, "/host_name")),
        Column::word("STATE", |it| word(it, "/state")),
        Column::number("RECEIVED", |it| count(it, "/received")),
        Column::number("DUPLICATES", |it| count(it, "/duplicates")),
        Column::number("MISSING", |it| count(it, "/missing")),
        Column::number("GAPS", |it| text::thousands(gaps(it))),
        Column::word("LAST SEEN (UTC)", |it| moment(it, "/last_seen")),
    ],
    narrow: &[
        Column::text("SENSOR", |it| match optional(it, "/host_name") {
            Some(host) => format!("{host}\n{}", word(it, "/id")),
            None => word(it, "/id"),
        }),
        Column::word("STATE", |it| word(it, "/state")),
        Column::number("RECEIVED", |it| count(it, "/received")),
        Column::number("MISSING", |it| count(it, "/missing")),
        Column::word("LAST (UTC)", |it| {
            moment(it, "/last_seen").replacen(' ', "\n", 1)
        }),
    ],
    csv: &[
        ("Sensor", |it| csv::Cell::Text(raw(it, "/id"))),
        ("Host_Name", |it| csv::Cell::Text(raw(it, "/host_name"))),
        ("State", |it| csv::Cell::Text(raw(it, "/state"))),
        ("Received", |it| csv::Cell::integer(number(it, "/received"))),
        ("Duplicates", |it| {
            csv::Cell::integer(number(it, "/duplicates"))
        }),
        ("Missing", |it| csv::Cell::integer(number(it, "/missing"))),
        ("Gaps", |it| csv::Cell::integer(gaps(it))),
        ("Last_Seen", |it| csv::Cell::Text(raw(it, "/last_seen"))),
    ],
};

const AUDIT: Listing = Listing {
    key: "entries",
    empty: "Nothing has been changed through the API yet.",
    wide: &[
        Column::word("AT (UTC)", |it| moment(it, "/at")),
        Column::word("WHO", |it| word(it, "/actor")),
        Column::word("ROLE", |it| word(it, "/role")),
        Column::word("FROM", |it| word(it, "/remote")),
        Column::word("ACTION", |it| word(it, "/action")),
        Column::word("ON", |it| word(it, "/target")),
        Column::text("DETAIL", detail),
    ],
    narrow: &[
        Column::word("AT (UTC)", |it| moment(it, "/at").replacen(' ', "\n", 1)),
        Column::text("WHO", |it| {
            format!("{}\n{}", word(it, "/actor"), word(it, "/remote"))
        }),
        Column::text("WHAT", |it| {
            format!(
                "{} {}\n{}",
                word(it, "/action"),
                word(it, "/target"),
                detail(it)
            )
        }),
    ],
    csv: &[
        ("At", |it| csv::Cell::Text(raw(it, "/at"))),
        ("Actor", |it| csv::Cell::Text(raw(it, "/actor"))),
        ("Role", |it| csv::Cell::Text(raw(it, "/role"))),
        ("Remote", |it| csv::Cell::Text(raw(it, "/remote"))),
        ("Action", |it| csv::Cell::Text(raw(it, "/action"))),
        ("Target", |it| csv::Cell::Text(raw(it, "/target"))),
        ("Detail", |it| csv::Cell::Text(detail(it))),
    ],
};

/// Missing ranges: their number, or the ranges.
fn gaps(it: &Value) -> u64 {
    match it["gaps"].as_array() {
        Some(ranges) => u64::try_from(ranges.len()).unwrap_or(u64::MAX),
        None => number(it, "/gaps"),
    }
}

/// What was changed: text, or whatever else stands there as JSON.
fn detail(it: &Value) -> String {
    match &it["detail"] {
        Value::Null => String::new(),
        Value::String(text) => text::harmless(text),
        other => text::harmless(&other.to_string()),
    }
}

/// Source, destination, name and process, a line each.
pub(super) fn narrow_ends(it: &Value) -> String {
    let mut lines = vec![word(it, "/src_ip"), endpoint(it)];
    lines.extend(optional(it, "/server_name"));
    lines.extend(optional(it, "/process/name").map(|_| process(it)));
    lines.extend(allowed(it).map(|why| format!("allowed: {why}")));
    lines.join("\n")
}

fn allowed(it: &Value) -> Option<String> {
    optional(it, "/allowed/reason")
}
