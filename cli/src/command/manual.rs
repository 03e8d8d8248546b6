//! `beaconwatch completions` and `man`: made from the command line's definition.

use std::io;
use std::path::Path;

use clap::CommandFactory;

use crate::arguments::{Arguments, CompletionsArguments, ManArguments};
use crate::error::Error;
use crate::output::{file, to_stdout};

/// Prints the completions of a shell.
pub(crate) fn completions(arguments: &CompletionsArguments) -> Result<(), Error> {
    let mut text = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut Arguments::command(),
        "beaconwatch",
        &mut text,
    );
    Ok(to_stdout(|out| out.write_all(&text))?)
}

/// Prints the manual page, or writes one for each command.
pub(crate) fn man(arguments: &ManArguments) -> Result<(), Error> {
    let mut command = Arguments::command();
    command.build();
    match &arguments.out {
        None => to_stdout(|out| clap_mangen::Man::new(command).render(&mut WriteAll(out)))?,
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
            })?;
            write_pages(&command, folder)?;
        }
    }
    Ok(())
}

/// The pages of a command and of those below it.
fn write_pages(command: &clap::Command, folder: &Path) -> io::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    file::write(&path, |out| page.render(&mut WriteAll(out)))?;
    command
        .get_subcommands()
        .filter(|it| !it.is_hide_set() && it.get_name() != "help")
        .try_for_each(|it| write_pages(it, folder))
}

/// A writer that has a size, as the page wants it.
struct WriteAll<'a>(&'a mut dyn io::Write);

impl io::Write for WriteAll<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
