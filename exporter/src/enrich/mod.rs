//! What user space adds to a flow: the executable behind a process, and whether it is Beaconwatch itself.
//!
//! - [`process`]: executables, by `/proc`
//! - [`host`]: identity of this host and run

pub mod host;
pub mod process;

pub use process::{OwnProcesses, ProcessLookup};
