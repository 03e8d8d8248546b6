//! Owners of flows through the whole exporter: real processes in real cgroups, and what a receiver reads.
//!
//! The tests that make cgroups need root and a cgroup v2 tree, and say so otherwise.

#[cfg(test)]
mod cgroups;
#[cfg(test)]
mod handlers;
#[cfg(test)]
mod privacy;
#[cfg(test)]
mod support;
