//! `alerting`: destinations.

use super::{Translation, fields, flag, text, unknown, whole, wrong};
use crate::Unreadable;
use crate::node::{Node, NodeValue};

/// Keys of the section as the seed's API has them, and as its file has them.
const FLAT: &[(&str, [&str; 2])] = &[
    ("syslog_enabled", ["syslog", "enabled"]),
    ("syslog_facility", ["syslog", "facility"]),
    ("syslog_address", ["syslog", "address"]),
    ("file_enabled", ["file", "enabled"]),
    ("file_path", ["file", "path"]),
    ("file_max_size_mb", ["file", "max_size_mb"]),
    ("file_backup_count", ["file", "backup_count"]),
    ("webhook_enabled", ["webhook", "enabled"]),
    ("webhook_url", ["webhook", "url"]),
    ("webhook_headers", ["webhook", "headers"]),
    ("webhook_timeout", ["webhook", "timeout"]),
    ("webhook_retries", ["webhook", "retries"]),
];

const SYSLOG: &[&str] = &["enabled", "facility", "level", "address"];
const FILE: &[&str] = &["enabled", "path", "max_size_mb", "backup_count"];
const WEBHOOK: &[&str] = &["enabled", "url", "headers", "timeout", "retries"];

const ROTATION: &str =
    "has no effect: rename the file to rotate it (logrotate does), a new one is begun";
const LEVEL: &str = "has no effect: the level of a message follows from its severity; route.minimum_severity leaves out lesser ones";
const RETRIES: &str = "has no effect: a document is sent until it is delivered, with growing pauses (sidecar.delivery)";
const SECRET_HEADERS: &str = "has no effect: headers can hold secrets, which are not read from the configuration; name the file that holds one in sidecar.destinations.webhook";
const DISABLED: &str =
    "is false: nothing is delivered, and findings are seen in the API and the web page only";

/// Refuses keys that the seed does not know.
fn known_keys(section: &Node) -> Result<(), Unreadable> {
    for (key, value) in fields("alerting", section)? {
        let known = match key {
            "enabled" => continue,
            "syslog" => SYSLOG,
            "file" => FILE,
            "webhook" => WEBHOOK,
            _ => {
                return Err(unknown(
                    "alerting",
                    key,
                    value,
                    "enabled, syslog, file, webhook",
                ));
            }
        };
        let name = format!("alerting.{key}");
        for (key, value) in fields(&name, value)? {
            if !known.contains(&key) {
                return Err(unknown(&name, key, value, &known.join(", ")));
            }
        }
    }
    Ok(())
}

impl Translation {
    pub(super) fn alerting(&mut self, node: &Node) -> Result<(), Unreadable> {
        let section = nested(node)?;
        known_keys(&section)?;
        let enabled = match section.get("enabled") {
            Some(enabled) => flag("alerting.enabled", enabled)?.unwrap_or(true),
            None => true,
        };
        let mut destinations = Vec::new();
        if enabled {
            destinations.extend(self.syslog(&section)?);
            destinations.extend(self.file(&section)?);
            destinations.extend(self.webhook(&section)?);
        } else {
            self.warn(node.line, "alerting.enabled", DISABLED);
        }
        let says_nothing = enabled
            && fields("alerting", &section)?
                .iter()
                .all(|it| it.0 == "enabled");
        if !says_nothing {
            let value = NodeValue::Map(destinations);
            let line = node.line;
            self.set("sidecar.destinations", "alerting", Node { line, value });
        }
        Ok(())
    }

    fn syslog(&mut self, section: &Node) -> Result<Option<(String, Node)>, Unreadable> {
        let Some(syslog) = enabled(section, "syslog")? else {
            return Ok(None);
        };
        let mut destination = of_type(syslog, "syslog");
        if let Some(facility) = syslog.get("facility") {
            destination.put(&["facility"], facility.clone());
        }
        if let Some(address) = syslog.get("address") {
            let path = text("alerting.syslog.address", address)?;
            destination.put(&["path"], Node::scalar(address.line, path));
        }
        if let Some(level) = syslog.get("level") {
            self.warn(level.line, "alerting.syslog.level", LEVEL);
        }
        Ok(Some(("syslog".to_owned(), destination)))
    }

    fn file(&mut self, section: &Node) -> Result<Option<(String, Node)>, Unreadable> {
        let Some(file) = enabled(section, "file")? else {
            return Ok(None);
        };
        let mut destination = of_type(file, "file");
        if let Some(path) = file.get("path") {
            let text = text("alerting.file.path", path)?;
            destination.put(&["path"], Node::scalar(path.line, text));
            destination.put(&["create_folder"], Node::scalar(path.line, true));
        }
        for key in ["max_size_mb", "backup_count"] {
            if let Some(value) = file.get(key) {
                self.warn(value.line, &format!("alerting.file.{key}"), ROTATION);
            }
        }
        Ok(Some(("file".to_owned(), destination)))
    }

    fn webhook(&mut self, section: &Node) -> Result<Option<(String, Node)>, Unreadable> {
        let Some(webhook) = enabled(section, "webhook")? else {
            return Ok(None);
        };
        let Some(url) = webhook.get("url") else {
            return Err(wrong("alerting.webhook", webhook, "a section with url"));
        };
        let mut destination = of_type(webhook, "webhook");
        let address = text("alerting.webhook.url", url)?;
        destination.put(&["url"], Node::scalar(url.line, address));
        if let Some(timeout) = webhook.get("timeout") {
            destination.put(&["timeout_s"], whole(timeout));
        }
        if let Some(headers) = webhook.get("headers") {
            self.warn(headers.line, "alerting.webhook.headers", SECRET_HEADERS);
        }
        if let Some(retries) = webhook.get("retries") {
            self.warn(retries.line, "alerting.webhook.retries", RETRIES);
        }
        Ok(Some(("webhook".to_owned(), destination)))
    }
}

fn of_type(node: &Node, kind: &str) -> Node {
    let mut destination = Node::map(node.line);
    destination.put(&["type"], Node::scalar(node.line, kind));
    destination
}

/// The part of the section, when it is switched on. The webhook is off unless it says otherwise.
fn enabled<'a>(section: &'a Node, name: &str) -> Result<Option<&'a Node>, Unreadable> {
    let Some(part) = section.get(name) else {
        return Ok(None);
    };
    let on = match part.get("enabled") {
        Some(value) => flag(&format!("alerting.{name}.enabled"), value)?,
        None => None,
    };
    Ok(on.unwrap_or(name != "webhook").then_some(part))
}

/// The section with its flat keys put where they belong.
fn nested(node: &Node) -> Result<Node, Unreadable> {
    let mut section = Node::map(node.line);
    for (key, value) in fields("alerting", node)? {
        let flat = FLAT.iter().find(|flat| flat.0 == key);
        let path: &[&str] = flat.map_or(std::slice::from_ref(&key), |flat| &flat.1);
        if !section.put(path, value.clone()) {
            return Err(wrong(&format!("alerting.{key}"), value, "it once"));
        }
    }
    Ok(section)
}
