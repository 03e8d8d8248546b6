//! Measures the detector: observations into state, series scored, bytes per series.
//!
//! `cargo run --release -p beaconwatch-bench --bin detector` prints one JSON object a line, on one thread. The input is made by a fixed recipe: series of 2 to 200 connections, most of them few.
//!
//! The formulas of litemars, in numpy (`bench/peers.py`), are timed over the same pairs: one pair after the other, as its
//! program does, and all pairs of one length in one array, as fast as numpy can. Their time begins when the starts of
//! every pair lie in arrays; the detector's begins with its state. Both (`analyse_all`) are per second of processor time, so
//! that what else runs does not favour one. Without Python and numpy (`PYTHON`) the line has no value
//! and says what is missing, and this program fails after the other measurements.

#![expect(clippy::print_stdout, reason = "prints its measurements")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use beaconwatch_bench::peers;
use beaconwatch_bench::process::processor_time;
use beaconwatch_bench::random::Numbers;
use beaconwatch_detector::{
    Context, Detector, Observation, Phase, Profile, SeriesKey, Settings, Timestamp, Transport,
};

/// The system's allocator, counting the bytes that live.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "only an allocator can count what is allocated")]
// SAFETY: every call is handed to the system's allocator unchanged; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the pointer comes from `alloc` above, that is from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: u32 = 100_000;
const SECOND: i64 = 1_000_000_000;
/// A change of method makes the detector analyse every series again.
const METHODS: [Profile; 2] = [Profile::Seed, Profile::Evidence];

/// Connections of one series: 2 to 200, half of the series fewer than 6.
fn connections(numbers: &mut Numbers) -> i64 {
    let steps = 2 << (numbers.bits() % 8).min(numbers.bits() % 8);
    2 + i64::try_from(numbers.bits() % steps).unwrap_or(0)
}

