//! `beaconwatch config`: check, show, schema.

mod unreadable;

use std::io::{self, Write};
use std::path::Path;

use beaconwatch_detector::Profile;
use beaconwatch_sidecar::{DestinationError, StartError};
use serde_json::{Map, Value};

use super::known;
use crate::config::{self, Config, Flags, Loaded, Setting};
use crate::error::Error;
use crate::output::{text, to_stdout};

/// Checks all sections and says what was read.
pub(crate) fn check(file: Option<&Path>) -> Result<(), Error> {
    let loaded = config::load(file, Flags::default())?;
    let config = &loaded.config;
    check_files(config)?;
    let rules = config.sidecar.rules.open().map_err(StartError::Rules)?;
    // The others are in force all the same.
    let broken = rules.report.broken.iter();
    let broken: Vec<String> = broken.map(|it| format!("rules: {it}")).collect();
    let unreadable = unreadable::of(&loaded)?;
    to_stdout(|out| {
        let warnings = loaded.all_warnings().chain(&unreadable).chain(&broken);
        for warning in warnings {
            writeln!(out, "warning: {}", text::harmless(warning))?;
        }
        match &loaded.file {
            Some(file) => writeln!(out, "{}: ok", file.display())?,
            None => writeln!(out, "no file, defaults and environment: ok")?,
        }
        if *config == Config::default() {
            return writeln!(out, "every setting has its default");
        }
        sum_up(out, config)
    })?;
    Ok(())
}

/// What the values alone do not tell: whether lists and templates can be read and work.
fn check_files(config: &Config) -> Result<(), Error> {
    config.sidecar.context.open(known::now())?;
    config.sidecar.risk.open().map_err(StartError::Risk)?;
    for (name, destination) in &config.sidecar.destinations {
        let checked = destination.kind.check_files();
        checked.map_err(|source| {
            let name = name.clone();
            StartError::Destination(DestinationError { name, source })
        })?;
    }
    Ok(())
}

fn sum_up(out: &mut dyn Write, config: &Config) -> io::Result<()> {
    let detector = &config.detector;
    let gates = match detector.profile {
        Profile::Evidence => format!(
            "{} expected false alerts a day",
            detector.evidence.false_alerts_per_day
        ),
        _ => format!(
            "at least {} connections over {} s",
            detector.seed.min_connections, detector.seed.min_duration_s
        ),
    };
    writeln!(
        out,
        "detector: {} method, alert threshold {}, {gates}",
        detector.profile.name(),
        detector.alert_threshold(),
    )?;
    let sidecar = &config.sidecar;
    writeln!(
        out,
        "sidecar:  state in {}, status API on {}, OTLP on {} (gRPC) and {} (HTTP)",
        sidecar.data_directory.display(),
        sidecar.api.address,
        sidecar.receive.grpc_address,
        sidecar.receive.http_address,
    )?;
    for (name, destination) in &sidecar.destinations {
        writeln!(
            out,
            "          detections go to {name} ({})",
            destination.kind.name()
        )?;
    }
    let endpoint = config.exporter.otlp.endpoint.as_deref();
    writeln!(
        out,
        "exporter: OTLP to {}",
        endpoint.unwrap_or("the default endpoint")
    )
}

/// How the configuration is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShownAs {
    Toml,
    Json,
}

/// Shows the configuration that all layers make: every setting, or those that are not as the defaults are.
/// Each of the latter says where it came from.
pub(crate) fn show(file: Option<&Path>, effective: bool, shown_as: ShownAs) -> Result<(), Error> {
    let loaded = config::load(file, Flags::default())?;
    let all = config::settings(&loaded).map_err(io::Error::from)?;
    let shown: Vec<Setting> = all
        .into_iter()
        .filter(|setting| effective || setting.origin.is_some())
        .collect();
    let text = match shown_as {
        ShownAs::Toml => as_toml(&loaded, &shown),
        ShownAs::Json => as_json(&loaded, &shown),
    };
    to_stdout(|out| writeln!(out, "{}", text.trim_end()))?;
    Ok(())
}

/// Prints the JSON Schema of the configuration file.
pub(crate) fn schema() -> Result<(), Error> {
    to_stdout(|out| writeln!(out, "{:#}", config::schema()))?;
    Ok(())
}

/// A file that says the same, with the origins as comments. Keys are dotted: so no table can hide another.
fn as_toml(loaded: &Loaded, shown: &[Setting]) -> String {
    let mut lines: Vec<String> = loaded
        .all_warnings()
        .map(|it| format!("# {}", text::harmless(it)))
        .collect();
    let mut section = "";
    for setting in shown {
        let Some((first, rest)) = setting.path.split_first() else {
            continue;
        };
        if section != first {
            lines.push(format!("\n[{first}]"));
            section = first;
        }
        let key: Vec<String> = rest.iter().map(|part| toml_key(part)).collect();
        let value = toml_value(&setting.value);
        let origin = setting
            .origin
            .as_deref()
            .map(|it| format!(" # {}", text::harmless(it)));
        lines.push(format!(
            "{} = {value}{}",
            key.join("."),
            origin.unwrap_or_default()
        ));
    }
    lines.join("\n").trim_start().to_owned()
}

fn toml_key(part: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !part.is_empty() && part.bytes().all(bare) {
        return part.to_owned();
    }
    Value::from(part).to_string()
}

/// A value in TOML: where both have them, JSON's literals are TOML's. Nulls have no place in it.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let given = fields.iter().filter(|field| !field.1.is_null());
            let fields: Vec<String> = given
                .map(|(name, value)| format!("{} = {}", toml_key(name), toml_value(value)))
                .collect();
            if fields.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{ {} }}", fields.join(", "))
            }
        }
        // TOML knows no DEL in a string.
        Value::String(_) => value.to_string().replace('\u{7f}', "\\u007F"),
        other => other.to_string(),
    }
}

/// `{"configuration": {...}, "origins": {"dotted.key": "file:line"}, "warnings": [...]}`.
fn as_json(loaded: &Loaded, shown: &[Setting]) -> String {
    let (mut tree, mut origins) = (Value::Object(Map::new()), Map::new());
    for setting in shown {
        let mut place = &mut tree;
        for name in &setting.path {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            let Value::Object(fields) = place else { break };
            place = fields.entry(name.clone()).or_insert(Value::Null);
        }
        *place = setting.value.clone();
        if let Some(origin) = &setting.origin {
            origins.insert(setting.path.join("."), origin.clone().into());
        }
    }
    let warnings: Vec<&String> = loaded.all_warnings().collect();
    let all = serde_json::json!({"configuration": tree, "origins": origins, "warnings": warnings});
    format!("{all:#}")
}
