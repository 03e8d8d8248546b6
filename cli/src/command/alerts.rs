//! `beaconwatch alerts`: findings, and what becomes of them.

mod show;

use std::path::Path;

use serde_json::{Value, json};

use super::instance::{self, Instance, segment};
use super::lists;
use crate::arguments::{
    AlertArguments, AlertCommand, AlertFormat, AlertListArguments, AlertShowArguments,
    AlertsArguments, InstanceArguments,
};
use crate::client::Query;
use crate::error::Error;
use crate::output::answer::{
    count, duration, flag, moment, number, optional, raw, real, score, word,
};
use crate::output::listing::{Column, Listing};
use crate::output::{csv, text};

const PATH: &str = "/api/v1/alerts";
/// Ids that are shown when more than one begins with what was asked for.
const AMBIGUOUS_SHOWN: usize = 10;
/// Findings that are looked through for the beginning of an id.
const LOOKED_THROUGH: u64 = 10_000;
/// Digits of a whole id.
const ID_LENGTH: usize = 32;

/// Lists, shows or changes findings.
pub(crate) fn run(arguments: AlertsArguments, config: Option<&Path>) -> Result<(), Error> {
    match arguments.command {
        None => list(&arguments.list, config),
        Some(AlertCommand::List(arguments)) => list(&arguments, config),
        Some(AlertCommand::Show(arguments)) => show_one(&arguments, config),
        Some(AlertCommand::Acknowledge(it)) => change(&it.alert, config, |instance, path| {
            let path = format!("{path}/acknowledge");
            if it.undo {
                instance.delete(&path)
            } else {
                instance.post(&path, &given("comment", it.comment.as_deref()))
            }
        }),
        Some(AlertCommand::Comment(it)) => change(&it.alert, config, |instance, path| {
            instance.post(&format!("{path}/comment"), &json!({"text": it.text}))
        }),
        Some(AlertCommand::Close(it)) => change(&it.alert, config, |instance, path| {
            let body = given("reason", it.reason.as_deref());
            instance.post(&format!("{path}/close"), &body)
        }),
        Some(AlertCommand::Reopen(it)) => change(&it, config, |instance, path| {
            instance.post(&format!("{path}/reopen"), &json!({}))
        }),
        Some(AlertCommand::Suppress(it)) => change(&it.alert, config, |instance, path| {
            let path = format!("{path}/suppress");
            match it.for_s {
                Some(for_s) => instance.post(&path, &json!({"for_s": for_s})),
                None => instance.delete(&path),
            }
        }),
    }
}

fn show_one(arguments: &AlertShowArguments, config: Option<&Path>) -> Result<(), Error> {
    let (instance, path) = found(&arguments.alert, config)?;
    let vocabulary = match arguments.format {
        AlertFormat::Text | AlertFormat::Json => None,
        AlertFormat::Ecs => Some("ecs"),
        AlertFormat::Ocsf => Some("ocsf"),
        AlertFormat::Stix => Some("stix"),
    };
    let path = vocabulary.map_or_else(|| path.clone(), |it| format!("{path}/{it}"));
    let answer = instance.get(&path, &Query::new())?;
    let mut print = arguments.alert.ask.print.clone();
    print.json |= arguments.format != AlertFormat::Text;
    instance::print_lines(&print, &answer, show::print)
}

fn given(key: &str, text: Option<&str>) -> Value {
    match text {
        Some(text) => json!({ key: text }),
        None => json!({}),
    }
}

fn list(arguments: &AlertListArguments, config: Option<&Path>) -> Result<(), Error> {
    let mut query = Query::new();
    if !arguments.state.is_empty() {
        let names: Vec<&str> = arguments.state.iter().map(|it| it.name()).collect();
        query.push(("state", names.join(",")));
    }
    query.extend(
        arguments
            .severity
            .map(|it| ("severity", it.name().to_owned())),
    );
    for (name, value) in [
        ("source", &arguments.source),
        ("destination", &arguments.destination),
        ("process", &arguments.process),
        ("q", &arguments.query),
        ("since", &arguments.since),
    ] {
        query.extend(value.clone().map(|value| (name, value)));
    }
    query.extend(arguments.sort.map(|it| ("sort", it.name().to_owned())));
    lists::show(&ALERTS, PATH, &query, &arguments.list, config)
}

/// Changes a finding and says in which state it is now.
fn change(
    arguments: &AlertArguments,
    config: Option<&Path>,
    act: impl FnOnce(&Instance, &str) -> Result<Value, Error>,
) -> Result<(), Error> {
    let (instance, path) = found(arguments, config)?;
    let alert = act(&instance, &path)?;
    instance::print(&arguments.ask.print, &alert, |out, it| {
        writeln!(
            out,
            "{} {}: {}",
            word(it, "/alert_id"),
            word(it, "/title"),
            state(it)
        )
    })
}

/// A finding as the document that destinations get.
pub(super) fn document(
    id: &str,
    arguments: &InstanceArguments,
    config: Option<&Path>,
) -> Result<Value, Error> {
    let instance = Instance::of(arguments, config)?;
    let id = whole_id(&instance, id)?;
    instance.get(&format!("{PATH}/{}/ecs", segment(&id)), &Query::new())
}

/// The instance, and the path of the one finding that `id` is the beginning of.
fn found(arguments: &AlertArguments, config: Option<&Path>) -> Result<(Instance, String), Error> {
    let instance = Instance::of(&arguments.ask.instance, config)?;
    let id = whole_id(&instance, &arguments.id)?;
    Ok((instance, format!("{PATH}/{}", segment(&id))))
}

