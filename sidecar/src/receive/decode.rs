//! OTLP export request (Protocol Buffers) to a [`Batch`].
//!
//! A request whose framing is broken is refused whole. A single log record that is broken, or that
//! lacks what a flow record must have, is refused alone: it is counted by reason and field, and its
//! neighbours survive. A heartbeat becomes a record without an observation. Log records of other kinds are
//! counted and ignored.
//!
//! Limits ([`DecodeLimits`]): records per request, attributes per record, bytes per string.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use beaconwatch_detector::Timestamp;
use beaconwatch_schema::flow;

use super::batch::{Batch, Decoded, Fault, Place, Record, Rejection, Rejections};
use super::flow_record::{EventRecord, Kind, Strings, required, string};
use super::wire::{Fields, Value, WireError};
use crate::input::FILE_PREFIX;

/// What one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Log records in one request; a request with more is refused whole.
    pub records: usize,
    /// Attributes of one record or resource.
    pub attributes: usize,
    /// Bytes of one string value that is kept.
    pub string_bytes: usize,
}

/// Why a request was refused whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not a Protocol Buffers message of this type.
    #[error("not an OTLP logs export request: {0}")]
    Wire(#[from] WireError),
    /// More log records than the limit.
    #[error("more than {limit} log records in one request: send smaller requests")]
    TooManyRecords {
        /// The limit.
        limit: usize,
    },
}

/// Attribute values by the type that OTLP gives them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Attribute<'a> {
    String(&'a [u8]),
    Bool(bool),
    Int(i64),
    /// Double, array, map, bytes, or no value at all.
    Other,
}

impl<'a> Attribute<'a> {
    /// Reads an `AnyValue`; of several values the last one counts, as for any `oneof`.
    fn parse(message: &'a [u8]) -> Result<Self, WireError> {
        let mut attribute = Self::Other;
        for field in Fields::new(message) {
            attribute = match field? {
                (1, Value::Bytes(bytes)) => Self::String(bytes),
                (2, Value::Varint(value)) => Self::Bool(value != 0),
                (3, Value::Varint(value)) => Self::Int(value.cast_signed()),
                _ => Self::Other,
            };
        }
        Ok(attribute)
    }
}

/// Reads a `KeyValue`.
fn key_value(message: &[u8]) -> Result<(&[u8], Attribute<'_>), WireError> {
    let mut key: &[u8] = &[];
    let mut attribute = Attribute::Other;
    for field in Fields::new(message) {
        match field? {
            (1, Value::Bytes(bytes)) => key = bytes,
            (2, Value::Bytes(bytes)) => attribute = Attribute::parse(bytes)?,
            _ => {}
        }
    }
    Ok((key, attribute))
}

/// Attributes of the resource that flow records take over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Resource<'a> {
    pub(super) host_id: Option<Attribute<'a>>,
    pub(super) host_name: Option<Attribute<'a>>,
    pub(super) exporter_id: Option<Attribute<'a>>,
}

