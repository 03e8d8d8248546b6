//! What happens when more comes than can be worked on.

use std::sync::{Arc, Mutex};

use beaconwatch_detector::Timestamp;

use super::super::{AcceptError, Receiver};
use super::decoder::{record, request};
use crate::clock::Clock;
use crate::config::ReceiveConfig;
use crate::store::{Journaled, Store, StoreSettings};

/// A receiver whose batches are stored and then wait to be scored until somebody takes them.
fn receiver(config: ReceiveConfig) -> (tempfile::TempDir, Receiver, Arc<Mutex<Vec<Journaled>>>) {
    let folder = tempfile::tempdir().unwrap();
    let waiting = Arc::new(Mutex::new(Vec::new()));
    let queue = Arc::clone(&waiting);
    let settings = StoreSettings {
        path: folder.path().join("store.redb"),
        cache_bytes: 1 << 20,
    };
    let journal = Arc::new(move |journaled| queue.lock().unwrap().push(journaled));
    let store = Store::open(settings, &mut |_| Ok(()), journal).unwrap();
    let clock = Clock::new(|| Timestamp::from_unix_nanos(1));
    (folder, Receiver::new(config, store, clock), waiting)
}

#[tokio::test]
async fn records_past_the_queue_s_limit_are_put_off_and_taken_when_there_is_room() {
    let config = ReceiveConfig {
        max_queued_records: 3,
        max_wait_ms: 0,
        ..ReceiveConfig::default()
    };
    let (_folder, receiver, waiting) = receiver(config);
    receiver
        .accept(request(vec![record("end", 0); 2]))
        .await
        .unwrap();
    assert_eq!(receiver.waiting(), 2);
    let error = receiver
        .accept(request(vec![record("end", 0); 2]))
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            AcceptError::Behind {
                waiting: 2,
                limit: 3,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_retryable());
    waiting.lock().unwrap().clear();
    receiver
        .accept(request(vec![record("end", 0); 2]))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_request_larger_than_the_queue_is_taken_when_the_queue_is_empty() {
    let config = ReceiveConfig {
        max_queued_records: 3,
        max_wait_ms: 0,
        ..ReceiveConfig::default()
    };
    let (_folder, receiver, waiting) = receiver(config);
    receiver
        .accept(request(vec![record("end", 0); 10]))
        .await
        .unwrap();
    assert_eq!(waiting.lock().unwrap()[0].batch.records.len(), 10);
    assert!(
        receiver
            .accept(request(vec![record("end", 0)]))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn requests_past_the_limit_are_put_off_before_their_body_is_read() {
    let config = ReceiveConfig {
        max_requests: 1,
        max_wait_ms: 0,
        ..ReceiveConfig::default()
    };
    let (_folder, receiver, _waiting) = receiver(config);
    let admitted = receiver.admit().await.unwrap();
    let error = receiver.admit().await.unwrap_err();
    assert!(
        matches!(error, AcceptError::Busy { limit: 1, .. }),
        "{error:?}"
    );
    drop(admitted);
    assert!(receiver.admit().await.is_ok());
}

#[tokio::test]
async fn a_stopping_receiver_puts_requests_off() {
    let (_folder, receiver, waiting) = receiver(ReceiveConfig::default());
    receiver.stop();
    let error = receiver
        .accept(request(vec![record("end", 0)]))
        .await
        .unwrap_err();
    assert!(error.is_retryable() && waiting.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_request_without_flow_records_is_accepted_and_stored_nowhere() {
    let (_folder, receiver, waiting) = receiver(ReceiveConfig::default());
    receiver.accept(request(Vec::new())).await.unwrap();
    receiver.accept_encoded(&[]).await.unwrap();
    assert!(waiting.lock().unwrap().is_empty());
}