fn whole_id(instance: &Instance, id: &str) -> Result<String, Error> {
    if id.len() == ID_LENGTH {
        return Ok(id.to_owned());
    }
    let query = vec![("q", id.to_owned())];
    // The text may stand elsewhere too (in an address): all that have it are looked through.
    let answer = instance.list(PATH, &query, ALERTS.key, Some(LOOKED_THROUGH))?;
    let ids = answer[ALERTS.key].as_array().into_iter().flatten();
    let ids = ids.filter_map(|it| it["alert_id"].as_str());
    unique("finding", "beaconwatch alerts", id, ids)
}

/// The one of `ids` that begins with `start`.
pub(super) fn unique<'a>(
    what: &'static str,
    list: &'static str,
    start: &str,
    ids: impl Iterator<Item = &'a str>,
) -> Result<String, Error> {
    let mut fitting: Vec<&str> = ids.filter(|id| id.starts_with(start)).collect();
    if let Some(exact) = fitting.iter().find(|id| **id == start) {
        return Ok((*exact).to_owned());
    }
    match fitting.as_slice() {
        [] => Err(Error::UnknownId {
            what,
            id: start.to_owned(),
            list,
        }),
        [one] => Ok((*one).to_owned()),
        _ => {
            fitting.truncate(AMBIGUOUS_SHOWN);
            let ids: Vec<String> = fitting.into_iter().map(text::harmless).collect();
            Err(Error::AmbiguousId {
                what,
                id: start.to_owned(),
                ids: ids.join(", "),
            })
        }
    }
}

/// `open, acknowledged by kim`.
pub(super) fn state(it: &Value) -> String {
    let mut words = vec![word(it, "/state")];
    words.extend(optional(it, "/acknowledged/by").map(|by| format!("acknowledged by {by}")));
    if it["suppressed_until"].is_string() {
        words.push(format!(
            "suppressed until {} UTC",
            moment(it, "/suppressed_until")
        ));
    }
    words.extend(optional(it, "/allowed/reason").map(|why| format!("allowed: {why}")));
    if flag(it, "/simulated") {
        words.push("simulated".to_owned());
    }
    words.join(", ")
}

/// As many digits as tell findings apart for a person.
fn short_id(it: &Value) -> String {
    word(it, "/alert_id").chars().take(8).collect()
}

/// `10.0.0.5 to 198.51.100.7:443/tcp`, or the title of a finding that is about something else.
pub(super) fn what(it: &Value) -> String {
    match it["kind"].as_str() {
        Some("beacon") | None if it.pointer("/details/src_ip").is_some() => {
            let details = &it["details"];
            let to = crate::output::answer::place(details);
            format!("{} to {to}", word(details, "/src_ip"))
        }
        _ => word(it, "/title"),
    }
}

const ALERTS: Listing = Listing {
    key: "alerts",
    empty: "No finding fits.",
    wide: &[
        Column::word("ID", short_id),
        Column::severity("SEVERITY", |it| word(it, "/severity")),
        Column::number("SCORE", |it| score(it, "/details/score")),
        Column::word("WHAT", what),
        Column::word("PROCESS", |it| word(it, "/details/process/name")),
        Column::number("COUNT", |it| count(it, "/details/connection_count")),
        Column::number("INTERVAL", |it| duration(it, "/details/interval_s")),
        Column::word("STATE", state),
        Column::word("UPDATED (UTC)", |it| moment(it, "/updated")),
    ],
    narrow: &[
        Column::word("ID", short_id),
        Column::severity("SEVERITY", |it| {
            format!("{}\n{}", score(it, "/details/score"), word(it, "/severity"))
        }),
        Column::text("WHAT", |it| {
            let details = &it["details"];
            match details.pointer("/src_ip") {
                Some(_) => lists::narrow_ends(details),
                None => word(it, "/title"),
            }
        }),
        Column::number("COUNT", |it| count(it, "/details/connection_count")),
        Column::number("EVERY", |it| duration(it, "/details/interval_s")),
        Column::text("STATE, UPDATED (UTC)", |it| {
            format!("{}\n{}", state(it), moment(it, "/updated"))
        }),
    ],
    csv: &[
        ("Id", |it| csv::Cell::Text(raw(it, "/alert_id"))),
        ("Score", |it| csv::Cell::real(real(it, "/details/score"), 4)),
        ("Severity", |it| csv::Cell::Text(raw(it, "/severity"))),
        ("State", |it| csv::Cell::Text(raw(it, "/state"))),
        ("Title", |it| csv::Cell::Text(raw(it, "/title"))),
        ("Source_IP", |it| {
            csv::Cell::Text(raw(it, "/details/src_ip"))
        }),
        ("Dest_IP", |it| csv::Cell::Text(raw(it, "/details/dst_ip"))),
        ("Dest_Port", |it| {
            csv::Cell::integer(number(it, "/details/dst_port"))
        }),
        ("Protocol", |it| {
            csv::Cell::Text(raw(it, "/details/protocol"))
        }),
        ("Server_Name", |it| {
            csv::Cell::Text(raw(it, "/details/server_name"))
        }),
        ("Process", |it| {
            csv::Cell::Text(raw(it, "/details/process/name"))
        }),
        ("Connections", |it| {
            csv::Cell::integer(number(it, "/details/connection_count"))
        }),
        ("Interval", |it| {
            csv::Cell::real(real(it, "/details/interval_s"), 3)
        }),
        ("Jitter", |it| {
            csv::Cell::real(real(it, "/details/jitter"), 4)
        }),
        ("Opened", |it| csv::Cell::Text(raw(it, "/opened"))),
        ("Updated", |it| csv::Cell::Text(raw(it, "/updated"))),
        ("Acknowledged_By", |it| {
            csv::Cell::Text(raw(it, "/acknowledged/by"))
        }),
    ],
};
