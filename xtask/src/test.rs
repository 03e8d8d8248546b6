//! Tests: those of each crate, then the fuzz targets for a moment, then the end-to-end tests against real servers.

use crate::steps::Steps;
use crate::{end_to_end, fuzz, workspace};

/// Runs every test.
pub(crate) fn run(steps: &mut Steps) {
    steps.run("unit, property and documentation tests", || {
        workspace::cargo(&[
            "test",
            "--workspace",
            "--exclude",
            end_to_end::PACKAGE,
            "--locked",
            "--no-fail-fast",
        ])
    });
    steps.run("fuzz smoke", || fuzz::run(None, 5));
    end_to_end::run(steps, None);
}
