//! Which documents a destination gets, how many at a time and how fast.
//!
//! # Contract
//! A document goes to a destination when the destination is enabled, the document is at least as severe as
//! `minimum_severity`, its kind is wanted (`include_sensors`, `include_simulated`), *all* conditions of
//! `only` hold and *none* of `except` does. A condition holds when *one* of its values is one of the
//! field's; a field that a document does not have holds no condition.
//!
//! Values are compared as text without regard to the case of ASCII letters, with `*` for any number of
//! characters; in fields of type IP they are addresses or networks (`192.0.2.0/24`).
//!
//! # Limits
//! Conditions name fields of the field model and nothing else, so that a misspelt one is an error and not
//! a filter that never holds.

use std::net::IpAddr;

use beaconwatch_schema::{FieldType, detection, rule_match};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{SettingError, Stream, in_range};

/// Most conditions of a list, and most values of a condition.
const MAX_CONDITIONS: usize = 100;
const MAX_VALUES: usize = 1000;
/// Tag of documents that `beaconwatch simulate` has caused.
const SIMULATED: &str = "simulated";

/// Which documents a destination gets, how many at a time and how fast.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteConfig {
    /// Whether anything is delivered. While false, no new documents are kept for this destination and
    /// those that wait stay.
    pub enabled: bool,
    /// Least severity of a document: `low`, `medium`, `high` or `critical`.
    pub minimum_severity: MinimumSeverity,
    /// Conditions that must all hold.
    pub only: Vec<Condition>,
    /// Conditions none of which may hold.
    pub except: Vec<Condition>,
    /// Whether findings of `beaconwatch simulate` are delivered.
    pub include_simulated: bool,
    /// Whether documents about sensors (silent, lost records) are delivered.
    pub include_sensors: bool,
    /// Most documents in a second, 1..=1000000; as many as the destination takes when not given.
    pub max_documents_per_s: Option<u32>,
    /// Most documents in one attempt, 1..=10000, instead of `delivery.max_batch_documents`.
    pub max_batch_documents: Option<usize>,
    /// Most bytes of documents in one attempt, 1024..=33554432, instead of `delivery.max_batch_bytes`.
    pub max_batch_bytes: Option<usize>,
}

impl Default for RouteConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            minimum_severity: MinimumSeverity::Low,
            only: Vec::new(),
            except: Vec::new(),
            include_simulated: true,
            include_sensors: true,
            max_documents_per_s: None,
            max_batch_documents: None,
            max_batch_bytes: None,
        }
    }
}

/// Least severity of the documents that a destination gets.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum MinimumSeverity {
    /// All of them.
    #[default]
    Low,
    /// Score 0.7.
    Medium,
    /// Score 0.8.
    High,
    /// Score 0.9.
    Critical,
}

impl MinimumSeverity {
    /// Name, as in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The number that stands for it in `event.severity`.
    const fn number(self) -> u64 {
        match self {
            Self::Low => 0,
            Self::Medium => 47,
            Self::High => 73,
            Self::Critical => 99,
        }
    }
}

/// A condition on one field of a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Dotted name of a field of the document, for example `destination.ip`.
    pub field: String,
    /// Values one of which the field must have: text with `*`, a number, or in fields of type IP an
    /// address or network.
    pub any_of: Vec<ConditionValue>,
}

/// A value that a field may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum ConditionValue {
    /// A number.
    Number(i64),
    /// Text; `*` stands for any number of characters.
    Text(String),
}

impl ConditionValue {
    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl RouteConfig {
    /// Checks the values; `field` is the dotted name of this section.
    pub fn validate(&self, field: &str) -> Result<(), SettingError> {
        self.compile(field).map(drop)
    }

    /// The route in a form that documents are held against; `field` is the dotted name of this section.
    pub fn compile(&self, field: &str) -> Result<Route, SettingError> {
        let optional = |name: &str, value: Option<u64>, minimum, maximum| match value {
            Some(value) => in_range(&format!("{field}.{name}"), value, minimum, maximum),
            None => Ok(()),
        };
        let per_s = self.max_documents_per_s.map(u64::from);
        optional("max_documents_per_s", per_s, 1, 1_000_000)?;
        let documents = self.max_batch_documents.map(|it| it as u64);
        optional("max_batch_documents", documents, 1, 10_000)?;
        let bytes = self.max_batch_bytes.map(|it| it as u64);
        optional("max_batch_bytes", bytes, 1024, 32 << 20)?;
        Ok(Route {
            config: self.clone(),
            only: conditions(&self.only, &format!("{field}.only"))?,
            except: conditions(&self.except, &format!("{field}.except"))?,
        })
    }
}

/// A route that documents are held against.
#[derive(Clone, Debug)]
pub struct Route {
    config: RouteConfig,
    only: Vec<Test>,
    except: Vec<Test>,
}

impl Route {
    /// What it was made of.
    #[must_use]
    pub fn config(&self) -> &RouteConfig {
        &self.config
    }

