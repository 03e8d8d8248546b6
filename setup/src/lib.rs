//! Puts Beaconwatch's templates, pipelines, lifecycles, transforms, dashboards and rules into Elasticsearch and Kibana or into
//! OpenSearch and its Dashboards, by their public interfaces, and takes them out again.
//!
//! # Contract
//! A [`plan`] is an ordered list of objects. [`install`] looks at everything first and changes nothing when something stands in
//! the way; then it writes what is not as planned, and nothing else: a second run changes nothing. Each change stands
//! in a journal before it is made, with what was there before; so a setup that was interrupted is finished by the
//! next run, and [`remove`] undoes exactly what was made. Objects of others are replaced only with `force`, and put back.
//!
//! Documents are never touched. [`hec`] tries Splunk's HTTP Event Collector; [`privileges`] says which rights are needed.
//!
//! # Limits
//! No transaction spans the objects: between the look and the change somebody else may change an object, and that
//! is then overwritten; the journal has what the look saw. Kibana, OpenSearch Dashboards, Splunk and OpenSearch's
//! plugins are not run by this project: requests to them follow their public documentation.

mod access;
mod compare;
mod error;
pub mod hec;
mod install;
mod journal;
mod plan;
mod preflight;
pub mod privileges;
mod remove;
mod report;
mod server;

use std::collections::BTreeSet;
use std::path::PathBuf;

use beaconwatch_integrations::store::Product;

pub use beaconwatch_destinations::{Authentication, SecretSource, TlsConfig};
pub use error::{Problem, SetupError};
pub use install::install;
pub use journal::JournalError;
pub use plan::{Kind, Object, Part, plan};
pub use remove::remove;
pub use report::{Action, Report, Step};
pub use server::Server;

/// What to set up, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which store.
    pub product: Product,
    /// The store.
    pub store: Server,
    /// Kibana or OpenSearch Dashboards; dashboards and Kibana's rules are left out without it.
    pub dashboards: Option<Server>,
    /// Namespace of the data streams that are looked at; all of them when not given. What is installed serves every namespace.
    pub namespace: Option<String>,
    /// What is left out.
    pub without: BTreeSet<Part>,
    /// Where the journal is.
    pub journal: PathBuf,
    /// Whether to replace or remove also what is another's or was changed.
    pub force: bool,
}
