//! What commands print: tables for people, JSON and CSV for programs, on standard output or into a file.

pub(crate) mod answer;
pub(crate) mod csv;
pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod listing;
pub(crate) mod risk_line;
pub(crate) mod score_line;
pub(crate) mod score_table;
pub(crate) mod text;

use std::io::{self, Write};
use std::path::Path;

use score_table::Style;

/// Runs `print` on standard output. A reader that closes the pipe (`| head`) ends the output, and is
/// no error.
pub(crate) fn to_stdout(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match print(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is buffered would be written again on drop, to the same closed pipe.
            let (_stdout, _unwritten) = out.into_parts();
            Ok(())
        }
        result => result,
    }
}

/// Runs `print` on a file, which is there whole or not at all, or else on standard output.
pub(crate) fn to(
    file: Option<&Path>,
    print: impl FnOnce(&mut dyn Write, Style) -> io::Result<()>,
) -> io::Result<()> {
    match file {
        Some(file) => file::write(file, |out| print(out, Style::plain())),
        None => to_stdout(|out| print(out, Style::of_stdout())),
    }
}
