//! The sidecar as its peers see it: OTLP clients, destinations, readers of the API, and crashes.

mod api;
mod bad_input;
mod bulk_server;
mod delivery;
mod flows;
mod full_disk;
mod persistence;
mod receive;
mod running;
