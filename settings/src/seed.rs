//! The configuration of the seed (YAML): each of its keys works here or is answered with what replaces it.
//!
//! # Contract
//! - A key with a counterpart sets it (`RULES`); what our own sections say in the same file stands above it.
//! - A key without one gives a warning that says what to do instead. Nothing is passed over in silence.
//! - A key that the seed does not know either is an error with its line.
//! - A file of the seed as it was shipped starts: an address that other hosts reach becomes a loopback
//!   address, with a warning.

mod alerting;
mod allow;
mod rules;

use std::collections::BTreeMap;

use figment::value::Value;

use crate::node::{Node, NodeValue};
use crate::{FileSettings, Unreadable};
use rules::{Rule, section};

/// Our own sections.
const OWN: &[&str] = &["exporter", "detector", "sidecar"];

/// Puts a YAML file into our own terms.
pub(super) fn translate(root: Node) -> Result<FileSettings, Unreadable> {
    let line = root.line;
    let NodeValue::Map(sections) = root.value else {
        let problem = format!("the file is {}, expected sections", root.describe());
        return match root.value {
            NodeValue::Nothing => Ok(Translation::new(Node::map(line)).end()),
            _ => Err(at(line, problem)),
        };
    };
    let (own, seed): (Vec<_>, Vec<_>) = sections
        .into_iter()
        .partition(|(name, _)| OWN.contains(&name.as_str()));
    let value = NodeValue::Map(own);
    let mut translation = Translation::new(Node { line, value });
    for (name, node) in &seed {
        translation.section(name, node)?;
    }
    Ok(translation.end())
}

struct Translation {
    root: Node,
    written_as: BTreeMap<String, String>,
    warnings: Vec<(u64, String)>,
    /// Entries of the allow-list.
    allow: Vec<Node>,
}

impl Translation {
    fn new(root: Node) -> Self {
        Self {
            root,
            written_as: BTreeMap::new(),
            warnings: Vec::new(),
            allow: Vec::new(),
        }
    }

    fn end(mut self) -> FileSettings {
        if !self.allow.is_empty() {
            let line = self.allow.first().map_or(1, |entry| entry.line);
            let value = NodeValue::List(std::mem::take(&mut self.allow));
            self.set("sidecar.allow", "whitelist", Node { line, value });
        }
        FileSettings {
            root: self.root,
            written_as: self.written_as,
            warnings: self.warnings,
        }
    }

    /// Sets one of our keys from a key of the seed.
    fn set(&mut self, ours: &str, seed: &str, node: Node) {
        let line = node.line;
        let path: Vec<&str> = ours.split('.').collect();
        if self.root.put(&path, node) {
            self.written_as.insert(ours.to_owned(), seed.to_owned());
        } else {
            self.warn(
                line,
                seed,
                &format!("has no effect, because {ours} is set, too"),
            );
        }
    }

    fn warn(&mut self, line: u64, key: &str, text: &str) {
        self.warnings.push((line, format!("{key} {text}")));
    }

    fn section(&mut self, name: &str, node: &Node) -> Result<(), Unreadable> {
        match name {
            "alerting" => self.alerting(node),
            "whitelist" | "allowlist" | "allow_list" => self.whitelist(name, node),
            "benign_baseline" => self.baseline(node),
            "api_key" => {
                self.warn(node.line, name, rules::API_KEY);
                Ok(())
            }
            _ => match section(name) {
                Some(rules) => self.by_rules(name, node, rules),
                None => Err(unknown("", name, node, &rules::SECTIONS.join(", "))),
            },
        }
    }

