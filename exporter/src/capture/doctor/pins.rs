//! The directory of pins: whether the kernel part can outlive the exporter.

use std::path::Path;

use super::{Check, State, chain};
use crate::capture::pins::{self, Use};

const NAME: &str = "directory of pins";

pub(super) fn examine(directory: Option<&Path>) -> Check {
    let Some(directory) = directory else {
        return Check::ok(
            NAME,
            "none (exporter.capture.pin_directory): what happens between two runs is not seen",
        );
    };
    let path = directory.display();
    match pins::examine(directory) {
        Ok(Use::Free) => Check::ok(NAME, format!("{path}: usable, empty")),
        Ok(Use::Left(pins)) => Check::ok(
            NAME,
            format!("{path}: usable, {pins} pins of an earlier run"),
        ),
        Ok(Use::Busy) => Check::ok(NAME, format!("{path}: in use by a running exporter")),
        Err(error) => Check::not_ok(
            State::Missing,
            NAME,
            chain(&error),
            "the exporter does not start",
            format!(
                "mount -t bpf bpf DIRECTORY; give {path} to the exporter's user (mode 0700), or take \
                 exporter.capture.pin_directory out"
            ),
        ),
    }
}
