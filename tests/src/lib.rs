//! End-to-end tests of Beaconwatch: its built binaries, real programs, real servers.
//!
//! This library is what the tests in `tests/tests/` are written with: [`servers`] installs and runs the
//! servers, [`network`] and [`program`] make the traffic, [`flows`] and [`ecs`] read back what came of
//! it. Nothing in it is linked with the product: what is true is said by the programs that make
//! the traffic and by the servers that received the data.
//!
//! The tests need root (network namespaces, eBPF), and fail with a message when they do not have it or
//! when a server cannot be had.

pub mod cache;
pub mod certificates;
pub mod cgroup;
pub mod deployment;
pub mod detect;
pub mod ecs;
pub mod event_queries;
pub mod exporter;
pub mod findings;
pub mod flow_documents;
pub mod flows;
pub mod http;
pub mod matching;
pub mod metrics;
pub mod network;
pub mod otlp_json;
pub mod panels;
pub mod process;
pub mod program;
pub mod python;
pub mod servers;
pub mod setup;
pub mod splunk;
pub mod terminal;
pub mod tools;
pub mod traffic;
pub mod wait;