    /// Whether a document (its body, in the Elastic Common Schema) goes this way.
    #[must_use]
    pub fn wants(&self, document: &Value) -> bool {
        self.config.enabled
            && severity(document) >= self.config.minimum_severity.number()
            && (self.config.include_simulated || !is_simulated(document))
            && (self.config.include_sensors || !is_of_a_sensor(document))
            && self.only.iter().all(|test| test.holds(document))
            && !self.except.iter().any(|test| test.holds(document))
    }
}

fn severity(document: &Value) -> u64 {
    value_at(document, detection::EVENT_SEVERITY)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}

fn is_simulated(document: &Value) -> bool {
    value_at(document, detection::TAGS)
        .is_some_and(|tags| any_of(tags, &mut |tag| tag == SIMULATED))
}

fn is_of_a_sensor(document: &Value) -> bool {
    value_at(document, detection::EVENT_DATASET).and_then(Value::as_str)
        == Some(Stream::Sensor.dataset())
}

/// The value of a dotted field; none when the document does not have it.
fn value_at<'a>(document: &'a Value, field: &str) -> Option<&'a Value> {
    field
        .split('.')
        .try_fold(document, |value, name| value.get(name))
}

/// Whether `holds` is true of a value, or of one in an array.
fn any_of(value: &Value, holds: &mut dyn FnMut(&str) -> bool) -> bool {
    match value {
        Value::Array(values) => values.iter().any(|value| any_of(value, holds)),
        Value::String(text) => holds(text),
        Value::Number(_) | Value::Bool(_) => holds(&value.to_string()),
        Value::Null | Value::Object(_) => false,
    }
}

/// A condition in a form that documents are held against.
#[derive(Clone, Debug)]
struct Test {
    field: String,
    values: Values,
}

#[derive(Clone, Debug)]
enum Values {
    Patterns(Vec<String>),
    Networks(Vec<IpNet>),
}

impl Test {
    fn new(condition: &Condition, field: &str) -> Result<Self, SettingError> {
        let known = detection::FIELDS
            .iter()
            .chain(rule_match::FIELDS)
            .find(|known| known.name == condition.field)
            .ok_or_else(|| {
                let expected =
                    "a field of the detection or the rule match document (see docs/fields.md)";
                SettingError::value(format!("{field}.field"), &condition.field, expected)
            })?;
        let count = condition.any_of.len();
        in_range(
            &format!("{field}.any_of"),
            count as u64,
            1,
            MAX_VALUES as u64,
        )?;
        let values = condition.any_of.iter().map(ConditionValue::text);
        let values = if known.field_type == FieldType::Ip {
            let network = |text: String| {
                let network = parse_network(&text);
                network.ok_or_else(|| {
                    let expected = "IP addresses or networks such as 192.0.2.0/24";
                    SettingError::value(format!("{field}.any_of"), text, expected)
                })
            };
            Values::Networks(values.map(network).collect::<Result<_, _>>()?)
        } else {
            Values::Patterns(values.map(|text| text.to_ascii_lowercase()).collect())
        };
        Ok(Self {
            field: condition.field.clone(),
            values,
        })
    }

    fn holds(&self, document: &Value) -> bool {
        let Some(value) = value_at(document, &self.field) else {
            return false;
        };
        match &self.values {
            Values::Patterns(patterns) => any_of(value, &mut |text| {
                let text = text.to_ascii_lowercase();
                patterns
                    .iter()
                    .any(|it| matches(it.as_bytes(), text.as_bytes()))
            }),
            Values::Networks(networks) => any_of(value, &mut |text| {
                text.parse::<IpAddr>().is_ok_and(|address| {
                    let address = address.to_canonical();
                    networks.iter().any(|network| network.contains(&address))
                })
            }),
        }
    }
}

fn conditions(all: &[Condition], field: &str) -> Result<Vec<Test>, SettingError> {
    in_range(field, all.len() as u64, 0, MAX_CONDITIONS as u64)?;
    let numbered = all.iter().enumerate();
    numbered
        .map(|(index, condition)| Test::new(condition, &format!("{field}[{index}]")))
        .collect()
}

/// IPv4 addresses in IPv6 are the IPv4 addresses that they are, as in what is compared with them.
fn parse_network(text: &str) -> Option<IpNet> {
    let address = || text.parse::<IpAddr>().map(|it| it.to_canonical().into());
    let network = text
        .parse::<IpNet>()
        .or_else(|_not_a_network| address())
        .ok()?;
    let mapped = match network.addr() {
        IpAddr::V6(address) => address.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    };
    let Some(address) = mapped else {
        return Some(network);
    };
    // Their bits count from the start of the IPv6 address.
    let bits = network.prefix_len().checked_sub(96)?;
    IpNet::new(address.into(), bits).ok()
}

/// Whether `text` is `pattern`, where `*` stands for any number of bytes. Takes at most the product of both
/// lengths in time.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut position) = (0, 0);
    // Where the last star stands, and how far the text went that it stands for.
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, position));
            at += 1;
        } else if pattern.get(at) == text.get(position) {
            at += 1;
            position += 1;
        } else if let Some((before, taken)) = star {
            star = Some((before, taken + 1));
            at = before + 1;
            position = taken + 1;
        } else {
            return false;
        }
    }
    pattern
        .get(at..)
        .is_none_or(|rest| rest.iter().all(|&it| it == b'*'))
}

#[cfg(test)]
mod tests;
