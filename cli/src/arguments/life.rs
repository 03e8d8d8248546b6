//! `alerts` and `allow`: what becomes of findings.

use clap::{Args, Subcommand, ValueEnum};

use super::instance::{AskArguments, InstanceArguments};
use super::lists::{Severity, network};

/// `alerts`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AlertsArguments {
    #[command(subcommand)]
    pub(crate) command: Option<AlertCommand>,
    #[command(flatten)]
    pub(crate) list: AlertListArguments,
}

/// What to do with findings.
#[derive(Debug, Subcommand)]
pub(crate) enum AlertCommand {
    /// List findings (what `alerts` alone does)
    List(AlertListArguments),
    /// Show one finding: why, its beats, its history, and where it was delivered
    Show(AlertShowArguments),
    /// Say that somebody looks after a finding
    Acknowledge(AcknowledgeArguments),
    /// Write a comment
    Comment(CommentArguments),
    /// Close a finding by hand
    Close(CloseArguments),
    /// Open a closed finding again
    Reopen(AlertArguments),
    /// Make no documents of a finding for a time, escalations apart
    Suppress(SuppressArguments),
}

/// State of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertState {
    /// It goes on, as far as is known
    Open,
    /// It has ended, or somebody closed it
    Closed,
    /// Somebody looks after it
    Acknowledged,
    /// The allow-list holds it
    Allowed,
    /// No documents are made of it for a time
    Suppressed,
}

impl AlertState {
    /// The API's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Acknowledged => "acknowledged",
            Self::Allowed => "allowed",
            Self::Suppressed => "suppressed",
        }
    }
}

/// Order of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertOrder {
    /// Latest change first
    Updated,
    /// Latest opened first
    Opened,
    /// Best score first
    Score,
    /// Gravest first
    Severity,
}

impl AlertOrder {
    /// The API's name for it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Opened => "opened",
            Self::Score => "score",
            Self::Severity => "severity",
        }
    }
}

/// `alerts list`.
#[derive(Debug, Args)]
pub(crate) struct AlertListArguments {
    /// Show findings in these states (a comma between two) [default: all]
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) state: Vec<AlertState>,
    /// Show findings of at least this severity
    #[arg(long, value_enum)]
    pub(crate) severity: Option<Severity>,
    /// Show findings from this address or network
    #[arg(long, value_name = "IP[/BITS]", value_parser = network)]
    pub(crate) source: Option<String>,
    /// Show findings to this address or network
    #[arg(long, value_name = "IP[/BITS]", value_parser = network)]
    pub(crate) destination: Option<String>,
    /// Show findings of this process
    #[arg(long, value_name = "NAME")]
    pub(crate) process: Option<String>,
    /// Show findings with this text in an id, an address or a name
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) query: Option<String>,
    /// Show findings that changed since then: RFC 3339, such as 2026-01-31T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<String>,
    /// What comes first
    #[arg(long, value_enum)]
    pub(crate) sort: Option<AlertOrder>,
    #[command(flatten)]
    pub(crate) list: super::ListArguments,
}

/// One finding.
#[derive(Debug, Args)]
pub(crate) struct AlertArguments {
    /// Id of the finding, or the beginning of it
    #[arg(value_parser = alert_id)]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

/// How one finding is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum AlertFormat {
    /// Text for people
    #[default]
    Text,
    /// The API's answer
    Json,
    /// The document that destinations get (Elastic Common Schema)
    Ecs,
    /// OCSF Detection Finding (2004)
    Ocsf,
    /// A STIX 2.1 bundle
    Stix,
}

/// `alerts show`.
#[derive(Debug, Args)]
pub(crate) struct AlertShowArguments {
    #[command(flatten)]
    pub(crate) alert: AlertArguments,
    /// How to print it
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    pub(crate) format: AlertFormat,
}

/// `alerts acknowledge`.
#[derive(Debug, Args)]
pub(crate) struct AcknowledgeArguments {
    #[command(flatten)]
    pub(crate) alert: AlertArguments,
    /// What to write beside it
    #[arg(long, value_name = "TEXT", conflicts_with = "undo")]
    pub(crate) comment: Option<String>,
    /// Take it back
    #[arg(long)]
    pub(crate) undo: bool,
}

/// `alerts comment`.
#[derive(Debug, Args)]
pub(crate) struct CommentArguments {
    #[command(flatten)]
    pub(crate) alert: AlertArguments,
    /// The comment, 1 to 4000 characters
    pub(crate) text: String,
}

