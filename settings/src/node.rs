//! A configuration file as a tree that knows its lines.
//!
//! TOML and YAML are read into the same tree, so that every error can name the line, whatever the format.
//!
//! # Limits
//! YAML's aliases, depth and size are bounded, so that a few lines cannot grow into gigabytes.

use std::fmt;

use figment::value::{Dict, Value};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::Unreadable;

/// Most nodes of a YAML file, and of what its aliases stand for.
const NODES_MAX: usize = 200_000;
/// Deepest nesting.
const DEPTH_MAX: usize = 32;

/// A value and the line that it begins in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) value: NodeValue,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NodeValue {
    Nothing,
    Scalar(Value),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn scalar(line: u64, value: impl Into<Value>) -> Self {
        let value = NodeValue::Scalar(value.into());
        Self { line, value }
    }

    pub(super) fn map(line: u64) -> Self {
        let value = NodeValue::Map(Vec::new());
        Self { line, value }
    }

    /// What stands under a key.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let NodeValue::Map(fields) = &self.value else {
            return None;
        };
        let mut fields = fields.iter();
        fields.find(|field| field.0 == name).map(|field| &field.1)
    }

    /// What stands at a path, or at the last part of it that is there.
    pub(super) fn nearest(&self, path: &[String]) -> &Self {
        let mut place = self;
        for name in path {
            let index = name.parse::<usize>().ok();
            let next = match (&place.value, index) {
                (NodeValue::List(items), Some(index)) => items.get(index),
                _ => place.get(name),
            };
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        place
    }

    /// Puts a value at a path of keys; says whether it was free.
    pub(super) fn put(&mut self, path: &[&str], node: Self) -> bool {
        let NodeValue::Map(fields) = &mut self.value else {
            return false;
        };
        let Some((name, rest)) = path.split_first() else {
            return false;
        };
        let known = fields.iter().position(|field| field.0 == *name);
        match (known, rest.is_empty()) {
            (Some(_), true) => return false,
            (None, true) => fields.push(((*name).to_owned(), node)),
            (Some(place), false) => {
                return fields.get_mut(place).is_some_and(|it| it.1.put(rest, node));
            }
            (None, false) => {
                let mut below = Self::map(node.line);
                below.put(rest, node);
                fields.push(((*name).to_owned(), below));
            }
        }
        true
    }

    /// Without lines, as a layer of settings. Keys without a value are left out.
    pub(super) fn to_value(&self) -> Option<Value> {
        match &self.value {
            NodeValue::Nothing => None,
            NodeValue::Scalar(value) => Some(value.clone()),
            NodeValue::List(items) => {
                let items: Vec<Value> = items.iter().filter_map(Self::to_value).collect();
                Some(items.into())
            }
            NodeValue::Map(_) => Some(self.to_dict().into()),
        }
    }

    /// The fields of a map, as a layer of settings.
    pub(super) fn to_dict(&self) -> Dict {
        let NodeValue::Map(fields) = &self.value else {
            return Dict::new();
        };
        let fields = fields.iter();
        fields
            .filter_map(|(name, node)| Some((name.clone(), node.to_value()?)))
            .collect()
    }

    /// What the value is, for people.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            NodeValue::Nothing => "nothing".to_owned(),
            NodeValue::List(_) => "a list".to_owned(),
            NodeValue::Map(_) => "a section".to_owned(),
            NodeValue::Scalar(value) => match value {
                Value::String(_, text) => format!("{text:?}"),
                Value::Bool(_, it) => it.to_string(),
                Value::Num(_, number) => number
                    .to_i128()
                    .map(|it| it.to_string())
                    .or_else(|| number.to_f64().map(|it| it.to_string()))
                    .unwrap_or_default(),
                _ => "a value".to_owned(),
            },
        }
    }
}

/// Reads TOML.
pub(super) fn from_toml(text: &str) -> Result<Node, Unreadable> {
    let lines = Lines::of(text);
    let document = toml_edit::ImDocument::parse(text).map_err(|error| Unreadable {
        line: error.span().map(|span| lines.line_at(span.start)),
        problem: error.message().replace('\n', ", "),
    })?;
    Ok(toml_table(document.as_table(), 1, &lines))
}

