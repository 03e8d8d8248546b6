//! Sampling: all records of a flow go or stay, a receiver misses none, and each record states it.

use std::collections::BTreeMap;

use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_records::{FlowRecord, RecordKind};
use beaconwatch_schema::flow as names;
use opentelemetry_proto::tonic::common::v1::any_value::Value;

use crate::support::grpc_peer::GrpcPeer;
use crate::support::running::Running;
use crate::support::{attributes, closed_flow, config, records, sequences};
use crate::url;

#[tokio::test]
async fn a_flow_is_reported_whole_or_not_at_all_and_says_so() {
    const FLOWS: u64 = 1_000;
    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let mut config = config(url(address), Protocol::Grpc);
    config.sampling.ratio = 0.25;
    let running = Running::start(config);
    let opened = |cookie| FlowRecord {
        kind: RecordKind::Open as u8,
        ..closed_flow(cookie, 50)
    };
    running
        .flows
        .send((0..FLOWS).map(opened).collect())
        .unwrap();
    running
        .until(|now| now.made + now.sampled_out == FLOWS)
        .await;
    let closed = |cookie| closed_flow(cookie, 100);
    running
        .flows
        .send((0..FLOWS).map(closed).collect())
        .unwrap();
    running
        .until(|now| now.made + now.sampled_out == 2 * FLOWS)
        .await;
    let counters = running.stop().await;

    let taken = peer.taken();
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in taken.iter().flat_map(records) {
        let attributes = attributes(&record.attributes);
        assert_eq!(attributes[names::SAMPLING_RATIO], Value::DoubleValue(0.25));
        let Value::StringValue(flow) = attributes[names::FLOW_ID].clone() else {
            unreachable!("no text");
        };
        events
            .entry(flow)
            .or_default()
            .push(attributes[names::EVENT].clone());
    }
    let whole = ["start", "end"].map(|event| Value::StringValue(event.to_owned()));
    assert!(events.values().all(|events| *events == whole), "{events:?}");
    // 250 ± 4 deviations of a binomial of 1000 and 1/4.
    assert!((195..=305).contains(&events.len()), "{}", events.len());
    assert_eq!(counters.delivered, 2 * events.len() as u64);
    let lost: u64 = counters.losses.iter().map(|(_, count)| count).sum();
    assert_eq!((lost, counters.flows), (0, FLOWS));
    let arrived: Vec<i64> = taken.iter().flat_map(sequences).collect();
    let made = i64::try_from(counters.made).unwrap();
    assert_eq!(arrived, (0..made).collect::<Vec<i64>>(), "no gap");
}

#[tokio::test]
async fn every_flow_is_reported_unless_told_otherwise() {
    let (peer, address) = GrpcPeer::start(Vec::new(), 0).await;
    let running = Running::start(config(url(address), Protocol::Grpc));
    let flows = (0..100).map(|cookie| closed_flow(cookie, 100));
    running.flows.send(flows.collect()).unwrap();
    running.until(|now| now.delivered == 100).await;
    assert_eq!(running.stop().await.sampled_out, 0);
    let taken = peer.taken();
    let stated = |record| attributes(record).contains_key(names::SAMPLING_RATIO);
    assert!(
        !taken
            .iter()
            .flat_map(records)
            .any(|record| stated(&record.attributes))
    );
}
