//! A document in the envelope that the collector wants.

use serde_json::{Map, Value, json};

use super::SplunkHecConfig;
use crate::fields::Fields;
use crate::{Document, Stream};

/// What stands in every envelope.
#[derive(Debug)]
pub(super) struct Labels {
    index: Option<String>,
    source: String,
    detection_sourcetype: String,
    sensor_sourcetype: String,
    rule_sourcetype: String,
    host: Option<String>,
    observer_name: Option<String>,
}

impl Labels {
    pub(super) fn new(config: &SplunkHecConfig, observer_name: Option<&str>) -> Self {
        Self {
            index: config.index.clone(),
            source: config.source.clone(),
            detection_sourcetype: config.detection_sourcetype.clone(),
            sensor_sourcetype: config.sensor_sourcetype.clone(),
            rule_sourcetype: config.rule_sourcetype.clone(),
            host: config.host.clone(),
            observer_name: observer_name.map(str::to_owned),
        }
    }

    /// The envelope as one line; the reason when the document cannot be read.
    pub(super) fn envelope(&self, document: &Document) -> Result<String, String> {
        let fields = Fields::read(document)?;
        let mut envelope = Map::new();
        if let Some(time) = fields.time("@timestamp") {
            // Milliseconds are exact in a double for the next 285,000 years.
            #[expect(clippy::cast_precision_loss, reason = "see above")]
            let seconds = time.as_millisecond() as f64 / 1000.0;
            envelope.insert("time".to_owned(), json!(seconds));
        }
        let host = self.host.clone();
        let host = host
            .or_else(|| fields.text("host.name"))
            .or_else(|| self.observer_name.clone());
        for (name, value) in [
            ("host", host.as_ref()),
            ("source", Some(&self.source)),
            ("sourcetype", Some(self.sourcetype(document.stream))),
            ("index", self.index.as_ref()),
        ] {
            if let Some(value) = value {
                envelope.insert(name.to_owned(), json!(value));
            }
        }
        let id = json!({ "event_id": document.event_id });
        envelope.insert("fields".to_owned(), id);
        envelope.insert("event".to_owned(), fields.value().clone());
        Ok(Value::Object(envelope).to_string())
    }

    const fn sourcetype(&self, stream: Stream) -> &String {
        match stream {
            Stream::Detection => &self.detection_sourcetype,
            Stream::Sensor => &self.sensor_sourcetype,
            Stream::Rule => &self.rule_sourcetype,
        }
    }
}
