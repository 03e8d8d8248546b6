//! Makes the model that ships, `learning/src/builtin.json`, from simulated traffic; prints it, and its report to
//! standard error.
//!
//! `cargo run --release --package beaconwatch-learning --example builtin > learning/src/builtin.json`
//!
//! The same source gives the same bytes. When the detector's evidence changes, run it again.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod recipe;
mod worlds;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (model, report) = recipe::builtin(5)?;
    eprintln!(
        "{} series of {} hosts, {} of them beacons",
        report.rows, report.hosts, report.positives
    );
    for weight in &report.weights {
        eprintln!("{:<16} {:+.3}", weight.feature, weight.weight);
    }
    if let Some(it) = &report.cross_validation {
        eprintln!("held out by {}: area under the curve", it.grouping.name());
        eprintln!("risk {:?}", it.auc_risk);
        eprintln!("probability {:?}", it.auc_probability);
        eprintln!("anomaly {:?}", it.auc_anomaly);
        eprintln!("Brier {:.4}, balanced {:.4}", it.brier, it.brier_balanced);
    }
    print!("{}", model.to_json()?);
    Ok(())
}
