//! The one field model: every field of a flow record and of a detection document, once.
//!
//! [`flow::FIELDS`] lists the attributes of the OTLP log record that the exporter emits and the sidecar
//! reads (OpenTelemetry semantic conventions where they have a name, `beaconwatch.*` else), and
//! [`exporter_record::FIELDS`] those of every record, [`heartbeat`]s too.
//! [`detection::FIELDS`] lists the fields of a detection document (Elastic Common Schema
//! [`ECS_VERSION`] where it has a name, `beaconwatch.*` else), and [`sensor::FIELDS`] those of a document
//! about a sensor, and [`rule_match::FIELDS`] those of a document about a match of a Sigma rule. [`metric::METRICS`] lists the exporter's metrics. [`flow_document`] says what a flow record is as a document of a store. Constants of the same module carry the names,
//! so that no other crate spells one. Mappings, templates and reference tables are generated from the
//! tables ([`generated_files`], `./x generate`).
//!
//! Depends on no other crate of this project; no I/O.

pub mod detection;
pub mod exporter_record;
mod field;
pub mod flow;
pub mod flow_document;
mod generate;
pub mod heartbeat;
pub mod ingest;
pub mod metric;
pub mod rule_match;
pub mod sensor;
pub mod template;

pub use field::{Field, FieldType, Level, Mapping, Origin, Vocabulary};
pub use generate::{generated_files, sigma};

/// Version of the Elastic Common Schema that detection documents follow.
pub const ECS_VERSION: &str = "9.4.0";