impl<'a> Resource<'a> {
    fn merge(&mut self, message: &'a [u8]) -> Result<(), WireError> {
        for field in Fields::new(message) {
            if let (1, Value::Bytes(bytes)) = field? {
                let (key, attribute) = key_value(bytes)?;
                match str::from_utf8(key) {
                    Ok(flow::HOST_ID) => self.host_id = Some(attribute),
                    Ok(flow::HOST_NAME) => self.host_name = Some(attribute),
                    Ok(flow::EXPORTER_ID) => self.exporter_id = Some(attribute),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(super) fn host_name(
        &self,
        strings: &mut Strings<'a>,
    ) -> Result<Option<Arc<str>>, Rejection> {
        let name = string(self.host_name, flow::HOST_NAME)?;
        strings.share_optional(name, flow::HOST_NAME)
    }

    /// Identity of the host. A sensor without a machine id is told apart by its name.
    pub(super) fn host(&self, strings: &mut Strings<'a>) -> Result<Arc<str>, Rejection> {
        let host = match string(self.host_id, flow::HOST_ID)? {
            Some(id) => id,
            None => required(string(self.host_name, flow::HOST_NAME)?, flow::HOST_ID)?,
        };
        strings.share(host, flow::HOST_ID)
    }
}

/// What a walk through one request has found so far.
struct Decoder<'a> {
    limits: DecodeLimits,
    received: Timestamp,
    strings: Strings<'a>,
    exporters: Vec<Arc<str>>,
    exporter_index: HashMap<&'a [u8], u32>,
    records: Vec<Record>,
    places: BTreeMap<u32, Place>,
    heartbeats: u64,
    rejections: Rejections,
    foreign: u64,
    seen: usize,
}

/// Decodes an `ExportLogsServiceRequest`.
pub fn decode(
    request: &[u8],
    received: Timestamp,
    limits: DecodeLimits,
) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder {
        limits,
        received,
        strings: Strings::new(limits.string_bytes),
        exporters: Vec::new(),
        exporter_index: HashMap::new(),
        records: Vec::new(),
        places: BTreeMap::new(),
        heartbeats: 0,
        rejections: Rejections::new(),
        foreign: 0,
        seen: 0,
    };
    for field in Fields::new(request) {
        if let (1, Value::Bytes(resource_logs)) = field? {
            decoder.resource_logs(resource_logs)?;
        }
    }
    let Decoder {
        exporters,
        records,
        places,
        heartbeats,
        rejections,
        foreign,
        ..
    } = decoder;
    Ok(Decoded {
        batch: Batch {
            received,
            exporters,
            records,
            places: places.into_values().collect(),
        },
        heartbeats,
        rejections,
        foreign,
    })
}

impl<'a> Decoder<'a> {
    /// Two walks, because the resource may stand behind the records that belong to it.
    fn resource_logs(&mut self, message: &'a [u8]) -> Result<(), DecodeError> {
        let mut resource = Resource::default();
        for field in Fields::new(message) {
            if let (1, Value::Bytes(bytes)) = field? {
                resource.merge(bytes)?;
            }
        }
        for field in Fields::new(message) {
            if let (2, Value::Bytes(scope_logs)) = field? {
                for field in Fields::new(scope_logs) {
                    if let (2, Value::Bytes(record)) = field? {
                        self.log_record(record, &resource)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn log_record(
        &mut self,
        message: &'a [u8],
        resource: &Resource<'a>,
    ) -> Result<(), DecodeError> {
        self.seen += 1;
        if self.seen > self.limits.records {
            return Err(DecodeError::TooManyRecords {
                limit: self.limits.records,
            });
        }
        match EventRecord::read(message, self.limits.attributes, key_value) {
            Ok(Some((Kind::Flow, record))) => self.flow_record(&record, resource),
            Ok(Some((Kind::Heartbeat, record))) => {
                if let Err(rejection) = self.heartbeat(&record, resource) {
                    self.reject(rejection);
                }
            }
            Ok(None) => self.foreign += 1,
            Err(rejection) => self.reject(rejection),
        }
        Ok(())
    }

    fn heartbeat(
        &mut self,
        record: &EventRecord<'a>,
        resource: &Resource<'a>,
    ) -> Result<(), Rejection> {
        let exporter = self.exporter(record.exporter_id(resource)?)?;
        let sequence = record.sequence()?;
        let place = Place {
            exporter,
            host: resource.host(&mut self.strings)?,
            host_name: resource.host_name(&mut self.strings)?,
        };
        self.places.insert(exporter, place);
        self.heartbeats += 1;
        self.records.push(Record {
            exporter,
            sequence,
            observation: None,
        });
        Ok(())
    }

    fn flow_record(&mut self, record: &EventRecord<'a>, resource: &Resource<'a>) {
        let place = record
            .exporter_id(resource)
            .and_then(|id| Ok((self.exporter(id)?, record.sequence()?)));
        let (exporter, sequence) = match place {
            Ok(place) => place,
            Err(rejection) => return self.reject(rejection),
        };
        let observation = match record.observation(resource, self.received, &mut self.strings) {
            Ok(observation) => Some(observation),
            Err(rejection) => {
                self.reject(rejection);
                None
            }
        };
        self.records.push(Record {
            exporter,
            sequence,
            observation,
        });
    }

    fn exporter(&mut self, id: &'a [u8]) -> Result<u32, Rejection> {
        if let Some(&index) = self.exporter_index.get(id) {
            return Ok(index);
        }
        if id.starts_with(FILE_PREFIX.as_bytes()) {
            // Whoever could speak for a file could have its lines passed over.
            return Err(Rejection {
                fault: Fault::BadValue,
                field: flow::EXPORTER_ID,
            });
        }
        let name = self.strings.share(id, flow::EXPORTER_ID)?;
        let too_many = Rejection {
            fault: Fault::TooManyAttributes,
            field: flow::EXPORTER_ID,
        };
        let index = u32::try_from(self.exporters.len()).map_err(|_over| too_many)?;
        self.exporters.push(name);
        self.exporter_index.insert(id, index);
        Ok(index)
    }

    fn reject(&mut self, rejection: Rejection) {
        *self.rejections.entry(rejection).or_insert(0) += 1;
    }
}
