//! `beaconwatch watch` in a real terminal, with a real instance.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment::{self, SIDECAR_SCALE};
use beaconwatch_tests::otlp_json::{self, Connection};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::terminal::{Shown, Terminal};
use beaconwatch_tests::wait::wait_for;
use beaconwatch_tests::{http, tools};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_mins(1);
const SIGNAL_HANG_UP: i32 = 1;
const SIGNAL_TERMINATE: i32 = 15;

/// An instance that takes flows over HTTP.
struct Instance<'a> {
    folder: &'a Path,
    api_port: u16,
    otlp_port: u16,
    process: Process,
}

impl<'a> Instance<'a> {
    fn start(folder: &'a Path) -> Result<Self> {
        let [api_port, otlp_port] = http::free_ports()?;
        let process = launch(folder, api_port, otlp_port)?;
        Ok(Self {
            folder,
            api_port,
            otlp_port,
            process,
        })
    }

    fn stop(&mut self) -> Result<()> {
        let status = self.process.terminate(DEADLINE)?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    }

    fn start_again(&mut self) -> Result<()> {
        self.process = launch(self.folder, self.api_port, self.otlp_port)?;
        Ok(())
    }

    /// Tells of a beacon with so many beats, the last just now.
    fn beat(&self, destination: &str, interval_s: u64, count: u64) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/v1/logs", self.otlp_port);
        let answer = http::post(&url, &flows(destination, interval_s, count)?)?;
        let said = answer.expect_success(&url)?;
        ensure!(!said.to_string().contains("rejected"), "{said}");
        Ok(())
    }

    fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
        command.args(arguments).arg("--url");
        command.arg(format!("http://127.0.0.1:{}", self.api_port));
        command
            .arg("--token-file")
            .arg(self.folder.join("api-token"));
        Ok(command)
    }

    fn watch(&self) -> Result<Terminal> {
        Terminal::start(80, 24, &self.command(&["watch", "--interval", "0.5"])?)
    }

    /// Findings as the command line lists them.
    fn alerts(&self) -> Result<Vec<Value>> {
        let out = tools::output_of(&mut self.command(&["alerts", "--json"])?)?;
        let answer: Value = serde_json::from_str(&out).context("reading the list")?;
        Ok(answer["alerts"].as_array().cloned().unwrap_or_default())
    }
}

fn launch(folder: &Path, api_port: u16, otlp_port: u16) -> Result<Process> {
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command.args(["detect", "--grpc-address", "127.0.0.1:0"]);
    command.arg("--state-dir").arg(folder);
    command.args(["--api-address", &format!("127.0.0.1:{api_port}")]);
    command.args(["--http-address", &format!("127.0.0.1:{otlp_port}")]);
    command.envs(SIDECAR_SCALE.iter().copied());
    let log = folder.join("detect.log");
    let mut process = Process::start("beaconwatch detect", &command, None, &log)?;
    wait_for("the API", DEADLINE, || {
        process.expect_running()?;
        let answer = http::get(&format!("http://127.0.0.1:{api_port}/readyz"))?;
        Ok((answer.status == 200).then_some(()))
    })?;
    Ok(process)
}

/// Connections of a program with a hostile name, as an exporter tells of them.
fn flows(destination: &str, interval_s: u64, count: u64) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let now = u64::try_from(now).context("a time before 2554")?;
    let exporter = format!("{now:032x}");
    let records: Vec<Value> = (0..count)
        .rev()
        .zip(0..)
        .map(|(beat, sequence)| {
            let connection = Connection {
                exporter: &exporter,
                sequence,
                source: "10.20.0.5",
                destination,
                process: "im\u{1b}[31mplant",
                start_ns: now - (beat * interval_s + 1) * 1_000_000_000,
            };
            connection.record()
        })
        .collect();
    Ok(otlp_json::request("h", "ws-14", &records))
}

/// Shows a screen to whoever reads the test's output.
#[expect(
    clippy::print_stdout,
    reason = "for people who look at what the tests saw"
)]
fn picture(name: &str, shown: &Shown) {
    println!("--- {name}\n{}\n---", shown.text());
}

fn expect_given_back(shown: &Shown) -> Result<()> {
    ensure!(
        shown.status == Some(0) && !shown.alternate && shown.cursor && shown.as_before,
        "the terminal is not as it was: {shown:?}"
    );
    Ok(())
}

