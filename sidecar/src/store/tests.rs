//! The store against a simple model, with crashes; and files that are none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::sync::Semaphore;

use beaconwatch_destinations::Document;
use beaconwatch_detector::Timestamp;

use super::*;

mod crashes;
mod files;
mod migration;
mod salvage;

const DESTINATIONS: [&str; 2] = ["file", "search"];

/// What a store gave back when it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
struct Found {
    applied: u64,
    last_document: u64,
    series: BTreeMap<Vec<u8>, Vec<u8>>,
    exporters: BTreeMap<String, Vec<u8>>,
    findings: Vec<Vec<u8>>,
    state: BTreeMap<String, Vec<u8>>,
    settings: BTreeMap<String, Vec<u8>>,
    last_audit: u64,
    journal: Vec<(u64, Batch)>,
}

impl Found {
    fn take(&mut self, restored: &Restored<'_>) {
        match *restored {
            Restored::Counters {
                applied,
                last_document,
                ..
            } => {
                (self.applied, self.last_document) = (applied, last_document);
            }
            Restored::Series { key, state } => {
                self.series.insert(key.to_vec(), state.to_vec());
            }
            Restored::Exporter { id, tracker } => {
                self.exporters.insert(id.to_owned(), tracker.to_vec());
            }
            Restored::Finding { finding } => self.findings.push(finding.to_vec()),
            Restored::Audit { last } => self.last_audit = last,
            Restored::State { name, value } => {
                self.state.insert(name.to_owned(), value.to_vec());
            }
            Restored::Batch { position, batch } => {
                self.journal
                    .push((position, decode("batch", batch).unwrap()));
            }
            Restored::Setting { name, value } => {
                self.settings.insert(name.to_owned(), value.to_vec());
            }
        }
    }
}

/// The store, what it gave back, and the positions that it has handed on since.
type Opened = (Store, Found, Arc<Mutex<Vec<u64>>>);

fn open(path: &Path) -> Result<Opened, StoreError> {
    let settings = StoreSettings {
        path: path.to_owned(),
        cache_bytes: 1 << 20,
    };
    let mut found = Found::default();
    let handed_on = Arc::new(Mutex::new(Vec::new()));
    let journal = Arc::clone(&handed_on);
    let store = Store::open(
        settings,
        &mut |restored| {
            found.take(&restored);
            Ok(())
        },
        Arc::new(move |journaled: Journaled| journal.lock().unwrap().push(journaled.position)),
    )?;
    Ok((store, found, handed_on))
}

fn batch(number: u64) -> Batch {
    Batch {
        received: Timestamp::from_unix_nanos(i64::try_from(number).unwrap()),
        exporters: vec![Arc::from("run")],
        records: vec![crate::receive::Record {
            exporter: 0,
            sequence: number,
            observation: None,
        }],
        ..Batch::default()
    }
}

fn document(number: u64) -> Document {
    Document {
        event_id: format!("f-{number}"),
        body: format!("{{\"number\":{number}}}"),
        ..Document::default()
    }
}

fn outgoing(number: u64) -> Outgoing {
    Outgoing {
        document: document(number),
        destinations: DESTINATIONS.map(Arc::from).to_vec(),
    }
}

fn wanted(destination: &str, max_documents: usize) -> Wanted {
    Wanted {
        destination: destination.to_owned(),
        max_documents,
        max_bytes: usize::MAX,
        ..Wanted::default()
    }
}

fn page(destination: &str) -> DeadLetterPage {
    DeadLetterPage {
        destination: destination.to_owned(),
        after: 0,
        limit: 1000,
    }
}

fn append(runtime: &tokio::runtime::Runtime, store: &Store, number: u64) -> Result<(), StoreError> {
    let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    runtime.block_on(store.append(batch(number), permit))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

#[derive(Clone, Debug)]
enum Step {
    Append,
    /// Writes state and so many documents; twice when the answer is taken for lost.
    Checkpoint {
        documents: u64,
        twice: bool,
    },
    /// Settles the first so many documents of a destination, every third as dead.
    Settle {
        destination: usize,
        count: usize,
    },
    /// Closes and opens.
    Restart,
    /// Opens a copy of the file as it is while the store has it open.
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Append),
        2 => (0_u64..4, any::<bool>())
            .prop_map(|(documents, twice)| Step::Checkpoint { documents, twice }),
        2 => (0_usize..2, 1_usize..5)
            .prop_map(|(destination, count)| Step::Settle { destination, count }),
        1 => Just(Step::Restart),
        2 => Just(Step::Crash),
    ]
}

