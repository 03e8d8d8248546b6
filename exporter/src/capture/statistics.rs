//! What the kernel measures of each program: runs and time, while statistics are switched on.

use std::time::Duration;

use aya::programs::ProgramInfo;

use super::CaptureError;

/// Run statistics of one program since it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramStatistics {
    /// Name of the program.
    pub program: &'static str,
    /// How often it ran while statistics were on.
    pub runs: u64,
    /// Time spent in these runs, the kernel's reading of its clock included.
    pub time: Duration,
    /// Kernel memory of the program in bytes; 0 when unknown.
    pub memory_bytes: u32,
}

impl ProgramStatistics {
    pub(super) fn new(program: &'static str, info: &ProgramInfo) -> Self {
        Self {
            program,
            runs: info.run_count(),
            time: info.run_time(),
            memory_bytes: info.memory_locked().unwrap_or_default(),
        }
    }
}

/// Switches the measurement on for every program of the machine until the value is dropped. Costs
/// some 20 ns a run. Needs CAP_SYS_ADMIN.
pub fn enable() -> Result<impl Send, CaptureError> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|error| CaptureError::System {
        call: "enabling run statistics",
        source: error.io_error,
    })
}
