//! `beaconwatch store salvage`: what is left of a damaged store, as a new one.

use std::io::{self, Write};

use beaconwatch_sidecar::{SalvageReport, salvage};

use crate::arguments::{SalvageArguments, StoreArguments, StoreCommand};
use crate::error::Error;
use crate::output::{json, text, to_stdout};

/// Works on a store that no instance has open.
pub(crate) fn run(arguments: &StoreArguments) -> Result<(), Error> {
    match &arguments.command {
        StoreCommand::Salvage(arguments) => rescue(arguments),
    }
}

fn rescue(arguments: &SalvageArguments) -> Result<(), Error> {
    let report = salvage(&arguments.file, &arguments.out)?;
    to_stdout(|out| {
        if arguments.json {
            return json::pretty(out, &report);
        }
        print(out, &report, arguments)
    })?;
    Ok(())
}

fn print(
    out: &mut dyn Write,
    report: &SalvageReport,
    arguments: &SalvageArguments,
) -> io::Result<()> {
    for table in &report.tables {
        write!(
            out,
            "{:<22} {} kept",
            text::harmless(&table.name),
            text::thousands(table.kept)
        )?;
        if table.damaged > 0 {
            write!(out, ", {} damaged", text::thousands(table.damaged))?;
        }
        if table.dropped > 0 {
            write!(out, ", {} dropped", text::thousands(table.dropped))?;
        }
        match &table.error {
            Some(error) => writeln!(out, "; the rest cannot be read: {}", text::harmless(error))?,
            None => writeln!(out)?,
        }
    }
    let all = if report.is_whole() {
        "All of it was read"
    } else {
        "What could be read"
    };
    writeln!(
        out,
        "{all} is in {}. Stop the instance and put it in place of {}.",
        arguments.out.display(),
        arguments.file.display()
    )
}