/// What a store should hold.
#[derive(Debug, Default)]
struct Model {
    appended: u64,
    applied: u64,
    documents: u64,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    journal: Vec<(u64, Batch)>,
    pending: BTreeMap<&'static str, BTreeSet<u64>>,
    delivered: BTreeMap<&'static str, u64>,
    dead: BTreeMap<&'static str, BTreeSet<u64>>,
}

impl Model {
    /// Every third document is refused for good.
    fn settle(&mut self, destination: &'static str, number: u64) -> Settled {
        self.pending.entry(destination).or_default().remove(&number);
        if number.is_multiple_of(3) {
            self.dead.entry(destination).or_default().insert(number);
            return Settled::Dead {
                reason: "no".to_owned(),
                at: Timestamp::from_unix_nanos(1),
            };
        }
        *self.delivered.entry(destination).or_default() += 1;
        Settled::Delivered {
            already_there: false,
        }
    }
}

struct Run {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    copies: u32,
    store: Store,
    handed_on: Arc<Mutex<Vec<u64>>>,
    model: Model,
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (store, found, handed_on) = open(&folder.path().join("0.redb")).unwrap();
        assert_eq!(found, Found::default());
        Self {
            runtime: runtime(),
            folder,
            copies: 0,
            store,
            handed_on,
            model: Model::default(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.redb", self.copies))
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append => {
                self.model.appended += 1;
                let number = self.model.appended;
                append(&self.runtime, &self.store, number).unwrap();
                let position = *self.handed_on.lock().unwrap().last().unwrap();
                self.model.journal.push((position, batch(number)));
            }
            Step::Checkpoint { documents, twice } => self.checkpoint(*documents, *twice),
            Step::Settle { destination, count } => self.settle(DESTINATIONS[*destination], *count),
            Step::Restart => {
                self.runtime.block_on(self.store.stop());
                self.open();
            }
            Step::Crash => {
                let old = self.path();
                self.copies += 1;
                std::fs::copy(&old, self.path()).unwrap();
                self.open();
            }
        }
    }

    fn open(&mut self) {
        let (store, found, handed_on) = open(&self.path()).unwrap();
        assert_eq!(found.applied, self.model.applied);
        assert_eq!(found.last_document, self.model.documents);
        assert_eq!(found.series, self.model.state);
        assert_eq!(found.journal, self.model.journal);
        (self.store, self.handed_on) = (store, handed_on);
    }

    fn checkpoint(&mut self, documents: u64, twice: bool) {
        let through = self
            .model
            .journal
            .last()
            .map_or(self.model.applied, |(position, _)| *position);
        let (key, value) = (
            vec![u8::try_from(through % 7).unwrap()],
            through.to_le_bytes().to_vec(),
        );
        let removed = vec![u8::try_from((through + 1) % 7).unwrap()];
        for _ in 0..=usize::from(twice) {
            let new = (1..=documents).map(|index| self.model.documents + index);
            let checkpoint = Checkpoint {
                through,
                series: BTreeMap::from([
                    (key.clone(), Some(value.clone())),
                    (removed.clone(), None),
                ]),
                documents: new.map(|number| (number, outgoing(number))).collect(),
                ..Checkpoint::default()
            };
            self.store
                .checkpoint(checkpoint)
                .map_err(|(error, _)| error)
                .unwrap();
        }
        self.model.applied = through;
        self.model.journal.clear();
        self.model.state.insert(key, value);
        self.model.state.remove(&removed);
        for _ in 0..documents {
            self.model.documents += 1;
            for destination in DESTINATIONS {
                self.model
                    .pending
                    .entry(destination)
                    .or_default()
                    .insert(self.model.documents);
            }
        }
    }

