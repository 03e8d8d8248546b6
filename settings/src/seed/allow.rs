//! `whitelist` and `benign_baseline`: entries of the allow-list.

use super::{Translation, fields, flag, text, unknown, wrong};
use crate::Unreadable;
use crate::node::{Node, NodeValue};

const WHITELIST: &str =
    "source_ips, destination_ips (or dest_ips), ports (or destination_ports), pairs (or ip_pairs)";
const PATTERN: &str = "dst_port, protocol, label";

impl Translation {
    /// Both spellings of each list: those of the seed's file and those of its API.
    pub(super) fn whitelist(&mut self, name: &str, node: &Node) -> Result<(), Unreadable> {
        for (key, value) in fields(name, node)? {
            let written = format!("{name}.{key}");
            for item in items(&written, value)? {
                let conditions = match key {
                    "source_ips" => vec![("source", address(&written, item)?)],
                    "destination_ips" | "dest_ips" => {
                        vec![("destination", address(&written, item)?)]
                    }
                    "ports" | "destination_ports" => vec![("port", item.clone())],
                    "pairs" | "ip_pairs" => pair(&written, item)?,
                    _ => return Err(unknown(name, key, value, WHITELIST)),
                };
                let reason = "from the configuration's whitelist";
                self.allow(item.line, conditions, reason);
            }
            if !matches!(
                key,
                "source_ips"
                    | "destination_ips"
                    | "dest_ips"
                    | "ports"
                    | "destination_ports"
                    | "pairs"
                    | "ip_pairs"
            ) {
                return Err(unknown(name, key, value, WHITELIST));
            }
        }
        Ok(())
    }

    /// Destination ports of services that beat by themselves.
    pub(super) fn baseline(&mut self, node: &Node) -> Result<(), Unreadable> {
        const NAME: &str = "benign_baseline";
        let known = ["enabled", "patterns"];
        for (key, value) in fields(NAME, node)? {
            if !known.contains(&key) {
                return Err(unknown(NAME, key, value, &known.join(", ")));
            }
        }
        let enabled = match node.get("enabled") {
            Some(enabled) => flag("benign_baseline.enabled", enabled)?.unwrap_or(true),
            None => true,
        };
        let Some(patterns) = node.get("patterns").filter(|_| enabled) else {
            return Ok(());
        };
        for pattern in items("benign_baseline.patterns", patterns)? {
            self.pattern(pattern)?;
        }
        Ok(())
    }

    fn pattern(&mut self, pattern: &Node) -> Result<(), Unreadable> {
        const NAME: &str = "benign_baseline.patterns";
        let mut conditions = Vec::new();
        let mut reason = "from the configuration's benign baseline".to_owned();
        for (key, value) in fields(NAME, pattern)? {
            match key {
                "dst_port" => conditions.push(("port", value.clone())),
                "protocol" => {
                    let protocol = text(NAME, value)?.to_ascii_lowercase();
                    conditions.push(("transport", Node::scalar(value.line, protocol)));
                }
                "label" => {
                    let label = text(NAME, value)?;
                    reason = format!("{reason}: {label}");
                }
                _ => return Err(unknown(NAME, key, value, PATTERN)),
            }
        }
        if pattern.get("dst_port").is_none() {
            return Err(wrong(NAME, pattern, "a pattern with dst_port"));
        }
        self.allow(pattern.line, conditions, &reason);
        Ok(())
    }

    fn allow(&mut self, line: u64, conditions: Vec<(&str, Node)>, reason: &str) {
        let mut entry = Node::map(line);
        for (name, value) in conditions {
            entry.put(&[name], value);
        }
        let reason: String = reason.chars().take(500).collect();
        entry.put(&["reason"], Node::scalar(line, reason));
        self.allow.push(entry);
    }
}

/// The items of a list; nothing is an empty one.
fn items<'a>(key: &str, node: &'a Node) -> Result<&'a [Node], Unreadable> {
    match &node.value {
        NodeValue::Nothing => Ok(&[]),
        NodeValue::List(items) => Ok(items),
        _ => Err(wrong(key, node, "a list")),
    }
}

fn address(key: &str, node: &Node) -> Result<Node, Unreadable> {
    text(key, node).map(|address| Node::scalar(node.line, address))
}

/// `source:destination:port`; addresses of IPv6 in brackets.
fn pair(key: &str, node: &Node) -> Result<Vec<(&'static str, Node)>, Unreadable> {
    let written = text(key, node)?;
    let expected = "source:destination:port, such as 10.0.0.5:192.0.2.1:80";
    let parts = || {
        let (ends, port) = written.rsplit_once(':')?;
        let port: u16 = port.parse().ok()?;
        let (source, destination) = match ends.split_once("]:") {
            Some((source, destination)) => (source.strip_prefix('[')?, destination),
            None => ends.split_once(':')?,
        };
        let destination = destination.trim_start_matches('[').trim_end_matches(']');
        Some((source, destination, port))
    };
    let (source, destination, port) = parts().ok_or_else(|| wrong(key, node, expected))?;
    let line = node.line;
    Ok(vec![
        ("source", Node::scalar(line, source)),
        ("destination", Node::scalar(line, destination)),
        ("port", Node::scalar(line, port)),
    ])
}