/// `alerts close`.
#[derive(Debug, Args)]
pub(crate) struct CloseArguments {
    #[command(flatten)]
    pub(crate) alert: AlertArguments,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

/// `alerts suppress`.
#[derive(Debug, Args)]
pub(crate) struct SuppressArguments {
    #[command(flatten)]
    pub(crate) alert: AlertArguments,
    /// For how long: 90s, 30m, 8h or 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = span_s, required_unless_present = "end")]
    pub(crate) for_s: Option<u64>,
    /// End it now
    #[arg(long, conflicts_with = "for_s")]
    pub(crate) end: bool,
}

/// `allow`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct AllowArguments {
    #[command(subcommand)]
    pub(crate) command: Option<AllowCommand>,
    #[command(flatten)]
    pub(crate) list: super::ListArguments,
}

/// What to do with the allow-list.
#[derive(Debug, Subcommand)]
pub(crate) enum AllowCommand {
    /// List the entries (what `allow` alone does)
    List(super::ListArguments),
    /// Allow what fits every condition that is given, from now on and retroactively
    Add(Box<AllowAddArguments>),
    /// Remove an entry
    Remove(AllowRemoveArguments),
}

/// `allow add`.
#[derive(Debug, Args)]
#[group(id = "condition", required = true, multiple = true,
        args = ["source", "destination", "destination_port", "transport", "domain", "process",
                "client_fingerprint"])]
pub(crate) struct AllowAddArguments {
    /// From this address or network
    #[arg(long, value_name = "IP[/BITS]", value_parser = network)]
    pub(crate) source: Option<String>,
    /// To this address or network
    #[arg(long, value_name = "IP[/BITS]", value_parser = network)]
    pub(crate) destination: Option<String>,
    /// To this port
    #[arg(long = "dest-port", value_name = "PORT")]
    pub(crate) destination_port: Option<u16>,
    /// Over this transport
    #[arg(long, value_parser = ["tcp", "udp", "icmp"])]
    pub(crate) transport: Option<String>,
    /// To this name: exactly it, or with `*.` in front it and everything below
    #[arg(long, value_name = "NAME")]
    pub(crate) domain: Option<String>,
    /// By this process: a name, or a path that may have wildcards
    #[arg(long, value_name = "NAME")]
    pub(crate) process: Option<String>,
    /// By a client with this TLS fingerprint (JA4 or JA3): exactly it, or its first parts such as `t13d1516h2_*`
    #[arg(long, visible_alias = "ja4", value_name = "JA4")]
    pub(crate) client_fingerprint: Option<String>,
    /// Why, 1 to 500 characters
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who answers for it
    #[arg(long, value_name = "NAME")]
    pub(crate) owner: Option<String>,
    /// When it ends: RFC 3339, such as 2026-12-31T00:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment, conflicts_with = "for_s")]
    pub(crate) expires: Option<String>,
    /// For how long: 90s, 30m, 8h or 7d
    #[arg(long = "for", value_name = "DURATION", value_parser = span_s)]
    pub(crate) for_s: Option<u64>,
    /// Show what would go, and keep nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) ask: AskArguments,
}

/// `allow remove`.
#[derive(Debug, Args)]
pub(crate) struct AllowRemoveArguments {
    /// Id of the entry, or the beginning of it
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) instance: InstanceArguments,
}

/// An id, or the beginning of one: hexadecimal digits.
pub(super) fn alert_id(text: &str) -> Result<String, String> {
    if (4..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("expected 4 to 32 hexadecimal digits".to_owned())
}

/// `90s`, `30m`, `8h` or `7d` in seconds.
pub(crate) fn span_s(text: &str) -> Result<u64, String> {
    const YEARS_100_S: u64 = 100 * 366 * 86_400;
    let expected = || "expected a number with s, m, h or d behind it, such as 8h".to_owned();
    let (number, unit_s) = match text.char_indices().next_back() {
        Some((at, 's')) => (text.get(..at), 1),
        Some((at, 'm')) => (text.get(..at), 60),
        Some((at, 'h')) => (text.get(..at), 3600),
        Some((at, 'd')) => (text.get(..at), 86_400),
        _ => return Err(expected()),
    };
    let number: u64 = number
        .and_then(|it| it.trim().parse().ok())
        .ok_or_else(expected)?;
    number
        .checked_mul(unit_s)
        .filter(|seconds| (1..=YEARS_100_S).contains(seconds))
        .ok_or_else(|| "expected at least a second and at most a century".to_owned())
}

/// A time as RFC 3339.
fn moment(text: &str) -> Result<String, String> {
    text.parse::<jiff::Timestamp>()
        .map(|time| time.to_string())
        .map_err(|error| format!("{error}; expected RFC 3339, such as 2026-01-31T08:00:00Z"))
}
