//! `beaconwatch allow`: what may beacon.

use std::io::{self, Write};
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};

use super::alerts;
use super::instance::{self, Instance, segment};
use super::lists::cut;
use crate::arguments::{
    AllowAddArguments, AllowArguments, AllowCommand, AllowRemoveArguments, ListArguments,
};
use crate::client::Query;
use crate::error::Error;
use crate::output::answer::{count, items, moment, number, optional, raw, word};
use crate::output::listing::{Column, Listing};
use crate::output::{csv, text, to_stdout};

const PATH: &str = "/api/v1/allow";

/// Lists, adds or removes entries.
pub(crate) fn run(arguments: AllowArguments, config: Option<&Path>) -> Result<(), Error> {
    match arguments.command {
        None => list(&arguments.list, config),
        Some(AllowCommand::List(arguments)) => list(&arguments, config),
        Some(AllowCommand::Add(arguments)) => add(&arguments, config),
        Some(AllowCommand::Remove(arguments)) => remove(&arguments, config),
    }
}

fn list(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Error> {
    let instance = Instance::of(&arguments.instance, config)?;
    let mut answer = instance.get(PATH, &Query::new())?;
    cut(&mut answer, ENTRIES.key, arguments.list.limit);
    ENTRIES.print(&arguments.list, &answer)
}

fn add(arguments: &AllowAddArguments, config: Option<&Path>) -> Result<(), Error> {
    let expires = match arguments.for_s {
        Some(for_s) => Some(after(for_s)?),
        None => arguments.expires.clone(),
    };
    let mut entry = Map::new();
    for (key, value) in [
        ("source", &arguments.source),
        ("destination", &arguments.destination),
        ("transport", &arguments.transport),
        ("domain", &arguments.domain),
        ("process", &arguments.process),
        ("client_fingerprint", &arguments.client_fingerprint),
        ("reason", &Some(arguments.reason.clone())),
        ("owner", &arguments.owner),
        ("expires", &expires),
    ] {
        let value = value.clone().map(|value| (key.to_owned(), value.into()));
        entry.extend(value);
    }
    let port = arguments.destination_port;
    entry.extend(port.map(|port| ("port".to_owned(), port.into())));
    let mut query = Query::new();
    if arguments.dry_run {
        query.push(("dry_run", "true".to_owned()));
    }
    let instance = Instance::of(&arguments.ask.instance, config)?;
    let answer = instance.post_with(PATH, &query, &Value::Object(entry))?;
    instance::print(&arguments.ask.print, &answer, |out, it| {
        print_effect(out, it, arguments.dry_run)
    })
}

/// The time so many seconds from now.
fn after(seconds: u64) -> Result<String, Error> {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::now()
        .checked_add(SignedDuration::from_secs(seconds))
        .map(|time| time.to_string())
        .map_err(|error| Error::Task(format!("--for: {error}")))
}

fn print_effect(out: &mut dyn Write, it: &Value, dry_run: bool) -> io::Result<()> {
    let series = text::counted(number(it, "/effect/series"), "series", "series");
    let findings = text::counted(number(it, "/effect/findings"), "finding", "findings");
    if dry_run {
        writeln!(
            out,
            "It would allow {series} and {findings} that are known now; nothing was kept."
        )?;
    } else {
        writeln!(
            out,
            "Allowed as {}: {series} and {findings} that are known now.",
            word(it, "/entry/id")
        )?;
    }
    for alert in items(it, "/effect/alerts") {
        let id: String = word(alert, "/alert_id").chars().take(8).collect();
        writeln!(
            out,
            "  {id} {} {}",
            word(alert, "/severity"),
            alerts::what(alert)
        )?;
    }
    Ok(())
}

fn remove(arguments: &AllowRemoveArguments, config: Option<&Path>) -> Result<(), Error> {
    let instance = Instance::of(&arguments.instance, config)?;
    let answer = instance.get(PATH, &Query::new())?;
    let ids = answer[ENTRIES.key].as_array().into_iter().flatten();
    let ids = ids.filter_map(|it| it["id"].as_str());
    let id = alerts::unique("entry", "beaconwatch allow", &arguments.id, ids)?;
    instance.delete(&format!("{PATH}/{}", segment(&id)))?;
    to_stdout(|out| writeln!(out, "Removed {}.", text::harmless(&id)))?;
    Ok(())
}

/// `from 10.0.0.0/8 to *.example.org port 443 tcp by curl with t13d1516h2_*`.
fn conditions(it: &Value) -> String {
    let mut parts = Vec::new();
    parts.extend(optional(it, "/source").map(|it| format!("from {it}")));
    parts.extend(optional(it, "/destination").map(|it| format!("to {it}")));
    parts.extend(optional(it, "/domain").map(|it| format!("to {it}")));
    if number(it, "/port") > 0 {
        parts.push(format!("port {}", number(it, "/port")));
    }
    parts.extend(optional(it, "/transport"));
    parts.extend(optional(it, "/process").map(|it| format!("by {it}")));
    parts.extend(optional(it, "/client_fingerprint").map(|it| format!("with {it}")));
    parts.join(" ")
}

fn expiry(it: &Value) -> String {
    match &it["expires"] {
        Value::String(_) if it["expired"] == true => format!("ended {}", moment(it, "/expires")),
        Value::String(_) => moment(it, "/expires"),
        _ => "never".to_owned(),
    }
}

const ENTRIES: Listing = Listing {
    key: "entries",
    empty: "Nothing is allowed.",
    wide: &[
        Column::word("ID", |it| word(it, "/id")),
        Column::word("WHAT", conditions),
        Column::number("MATCHED", |it| count(it, "/matched")),
        Column::word("EXPIRES (UTC)", expiry),
        Column::word("FROM", |it| word(it, "/origin")),
        Column::word("OWNER", |it| word(it, "/owner")),
        Column::text("REASON", |it| word(it, "/reason")),
    ],
    narrow: &[
        Column::text("ID", |it| word(it, "/id")),
        Column::text("WHAT, WHY", |it| {
            let owner = optional(it, "/owner").map_or_else(String::new, |who| format!(" ({who})"));
            format!("{}\n{}{owner}", conditions(it), word(it, "/reason"))
        }),
        Column::number("MATCHED", |it| count(it, "/matched")),
        Column::word("EXPIRES (UTC)", expiry),
    ],
    csv: &[
        ("Id", |it| csv::Cell::Text(raw(it, "/id"))),
        ("Source", |it| csv::Cell::Text(raw(it, "/source"))),
        ("Destination", |it| csv::Cell::Text(raw(it, "/destination"))),
        ("Dest_Port", |it| match number(it, "/port") {
            0 => csv::Cell::Own(String::new()),
            port => csv::Cell::integer(port),
        }),
        ("Protocol", |it| csv::Cell::Text(raw(it, "/transport"))),
        ("Domain", |it| csv::Cell::Text(raw(it, "/domain"))),
        ("Process", |it| csv::Cell::Text(raw(it, "/process"))),
        ("Client_Fingerprint", |it| {
            csv::Cell::Text(raw(it, "/client_fingerprint"))
        }),
        ("Reason", |it| csv::Cell::Text(raw(it, "/reason"))),
        ("Owner", |it| csv::Cell::Text(raw(it, "/owner"))),
        ("Expires", |it| csv::Cell::Text(raw(it, "/expires"))),
        ("Origin", |it| csv::Cell::Text(raw(it, "/origin"))),
        ("Matched", |it| csv::Cell::integer(number(it, "/matched"))),
    ],
};
