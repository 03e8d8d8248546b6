//! eBPF flow exporter: capture, flows, OTLP.
