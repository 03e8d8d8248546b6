//! The library in somebody else's program: connection times from standard input (`seconds source destination port`, one
//! a line), beacons to standard output.
//!
//! `cargo run --package beaconwatch-detector --example embed < times.txt`
#![expect(clippy::print_stdout, reason = "a program")]

use std::io::{self, BufRead as _};

use beaconwatch_detector::{
    Context, Detector, Observation, Phase, SeriesKey, Settings, Timestamp, Transport,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut detector = Detector::new(Settings::default())?;
    let mut now = Timestamp::default();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [seconds, source, destination, port] = fields.as_slice() else {
            return Err(format!("{line:?}, expected: seconds source destination port").into());
        };
        let time = Timestamp::from_unix_seconds(seconds.parse()?).ok_or("a time after 2262")?;
        let key = SeriesKey {
            host: "".into(),
            namespace: "".into(),
            source: source.parse()?,
            destination: destination.parse()?,
            destination_port: port.parse()?,
            transport: Transport::Tcp,
        };
        now = now.max(time);
        detector.observe(time, &Observation::new(time, Phase::Opened, key));
    }
    for found in detector.analyse(now, &Context::default()) {
        if found.detected {
            println!(
                "{:.3} {}: {}",
                found.score, found.key.destination, found.explanation
            );
        }
    }
    Ok(())
}
