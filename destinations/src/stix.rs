//! A finding as a STIX 2.1 bundle: what was seen, what it points at, and why.
//!
//! # Contract
//! Pure and deterministic: the same document makes the same bytes, and what two findings share (an address, a name) has
//! the same id in both bundles. A bundle has
//!
//! - `identity`: Beaconwatch, which made the rest,
//! - `ipv4-addr` or `ipv6-addr` of both ends, `domain-name` of the server, `network-traffic`, `process` with its `file`,
//! - `observed-data`: those, with the number of connections and their first and last start,
//! - `indicator`: a pattern for the destination,
//! - `sighting`: that the indicator was seen, where and how often,
//! - `note`: the explanation of the score.
//!
//! Ids of observables are made as STIX 2.1 (section 2.9) says: UUID version 5 over the properties that identify them, in
//! its namespace. Ids of all else are of version 5 in a namespace of this project's, over the finding's id.
//!
//! # Limits
//! A document without two addresses (a sensor, a test) makes no bundle. A process has nothing that identifies it in
//! STIX; its id is of this project's namespace. STIX has whole milliseconds.

use beaconwatch_schema::detection as field;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::fields::Fields;

/// Namespace for ids of observables (STIX 2.1, section 2.9).
const OBSERVABLES: Uuid = Uuid::from_u128(0x00ab_edb4_aa42_466c_9c01_fed2_3315_a9b7);
/// Namespace for all other ids: random, chosen once.
const OWN: Uuid = Uuid::from_u128(0x8d0c_2f6e_47b1_4e0b_9a55_3c1d_7be2_6f90);
/// When the identity of this project was first written down.
const IDENTITY_CREATED: &str = "2026-11-25T00:00:00.000Z";
/// STIX's marking TLP:AMBER: who else may see it is for its owner to say.
const TLP_AMBER: &str = "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82";

/// Why a document makes no bundle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StixError {
    /// It is about no connections.
    #[error("{0} is missing: only a finding about connections makes a STIX bundle")]
    Missing(&'static str),
    /// A value that STIX cannot say.
    #[error("{field} is {value:?}, expected {expected}")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// What it was.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

/// The bundle of a document in the Elastic Common Schema.
///
/// # Errors
/// A document that is about no connections, or whose times or addresses cannot be read.
pub fn bundle(document: &Value) -> Result<Value, StixError> {
    let fields = Fields::of(document.clone());
    let finding = Finding::read(&fields)?;
    let observables = finding.observables();
    let references: Vec<&str> = observables
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    let observed = finding.observed_data(&references);
    let indicator = finding.indicator();
    let sighting = finding.sighting(&indicator["id"], &observed["id"]);
    let note = finding.note(&[&indicator["id"], &observed["id"], &sighting["id"]]);
    let mut objects = vec![identity()];
    objects.extend(observables);
    objects.extend([observed, indicator, sighting, note]);
    Ok(json!({
        "type": "bundle",
        "id": finding.id("bundle"),
        "objects": objects,
    }))
}

/// What a bundle needs of a document.
#[derive(Debug)]
struct Finding<'a> {
    fields: &'a Fields,
    id: String,
    source: String,
    destination: String,
    port: u64,
    created: String,
    modified: String,
    first_seen: String,
    last_seen: String,
}

impl<'a> Finding<'a> {
    fn read(fields: &'a Fields) -> Result<Self, StixError> {
        let port = fields.get(field::DESTINATION_PORT).and_then(Value::as_u64);
        Ok(Self {
            fields,
            id: text(fields, field::FINDING_ID)?,
            source: address(fields, field::SOURCE_IP)?,
            destination: address(fields, field::DESTINATION_IP)?,
            port: port.ok_or(StixError::Missing(field::DESTINATION_PORT))?,
            created: instant(fields, field::FINDING_OPENED)?,
            modified: instant(fields, field::TIMESTAMP)?,
            first_seen: instant(fields, field::EVENT_START)?,
            last_seen: instant(fields, field::EVENT_END)?,
        })
    }

    /// An id that the finding has for each type of object.
    fn id(&self, kind: &str) -> String {
        own_id(kind, &self.id)
    }

    /// The connections: at least one, at most what STIX has room for.
    fn count(&self) -> u64 {
        let count = self.fields.get(field::COUNT).and_then(Value::as_u64);
        count.unwrap_or(1).clamp(1, 999_999_999)
    }

    /// A domain or relationship object, with what all of them have.
    fn object(&self, kind: &str, more: Value) -> Value {
        let mut object = json!({
            "type": kind,
            "spec_version": "2.1",
            "id": self.id(kind),
            "created_by_ref": identity_id(),
            "created": self.created,
            "modified": self.modified,
            "object_marking_refs": [TLP_AMBER],
        });
        if let (Some(object), Value::Object(more)) = (object.as_object_mut(), more) {
            object.extend(more);
        }
        object
    }

