//! Programs of a check that run beside each other, each with its output held back until it has ended.

use std::collections::VecDeque;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};

/// A command under the name that it is reported by.
pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: Command,
}

/// Jobs that one thread after the other takes from.
pub(crate) type Lane = Mutex<VecDeque<Job>>;

/// A lane of jobs in their order.
pub(crate) fn lane(jobs: impl IntoIterator<Item = Job>) -> Lane {
    Mutex::new(jobs.into_iter().collect())
}

/// Runs all jobs on as many threads as there are `threads`, each with the lanes that it takes from, the first one first. `report`
/// prints what a job said and judges it; every job runs, and those that failed are the error.
pub(crate) fn run(
    threads: &[&[&Lane]],
    report: impl Fn(&str, &Output) -> Result<()> + Sync,
) -> Result<()> {
    let failed = Mutex::new(Vec::new());
    let printing = Mutex::new(());
    std::thread::scope(|scope| {
        for lanes in threads {
            scope.spawn(|| {
                while let Some(mut job) = lanes.iter().find_map(|lane| lock(lane).pop_front()) {
                    let output = job.command.output().context("starting it");
                    let _alone = lock(&printing);
                    let judged = output.and_then(|output| report(&job.name, &output));
                    if let Err(error) = judged {
                        println!("{} FAILED: {error:#}", job.name);
                        lock(&failed).push(job.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
