//! Named checks that run one after the other, all of them, with the time each one took.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// What was run so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    passed: bool,
}

impl Steps {
    /// Runs one check. A failure is shown at once and remembered; the next checks run all the same.
    pub(crate) fn run(&mut self, name: &str, check: impl FnOnce() -> Result<()>) -> bool {
        println!("\n== {name}");
        let start = Instant::now();
        let result = check();
        let took = start.elapsed();
        match &result {
            Ok(()) => println!("== {name}: passed in {:.1} s", took.as_secs_f64()),
            Err(error) => println!(
                "== {name}: FAILED in {:.1} s\n{error:#}",
                took.as_secs_f64()
            ),
        }
        let passed = result.is_ok();
        self.done.push(Step {
            name: name.to_owned(),
            took,
            passed,
        });
        passed
    }

    /// Sums up; an error when a check failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!();
        for step in &self.done {
            let outcome = if step.passed { "passed" } else { "FAILED" };
            println!(
                "{outcome}  {:>7.1} s  {}",
                step.took.as_secs_f64(),
                step.name
            );
        }
        let total: Duration = self.done.iter().map(|step| step.took).sum();
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|step| !step.passed)
            .map(|step| step.name.as_str())
            .collect();
        let (count, total_s) = (self.done.len(), total.as_secs_f64());
        if failed.is_empty() {
            println!("result: ok, {count} checks passed in {total_s:.0} s");
            return Ok(());
        }
        println!(
            "result: FAILED, {} of {count} checks in {total_s:.0} s",
            failed.len()
        );
        bail!("failed: {}", failed.join(", "))
    }
}