    fn by_rules(
        &mut self,
        name: &str,
        node: &Node,
        rules: &[(&str, Rule)],
    ) -> Result<(), Unreadable> {
        for (key, value) in fields(name, node)? {
            let Some((_, rule)) = rules.iter().find(|rule| rule.0 == key) else {
                let known: Vec<&str> = rules.iter().map(|rule| rule.0).collect();
                return Err(unknown(name, key, value, &known.join(", ")));
            };
            let written = format!("{name}.{key}");
            match rule {
                Rule::Sets(ours) => self.set(ours, &written, value.clone()),
                Rule::Whole(ours) => self.set(ours, &written, whole(value)),
                Rule::Replaced(advice) => self.warn(value.line, &written, advice),
                Rule::Fixed {
                    value: ours,
                    advice,
                } => {
                    if number(value).is_none_or(|it| (it - ours).abs() > 1e-9) {
                        self.warn(value.line, &written, advice);
                    }
                }
                Rule::AlwaysTrue(advice) => {
                    if flag(&written, value)? == Some(false) {
                        self.warn(value.line, &written, advice);
                    }
                }
                Rule::Pages => self.ring_buffer(&written, value)?,
                Rule::Address => {}
            }
        }
        match name {
            "control_plane" => self.api_address(node),
            "detection" => {
                self.seed_profile(node.line);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Thresholds of the seed bind the seed's score alone: a file that has them means that score.
    fn seed_profile(&mut self, line: u64) {
        let ours = self.root.get("detector").and_then(|it| it.get("profile"));
        if ours.is_none() {
            let node = Node::scalar(line, "seed");
            self.set("detector.profile", "detection", node);
        }
    }

    /// Pages of 4096 bytes; the kernel wants a power of two.
    fn ring_buffer(&mut self, key: &str, value: &Node) -> Result<(), Unreadable> {
        let pages = integer(value)
            .and_then(|it| u32::try_from(it).ok())
            .filter(|it| *it > 0);
        let bytes =
            pages.and_then(|pages| pages.max(16).checked_mul(4096)?.checked_next_power_of_two());
        let Some(bytes) = bytes else {
            return Err(wrong(key, value, "a number of pages from 1 to 524288"));
        };
        if pages.map(|pages| pages.saturating_mul(4096)) != Some(bytes) {
            let text = format!(
                "becomes exporter.capture.ring_bytes = {bytes}: a power of two of at least 65536"
            );
            self.warn(value.line, key, &text);
        }
        let node = Node::scalar(value.line, bytes);
        self.set("exporter.capture.ring_bytes", key, node);
        Ok(())
    }

    fn api_address(&mut self, node: &Node) -> Result<(), Unreadable> {
        let (address, port) = (node.get("listen_address"), node.get("listen_port"));
        let Some(line) = address.or(port).map(|it| it.line) else {
            return Ok(());
        };
        let host = match address {
            Some(it) => text("control_plane.listen_address", it)?,
            None => "127.0.0.1".to_owned(),
        };
        let port = match port {
            None => 9090,
            Some(node) => integer(node)
                .and_then(|port| u16::try_from(port).ok())
                .ok_or_else(|| wrong("control_plane.listen_port", node, "0 to 65535"))?,
        };
        let host = if host == "localhost" {
            "127.0.0.1".to_owned()
        } else {
            host
        };
        let Ok(ip) = host.parse::<std::net::IpAddr>() else {
            let node = address.unwrap_or(node);
            return Err(wrong("control_plane.listen_address", node, "an IP address"));
        };
        let mut bound = ip;
        if !ip.to_canonical().is_loopback() {
            bound = std::net::Ipv4Addr::LOCALHOST.into();
            let advice = format!(
                "is {ip}, which other hosts can reach: the API stays on {bound} until sidecar.api.address, sidecar.api.allow_remote and [sidecar.api.tokens] say otherwise"
            );
            self.warn(line, "control_plane.listen_address", &advice);
        }
        let written = "control_plane.listen_address and listen_port";
        let socket = std::net::SocketAddr::from((bound, port)).to_string();
        self.set("sidecar.api.address", written, Node::scalar(line, socket));
        Ok(())
    }
}

/// The keys of a section; one without any is empty.
fn fields<'a>(name: &str, node: &'a Node) -> Result<Vec<(&'a str, &'a Node)>, Unreadable> {
    match &node.value {
        NodeValue::Nothing => Ok(Vec::new()),
        NodeValue::Map(fields) => Ok(fields.iter().map(|it| (it.0.as_str(), &it.1)).collect()),
        _ => Err(wrong(name, node, "a section")),
    }
}

fn at(line: u64, problem: String) -> Unreadable {
    let line = Some(line);
    Unreadable { line, problem }
}

fn wrong(key: &str, node: &Node, expected: &str) -> Unreadable {
    let value = node.describe();
    at(node.line, format!("{key} is {value}, expected {expected}"))
}

fn unknown(section: &str, key: &str, node: &Node, known: &str) -> Unreadable {
    let dot = if section.is_empty() { "" } else { "." };
    let problem = format!("{section}{dot}{key}: unknown key, expected one of {known}");
    at(node.line, problem)
}

fn integer(node: &Node) -> Option<i128> {
    match &node.value {
        NodeValue::Scalar(Value::Num(_, number)) => {
            let unsigned = || number.to_u128().and_then(|it| i128::try_from(it).ok());
            number.to_i128().or_else(unsigned)
        }
        _ => None,
    }
}

fn number(node: &Node) -> Option<f64> {
    let whole = || {
        integer(node)
            .and_then(|it| i32::try_from(it).ok())
            .map(f64::from)
    };
    match &node.value {
        NodeValue::Scalar(Value::Num(_, number)) => number.to_f64().or_else(whole),
        _ => None,
    }
}

/// A number that is written with a fraction of nothing (`300.0`) as a whole one.
fn whole(node: &Node) -> Node {
    match number(node) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "in range, and without a fraction"
        )]
        Some(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
            Node::scalar(node.line, value as i64)
        }
        _ => node.clone(),
    }
}

fn flag(key: &str, node: &Node) -> Result<Option<bool>, Unreadable> {
    match &node.value {
        NodeValue::Nothing => Ok(None),
        NodeValue::Scalar(value) if value.to_bool().is_some() => Ok(value.to_bool()),
        // The seed reads YAML 1.1, where these are booleans, too.
        NodeValue::Scalar(value) => match value.as_str().map(str::to_ascii_lowercase).as_deref() {
            Some("yes" | "on") => Ok(Some(true)),
            Some("no" | "off") => Ok(Some(false)),
            _ => Err(wrong(key, node, "true or false")),
        },
        _ => Err(wrong(key, node, "true or false")),
    }
}

fn text(key: &str, node: &Node) -> Result<String, Unreadable> {
    match &node.value {
        NodeValue::Scalar(value) => match value.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(wrong(key, node, "text")),
        },
        _ => Err(wrong(key, node, "text")),
    }
}
