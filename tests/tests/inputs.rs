//! Inputs beside OTLP: captures that are scored, and files that a sidecar follows while it is killed.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment;
use beaconwatch_tests::http;
use beaconwatch_tests::process::Process;
use beaconwatch_tests::tools;
use beaconwatch_tests::wait::wait_for;
use serde_json::Value;

const DEADLINE: Duration = Duration::from_mins(2);

/// What a series came to: connections, bytes there and back.
type Series = BTreeMap<String, (u64, u64, u64)>;

/// What tshark said of the capture: a row for each of its streams.
fn told_by_tshark(table: &str) -> Result<Series> {
    let mut series = Series::new();
    for line in table.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, _, transport, src, _, dst, port, out, back, _] = fields.as_slice() else {
            anyhow::bail!("not a row of tshark's: {line}");
        };
        let entry = series
            .entry(format!("{transport} {src} {dst} {port}"))
            .or_default();
        entry.0 += 1;
        entry.1 += out.parse::<u64>()?;
        entry.2 += back.parse::<u64>()?;
    }
    Ok(series)
}

fn told_by_score(lines: &str) -> Result<Series> {
    let mut series = Series::new();
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line)?;
        let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| line[field].as_u64().unwrap_or_default();
        if text("proto") == "icmp" {
            continue;
        }
        let (proto, src, dst) = (text("proto"), text("src"), text("dst"));
        let key = format!("{proto} {src} {dst} {}", number("dport"));
        series.insert(
            key,
            (number("count"), number("bytes_out"), number("bytes_in")),
        );
    }
    Ok(series)
}

#[test]
fn a_real_capture_from_standard_input_is_scored_with_the_connections_that_tshark_sees() -> Result<()>
{
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../inputs/src/tests/data");
    let capture = fs::File::open(data.join("cooked.pcapng.gz"))?;
    let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
    command
        .args(["score", "--all", "--format", "json", "-"])
        .stdin(Stdio::from(capture));
    let output = command.output()?;
    ensure!(output.status.success(), "{output:?}");
    let ours = told_by_score(&String::from_utf8(output.stdout)?)?;
    let truth = told_by_tshark(&fs::read_to_string(data.join("cooked.tsv"))?)?;
    ensure!(!truth.is_empty() && ours == truth, "{ours:#?}\n{truth:#?}");
    Ok(())
}

/// Lines of one series of connections, five seconds apart and all in the past.
struct Writer {
    folder: PathBuf,
    first_s: u64,
    written: AtomicU32,
}

const LINES: u32 = 600;
/// Lines after which the file rotates.
const LINES_OF_A_FILE: u32 = 70;

impl Writer {
    fn new(folder: PathBuf) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self {
            folder,
            first_s: now - 5 * u64::from(LINES) - 60,
            written: AtomicU32::new(0),
        })
    }

    fn path(&self) -> PathBuf {
        self.folder.join("flows.log")
    }

    /// Writes in pieces, as programs do, and rotates in every way in turn.
    fn run(&self) -> Result<()> {
        for number in 0..LINES {
            let line = format!(
                "{{\"ts\":{},\"src\":\"10.0.0.1\",\"sport\":{},\"dst\":\"192.0.2.1\",\"dport\":443,\"proto\":\"tcp\",\"duration\":1,\"uid\":\"F{number}\"}}\n",
                self.first_s + 5 * u64::from(number),
                1024 + number
            );
            let (one, other) = line.split_at(line.len() / 2);
            for part in [one, other] {
                let mut file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(self.path())?;
                file.write_all(part.as_bytes())?;
            }
            self.written.store(number + 1, Ordering::Release);
            if (number + 1) % LINES_OF_A_FILE == 0 {
                self.rotate(number / LINES_OF_A_FILE)?;
            }
            std::thread::park_timeout(Duration::from_millis(25));
        }
        Ok(())
    }

    fn rotate(&self, number: u32) -> Result<()> {
        let rotated = self.folder.join(format!("flows.log.{number}"));
        if number.is_multiple_of(2) {
            fs::rename(self.path(), &rotated)?;
        } else {
            fs::copy(self.path(), &rotated)?;
            OpenOptions::new()
                .write(true)
                .truncate(true)
                .open(self.path())?;
        }
        if number.is_multiple_of(3) {
            let mut gzip = Command::new("gzip");
            tools::output_of(gzip.arg(&rotated))?;
        }
        Ok(())
    }
}

