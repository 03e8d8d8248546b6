//! What the benchmarks have in common: their loads, worlds with truth and their judge, the peers' formulas, and what a process has
//! used.

pub mod flows;
pub mod judge;
pub mod peers;
pub mod process;
pub mod random;
pub mod world;
