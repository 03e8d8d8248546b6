//! Which fields rules may name, and values of fields as text and as numbers.

use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_schema::sigma;
use rsigma_eval::{Event, EventValue};

use crate::DocumentKind;

/// The fields of both kinds of documents.
pub(crate) struct KnownFields {
    detection: BTreeSet<&'static str>,
    flow: BTreeSet<&'static str>,
    /// Sigma's names of flow fields, and those of the document.
    connection: BTreeMap<&'static str, &'static str>,
}

impl KnownFields {
    pub(crate) fn new() -> Self {
        Self {
            detection: sigma::detection_fields().into_iter().collect(),
            flow: sigma::flow_fields().into_iter().collect(),
            connection: sigma::connection_fields().into_iter().collect(),
        }
    }

    pub(crate) fn has(&self, kind: DocumentKind, field: &str) -> bool {
        match kind {
            DocumentKind::Detection => self.detection.contains(field),
            DocumentKind::Flow => self.flow.contains(field),
        }
    }

    pub(crate) fn has_any(&self, field: &str) -> bool {
        self.detection.contains(field) || self.flow.contains(field)
    }

    /// A field of a document by Sigma's name, or by its own.
    pub(crate) fn of_document<'a>(&self, field: &'a str) -> &'a str {
        self.connection.get(field).copied().unwrap_or(field)
    }
}

/// The value of a field as text; `None` when there is none or it is no single value.
pub(crate) fn text_of(event: &impl Event, field: &str) -> Option<String> {
    match event.get_field(field)? {
        EventValue::Null | EventValue::Array(_) | EventValue::Map(_) => None,
        value => value.as_str().map(std::borrow::Cow::into_owned),
    }
}

/// The value of a field as a finite number.
pub(crate) fn number_of(event: &impl Event, field: &str) -> Option<f64> {
    let number = event.get_field(field)?.as_f64()?;
    number.is_finite().then_some(number)
}
