//! What the benchmarks have in common: their load, and what a process has used.

pub mod flows;
pub mod process;