    fn observables(&self) -> Vec<Value> {
        let source = address_object(&self.source);
        let destination = address_object(&self.destination);
        let mut observables = vec![self.traffic(&source["id"], &destination["id"])];
        if let Some(domain) = self.domain() {
            let identifying = json!({ "value": domain });
            let mut object = observable("domain-name", identifying);
            object["resolves_to_refs"] = json!([destination["id"]]);
            observables.push(object);
        }
        observables.extend(self.process());
        observables.push(destination);
        // A connection to itself has one address.
        if self.source != self.destination {
            observables.push(source);
        }
        observables
    }

    fn domain(&self) -> Option<String> {
        self.fields.text(field::DESTINATION_DOMAIN)
    }

    fn traffic(&self, source: &Value, destination: &Value) -> Value {
        observable(
            "network-traffic",
            json!({
                "dst_port": self.port,
                "dst_ref": destination,
                "protocols": self.protocols(),
                "src_ref": source,
            }),
        )
    }

    /// From the network's layer up, as STIX wants them.
    fn protocols(&self) -> Vec<String> {
        let layer = if self.destination.contains(':') {
            "ipv6"
        } else {
            "ipv4"
        };
        let transport = self.fields.text(field::NETWORK_TRANSPORT);
        let mut protocols = vec![layer.to_owned()];
        protocols.extend(transport.map(|it| it.to_ascii_lowercase()));
        protocols
    }

    /// The process and the file that it runs.
    fn process(&self) -> Vec<Value> {
        let path = self.fields.text(field::PROCESS_EXECUTABLE);
        let path = path.or_else(|| self.fields.text(field::PROCESS_NAME));
        let name = path
            .as_deref()
            .and_then(|path| path.rsplit('/').find(|it| !it.is_empty()));
        let file = name.map(|name| observable("file", json!({ "name": name })));
        let pid = self.fields.get(field::PROCESS_PID).and_then(Value::as_u64);
        if pid.is_none() && file.is_none() {
            return Vec::new();
        }
        let mut process = Map::new();
        for (key, value) in [
            ("pid", pid.map(Value::from)),
            (
                "created_time",
                instant(self.fields, field::PROCESS_START)
                    .ok()
                    .map(Value::from),
            ),
            ("image_ref", file.as_ref().map(|it| it["id"].clone())),
        ] {
            if let Some(value) = value {
                process.insert(key.to_owned(), value);
            }
        }
        for (key, value) in [
            ("type", "process".to_owned()),
            ("spec_version", "2.1".to_owned()),
            ("id", self.id("process")),
        ] {
            process.insert(key.to_owned(), value.into());
        }
        let mut both = vec![Value::Object(process)];
        both.extend(file);
        both
    }

    fn observed_data(&self, references: &[&str]) -> Value {
        self.object(
            "observed-data",
            json!({
                "first_observed": self.first_seen,
                "last_observed": self.last_seen,
                "number_observed": self.count(),
                "object_refs": references,
            }),
        )
    }

    fn indicator(&self) -> Value {
        let mut indicator = json!({
            "name": self.fields.text(field::MESSAGE).unwrap_or_else(|| "Beaconing".to_owned()),
            "indicator_types": ["anomalous-activity"],
            "pattern": self.pattern(),
            "pattern_type": "stix",
            "pattern_version": "2.1",
            "valid_from": self.first_seen,
            "confidence": self.confidence(),
        });
        if let Some(reason) = self.fields.text(field::EVENT_REASON) {
            indicator["description"] = json!(reason);
        }
        indicator["kill_chain_phases"] = json!([{
            "kill_chain_name": "mitre-attack",
            "phase_name": "command-and-control",
        }]);
        if let Some(technique) = self.technique() {
            indicator["external_references"] = json!([technique]);
        }
        self.object("indicator", indicator)
    }

    /// What leads to the destination: its address and port, or its name.
    fn pattern(&self) -> String {
        let kind = address_kind(&self.destination);
        let mut pattern = format!(
            "[network-traffic:dst_ref.type = '{kind}' AND network-traffic:dst_ref.value = {} AND network-traffic:dst_port = {}]",
            quoted(&self.destination),
            self.port
        );
        if let Some(domain) = self.domain() {
            pattern.push_str(" OR [domain-name:value = ");
            pattern.push_str(&quoted(&domain));
            pattern.push(']');
        }
        pattern
    }

