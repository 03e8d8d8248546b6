//! The fields of a document by their dotted names, for destinations that do not send the document as it is.

use serde_json::Value;

use crate::Document;

/// A document that was read.
#[derive(Debug)]
pub(crate) struct Fields(Value);

impl Fields {
    /// Reads a document; the reason when it is no JSON object.
    pub(crate) fn read(document: &Document) -> Result<Self, String> {
        match serde_json::from_str(&document.body) {
            Ok(value @ Value::Object(_)) => Ok(Self(value)),
            Ok(_) => Err("the document is JSON but no object".to_owned()),
            Err(error) => Err(format!("the document is no JSON: {error}")),
        }
    }

    /// A document that is there already.
    pub(crate) const fn of(document: Value) -> Self {
        Self(document)
    }

    /// The whole document.
    pub(crate) const fn value(&self) -> &Value {
        &self.0
    }

    /// The value of a field; of an array the first.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        let mut value = &self.0;
        for part in name.split('.') {
            value = value.get(part)?;
        }
        match value {
            Value::Array(values) => values.first(),
            Value::Null => None,
            value => Some(value),
        }
    }

    /// The value as text; none for objects.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.get(name)? {
            Value::String(text) => Some(text.clone()),
            value @ (Value::Number(_) | Value::Bool(_)) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The value as an instant.
    pub(crate) fn time(&self, name: &str) -> Option<jiff::Timestamp> {
        self.get(name)?.as_str()?.parse().ok()
    }

    /// How bad it is.
    pub(crate) fn severity(&self) -> Level {
        Level::of(self.get("event.severity").and_then(Value::as_u64))
    }
}

/// Severity of a document in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    /// By the number of `event.severity`.
    pub(crate) const fn of(number: Option<u64>) -> Self {
        // The values of the detector are 21, 47, 73 and 99; Elastic's rules draw the lines at the same places.
        match number {
            Some(0..=21) | None => Self::Low,
            Some(22..=47) => Self::Medium,
            Some(48..=73) => Self::High,
            Some(_) => Self::Critical,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}
