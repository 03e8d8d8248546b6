//! What can go wrong, for the last lines that a user sees.

use std::io;

use beaconwatch_detector::SettingsError;
use beaconwatch_exporter::RunError;
use beaconwatch_exporter::otlp::client::ConnectError;
use beaconwatch_exporter::replay::ReplayError;
use beaconwatch_inputs::ReadError;
use beaconwatch_sidecar::{ContextError, StartError};

use crate::client::ClientError;
use crate::config::ConfigError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The filter of the log cannot be understood.
    #[error("log filter {filter:?}: {source}")]
    LogFilter {
        /// The filter.
        filter: String,
        /// Why.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The files could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A file of labels, a table or a model cannot be used.
    #[error("{file}: {source}")]
    InFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing can be learnt from the data.
    #[error("training: {0}")]
    Train(#[from] beaconwatch_learning::TrainError),
    /// Series, and nothing that says which of them are malicious.
    #[error("no labels: expected --labels FILE, or --input beaconhunter with a column label")]
    NoLabels,
    /// A model of BeaconHunter's features, and data without them.
    #[error("the model was trained on BeaconHunter's events: expected --input beaconhunter")]
    EventModel,
    /// A share of false ones, and nothing that has p-values.
    #[error("--fdr is for series and the method evidence, found {0}")]
    NoFalseDiscoveryRate(&'static str),
    /// A row that the model does not take.
    #[error("model: {0}")]
    Row(#[from] beaconwatch_learning::RowError),
    /// A list or a catalogue cannot be read.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A setting of the detector is outside its range.
    #[error("detector.{0}")]
    Detector(#[from] SettingsError),
    /// The exporter cannot start or go on.
    #[error(transparent)]
    Export(#[from] RunError),
    /// A capture cannot be replayed.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The exporter's settings are wrong.
    #[error(transparent)]
    ExportConfig(#[from] beaconwatch_exporter::config::ConfigError),
    /// The receiver of flows cannot be connected to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The sidecar cannot start.
    #[error(transparent)]
    Sidecar(#[from] StartError),
    /// A running instance does not answer as it should.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// An id that nothing has.
    #[error("no {what} {id}: see `{list}`")]
    UnknownId {
        /// What was looked for.
        what: &'static str,
        /// What was asked for.
        id: String,
        /// The command that lists them.
        list: &'static str,
    },
    /// The beginning of an id that several have.
    #[error("{id} is the beginning of more than one {what}: {ids}")]
    AmbiguousId {
        /// What was looked for.
        what: &'static str,
        /// What was asked for.
        id: String,
        /// The first that fit.
        ids: String,
    },
    /// A beacon that could never be found.
    #[error("{0}")]
    Plan(String),
    /// A simulated beacon did not come through.
    #[error("the simulated beacon did not come through: see what is missing above")]
    Chain,
    /// An interface needs a terminal.
    #[error(
        "standard input and output are no terminal, which `watch` needs; `watch --json` prints changes"
    )]
    NoTerminal,
    /// A destination did not take a test document.
    #[error("destination {0} did not take the test document")]
    Destination(String),
    /// A folder of rules cannot be used.
    #[error(transparent)]
    Rules(#[from] beaconwatch_sidecar::RulesError),
    /// Some rules do not count.
    #[error("{0} of the rules do not count: see above")]
    BrokenRules(usize),
    /// A template cannot be used.
    #[error(transparent)]
    Template(#[from] beaconwatch_sidecar::destinations::BuildError),
    /// A product could not be set up.
    #[error(transparent)]
    Setup(#[from] beaconwatch_setup::SetupError),
    /// Some objects of a setup were refused.
    #[error("{0} of the objects were refused: see above, and run it again when the cause is gone")]
    SetupPartly(usize),
    /// The capture would lose something, or not run.
    #[error("{}", .0.sentence())]
    Doctor(beaconwatch_exporter::capture::doctor::Verdict),
    /// A dry run that would have changed something.
    #[error("something would be changed")]
    WouldChange,
    /// Splunk does not take events.
    #[error("the collector does not take events as it should: see above")]
    Collector,
    /// A store cannot be read or written.
    #[error(transparent)]
    Store(#[from] beaconwatch_sidecar::StoreError),
    /// A part ended although nobody had asked it to; its own error was logged.
    #[error("the {0} part ended by itself: see the log above")]
    Ended(&'static str),
    /// A task ended by a fault of its own.
    #[error("{0}")]
    Task(String),
    /// Reading or writing failed.
    #[error("{0}")]
    System(#[from] io::Error),
}

impl Error {
    /// `source` in `file`.
    pub(crate) fn in_file(
        file: &std::path::Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::InFile {
            file: file.display().to_string(),
            source: source.into(),
        }
    }

    /// What the user can do instead, where there is something.
    pub(crate) fn advice(&self) -> Option<&'static str> {
        match self {
            Self::Export(RunError::Capture(_)) => Some(
                "Without capture, `beaconwatch score FILE...` scores Zeek logs and flow NDJSON, and \
                 `beaconwatch detect` scores flows that other hosts send.",
            ),
            Self::Sidecar(StartError::Listen(_)) => Some(
                "Is another instance running? --api-address, --grpc-address and --http-address choose \
                 other places.",
            ),
            Self::Setup(error) => error.advice(),
            _ => None,
        }
    }
}
