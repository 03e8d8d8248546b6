//! One finding, whole.

use std::io::{self, Write};

use serde_json::Value;

use super::{state, what};
use crate::output::answer::{
    count, duration, items, moment, number, optional, percent, process, real, score, word,
};

/// Prints a finding with its reasons, its history and its deliveries.
pub(super) fn print(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    let details = &it["details"];
    writeln!(out, "{}", word(it, "/title"))?;
    writeln!(out, "id          {}", word(it, "/alert_id"))?;
    writeln!(
        out,
        "severity    {}, score {}",
        word(it, "/severity"),
        score(details, "/score")
    )?;
    writeln!(out, "state       {}", state(it))?;
    if details.pointer("/src_ip").is_some() {
        writeln!(out, "series      {}", what(it))?;
        print_series(out, details)?;
    }
    writeln!(
        out,
        "opened      {} UTC, updated {} UTC, revision {}",
        moment(it, "/opened"),
        moment(it, "/updated"),
        number(it, "/revision")
    )?;
    if let Some(text) = optional(it, "/description") {
        writeln!(out, "\n{text}")?;
    }
    print_signals(out, details)?;
    print_comments(out, it)?;
    print_history(out, it)?;
    print_deliveries(out, it)
}

fn print_series(out: &mut dyn Write, details: &Value) -> io::Result<()> {
    writeln!(
        out,
        "beats       {} every {}, jitter {}, {} to {} UTC",
        count(details, "/connection_count"),
        duration(details, "/interval_s"),
        percent(details, "/jitter"),
        moment(details, "/first_seen"),
        moment(details, "/last_seen")
    )?;
    let host = optional(details, "/host_name").unwrap_or_else(|| word(details, "/host"));
    writeln!(out, "host        {host}")?;
    let executable = optional(details, "/process/executable");
    let executable = executable.map_or_else(String::new, |path| format!(", {path}"));
    writeln!(out, "process     {}{executable}", process(details))?;
    print_owner(out, &details["owner"])
}

/// Who runs the process, as far as it is known.
fn print_owner(out: &mut dyn Write, owner: &Value) -> io::Result<()> {
    let facts: [(&str, &[&str]); 7] = [
        ("command", &["/command_line"]),
        ("sha256", &["/executable_sha256"]),
        ("parent", &["/parent_executable", "/parent_name"]),
        ("user", &["/user_name"]),
        ("container", &["/container_id", "/pod_container"]),
        ("pod", &["/pod_name", "/pod_uid"]),
        ("unit", &["/unit", "/user_unit"]),
    ];
    for (name, places) in facts {
        let Some(fact) = places.iter().find_map(|place| optional(owner, place)) else {
            continue;
        };
        let within = match name {
            "container" => optional(owner, "/container_runtime"),
            "pod" => optional(owner, "/pod_namespace"),
            _ => None,
        };
        let within = within.map_or_else(String::new, |within| format!(" ({within})"));
        writeln!(out, "{name:<11} {fact}{within}")?;
    }
    Ok(())
}

fn print_signals(out: &mut dyn Write, details: &Value) -> io::Result<()> {
    for signal in items(details, "/signals") {
        writeln!(
            out,
            "  {:>6}  {}: {}",
            real(signal, "/contribution").map_or_else(String::new, |it| format!("{it:+.3}")),
            word(signal, "/name"),
            word(signal, "/text")
        )?;
    }
    Ok(())
}

fn print_comments(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    for (at, comment) in items(it, "/comments").iter().enumerate() {
        if at == 0 {
            writeln!(out, "\ncomments")?;
        }
        writeln!(
            out,
            "  {} {}: {}",
            moment(comment, "/at"),
            word(comment, "/by"),
            word(comment, "/text")
        )?;
    }
    Ok(())
}

fn print_history(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    for (at, event) in items(it, "/history").iter().enumerate() {
        if at == 0 {
            writeln!(out, "\nhistory")?;
        }
        let by = optional(event, "/actor").map_or_else(String::new, |by| format!(" by {by}"));
        let text = optional(event, "/text").map_or_else(String::new, |text| format!(": {text}"));
        writeln!(
            out,
            "  {} {}{by}{text}",
            moment(event, "/at"),
            word(event, "/event")
        )?;
    }
    Ok(())
}

fn print_deliveries(out: &mut dyn Write, it: &Value) -> io::Result<()> {
    for (at, delivery) in items(it, "/deliveries").iter().enumerate() {
        if at == 0 {
            writeln!(out, "\ndeliveries")?;
        }
        let why = optional(delivery, "/reason").map_or_else(String::new, |why| format!(": {why}"));
        writeln!(
            out,
            "  {} {} {}{why}",
            word(delivery, "/destination"),
            word(delivery, "/event_id"),
            word(delivery, "/state")
        )?;
    }
    Ok(())
}
