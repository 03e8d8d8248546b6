//! `beaconwatch destinations` and `dead-letters`: where documents go, and those that did not get there.

use std::io::{self, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::instance::{self, Instance, segment};
use super::lists::{self, cut};
use crate::arguments::{
    DeadLetterChoice, DeadLetterCommand, DeadLetterListArguments, DeadLetterShowArguments,
    DeadLettersArguments, DestinationCommand, DestinationPurgeArguments, DestinationTestArguments,
    DestinationsArguments, ListArguments,
};
use crate::client::Query;
use crate::error::Error;
use crate::output::answer::{count, flag, moment, number, optional, raw, word};
use crate::output::listing::{Column, Listing};
use crate::output::{csv, json as json_text, text};

const PATH: &str = "/api/v1/destinations";
const DEAD_LETTERS_PATH: &str = "/api/v1/dead-letters";

/// Lists or tries destinations.
pub(crate) fn run(arguments: DestinationsArguments, config: Option<&Path>) -> Result<(), Error> {
    match arguments.command {
        None => list(&arguments.list, config),
        Some(DestinationCommand::List(arguments)) => list(&arguments, config),
        Some(DestinationCommand::Test(arguments)) => test(&arguments, config),
        Some(DestinationCommand::Purge(arguments)) => purge(&arguments, config),
    }
}

fn list(arguments: &ListArguments, config: Option<&Path>) -> Result<(), Error> {
    let instance = Instance::of(&arguments.instance, config)?;
    let mut answer = instance.get(PATH, &Query::new())?;
    cut(&mut answer, DESTINATIONS.key, arguments.list.limit);
    DESTINATIONS.print(&arguments.list, &answer)
}

fn test(arguments: &DestinationTestArguments, config: Option<&Path>) -> Result<(), Error> {
    let mut query = Query::new();
    if arguments.dry_run {
        query.push(("dry_run", "true".to_owned()));
    }
    let instance = Instance::of(&arguments.ask.instance, config)?;
    let path = format!("{PATH}/{}/test", segment(&arguments.name));
    let answer = instance.post_with(&path, &query, &json!({}))?;
    if arguments.dry_run {
        return instance::print(
            &arguments.ask.print,
            &answer,
            |out, it| match &it["document"] {
                Value::String(body) => writeln!(out, "{}", text::harmless_lines(body)),
                other => json_text::pretty(out, other),
            },
        );
    }
    instance::print(&arguments.ask.print, &answer, print_outcome)?;
    match answer["outcome"].as_str() {
        Some("delivered" | "unconfirmed") => Ok(()),
        _ => Err(Error::Destination(text::harmless(&arguments.name))),
    }
}

fn purge(arguments: &DestinationPurgeArguments, config: Option<&Path>) -> Result<(), Error> {
    let instance = Instance::of(&arguments.ask.instance, config)?;
    let answer = instance.delete(&format!("{PATH}/{}", segment(&arguments.name)))?;
    instance::print(&arguments.ask.print, &answer, |out, it| {
        writeln!(
            out,
            "{} and {} of {} dropped.",
            text::counted(number(it, "/pending"), "document", "documents"),
            text::counted(number(it, "/dead_letters"), "dead letter", "dead letters"),
            text::harmless(&arguments.name)
        )
    })
}

fn print_outcome(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let why = optional(it, "/reason").map_or_else(String::new, |why| format!(": {why}"));
    let sentence = match it["outcome"].as_str() {
        Some("delivered") => "The test document was delivered",
        Some("unconfirmed") => {
            "The test document was sent; this destination does not say whether it came"
        }
        Some("refused") => "The test document was refused for good",
        Some("retry") => "The test document was not taken; a real one would be sent again",
        _ => "The instance does not say what became of the test document",
    };
    writeln!(out, "{sentence}{why}.")
}

/// Lists, shows, replays or drops dead letters.
pub(crate) fn dead_letters(
    arguments: DeadLettersArguments,
    config: Option<&Path>,
) -> Result<(), Error> {
    match arguments.command {
        None => list_dead_letters(&arguments.list, config),
        Some(DeadLetterCommand::List(arguments)) => list_dead_letters(&arguments, config),
        Some(DeadLetterCommand::Show(arguments)) => show(&arguments, config),
        Some(DeadLetterCommand::Replay(it)) => settle(&it, config, "replay", "sent again"),
        Some(DeadLetterCommand::Drop(it)) => settle(&it, config, "drop", "dropped"),
    }
}

fn list_dead_letters(
    arguments: &DeadLetterListArguments,
    config: Option<&Path>,
) -> Result<(), Error> {
    let query: Query = arguments
        .destination
        .iter()
        .map(|name| ("destination", name.clone()))
        .collect();
    lists::show(
        &DEAD_LETTERS,
        DEAD_LETTERS_PATH,
        &query,
        &arguments.list,
        config,
    )
}

fn show(arguments: &DeadLetterShowArguments, config: Option<&Path>) -> Result<(), Error> {
    let query = vec![
        ("destination", arguments.destination.clone()),
        ("full", "true".to_owned()),
    ];
    let instance = Instance::of(&arguments.ask.instance, config)?;
    let letter = instance.find(DEAD_LETTERS_PATH, &query, DEAD_LETTERS.key, |it| {
        it["number"] == arguments.number
    })?;
    let Some(letter) = letter else {
        return Err(Error::UnknownId {
            what: "dead letter",
            id: format!("{} of {}", arguments.number, arguments.destination),
            list: "beaconwatch dead-letters",
        });
    };
    instance::print(&arguments.ask.print, &letter, |out, it| {
        writeln!(
            out,
            "{} {}, document {}, {} UTC\n{}\n",
            word(it, "/destination"),
            number(it, "/number"),
            word(it, "/event_id"),
            moment(it, "/at"),
            word(it, "/reason")
        )?;
        json_text::pretty(out, &it["document"])
    })
}

fn settle(
    arguments: &DeadLetterChoice,
    config: Option<&Path>,
    action: &str,
    done: &str,
) -> Result<(), Error> {
    let mut body = json!({"destination": arguments.destination});
    if !arguments.all {
        body["numbers"] = arguments.numbers.clone().into();
    }
    let instance = Instance::of(&arguments.ask.instance, config)?;
    let answer = instance.post(&format!("{DEAD_LETTERS_PATH}/{action}"), &body)?;
    instance::print(&arguments.ask.print, &answer, |out, it| {
        let settled = text::counted(number(it, "/count"), "dead letter", "dead letters");
        let to = text::harmless(&arguments.destination);
        writeln!(out, "{settled} of {to} {done}.")
    })
}

const DESTINATIONS: Listing = Listing {
    key: "destinations",
    empty: "Findings go nowhere: no destination is configured.",
    wide: &[
        Column::word("NAME", name),
        Column::word("TYPE", |it| word(it, "/type")),
        Column::number("DELIVERED", |it| count(it, "/delivered")),
        Column::number("THERE", |it| count(it, "/already_there")),
        Column::number("PENDING", |it| count(it, "/pending")),
        Column::number("UNCONFIRMED", |it| count(it, "/unconfirmed")),
        Column::number("DEAD LETTERS", |it| count(it, "/dead_letters")),
        Column::number("RETRIES", |it| count(it, "/retries")),
        Column::number("FILTERED", |it| count(it, "/filtered")),
        Column::text("LAST ERROR", |it| {
            optional(it, "/last_error").unwrap_or_default()
        }),
    ],
    narrow: &[
        Column::text("NAME", |it| format!("{}\n{}", name(it), word(it, "/type"))),
        Column::number("DELIVERED", |it| count(it, "/delivered")),
        Column::number("PENDING", |it| count(it, "/pending")),
        Column::number("DEAD", |it| count(it, "/dead_letters")),
        Column::text("LAST ERROR", |it| {
            optional(it, "/last_error").unwrap_or_default()
        }),
    ],
    csv: &[
        ("Name", |it| csv::Cell::Text(raw(it, "/name"))),
        ("Type", |it| csv::Cell::Text(raw(it, "/type"))),
        ("Delivered", |it| {
            csv::Cell::integer(number(it, "/delivered"))
        }),
        ("Already_There", |it| {
            csv::Cell::integer(number(it, "/already_there"))
        }),
        ("Pending", |it| csv::Cell::integer(number(it, "/pending"))),
        ("Unconfirmed", |it| {
            csv::Cell::integer(number(it, "/unconfirmed"))
        }),
        ("Dead_Letters", |it| {
            csv::Cell::integer(number(it, "/dead_letters"))
        }),
        ("Retries", |it| csv::Cell::integer(number(it, "/retries"))),
        ("Filtered", |it| csv::Cell::integer(number(it, "/filtered"))),
        ("Last_Error", |it| csv::Cell::Text(raw(it, "/last_error"))),
    ],
};

/// Documents may wait for a destination that the configuration names no more.
fn name(it: &Value) -> String {
    let name = word(it, "/name");
    if it["configured"].is_boolean() && !flag(it, "/configured") {
        format!("{name} (not configured)")
    } else {
        name
    }
}

const DEAD_LETTERS: Listing = Listing {
    key: "dead_letters",
    empty: "No document was refused.",
    wide: &[
        Column::word("DESTINATION", |it| word(it, "/destination")),
        Column::number("NUMBER", |it| number(it, "/number").to_string()),
        Column::word("DOCUMENT", |it| word(it, "/event_id")),
        Column::word("AT (UTC)", |it| moment(it, "/at")),
        Column::text("REASON", |it| word(it, "/reason")),
    ],
    narrow: &[
        Column::word("NUMBER", |it| number(it, "/number").to_string()),
        Column::text("DESTINATION, DOCUMENT", |it| {
            format!(
                "{}\n{}\n{}",
                word(it, "/destination"),
                word(it, "/event_id"),
                moment(it, "/at")
            )
        }),
        Column::text("REASON", |it| word(it, "/reason")),
    ],
    csv: &[
        ("Destination", |it| csv::Cell::Text(raw(it, "/destination"))),
        ("Number", |it| csv::Cell::integer(number(it, "/number"))),
        ("Document", |it| csv::Cell::Text(raw(it, "/event_id"))),
        ("At", |it| csv::Cell::Text(raw(it, "/at"))),
        ("Reason", |it| csv::Cell::Text(raw(it, "/reason"))),
    ],
};
