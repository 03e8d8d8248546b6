//! The sidecar as its peers see it: OTLP clients, destinations, readers of the API, and crashes.

mod flows;
mod persistence;
mod receive;
mod running;
