//! The sidecar as its peers see it: OTLP clients, destinations, readers of the API, and crashes.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test that fails here says where"
)]

mod api;
mod api_access;
mod api_changes;
mod api_lists;
mod api_telemetry;
mod api_tls;
mod asking;
mod bad_input;
mod bulk_server;
mod control;
mod delivery;
mod delivery_states;
mod flows;
mod followed;
mod full_disk;
mod hec_server;
mod migration;
mod persistence;
mod playbooks;
mod receive;
mod receive_access;
mod risk;
mod rules;
mod running;
mod sensors;
mod tls;
