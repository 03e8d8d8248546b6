//! Waiting for a condition, with a deadline.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Pause between two looks at the condition.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks again and again until `look` finds something, and gives that; after `deadline` the error says
/// `what` was waited for and, when `look` last failed, why.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            return Ok(found);
        }
        if start.elapsed() >= deadline {
            let problem = format!("waited {} s in vain for {what}", deadline.as_secs());
            return match seen {
                Err(error) => Err(error).context(problem),
                Ok(_) => bail!(problem),
            };
        }
        std::thread::park_timeout(PAUSE);
    }
}
