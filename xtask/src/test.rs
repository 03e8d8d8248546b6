//! Tests: those of each crate, then the end-to-end tests against real servers.

use beaconwatch_tests::servers::Servers;

use crate::steps::Steps;
use crate::{fuzz, workspace};

const END_TO_END: &str = "beaconwatch-tests";

/// Runs every test.
pub(crate) fn run(steps: &mut Steps) {
    steps.run("unit, property and documentation tests", || {
        workspace::cargo(&[
            "test",
            "--workspace",
            "--exclude",
            END_TO_END,
            "--locked",
            "--no-fail-fast",
        ])
    });
    steps.run("fuzz smoke", || fuzz::run(None, 5));
    end_to_end(steps, None);
}

/// Builds the binaries, installs the servers, and runs the end-to-end tests whose names contain
/// `filter`.
pub(crate) fn end_to_end(steps: &mut Steps, filter: Option<&str>) {
    let built = steps.run("build of the binaries", || {
        workspace::cargo(&[
            "build",
            "--workspace",
            "--exclude",
            END_TO_END,
            "--bins",
            "--locked",
        ])
    });
    let installed = steps.run("servers of the end-to-end tests", || {
        Servers::install(&mut |progress| println!("{progress}")).map(drop)
    });
    if built && installed {
        steps.run("end-to-end tests", || {
            let command = [
                "test",
                "--package",
                END_TO_END,
                "--locked",
                "--no-fail-fast",
                "--",
            ];
            let shown: Vec<&str> = filter.into_iter().chain(["--nocapture"]).collect();
            workspace::cargo(&[&command[..], &shown].concat())
        });
    }
}
