//! Measures a sidecar with much state: how long it takes to start with a million stored series, and whether
//! its memory stays flat over an hour of load.
//!
//! ```text
//! cargo build --release -p beaconwatch-bench --bin sidecar_state
//! target/release/sidecar_state
//! ```
//!
//! The hour runs on a clock of its own, as fast as the machine takes it: 1,000 connections a second over
//! 20,000 series with an analysis every 30 s, and the resident memory after every ten minutes. Each measurement is a
//! process of its own, so that memory which one has left to the allocator does not hide what the other needs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use beaconwatch_bench::flows::{self, Load};
use beaconwatch_bench::process::resident_bytes;
use beaconwatch_detector::Timestamp;
use beaconwatch_sidecar::{Clock, Config, Sidecar};
use futures::{StreamExt, TryStreamExt};
use prost::Message;
use serde_json::{Value, json};

const RECORDS_PER_REQUEST: u64 = 2000;
const STORED_SERIES: u64 = 1_000_000;
const STARTS_PER_SERIES: u64 = 4;
const HOUR_SERIES: u64 = 20_000;
const CONNECTIONS_PER_S: u64 = 1_000;
const ANALYSIS_S: u64 = 30;

type Failure = Box<dyn std::error::Error>;

fn config(folder: &Path) -> Config {
    let mut config = Config {
        data_directory: folder.to_owned(),
        analysis_interval_s: 3600,
        ..Config::default()
    };
    config.receive.grpc_address.set_port(0);
    config.receive.http_address.set_port(0);
    config.api.address.set_port(0);
    config
}

async fn accept(
    sidecar: &Sidecar,
    load: Load,
    sequences: std::ops::Range<u64>,
) -> Result<(), Failure> {
    let step = usize::try_from(RECORDS_PER_REQUEST)?;
    let receiver = sidecar.receiver();
    let end = sequences.end;
    futures::stream::iter(sequences.step_by(step))
        .map(|first| {
            let receiver = receiver.clone();
            let request = load.request(first..(first + RECORDS_PER_REQUEST).min(end));
            async move { receiver.accept_encoded(&request.encode_to_vec()).await }
        })
        .buffer_unordered(8)
        .try_collect::<Vec<_>>()
        .await?;
    Ok(())
}

/// Fills a store, stops, and times the next start until the first analysis is over.
async fn restart() -> Result<Value, Failure> {
    let folder = tempfile::tempdir()?;
    let load = Load {
        series: STORED_SERIES,
        first_start: flows::now_nanos() - 4 * 3_600 * 1_000_000_000,
        interval: Duration::from_mins(15),
    };
    let sidecar = Sidecar::start(config(folder.path())).await?;
    accept(&sidecar, load, 0..STORED_SERIES * STARTS_PER_SERIES).await?;
    sidecar.analyse().await?;
    sidecar.stop(Duration::from_mins(2)).await;
    let begin = Instant::now();
    let sidecar = Sidecar::start(config(folder.path())).await?;
    let started = begin.elapsed();
    let status = sidecar.status().await?;
    let answered = begin.elapsed();
    if status.detector.series != STORED_SERIES {
        return Err(format!(
            "{} of {STORED_SERIES} series came back",
            status.detector.series
        )
        .into());
    }
    let store_bytes = status.store.file_bytes;
    sidecar.stop(Duration::from_mins(2)).await;
    Ok(json!({
        "measurement": "start_with_stored_series",
        "series": STORED_SERIES,
        "start_s": started.as_secs_f64(),
        "first_analysis_s": answered.as_secs_f64(),
        "store_bytes": store_bytes,
        "resident_bytes": resident_bytes()?,
    }))
}

/// An hour of load on a clock of its own.
async fn hour() -> Result<Value, Failure> {
    let folder = tempfile::tempdir()?;
    let begin = flows::now_nanos();
    let now = Arc::new(AtomicU64::new(begin));
    let clock = Arc::clone(&now);
    let clock =
        Clock::new(move || Timestamp::from_unix_nanos(clock.load(Ordering::Relaxed).cast_signed()));
    let sidecar = Sidecar::start_with(config(folder.path()), clock, Vec::new()).await?;
    let load = Load {
        series: HOUR_SERIES,
        first_start: begin,
        interval: Duration::from_secs(HOUR_SERIES / CONNECTIONS_PER_S),
    };
    let mut resident = Vec::new();
    for step in 0..3600 / ANALYSIS_S {
        let first = step * ANALYSIS_S * CONNECTIONS_PER_S;
        accept(
            &sidecar,
            load,
            first..first + ANALYSIS_S * CONNECTIONS_PER_S,
        )
        .await?;
        now.fetch_add(ANALYSIS_S * 1_000_000_000, Ordering::Relaxed);
        sidecar.analyse().await?;
        if (step + 1) % (600 / ANALYSIS_S) == 0 {
            resident.push(resident_bytes()?);
        }
    }
    let status = sidecar.status().await?;
    sidecar.stop(Duration::from_mins(2)).await;
    Ok(json!({
        "measurement": "memory_over_an_hour",
        "clock": "simulated",
        "records": 3600 * CONNECTIONS_PER_S,
        "series": HOUR_SERIES,
        "findings": status.findings.known,
        "resident_bytes_every_10_min": resident,
        "store_bytes": status.store.file_bytes,
    }))
}

#[expect(clippy::print_stdout, reason = "a measurement prints its figures")]
fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Runtime::new()?;
    match std::env::args().nth(1).as_deref() {
        Some("start") => println!("{}", runtime.block_on(restart())?),
        Some("hour") => println!("{}", runtime.block_on(hour())?),
        Some(other) => return Err(format!("{other:?} is none of start and hour").into()),
        None => {
            for measurement in ["start", "hour"] {
                let program = std::env::current_exe()?;
                let status = Command::new(program).arg(measurement).status()?;
                if !status.success() {
                    return Err(format!("{measurement} ended with {status}").into());
                }
            }
        }
    }
    Ok(())
}
