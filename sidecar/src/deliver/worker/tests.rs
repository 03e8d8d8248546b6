use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use beaconwatch_destinations::DestinationConfig;

use super::*;
use crate::store::{Checkpoint, Outgoing, StoreSettings};

/// Takes everything and remembers it.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Destination for Memory {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let ids = documents.iter().map(|it| it.event_id.clone());
        self.0.lock().unwrap().extend(ids);
        Ok(vec![Outcome::Delivered; documents.len()])
    }
}

fn settings(drain: &CancellationToken) -> WorkerSettings {
    let destinations = BTreeMap::from([("memory".to_owned(), DestinationConfig::default())]);
    WorkerSettings {
        progress: Arc::new(Progress::new("memory".to_owned(), "memory")),
        router: Arc::new(Router::new(&destinations).unwrap()),
        policy: RetryPolicy {
            initial: Duration::from_millis(1),
            maximum: Duration::from_secs(1),
        },
        max_documents: 10,
        max_bytes: 1 << 20,
        max_dead_letters: 10,
        clock: Clock::system(),
        drain: drain.clone(),
        retire: CancellationToken::new(),
    }
}

/// The worker has looked and found nothing, and has not read the answer yet, when the last documents come
/// and the drain begins.
#[tokio::test]
async fn documents_that_come_right_before_the_drain_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let store_settings = StoreSettings {
        path: folder.path().join("store.redb"),
        cache_bytes: 1 << 20,
    };
    let store = Store::open(store_settings, &mut |_| Ok(()), Arc::new(|_| {})).unwrap();
    let drain = CancellationToken::new();
    let memory = Memory::default();
    let worker = Worker::new(settings(&drain), store.clone(), Box::new(memory.clone()));
    let worker = tokio::spawn(worker.run());
    // One thread runs both: the worker gets as far as its question to the store.
    tokio::task::yield_now().await;
    let document = Outgoing {
        document: Document {
            event_id: "f-1".to_owned(),
            body: "{}".to_owned(),
            ..Document::default()
        },
        destinations: vec![Arc::from("memory")],
    };
    let checkpoint = Checkpoint {
        documents: BTreeMap::from([(1, document)]),
        ..Checkpoint::default()
    };
    let writing = store.clone();
    let written = std::thread::spawn(move || writing.checkpoint(checkpoint).is_ok());
    assert!(written.join().unwrap());
    drain.cancel();
    worker.await.unwrap();
    assert_eq!(*memory.0.lock().unwrap(), ["f-1"]);
    store.stop().await;
}