/// Observations of all series in the order of their times.
fn observations() -> Vec<Observation> {
    let mut numbers = Numbers::new(1);
    let (host, namespace) = (
        Arc::from("8f14e45fceea167a5a36dedd4bea2543"),
        Arc::from("host"),
    );
    let mut all = Vec::new();
    for series in 0..SERIES {
        let key = SeriesKey {
            host: Arc::clone(&host),
            namespace: Arc::clone(&namespace),
            source: (0x0a00_0000 + series).to_be_bytes().into(),
            destination: (0xc633_0000 + series).to_be_bytes().into(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        let start = i64::try_from(numbers.bits() % 3600).unwrap_or(0) * SECOND;
        let period = 10 + i64::try_from(numbers.bits() % 600).unwrap_or(0);
        for beat in 0..connections(&mut numbers) {
            let jitter = i64::try_from(numbers.bits() % (5 * 1_000_000_000)).unwrap_or(0);
            let time = Timestamp::from_unix_nanos(start + beat * period * SECOND + jitter);
            all.push(Observation::new(time, Phase::Opened, key.clone()));
        }
    }
    all.sort_by_key(|observation| observation.time);
    all
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn per_second_of(count: usize, time: Duration) -> f64 {
    (count as f64 / time.as_secs_f64()).round()
}

fn per_second(count: usize, start: Instant) -> f64 {
    per_second_of(count, start.elapsed())
}

fn report(name: &str, value: f64, unit: &str, detail: &str) {
    println!(r#"{{"measure":"{name}","value":{value},"unit":"{unit}","detail":"{detail}"}}"#);
}

fn main() -> Result<(), Box<dyn Error>> {
    let input = observations();
    let now = input.last().map_or(Timestamp::default(), |last| last.time);
    let mut detector = Detector::new(Settings::default())?;
    let start = Instant::now();
    for observation in &input {
        black_box(detector.observe(now, observation));
    }
    let rate = per_second(input.len(), start);
    let detail = format!("{} observations of {SERIES} new series", input.len());
    report("observe_new", rate, "observations/s", &detail);

    for profile in METHODS {
        detector.set_settings(with(profile))?;
        measure_analysis(&mut detector, now)?;
    }
    let peers = measure_peers(&input);

    let start = Instant::now();
    for observation in &input {
        black_box(detector.observe(now, observation));
    }
    report(
        "observe_known_late",
        per_second(input.len(), start),
        "observations/s",
        "the same again",
    );

    measure_memory(&input, now)?;
    measure_lengths()?;
    measure_million()?;
    peers
}

/// A million series of eight connections, sixteen of each source: all analysed, then those that changed.
fn measure_million() -> Result<(), Box<dyn Error>> {
    const MILLION: u32 = 1_000_000;
    const CONNECTIONS: i64 = 8;
    let mut numbers = Numbers::new(7);
    let mut detector = Detector::new(Settings::default())?;
    let (host, namespace) = (Arc::from("h"), Arc::from("host"));
    let now = Timestamp::from_unix_nanos(CONNECTIONS * 600 * SECOND);
    let key = |series: u32| SeriesKey {
        host: Arc::clone(&host),
        namespace: Arc::clone(&namespace),
        source: (0x0a00_0000 + series / 16).to_be_bytes().into(),
        destination: (0xc633_0000 + series).to_be_bytes().into(),
        destination_port: 443,
        transport: Transport::Tcp,
    };
    for series in 0..MILLION {
        let key = key(series);
        for beat in 0..CONNECTIONS {
            let late = i64::try_from(numbers.bits() % (500 * 1_000_000_000)).unwrap_or(0);
            let time = Timestamp::from_unix_nanos(beat * 600 * SECOND + late);
            detector.observe(now, &Observation::new(time, Phase::Opened, key.clone()));
        }
    }
    let context = Context::default();
    let start = Instant::now();
    black_box(detector.analyse(now, &context));
    let seconds = start.elapsed().as_secs_f64();
    report(
        "million_all",
        seconds,
        "s",
        "1000000 series of 8 starts, one thread",
    );
    for series in (0..MILLION).step_by(100) {
        let observation = Observation::new(now, Phase::Opened, key(series));
        detector.observe(now, &observation);
    }
    let start = Instant::now();
    black_box(detector.analyse(now, &context));
    let seconds = start.elapsed().as_secs_f64();
    report(
        "million_changed",
        seconds,
        "s",
        "1 % of them changed, one thread",
    );
    Ok(())
}

/// Every series analysed anew, per second of processor time, as the peers' formulas are timed.
fn measure_analysis(detector: &mut Detector, now: Timestamp) -> Result<(), Box<dyn Error>> {
    let start = processor_time()?;
    let scored = detector.analyse(now, &Context::default());
    let rate = per_second_of(scored.len(), processor_time()?.saturating_sub(start));
    let gated = scored.iter().filter(|found| found.gate.is_some()).count();
    let detail = format!(
        "{}: {} series, {gated} of them stopped by a gate",
        detector.settings().profile.name(),
        scored.len()
    );
    report("analyse_all", rate, "series/s", &detail);
    Ok(())
}

/// The same pairs scored by the formulas of litemars.
fn measure_peers(input: &[Observation]) -> Result<(), Box<dyn Error>> {
    let mut pairs: HashMap<&SeriesKey, Vec<f64>> = HashMap::new();
    for observation in input {
        let start = Duration::from_nanos(observation.time.unix_nanos().unsigned_abs());
        let pair = pairs.entry(&observation.key).or_default();
        pair.push(start.as_secs_f64());
    }
    let timed = peers::time(&pairs.into_values().collect::<Vec<_>>());
    let lines = timed.inspect_err(|error| {
        println!(
            "{}",
            serde_json::json!({"measure": "analyse_all", "value": null, "unit": "series/s",
                "detail": format!("litemars formulas in numpy: not measured, {error}")})
        );
    })?;
    for line in lines {
        let number = |name: &str| line[name].as_f64().unwrap_or(f64::NAN);
        let way = match line["way"].as_str() {
            Some("batched") => "all series of one length in one array",
            _ => "one series after the other",
        };
        let rate = (number("pairs") / number("seconds")).round();
        let (all, scored) = (number("pairs"), number("scored"));
        let stopped = all - scored;
        let detail = format!(
            "litemars formulas in numpy, {way}: {all} series, {stopped} of them stopped by a gate"
        );
        report("analyse_all", rate, "series/s", &detail);
    }
    Ok(())
}

fn with(profile: Profile) -> Settings {
    Settings {
        profile,
        ..Settings::default()
    }
}

/// Bytes that live for each series once, from a detector that saw each observation once.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
fn measure_memory(input: &[Observation], now: Timestamp) -> Result<(), Box<dyn Error>> {
    let before = LIVE_BYTES.load(Ordering::Relaxed);
    let mut detector = Detector::new(Settings::default())?;
    for observation in input {
        detector.observe(now, observation);
    }
    let bytes = LIVE_BYTES.load(Ordering::Relaxed) - before;
    let each = (bytes as f64 / f64::from(SERIES)).round();
    let starts = input.len() as f64 / f64::from(SERIES);
    report(
        "memory",
        each,
        "bytes/series",
        &format!("{SERIES} series of {starts:.1} starts"),
    );
    Ok(())
}

/// Series of one length scored again and again.
fn measure_lengths() -> Result<(), Box<dyn Error>> {
    let lengths = [10, 64, 512];
    for (profile, length) in METHODS
        .into_iter()
        .flat_map(|it| lengths.map(|length| (it, length)))
    {
        let key = SeriesKey {
            host: Arc::from("host"),
            namespace: Arc::from(""),
            source: [10, 0, 0, 1].into(),
            destination: [198, 51, 100, 7].into(),
            destination_port: 443,
            transport: Transport::Tcp,
        };
        let mut detector = Detector::new(with(profile))?;
        let mut numbers = Numbers::new(2);
        for beat in 0..length {
            let jitter = i64::try_from(numbers.bits() % 6_000_000_000).unwrap_or(0);
            let time = Timestamp::from_unix_nanos(beat * 60 * SECOND + jitter);
            detector.observe(time, &Observation::new(time, Phase::Opened, key.clone()));
        }
        let rounds = 2000;
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(detector.assess(&key, Timestamp::default(), &Context::default()));
        }
        report(
            "assess",
            per_second(rounds, start),
            "series/s",
            &format!("{}: {length} starts each", profile.name()),
        );
    }
    Ok(())
}