#[test]
fn findings_are_shown_live_acknowledged_and_taken_back_and_a_lost_instance_comes_again()
-> Result<()> {
    deployment::in_folder(|folder| {
        let mut instance = Instance::start(folder)?;
        instance.beat("203.0.113.66", 60, 40)?;
        let mut terminal = instance.watch()?;
        let words = [
            "1 Findings (1)",
            "● live",
            "203.0.113.66:443",
            "im\u{fffd}[31mplant",
            "the latest",
            "│",
        ];
        let shown = terminal.wait_for(&words, DEADLINE)?;
        ensure!(shown.alternate && !shown.as_before, "{shown:?}");
        picture("80 x 24", &shown);

        instance.beat("203.0.113.77", 30, 60)?;
        terminal.wait_for(&["1 Findings (2)", "203.0.113.77:443"], DEADLINE)?;
        terminal.send("/.66\r")?;
        let only = terminal.wait_until("the filtered table", DEADLINE, |shown| {
            let text = shown.text();
            text.contains("/.66") && !text.contains("203.0.113.77")
        })?;
        ensure!(only.text().contains("203.0.113.66"), "{}", only.text());
        acknowledge(&instance, &mut terminal)?;
        sizes(&mut terminal)?;

        instance.stop()?;
        let lost = terminal.wait_for(&["LOST, trying again", "203.0.113.66:443"], DEADLINE)?;
        picture("without its instance", &lost);
        instance.start_again()?;
        terminal.wait_for(&["● live", "203.0.113.66:443"], DEADLINE)?;
        terminal.send("q")?;
        expect_given_back(&terminal.wait_for_end(DEADLINE)?)?;
        instance.stop()
    })
}

/// `a` and `u`, and what the instance makes of it.
fn acknowledge(instance: &Instance<'_>, terminal: &mut Terminal) -> Result<()> {
    let acknowledged = |wanted: bool| -> Result<()> {
        let alerts = instance.alerts()?;
        let alert = alerts
            .iter()
            .find(|it| it["details"]["dst_ip"] == "203.0.113.66")
            .context("the finding is not listed")?;
        ensure!(alert["acknowledged"].is_object() == wanted, "{alert:#}");
        Ok(())
    };
    terminal.send("a")?;
    terminal.wait_for(&["u takes it back", "acknowledged by local"], DEADLINE)?;
    acknowledged(true)?;
    terminal.send("u")?;
    terminal.wait_for(&["is not acknowledged any more"], DEADLINE)?;
    acknowledged(false)
}

/// Help, the whole detail, and other sizes.
fn sizes(terminal: &mut Terminal) -> Result<()> {
    terminal.send("?")?;
    picture(
        "help",
        &terminal.wait_for(&["Keys of beaconwatch", "take the last one back"], DEADLINE)?,
    );
    terminal.send("x\r")?;
    picture(
        "all of it",
        &terminal.wait_for(&["from   10.20.0.5", "Enter back"], DEADLINE)?,
    );
    terminal.send("\r")?;
    terminal.resize(132, 40)?;
    picture(
        "132 x 40",
        &terminal.wait_for(&["PROCESS", "intervals"], DEADLINE)?,
    );
    terminal.resize(30, 10)?;
    terminal.wait_for(&["needs 40 x 8"], DEADLINE)?;
    terminal.resize(80, 24)?;
    terminal
        .wait_for(&["203.0.113.66:443", "? help"], DEADLINE)
        .map(drop)
}

#[test]
fn signals_and_keys_give_the_terminal_back_as_it_was() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut instance = Instance::start(folder)?;
        for end in [SIGNAL_TERMINATE, SIGNAL_HANG_UP] {
            let mut terminal = instance.watch()?;
            terminal.wait_for(&["No findings yet", "? help"], DEADLINE)?;
            terminal.signal(end)?;
            expect_given_back(&terminal.wait_for_end(DEADLINE)?)?;
        }
        let mut terminal = instance.watch()?;
        terminal.wait_for(&["No findings yet"], DEADLINE)?;
        terminal.send("\u{3}")?;
        expect_given_back(&terminal.wait_for_end(DEADLINE)?)?;
        instance.stop()
    })
}

#[test]
fn it_ends_with_a_terminal_that_is_taken_away() -> Result<()> {
    deployment::in_folder(|folder| {
        let mut instance = Instance::start(folder)?;
        let mut terminal = instance.watch()?;
        terminal.wait_for(&["No findings yet", "? help"], DEADLINE)?;
        terminal.hang_up()?;
        let shown = terminal.wait_for_end(DEADLINE)?;
        // The signal or the first frame that cannot be drawn ends it, whichever comes first.
        ensure!(matches!(shown.status, Some(0 | 1)), "{shown:?}");
        instance.stop()
    })
}

#[test]
fn without_an_instance_the_screen_is_never_taken() -> Result<()> {
    let [port] = http::free_ports()?;
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command.args(["watch", "--port", &port.to_string()]);
    let mut terminal = Terminal::start(80, 24, &command)?;
    let shown = terminal.wait_for_end(DEADLINE)?;
    ensure!(
        shown.status == Some(1) && !shown.alternate && shown.as_before,
        "{shown:?}"
    );
    ensure!(
        shown.text().contains("Is an instance running?"),
        "{}",
        shown.text()
    );
    Ok(())
}