    fn settle(&mut self, destination: &'static str, count: usize) {
        let waiting = self
            .runtime
            .block_on(self.store.pending(wanted(destination, count)))
            .unwrap();
        let pending = self.model.pending.entry(destination).or_default();
        let expected: Vec<_> = pending.iter().copied().take(count).collect();
        let numbers: Vec<_> = waiting.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, expected);
        assert!(
            waiting
                .iter()
                .all(|(number, found)| *found == document(*number))
        );
        let settled = numbers
            .iter()
            .map(|&number| (number, self.model.settle(destination, number)));
        let settlement = Settlement {
            destination: destination.to_owned(),
            settled: settled.collect(),
            retries: 0,
            dead_limit: 100,
        };
        // The second time stands for an answer that was lost.
        self.runtime
            .block_on(self.store.settle(settlement.clone()))
            .unwrap();
        self.runtime
            .block_on(self.store.settle(settlement))
            .unwrap();
    }

    fn check_outbox(&self) {
        let totals = self.runtime.block_on(self.store.accounts()).unwrap();
        let size = self.runtime.block_on(self.store.size()).unwrap();
        let mut waiting = BTreeSet::new();
        for destination in DESTINATIONS {
            let Account { totals, backlog } = totals.get(destination).copied().unwrap_or_default();
            let pending = self
                .model
                .pending
                .get(destination)
                .cloned()
                .unwrap_or_default();
            let dead = self
                .model
                .dead
                .get(destination)
                .cloned()
                .unwrap_or_default();
            assert_eq!(backlog.pending, pending.len() as u64);
            assert_eq!(backlog.dead_letters, dead.len() as u64);
            assert_eq!(totals.dead, dead.len() as u64);
            let delivered = self
                .model
                .delivered
                .get(destination)
                .copied()
                .unwrap_or_default();
            assert_eq!(totals.delivered, delivered);
            let letters = self
                .runtime
                .block_on(self.store.dead_letters(page(destination)))
                .unwrap();
            let numbers: BTreeSet<u64> = letters.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, dead);
            waiting.extend(pending);
        }
        assert_eq!(size.outbox_documents, waiting.len() as u64);
        assert_eq!(size.journal_batches, self.model.journal.len() as u64);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_store_holds_what_the_model_holds_through_crashes(
        steps in prop::collection::vec(step(), 1..40)
    ) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
            run.check_outbox();
        }
        run.take(&Step::Crash);
        run.check_outbox();
    }
}

#[test]
fn requests_that_wait_at_the_same_time_keep_their_order() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _, handed_on) = open(&folder.path().join("store.redb")).unwrap();
    runtime().block_on(async {
        let room = Arc::new(Semaphore::new(500));
        let appends = (1..=500).map(|number| {
            store.append(
                batch(number),
                Arc::clone(&room).try_acquire_owned().unwrap(),
            )
        });
        for outcome in futures::future::join_all(appends).await {
            outcome.unwrap();
        }
    });
    assert_eq!(*handed_on.lock().unwrap(), (1..=500).collect::<Vec<_>>());
}

#[test]
fn dead_letters_are_kept_up_to_the_limit_and_counted_past_it() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    let (store, _, _) = open(&folder.path().join("store.redb")).unwrap();
    let documents = (1..=5).map(|number| (number, outgoing(number))).collect();
    let checkpoint = Checkpoint {
        documents,
        ..Checkpoint::default()
    };
    store
        .checkpoint(checkpoint)
        .map_err(|(error, _)| error)
        .unwrap();
    let (reason, at) = ("no".to_owned(), Timestamp::from_unix_nanos(1));
    let dead = Settled::Dead { reason, at };
    let settled = (1..=5).map(|number| (number, dead.clone())).collect();
    let settlement = Settlement {
        destination: "file".to_owned(),
        settled,
        retries: 2,
        dead_limit: 3,
    };
    let totals = runtime.block_on(store.settle(settlement)).unwrap();
    assert_eq!(
        (totals.dead, totals.dead_dropped, totals.retries),
        (5, 2, 2)
    );
    let letters = runtime.block_on(store.dead_letters(page("file"))).unwrap();
    assert_eq!(
        letters
            .iter()
            .map(|(number, _)| *number)
            .collect::<Vec<_>>(),
        [3, 4, 5]
    );
}