    /// The score as a confidence, 0 to 100.
    fn confidence(&self) -> u8 {
        let score = self.fields.get(field::SCORE).and_then(Value::as_f64);
        let percent = (100.0 * score.unwrap_or(0.0)).round().clamp(0.0, 100.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and 100"
        )]
        let percent = percent as u8;
        percent
    }

    fn technique(&self) -> Option<Value> {
        let of = |id: &str, reference: &str| {
            let id = self.fields.text(id)?;
            let mut technique = json!({"source_name": "mitre-attack", "external_id": id});
            if let Some(url) = self.fields.text(reference) {
                technique["url"] = json!(url);
            }
            Some(technique)
        };
        of(
            field::THREAT_SUBTECHNIQUE_ID,
            field::THREAT_SUBTECHNIQUE_REFERENCE,
        )
        .or_else(|| {
            of(
                field::THREAT_TECHNIQUE_ID,
                field::THREAT_TECHNIQUE_REFERENCE,
            )
        })
    }

    fn sighting(&self, indicator: &Value, observed: &Value) -> Value {
        self.object(
            "sighting",
            json!({
                "first_seen": self.first_seen,
                "last_seen": self.last_seen,
                "count": self.count(),
                "sighting_of_ref": indicator,
                "observed_data_refs": [observed],
                "where_sighted_refs": [identity_id()],
            }),
        )
    }

    fn note(&self, about: &[&Value]) -> Value {
        let explanation = self.fields.text(field::EXPLANATION);
        let reason = self.fields.text(field::EVENT_REASON);
        let content = explanation.or_else(|| reason.clone());
        let mut note = json!({
            "content": content.unwrap_or_else(|| "No explanation is kept.".to_owned()),
            "object_refs": about,
        });
        if let Some(reason) = reason {
            note["abstract"] = json!(reason);
        }
        self.object("note", note)
    }
}

fn own_id(kind: &str, name: &str) -> String {
    let id = Uuid::new_v5(&OWN, format!("{kind}:{name}").as_bytes());
    format!("{kind}--{id}")
}

fn identity_id() -> String {
    own_id("identity", "beaconwatch")
}

fn identity() -> Value {
    json!({
        "type": "identity",
        "spec_version": "2.1",
        "id": identity_id(),
        "created": IDENTITY_CREATED,
        "modified": IDENTITY_CREATED,
        "name": "Beaconwatch",
        "description": "Detector of command-and-control beacons.",
        "identity_class": "system",
    })
}

/// An observable of properties that all identify it. Their names are written sorted and their values are text, whole
/// numbers and lists of text: what `serde_json` writes of them is canonical JSON (RFC 8785).
fn observable(kind: &str, identifying: Value) -> Value {
    let sorted = canonical(&identifying);
    let id = Uuid::new_v5(&OBSERVABLES, sorted.as_bytes());
    let mut object = json!({
        "type": kind,
        "spec_version": "2.1",
        "id": format!("{kind}--{id}"),
    });
    if let (Some(object), Value::Object(identifying)) = (object.as_object_mut(), identifying) {
        object.extend(identifying);
    }
    object
}

/// An object with its names sorted, whatever kind of map `serde_json` has.
fn canonical(object: &Value) -> String {
    let entries = object.as_object().into_iter().flatten();
    let mut entries: Vec<String> = entries
        .map(|(name, value)| format!("{}:{value}", Value::from(name.as_str())))
        .collect();
    entries.sort();
    format!("{{{}}}", entries.join(","))
}

fn address_kind(address: &str) -> &'static str {
    if address.contains(':') {
        "ipv6-addr"
    } else {
        "ipv4-addr"
    }
}

fn address_object(address: &str) -> Value {
    observable(address_kind(address), json!({ "value": address }))
}

/// A string in STIX's pattern language.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn text(fields: &Fields, name: &'static str) -> Result<String, StixError> {
    fields.text(name).ok_or(StixError::Missing(name))
}

fn address(fields: &Fields, name: &'static str) -> Result<String, StixError> {
    let value = text(fields, name)?;
    match value.parse::<std::net::IpAddr>() {
        Ok(address) => Ok(address.to_canonical().to_string()),
        Err(_not_an_address) => Err(StixError::Value {
            field: name,
            value,
            expected: "an IP address",
        }),
    }
}

/// An instant with the milliseconds that STIX wants.
fn instant(fields: &Fields, name: &'static str) -> Result<String, StixError> {
    let value = text(fields, name)?;
    match fields.time(name) {
        Some(time) => Ok(format!("{time:.3}")),
        None => Err(StixError::Value {
            field: name,
            value,
            expected: "an instant such as 2026-01-31T12:00:00.000Z",
        }),
    }
}

#[cfg(test)]
mod tests;
