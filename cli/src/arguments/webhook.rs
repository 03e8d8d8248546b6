//! `webhook`: what a webhook would send.

use std::path::PathBuf;

use beaconwatch_sidecar::destinations::{BuiltInTemplate, SampleDocument};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueEnum};

use super::instance::InstanceArguments;
use super::life::alert_id;

/// `webhook`.
#[derive(Debug, Args)]
pub(crate) struct WebhookArguments {
    #[command(subcommand)]
    pub(crate) command: WebhookCommand,
}

/// What to do with webhooks.
#[derive(Debug, Subcommand)]
pub(crate) enum WebhookCommand {
    /// Print the body that a template makes of a document; sends nothing
    Preview(PreviewArguments),
}

/// Which sample document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SampleName {
    /// A finding with all that can be known
    #[default]
    Finding,
    /// A finding with as little as is always known
    Least,
    /// A finding that has closed
    Closed,
    /// A sensor that fell silent
    Sensor,
}

impl From<SampleName> for SampleDocument {
    fn from(name: SampleName) -> Self {
        match name {
            SampleName::Finding => Self::Finding,
            SampleName::Least => Self::Least,
            SampleName::Closed => Self::Closed,
            SampleName::Sensor => Self::Sensor,
        }
    }
}

/// `webhook preview`.
#[derive(Debug, Args)]
#[group(id = "what", required = true, args = ["template", "template_file", "list"])]
pub(crate) struct PreviewArguments {
    /// A template that comes with the program
    #[arg(long, value_name = "NAME", value_parser = built_in())]
    pub(crate) template: Option<BuiltInTemplate>,
    /// A template of your own; it is checked as a webhook checks it
    #[arg(long, value_name = "FILE")]
    pub(crate) template_file: Option<PathBuf>,
    /// List the templates that come with the program
    #[arg(long)]
    pub(crate) list: bool,
    /// What the template makes is text and no JSON
    #[arg(long, requires = "template_file")]
    pub(crate) text: bool,
    /// A variable of the template (can be given several times)
    #[arg(long = "variable", value_name = "NAME=TEXT", value_parser = variable)]
    pub(crate) variables: Vec<(String, String)>,
    /// File with a document (JSON); a line of detections.ndjson is one
    #[arg(long, value_name = "FILE", conflicts_with_all = ["finding", "sample"])]
    pub(crate) document: Option<PathBuf>,
    /// Id of a finding of a running instance, or the beginning of it
    #[arg(long, value_name = "ID", value_parser = alert_id, conflicts_with = "sample")]
    pub(crate) finding: Option<String>,
    /// Which sample document, when neither a document nor a finding is given
    #[arg(long, value_enum, default_value_t)]
    pub(crate) sample: SampleName,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
}

fn built_in() -> impl TypedValueParser<Value = BuiltInTemplate> {
    let names = BuiltInTemplate::ALL.map(BuiltInTemplate::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let mut all = BuiltInTemplate::ALL.into_iter();
        all.find(|it| it.name() == name).ok_or("no such template")
    })
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, text)) if !name.is_empty() => Ok((name.to_owned(), text.to_owned())),
        _ => Err("expected NAME=TEXT".to_owned()),
    }
}
