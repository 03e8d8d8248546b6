//! The real servers that the end-to-end tests run against, and what they are installed from.

pub mod chromium;
pub mod collector;
pub mod ecs_schema;
pub mod elasticsearch;
pub mod esql_grammar;
pub mod hec;
pub mod opensearch;
pub mod package_spec;
pub mod rsyslog;
pub mod studio;
pub mod syslog;
pub mod syslog_ng;

use std::path::PathBuf;

use anyhow::Result;

/// Everything that has to be downloaded or built before the end-to-end tests.
#[derive(Clone, Debug)]
pub struct Servers {
    /// The Collector's program.
    pub collector: PathBuf,
    /// OpenSearch and the runtime that it runs on.
    pub opensearch: opensearch::Installed,
    /// Elasticsearch and the runtime that it runs on.
    pub elasticsearch: elasticsearch::Installed,
    /// rsyslog.
    pub rsyslog: syslog::Installed,
    /// syslog-ng.
    pub syslog_ng: syslog::Installed,
    /// The browser and what drives it.
    pub browser: chromium::Installed,
    /// The validator of Elastic packages.
    pub package_spec: PathBuf,
    /// The ECS field table as JSON.
    pub ecs_schema: PathBuf,
}

impl Servers {
    /// Finds everything in the cache, and installs what is not there; `progress` is told what takes
    /// long.
    pub fn install(progress: &mut dyn FnMut(&str)) -> Result<Self> {
        Ok(Self {
            browser: chromium::install(progress)?,
            ecs_schema: ecs_schema::install(progress)?,
            package_spec: package_spec::install(progress)?,
            opensearch: opensearch::install(progress)?,
            elasticsearch: elasticsearch::install(progress)?,
            rsyslog: rsyslog::RSYSLOG.install(progress)?,
            syslog_ng: syslog_ng::SYSLOG_NG.install(progress)?,
            collector: collector::install(progress)?,
        })
    }
}
