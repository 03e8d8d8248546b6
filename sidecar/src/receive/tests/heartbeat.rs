//! Heartbeats: numbers and places without observations, in requests and in the journal.

use std::sync::Arc;

use beaconwatch_detector::{Observation, Owner, Phase, SeriesKey, Timestamp, Transport};
use beaconwatch_schema::{exporter_record, flow, heartbeat};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;
use serde::Serialize;

use super::super::batch::Place;
use super::super::{Batch, Decoded, Fault, Record, Rejection, decode};
use super::decoder::{LIMITS, NOW, attribute, record, request};
use crate::store::{decode as stored, encode};

fn beat(exporter: &str, sequence: i64) -> LogRecord {
    LogRecord {
        event_name: heartbeat::EVENT_NAME.to_owned(),
        attributes: vec![
            attribute(
                exporter_record::EXPORTER_ID,
                Value::StringValue(exporter.to_owned()),
            ),
            attribute(
                exporter_record::EXPORTER_SEQUENCE,
                Value::IntValue(sequence),
            ),
        ],
        ..LogRecord::default()
    }
}

fn decoded(records: Vec<LogRecord>) -> Decoded {
    decode(&request(records).encode_to_vec(), NOW, LIMITS).unwrap()
}

fn place(exporter: u32) -> Place {
    Place {
        exporter,
        host: "id-3".into(),
        host_name: Some("web-3".into()),
    }
}

#[test]
fn a_heartbeat_is_a_number_and_a_place_and_no_observation() {
    let decoded = decoded(vec![
        record(flow::EVENT_END, 0),
        beat("run-2", 7),
        beat("run-2", 8),
        beat("run-1", 43),
    ]);
    assert_eq!((decoded.heartbeats, decoded.foreign), (3, 0));
    assert_eq!(decoded.rejections.len(), 0);
    let batch = decoded.batch;
    let numbers = batch.records.iter().map(|it| {
        let exporter = &*batch.exporters[it.exporter as usize];
        (exporter, it.sequence, it.observation.is_some())
    });
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        [
            ("run-1", 42, true),
            ("run-2", 7, false),
            ("run-2", 8, false),
            ("run-1", 43, false),
        ]
    );
    assert_eq!(batch.places, [place(0), place(1)]);
}

#[test]
fn the_name_of_the_event_may_be_an_attribute() {
    let mut record = beat("run-1", 0);
    let name = std::mem::take(&mut record.event_name);
    record
        .attributes
        .push(attribute("event.name", Value::StringValue(name)));
    assert_eq!(decoded(vec![record]).heartbeats, 1);
}

#[test]
fn a_heartbeat_without_its_number_is_refused_alone() {
    let mut bad = beat("run-1", 0);
    bad.attributes.truncate(1);
    let decoded = decoded(vec![bad, beat("run-1", -1), beat("run-1", 1)]);
    assert_eq!((decoded.heartbeats, decoded.batch.records.len()), (1, 1));
    let refused = |fault| Rejection {
        fault,
        field: exporter_record::EXPORTER_SEQUENCE,
    };
    assert_eq!(decoded.rejections[&refused(Fault::Missing)], 1);
    assert_eq!(decoded.rejections[&refused(Fault::BadValue)], 1);
}

/// A batch as versions without heartbeats wrote it.
#[derive(Serialize)]
struct OldBatch {
    received: Timestamp,
    exporters: Vec<Arc<str>>,
    records: Vec<Record>,
}

#[test]
fn a_batch_of_an_older_journal_is_read_and_one_of_now_keeps_places_fingerprints_and_owners() {
    let records = vec![Record {
        exporter: 0,
        sequence: 7,
        observation: None,
    }];
    let old = OldBatch {
        received: NOW,
        exporters: vec!["run-1".into()],
        records: records.clone(),
    };
    let mut batch: Batch = stored("batch", &encode("batch", &old).unwrap()).unwrap();
    assert_eq!(batch.records, records);
    assert!(batch.places.is_empty());
    batch.places.push(place(0));
    let key = SeriesKey {
        host: Arc::from(""),
        namespace: Arc::from(""),
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let mut seen = Observation::new(NOW, Phase::Opened, key);
    seen.client_fingerprint = Some("t13d1516h2_8daaf6152771_b186095e22b6".into());
    let owner = |unit: &str| {
        Some(Arc::new(Owner {
            unit: Some(unit.into()),
            ..Owner::default()
        }))
    };
    let (first, second) = (owner("a.service"), owner("b.service"));
    let of_processes = [&first, &second, &first, &None].map(|owner| {
        let mut of_process = seen.clone();
        of_process.owner.clone_from(owner);
        Some(of_process)
    });
    for observation in [None, Some(seen)].into_iter().chain(of_processes) {
        batch.records.push(Record {
            exporter: 0,
            sequence: 8,
            observation,
        });
    }
    let again: Batch = stored("batch", &encode("batch", &batch).unwrap()).unwrap();
    assert_eq!(again, batch);
    let owner = |record: usize| again.records[record].observation.clone().unwrap().owner;
    assert!(Arc::ptr_eq(&owner(3).unwrap(), &owner(5).unwrap()));
    // What a version without owners wrote: the same, but for the two lists at its end.
    for record in &mut batch.records {
        if let Some(observation) = &mut record.observation {
            observation.owner = None;
        }
    }
    let mut before = encode("batch", &batch).unwrap();
    assert_eq!(before.split_off(before.len() - 2), [0, 0]);
    assert_eq!(stored::<Batch>("batch", &before).unwrap(), batch);
}
