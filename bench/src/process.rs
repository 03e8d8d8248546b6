//! What this process has used, read from `/proc`.

use std::io;
use std::time::Duration;

/// Processor time of this process so far, in all threads that live.
pub fn processor_time() -> io::Result<Duration> {
    let mut nanos = 0;
    for thread in std::fs::read_dir("/proc/self/task")? {
        let schedule = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let used = schedule
            .split(' ')
            .next()
            .unwrap_or_default()
            .parse::<u64>();
        nanos += used.map_err(io::Error::other)?;
    }
    Ok(Duration::from_nanos(nanos))
}

/// Bytes of memory that are resident.
pub fn resident_bytes() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kilobytes
        .map(|kilobytes| kilobytes * 1024)
        .ok_or_else(|| io::Error::other("/proc/self/status has no VmRSS"))
}