struct Following {
    process: Process,
    api_port: u16,
}

impl Following {
    fn start(folder: &Path, config: &Path) -> Result<Self> {
        let [api_port] = http::free_ports()?;
        let mut command = Command::new(deployment::binaries()?.join("beaconwatch"));
        command
            .arg("--config")
            .arg(config)
            .arg("detect")
            .args(["--api-address", &format!("127.0.0.1:{api_port}")])
            .args(["--grpc-address", "127.0.0.1:0"])
            .args(["--http-address", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(folder.join("state"));
        let log = folder.join("beaconwatch.log");
        let mut process = Process::start("beaconwatch detect", &command, None, &log)?;
        wait_for("the status API", DEADLINE, || {
            process.expect_running()?;
            let answer = http::get(&format!("http://127.0.0.1:{api_port}/healthz"))?;
            Ok((answer.status == 200).then_some(()))
        })?;
        Ok(Self { process, api_port })
    }

    /// Connections of the one series; 0 before it is known.
    fn connections(&self) -> Result<u64> {
        let port = self.api_port;
        let pairs = format!("http://127.0.0.1:{port}/api/v1/connections");
        let pairs = http::get(&pairs)?.expect_success(&pairs)?;
        let all = pairs["pairs"].as_array().context("no pairs")?;
        ensure!(all.len() <= 1, "more series than were written: {pairs}");
        let count = all.first().map(|pair| pair["connection_count"].as_u64());
        Ok(count.flatten().unwrap_or(0))
    }
}

#[test]
fn each_line_of_rotating_files_counts_once_however_often_the_sidecar_is_killed() -> Result<()> {
    deployment::in_folder(|folder| {
        let logs = folder.join("logs");
        fs::create_dir(&logs)?;
        let config = folder.join("beaconwatch.toml");
        fs::write(
            &config,
            format!(
                "[sidecar]\nanalysis_interval_s = 1\n\
                 [sidecar.inputs.flows]\ntype = \"tail\"\npaths = [{:?}]\nstart = \"beginning\"\npoll_interval_ms = 20\n",
                logs.display().to_string()
            ),
        )?;
        let writer = Writer::new(logs)?;
        std::thread::scope(|scope| {
            let writing = scope.spawn(|| writer.run());
            let mut kills = 0;
            while writer.written.load(Ordering::Acquire) < LINES && !writing.is_finished() {
                let mut following = Following::start(folder, &config)?;
                let before = following.connections()?;
                wait_for("lines to be counted", DEADLINE, || {
                    let more = following.connections()? > before;
                    Ok((more || writing.is_finished()).then_some(()))
                })?;
                following.process.kill()?;
                kills += 1;
            }
            writing
                .join()
                .map_err(|_panic| anyhow::anyhow!("the writer panicked"))??;
            ensure!(kills >= 3, "only {kills} kills: nothing is proved");
            let mut last = Following::start(folder, &config)?;
            wait_for("every line to be counted", DEADLINE, || {
                Ok((last.connections()? >= u64::from(LINES)).then_some(()))
            })?;
            last.process.terminate(DEADLINE)?;
            // Whatever would be read twice would be read now.
            let again = Following::start(folder, &config)?;
            let status = format!("http://127.0.0.1:{}/api/v1/status", again.api_port);
            wait_for("the files to be looked at", DEADLINE, || {
                let status = http::get(&status)?.expect_success(&status)?;
                let files = status["inputs"]["followed"]["flows"]["files"].as_u64();
                Ok(files.filter(|files| *files > 0))
            })?;
            ensure!(again.connections()? == u64::from(LINES), "counted twice");
            Ok(())
        })
    })
}
