//! `setup`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `setup`.
#[derive(Debug, Args)]
pub(crate) struct SetupArguments {
    #[command(subcommand)]
    pub(crate) command: SetupCommand,
}

/// What to set up.
#[derive(Debug, Subcommand)]
pub(crate) enum SetupCommand {
    /// Elasticsearch and Kibana: templates, pipelines, lifecycles, transforms, dashboards, rules (switched off)
    Elastic(ElasticArguments),
    /// OpenSearch and its Dashboards: templates, pipelines, ISM policies, dashboards, monitors (switched off)
    Opensearch(OpensearchArguments),
    /// Splunk: tries the HTTP Event Collector; the app is installed in Splunk itself
    Splunk(SplunkArguments),
}

/// `setup elastic`.
#[derive(Debug, Args)]
pub(crate) struct ElasticArguments {
    /// Address of Elasticsearch, for example `https://search.example.org:9200`
    #[arg(long, value_name = "URL", required_unless_present = "print_privileges")]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreSetupArguments,
    /// Address of Kibana, with the space in it (`https://kibana:5601/s/security`); dashboards and rules are left out
    /// without it
    #[arg(long, value_name = "URL")]
    pub(crate) kibana_url: Option<String>,
    /// File with an API key in its encoded form
    #[arg(long, value_name = "FILE", conflicts_with = "user")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Print the least privileges for setup, delivery and flows as JSON, and do nothing else
    #[arg(long, conflicts_with_all = ["url", "remove", "dry_run"])]
    pub(crate) print_privileges: bool,
}

/// `setup opensearch`.
#[derive(Debug, Args)]
pub(crate) struct OpensearchArguments {
    /// Address of OpenSearch, for example `https://search.example.org:9200`
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) store: StoreSetupArguments,
    /// Address of OpenSearch Dashboards; dashboards are left out without it
    #[arg(long, value_name = "URL")]
    pub(crate) dashboards_url: Option<String>,
}

/// What both stores are told.
#[derive(Debug, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct StoreSetupArguments {
    /// User, also of Kibana or Dashboards
    #[arg(long, value_name = "NAME", requires = "password_file")]
    pub(crate) user: Option<String>,
    /// File with the user's password
    #[arg(long, value_name = "FILE", requires = "user")]
    pub(crate) password_file: Option<PathBuf>,
    /// Certificate authorities (PEM) that the servers' certificates may come from
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Look at everything and print what would be done; change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: exit with 3 when something would be changed
    #[arg(long, requires = "dry_run")]
    pub(crate) exit_code: bool,
    /// Undo what the journal says that was made; documents stay
    #[arg(long)]
    pub(crate) remove: bool,
    /// Replace objects of others, remove objects that somebody has changed, accept indices with other mappings
    #[arg(long)]
    pub(crate) force: bool,
    /// Look only at data streams of this namespace for mappings that do not fit [default: all of them]
    #[arg(long, value_name = "NAME", value_parser = namespace)]
    pub(crate) namespace: Option<String>,
    /// What to leave out, by commas
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PARTS")]
    pub(crate) without: Vec<SetupPart>,
    /// Where to note what was changed and what was there before [default: beaconwatch-setup-PRODUCT.json here]
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A part that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetupPart {
    /// Ingest pipelines
    Pipelines,
    /// How long documents are kept
    Lifecycle,
    /// Transforms
    Transforms,
    /// Dashboards, searches, data view
    Dashboards,
    /// Detection rules, monitors
    Rules,
}

/// `setup splunk`.
#[derive(Debug, Args)]
pub(crate) struct SplunkArguments {
    /// Address of the HTTP Event Collector, for example `https://splunk.example.org:8088`
    #[arg(long, value_name = "URL")]
    pub(crate) url: String,
    /// File with the token
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,
    /// Index [default: the token's]
    #[arg(long, value_name = "INDEX")]
    pub(crate) index: Option<String>,
    /// Certificate authorities (PEM) that the collector's certificate may come from
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Send one event, marked as a test, and say what the collector makes of it
    #[arg(long, required = true)]
    pub(crate) hec_check: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A namespace of data streams: it becomes a part of their names.
fn namespace(text: &str) -> Result<String, String> {
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.');
    if (1..=100).contains(&text.len()) && text.chars().all(is_good) {
        return Ok(text.to_owned());
    }
    Err("expected 1 to 100 lower-case letters, digits, underscores and dots".to_owned())
}
