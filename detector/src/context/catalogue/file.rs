//! A catalogue as text (TOML), checked.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Deserialize;
use toml::Spanned;

use super::{Category, Entry};
use crate::context::way::is_public;
use crate::context::weights::{BOUND, MOST_BENIGN};
use crate::{DomainPattern, Network, ProcessPattern, Transport};

const MAX_FILE_BYTES: usize = 4 << 20;
const MAX_ENTRIES: usize = 10_000;
const MAX_VALUES: usize = 1000;
const MAX_ID_BYTES: usize = 200;
const MAX_REASON_BYTES: usize = 1000;
/// Longest period that a behaviour may have.
const MAX_PERIOD_S: f64 = 1e8;
const VERSION: i64 = 1;

/// A text that is no catalogue.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CatalogueError {
    /// It is no TOML, or has unknown or missing keys; the text names the line.
    #[error("{0}")]
    Syntax(String),
    /// A value that is not accepted.
    #[error("line {line}: entry {id:?}: {field} is {value}, expected {expected}")]
    Invalid {
        /// Line of the entry, from 1.
        line: usize,
        /// Its id.
        id: String,
        /// Which part.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: i64,
    #[serde(default)]
    entry: Vec<Spanned<Raw>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    id: String,
    category: Category,
    reason: String,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    processes: Vec<String>,
    #[serde(default)]
    destinations: Vec<String>,
    #[serde(default)]
    ports: Vec<u16>,
    transport: Option<Transport>,
    period_s: Option<(f64, f64)>,
    max_bytes: Option<f64>,
    #[serde(default)]
    inbound: bool,
    contribution: f64,
    #[serde(default)]
    benign: bool,
}