fn toml_table(table: &dyn toml_edit::TableLike, line: u64, lines: &Lines) -> Node {
    let fields = table.iter().map(|(name, item)| {
        let key = table.key(name).and_then(toml_edit::Key::span);
        let line = key.map_or(line, |span| lines.line_at(span.start));
        (name.to_owned(), toml_item(item, line, lines))
    });
    let value = NodeValue::Map(fields.collect());
    Node { line, value }
}

fn toml_item(item: &toml_edit::Item, line: u64, lines: &Lines) -> Node {
    use toml_edit::Item;
    match item {
        Item::None => Node {
            line,
            value: NodeValue::Nothing,
        },
        Item::Value(value) => toml_value(value, line, lines),
        Item::Table(table) => toml_table(table, line, lines),
        Item::ArrayOfTables(tables) => {
            let items = tables.iter().map(|table| {
                let line = table.span().map_or(line, |span| lines.line_at(span.start));
                toml_table(table, line, lines)
            });
            let value = NodeValue::List(items.collect());
            Node { line, value }
        }
    }
}

fn toml_value(value: &toml_edit::Value, line: u64, lines: &Lines) -> Node {
    use toml_edit::Value as Toml;
    let line = value.span().map_or(line, |span| lines.line_at(span.start));
    let scalar = match value {
        Toml::String(text) => text.value().as_str().into(),
        Toml::Integer(number) => (*number.value()).into(),
        Toml::Float(number) => (*number.value()).into(),
        Toml::Boolean(it) => (*it.value()).into(),
        Toml::Datetime(time) => time.value().to_string().into(),
        Toml::InlineTable(table) => return toml_table(table, line, lines),
        Toml::Array(items) => {
            let items = items.iter().map(|item| toml_value(item, line, lines));
            let value = NodeValue::List(items.collect());
            return Node { line, value };
        }
    };
    let value = NodeValue::Scalar(scalar);
    Node { line, value }
}

/// Reads YAML, within limits.
pub(super) fn from_yaml(text: &str) -> Result<Node, Unreadable> {
    let mut limits = serde_saphyr::options::AliasLimits::default();
    limits.max_total_replayed_events = NODES_MAX;
    limits.max_replay_stack_depth = DEPTH_MAX;
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4 * NODES_MAX,
            max_nodes: NODES_MAX,
            max_aliases: 1000,
            max_anchors: 1000,
            max_depth: DEPTH_MAX,
            max_documents: 1,
            max_merge_keys: 1000,
        },
        alias_limits: limits,
        with_snippet: false,
        strict_booleans: true,
    };
    let parsed: YamlNode =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| Unreadable {
            line: error.location().map(|place| place.line()),
            problem: error.without_snippet().to_string(),
        })?;
    Ok(parsed.into_node())
}

/// Where the lines of a text begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        Self(ends.map(|(place, _)| place).collect())
    }

    fn line_at(&self, place: usize) -> u64 {
        self.0.partition_point(|end| *end < place) as u64 + 1
    }
}

/// A value of YAML.
enum Raw {
    Nothing,
    Scalar(Value),
    List(Vec<YamlNode>),
    Map(Vec<(String, YamlNode)>),
}

#[derive(Deserialize)]
#[serde(transparent)]
struct YamlNode(serde_saphyr::Spanned<Raw>);

impl YamlNode {
    fn into_node(self) -> Node {
        let line = self.0.referenced.line();
        let value = match self.0.value {
            Raw::Nothing => NodeValue::Nothing,
            Raw::Scalar(value) => NodeValue::Scalar(value),
            Raw::List(items) => NodeValue::List(items.into_iter().map(Self::into_node).collect()),
            Raw::Map(fields) => {
                let fields = fields.into_iter();
                NodeValue::Map(fields.map(|(name, it)| (name, it.into_node())).collect())
            }
        };
        Node { line, value }
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("settings")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Raw::Nothing)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Raw::Nothing)
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Self::Value, D::Error> {
        Raw::deserialize(inner)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        // As TOML has it, so that the same number is the same value.
        let signed = i64::try_from(value).map(Value::from);
        Ok(Raw::Scalar(signed.unwrap_or_else(|_large| value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Raw::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element()? {
            all.push(item);
        }
        Ok(Raw::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut all = Vec::new();
        while let Some(name) = fields.next_key::<String>()? {
            if all.iter().any(|field: &(String, YamlNode)| field.0 == name) {
                return Err(A::Error::custom(format!("{name} stands here twice")));
            }
            all.push((name, fields.next_value()?));
        }
        Ok(Raw::Map(all))
    }
}

#[cfg(test)]
mod tests;
