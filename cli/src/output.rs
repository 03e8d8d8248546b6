//! What commands print: tables for people, JSON lines for programs.

pub(crate) mod score_line;
pub(crate) mod score_table;
pub(crate) mod text;

use std::io::{self, Write};

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