pub(super) fn read(text: &str) -> Result<Vec<Entry>, CatalogueError> {
    if text.len() > MAX_FILE_BYTES {
        let size = text.len();
        let message = format!("the file has {size} bytes, expected at most {MAX_FILE_BYTES}");
        return Err(CatalogueError::Syntax(message));
    }
    let file: File =
        toml::from_str(text).map_err(|error| CatalogueError::Syntax(error.to_string()))?;
    if file.version != VERSION {
        let message = format!("version is {}, expected {VERSION}", file.version);
        return Err(CatalogueError::Syntax(message));
    }
    if file.entry.len() > MAX_ENTRIES {
        let count = file.entry.len();
        let message = format!("there are {count} entries, expected at most {MAX_ENTRIES}");
        return Err(CatalogueError::Syntax(message));
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(file.entry.len());
    let mut ids = std::collections::BTreeSet::new();
    let mut place = Place::default();
    for raw in file.entry {
        place.move_to(text, raw.span().start);
        let raw = raw.into_inner();
        place.id.clone_from(&raw.id);
        let entry = check(raw, &place)?;
        if !ids.insert(Arc::clone(&entry.id)) {
            return Err(place.error("id", &entry.id, "one that no other entry has"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// Where an entry stands, for errors.
#[derive(Default)]
struct Place {
    offset: usize,
    newlines: usize,
    id: String,
}

impl Place {
    /// Counts lines from the last entry on, so that the file is gone through once.
    fn move_to(&mut self, text: &str, offset: usize) {
        let passed = text.as_bytes().get(self.offset..offset).unwrap_or_default();
        self.newlines += passed.split(|byte| *byte == b'\n').count() - 1;
        self.offset = offset;
    }

    fn error(
        &self,
        field: &'static str,
        value: impl std::fmt::Display,
        expected: &'static str,
    ) -> CatalogueError {
        CatalogueError::Invalid {
            line: self.newlines + 1,
            id: self.id.chars().take(MAX_ID_BYTES).collect(),
            field,
            value: value.to_string().chars().take(MAX_ID_BYTES).collect(),
            expected,
        }
    }
}

fn check(raw: Raw, place: &Place) -> Result<Entry, CatalogueError> {
    check_texts(&raw, place)?;
    check_numbers(&raw, place)?;
    let entry = Entry {
        id: Arc::from(raw.id),
        category: raw.category,
        reason: Arc::from(raw.reason),
        domains: all(&raw.domains, |text| {
            DomainPattern::parse(text)
                .map_err(|error| place.error("domains", &error.value, error.expected))
        })?,
        processes: all(&raw.processes, |text| {
            ProcessPattern::parse(text)
                .map_err(|error| place.error("processes", &error.value, error.expected))
        })?,
        destinations: all(&raw.destinations, |text| {
            const EXPECTED: &str = "an IP address or a block such as 192.0.2.0/24";
            text.parse::<Network>()
                .map_err(|error| place.error("destinations", error, EXPECTED))
        })?,
        ports: raw.ports,
        transport: raw.transport,
        period_s: raw.period_s.map(|(from, to)| from..=to),
        max_bytes: raw.max_bytes,
        inbound: raw.inbound,
        contribution: raw.contribution,
        benign: raw.benign,
    };
    check_strength(&entry, place)?;
    Ok(entry)
}

fn all<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, CatalogueError>,
) -> Result<Vec<T>, CatalogueError> {
    texts.iter().map(|text| parse(text)).collect()
}

fn check_texts(raw: &Raw, place: &Place) -> Result<(), CatalogueError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    if raw.id.is_empty() || raw.id.len() > MAX_ID_BYTES || !raw.id.bytes().all(plain) {
        let expected = "1 to 200 letters, digits, points, hyphens and underscores";
        return Err(place.error("id", &raw.id, expected));
    }
    if raw.reason.trim().is_empty() || raw.reason.len() > MAX_REASON_BYTES {
        return Err(place.error("reason", &raw.reason, "1 to 1000 bytes of words"));
    }
    let lists = [
        ("domains", raw.domains.len()),
        ("processes", raw.processes.len()),
        ("destinations", raw.destinations.len()),
        ("ports", raw.ports.len()),
    ];
    match lists.into_iter().find(|(_, count)| *count > MAX_VALUES) {
        Some((field, count)) => Err(place.error(field, count, "at most 1000 values")),
        None => Ok(()),
    }
}

fn check_numbers(raw: &Raw, place: &Place) -> Result<(), CatalogueError> {
    let most = if raw.benign { MOST_BENIGN } else { BOUND };
    if !(-most..=0.0).contains(&raw.contribution) {
        let expected = "-8 to 0 for an entry that marks as benign, -3 to 0 for another";
        return Err(place.error("contribution", raw.contribution, expected));
    }
    if let Some((from, to)) = raw.period_s {
        let sound = (0.0..=MAX_PERIOD_S).contains(&from) && (from..=MAX_PERIOD_S).contains(&to);
        if !sound {
            let value = format!("[{from}, {to}]");
            return Err(place.error("period_s", value, "two ascending numbers of 0 to 1e8"));
        }
    }
    match raw.max_bytes {
        Some(bytes) if !(0.0..=1e15).contains(&bytes) => {
            Err(place.error("max_bytes", bytes, "0 to 1e15"))
        }
        _ => Ok(()),
    }
}

/// Whether the traits are enough for what the entry claims.
fn check_strength(entry: &Entry, place: &Place) -> Result<(), CatalogueError> {
    let by_domain = !entry.domains.is_empty();
    let by_process = !entry.processes.is_empty();
    let by_behaviour = entry.period_s.is_some() || entry.max_bytes.is_some();
    let web = [80, 443, 8080, 8443];
    let by_port = !entry.ports.is_empty() && !entry.ports.iter().any(|port| web.contains(port));
    let by_place = !entry.destinations.is_empty();
    let traits = [by_domain, by_process, by_behaviour, by_port];
    let count = traits.iter().filter(|it| **it).count();
    if count == 0 && !by_place && !entry.inbound {
        let expected =
            "at least one of domains, processes, destinations, ports, period_s, max_bytes, inbound";
        return Err(place.error("the entry", "without conditions", expected));
    }
    let no_outsider = by_place && entry.destinations.iter().all(is_out_of_reach);
    if entry.benign && count < 2 && !no_outsider && !entry.inbound {
        let expected = "false, or two of: domains, processes, behaviour (period_s, max_bytes), \
                        ports that are not of the web; or inbound, or destinations that no outsider has";
        return Err(place.error("benign", true, expected));
    }
    Ok(())
}

/// Whether both ends of a block are addresses that no outsider has; blocks of the private ranges have both ends in
/// them, and no block that is wider has.
fn is_out_of_reach(network: &Network) -> bool {
    let first = network.address();
    let last = match first {
        IpAddr::V4(v4) => {
            let rest = u32::MAX
                .checked_shr(u32::from(network.prefix_bits()))
                .unwrap_or(0);
            IpAddr::from((v4.to_bits() | rest).to_be_bytes())
        }
        IpAddr::V6(v6) => {
            let rest = u128::MAX
                .checked_shr(u32::from(network.prefix_bits()))
                .unwrap_or(0);
            IpAddr::from((v6.to_bits() | rest).to_be_bytes())
        }
    };
    let wide = if first.is_ipv4() { 4 } else { 7 };
    network.prefix_bits() >= wide && !is_public(first) && !is_public(last)
}
