//! Section `context`: what is known beside the flows, and reading it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use beaconwatch_destinations::{SettingError, in_range};
use beaconwatch_detector::context::{
    Catalogue, CatalogueError, IntelligenceBuilder, IntelligenceError, ListReport,
};
use beaconwatch_detector::{Context, Network, Timestamp};
use serde::{Deserialize, Serialize};

use super::{ConfigError, check_name, count};

/// Longest file that is read.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// What is known beside the flows: method evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ContextConfig {
    /// File (TOML) with entries of benign beacons beside the built-in ones; an entry with the id of a built-in one
    /// replaces it.
    pub catalogue: Option<PathBuf>,
    /// Intelligence lists, by name.
    pub intelligence: BTreeMap<String, ListConfig>,
    /// Public addresses and blocks that are one's own: traffic to them is internal.
    #[schemars(with = "Vec<String>")]
    pub own_networks: Vec<Network>,
    /// Servers, programs and pairs of both of which is kept how many sources use them, 0..=10000000: about 200
    /// bytes each. With 0 nobody counts.
    pub max_prevalence_keys: usize,
}

impl Default for ContextConfig {
    fn default() -> Self {
        Self {
            catalogue: None,
            intelligence: BTreeMap::new(),
            own_networks: Vec::new(),
            max_prevalence_keys: 200_000,
        }
    }
}

/// An intelligence list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListConfig {
    /// The file.
    pub path: PathBuf,
    /// Its format; by its name (.csv, .json, .stix, else plain) when not given.
    #[serde(default)]
    pub format: Option<ListFormat>,
    /// How sure it is, 0..=1.
    #[serde(default = "usual_confidence")]
    pub confidence: f64,
    /// Column of a CSV that has the indicators; the first with a usual name when not given.
    #[serde(default)]
    pub column: Option<String>,
}

fn usual_confidence() -> f64 {
    0.8
}

/// Format of an intelligence list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListFormat {
    /// An indicator a line.
    Plain,
    /// Comma-separated values with a header.
    Csv,
    /// A STIX 2.1 bundle.
    Stix,
}

impl ListConfig {
    /// A list of which only the file is known.
    #[must_use]
    pub fn of(path: PathBuf) -> Self {
        Self {
            path,
            format: None,
            confidence: usual_confidence(),
            column: None,
        }
    }

    fn format(&self) -> ListFormat {
        let extension = self.path.extension().and_then(|it| it.to_str());
        self.format.unwrap_or(match extension {
            Some("csv") => ListFormat::Csv,
            Some("json" | "stix") => ListFormat::Stix,
            _ => ListFormat::Plain,
        })
    }
}

/// Why what is known cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file cannot be read.
    #[error("{}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Reading was interrupted.
    #[error("reading was interrupted: {0}")]
    Interrupted(String),
    /// The catalogue is wrong.
    #[error("{}: {source}", .path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// Line, entry and field.
        source: CatalogueError,
    },
    /// A list is none.
    #[error("{}: {source}", .path.display())]
    Intelligence {
        /// The file.
        path: PathBuf,
        /// Why.
        source: IntelligenceError,
    },
}

/// What was read: the context, and what became of each list.
#[derive(Debug, Default)]
pub struct OpenedContext {
    /// For the detector. Who talks to whom is not in it.
    pub context: Context,
    /// By name of the list.
    pub reports: BTreeMap<String, ListReport>,
}

impl ContextConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let keys = count(self.max_prevalence_keys);
        in_range("context.max_prevalence_keys", keys, 0, 10_000_000)?;
        for (name, list) in &self.intelligence {
            check_name(name)?;
            if !(0.0..=1.0).contains(&list.confidence) {
                let field = format!("context.intelligence.{name}.confidence");
                let value = list.confidence.to_string();
                return Err(SettingError::value(field, value, "0 to 1").into());
            }
        }
        Ok(())
    }

    /// Whether any file is read.
    pub(crate) fn has_files(&self) -> bool {
        self.catalogue.is_some() || !self.intelligence.is_empty()
    }

    /// Reads the files. Blocks. A line that is no indicator costs none of its neighbours.
    pub fn open(&self, now: Timestamp) -> Result<OpenedContext, ContextError> {
        let mut opened = OpenedContext {
            context: Context::default().with_own_networks(&self.own_networks),
            ..OpenedContext::default()
        };
        if let Some(path) = &self.catalogue {
            let added = Catalogue::parse(&read(path)?).map_err(|source| {
                let path = path.clone();
                ContextError::Catalogue { path, source }
            })?;
            let catalogue = Catalogue::built_in().extended_with(&added);
            opened.context = opened.context.with_catalogue(Arc::new(catalogue));
        }
        let mut builder = IntelligenceBuilder::default();
        for (name, list) in &self.intelligence {
            let report = add(&mut builder, name, list, now)?;
            opened.reports.insert(name.clone(), report);
        }
        if !self.intelligence.is_empty() {
            let lists = Arc::new(builder.build());
            opened.context = opened.context.with_intelligence(lists);
        }
        Ok(opened)
    }
}

fn add(
    builder: &mut IntelligenceBuilder,
    name: &str,
    list: &ListConfig,
    now: Timestamp,
) -> Result<ListReport, ContextError> {
    let text = read(&list.path)?;
    let report = match list.format() {
        ListFormat::Plain => Ok(builder.add_plain(name, list.confidence, text.lines())),
        ListFormat::Csv => builder.add_csv(name, list.confidence, &text, list.column.as_deref()),
        ListFormat::Stix => builder.add_stix(name, list.confidence, &text, now),
    };
    report.map_err(|source| {
        let path = list.path.clone();
        ContextError::Intelligence { path, source }
    })
}

fn read(path: &Path) -> Result<String, ContextError> {
    let failed = |source| {
        let path = path.to_owned();
        ContextError::File { path, source }
    };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    let read = file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    if read.map_err(failed)? as u64 > MAX_FILE_BYTES {
        let limit = format!("longer than {MAX_FILE_BYTES} bytes");
        return Err(failed(io::Error::other(limit)));
    }
    Ok(text)
}
