//! What the programs say when they cannot run: the reason, what to do, and the right exit code.

use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::{deployment, tools};

#[test]
fn a_wrong_configuration_is_refused_with_file_and_key_by_every_command() -> Result<()> {
    let cases = [
        (
            "[detector.seed]\nalert_treshold = 0.7\n",
            "detector.seed.alert_treshold",
        ),
        (
            "[sidecar]\nanalysis_interval_s = 0\n",
            "sidecar.analysis_interval_s",
        ),
        (
            "[sidecar.receive]\ngrpc_address = \"0.0.0.0:14317\"\n",
            "receive.grpc_address",
        ),
        (
            "[exporter]\nflush_interval_s = nan\n",
            "exporter.flush_interval_s",
        ),
        (
            "[exporter.otlp]\nprotocol = \"carrier pigeon\"\n",
            "exporter.otlp.protocol",
        ),
        ("[elsewhere]\n", "elsewhere"),
        ("not TOML", "beaconwatch.toml:1"),
    ];
    deployment::in_folder(|folder| {
        let file = folder.join("beaconwatch.toml");
        for (text, key) in cases {
            std::fs::write(&file, text).context("writing the configuration")?;
            for command in [&["config", "check"][..], &["detect"], &["run"]] {
                expect_refusal("beaconwatch", command, &file, key)?;
            }
        }
        let foreign = "[exporter]\nflush_interval = 1\n";
        std::fs::write(&file, foreign).context("writing the configuration")?;
        expect_refusal(
            "beaconwatch-exporter",
            &[],
            &file,
            "exporter.flush_interval",
        )
    })
}

#[test]
fn a_missing_configuration_file_is_named() -> Result<()> {
    let missing = Path::new("/nowhere/beaconwatch.toml");
    for program in ["beaconwatch", "beaconwatch-exporter"] {
        let command: &[&str] = if program == "beaconwatch" {
            &["run"]
        } else {
            &[]
        };
        expect_refusal(program, command, missing, "cannot read")?;
    }
    Ok(())
}

#[test]
fn the_sample_configurations_are_right() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging");
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).context("reading packaging/")? {
        let file = entry.context("reading packaging/")?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            let command = &mut beaconwatch("beaconwatch")?;
            tools::output_of(command.arg("--config").arg(&file).args(["config", "check"]))?;
            checked += 1;
        }
    }
    ensure!(
        checked > 0,
        "no sample configuration in {}",
        folder.display()
    );
    Ok(())
}

#[test]
fn without_capabilities_the_missing_ones_and_what_works_without_them_are_named() -> Result<()> {
    ensure!(
        tools::is_root()?,
        "this test needs root, to give up rights that only root has"
    );
    deployment::in_folder(|folder| {
        for program in ["beaconwatch", "beaconwatch-exporter"] {
            let mut command = Command::new("setpriv");
            command
                .args(["--bounding-set=-all", "--inh-caps=-all"])
                .arg(deployment::binaries()?.join(program));
            if program == "beaconwatch" {
                command
                    .args(["run", "--api-address", "127.0.0.1:0", "--state-dir"])
                    .arg(folder);
                command.env("BEACONWATCH_SIDECAR__RECEIVE__GRPC_ADDRESS", "127.0.0.1:0");
                command.env("BEACONWATCH_SIDECAR__RECEIVE__HTTP_ADDRESS", "127.0.0.1:0");
            }
            let told = refusal(&mut command)?;
            ensure!(
                told.contains("CAP_BPF"),
                "{program} does not name the capability: {told}"
            );
            if program == "beaconwatch" {
                ensure!(
                    told.contains("beaconwatch score"),
                    "no way out is shown: {told}"
                );
            }
        }
        Ok(())
    })
}

fn beaconwatch(program: &str) -> Result<Command> {
    Ok(Command::new(deployment::binaries()?.join(program)))
}

/// The program refuses, and names the file and what is wrong with it.
fn expect_refusal(program: &str, arguments: &[&str], file: &Path, wrong: &str) -> Result<()> {
    let told = refusal(
        beaconwatch(program)?
            .arg("--config")
            .arg(file)
            .args(arguments),
    )
    .with_context(|| format!("{program} {arguments:?}"))?;
    let name = file.display().to_string();
    ensure!(
        told.contains(&name),
        "{program} {arguments:?} does not name {name}: {told}"
    );
    ensure!(
        told.contains(wrong),
        "{program} {arguments:?} does not name {wrong}: {told}"
    );
    Ok(())
}

/// What the program writes to its standard error, when it ends with code 1 and without a panic.
fn refusal(command: &mut Command) -> Result<String> {
    let Output { status, stderr, .. } = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let told = String::from_utf8_lossy(&stderr).into_owned();
    ensure!(
        status.code() == Some(1),
        "ended with {status}, not with code 1: {told}"
    );
    ensure!(!told.contains("panicked"), "it panicked: {told}");
    Ok(told)
}
