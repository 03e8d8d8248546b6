//! The store against a simple model, with crashes; and files that are none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use proptest::prelude::*;
use tokio::sync::Semaphore;

use super::*;

const DESTINATIONS: [&str; 2] = ["file", "search"];

/// What a store gave back when it was opened.
#[derive(Debug, Default, PartialEq)]
struct Found {
    applied: u64,
    last_document: u64,
    series: BTreeMap<Vec<u8>, Vec<u8>>,
    exporters: BTreeMap<String, Vec<u8>>,
    findings: BTreeMap<Vec<u8>, Vec<u8>>,
    journal: Vec<(u64, Batch)>,
}

impl Found {
    fn take(&mut self, restored: &Restored<'_>) {
        match *restored {
            Restored::Counters {
                applied,
                last_document,
            } => {
                (self.applied, self.last_document) = (applied, last_document);
            }
            Restored::Series { key, state } => {
                self.series.insert(key.to_vec(), state.to_vec());
            }
            Restored::Exporter { id, tracker } => {
                self.exporters.insert(id.to_owned(), tracker.to_vec());
            }
            Restored::Finding { key, finding } => {
                self.findings.insert(key.to_vec(), finding.to_vec());
            }
            Restored::Batch { position, batch } => {
                self.journal
                    .push((position, decode("batch", batch).unwrap()));
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
        destinations: DESTINATIONS.map(str::to_owned).to_vec(),
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
    }
}

fn document(number: u64) -> Document {
    Document {
        event_id: format!("f-{number}"),
        body: format!("{{\"number\":{number}}}"),
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
                documents: new.map(|number| (number, document(number))).collect(),
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
            .block_on(self.store.pending(destination, count))
            .unwrap();
        let model = &mut self.model;
        let expected: Vec<_> = model
            .pending
            .entry(destination)
            .or_default()
            .iter()
            .copied()
            .take(count)
            .collect();
        assert_eq!(
            waiting
                .iter()
                .map(|(number, _)| *number)
                .collect::<Vec<_>>(),
            expected
        );
        let mut settled = Vec::new();
        for (number, found) in waiting {
            assert_eq!(found, document(number));
            model
                .pending
                .entry(destination)
                .or_default()
                .remove(&number);
            if number % 3 == 0 {
                model.dead.entry(destination).or_default().insert(number);
                let (reason, at) = ("no".to_owned(), Timestamp::from_unix_nanos(1));
                settled.push((number, Settled::Dead { reason, at }));
            } else {
                *model.delivered.entry(destination).or_default() += 1;
                settled.push((
                    number,
                    Settled::Delivered {
                        already_there: false,
                    },
                ));
            }
        }
        let settlement = Settlement {
            destination: destination.to_owned(),
            settled,
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
        let totals = self.runtime.block_on(self.store.totals()).unwrap();
        let size = self.runtime.block_on(self.store.size()).unwrap();
        let mut waiting = BTreeSet::new();
        for destination in DESTINATIONS {
            let (totals, backlog) = totals.get(destination).copied().unwrap_or_default();
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
                .block_on(self.store.dead_letters(destination, 1000))
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
    let documents = (1..=5).map(|number| (number, document(number))).collect();
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
    let letters = runtime.block_on(store.dead_letters("file", 10)).unwrap();
    assert_eq!(
        letters
            .iter()
            .map(|(number, _)| *number)
            .collect::<Vec<_>>(),
        [3, 4, 5]
    );
}

fn error_of(path: &Path) -> StoreError {
    open(path).map(|_| ()).expect_err("this file is no store")
}

#[test]
fn a_foreign_file_is_an_error_that_names_it_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let text = "this is no database\n".repeat(1000);
    std::fs::write(&path, &text).unwrap();
    let error = error_of(&path).to_string();
    assert!(error.contains("store.redb"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let database = redb::Database::create(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta = redb::TableDefinition::<&str, u64>::new("meta");
    transaction
        .open_table(meta)
        .unwrap()
        .insert("schema_version", 2)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = error_of(&path).to_string();
    assert!(
        error.contains("schema version 2") && error.contains("version 1"),
        "{error}"
    );
}

#[test]
fn a_store_that_is_open_elsewhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let (_store, ..) = open(&path).unwrap();
    assert!(!error_of(&path).is_corruption());
}

/// A file that somebody else has written into opens with what was in it, or is an error: never a panic.
#[test]
fn a_damaged_file_is_an_error_or_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    let runtime = runtime();
    let (store, ..) = open(&path).unwrap();
    for number in 1..=50 {
        append(&runtime, &store, number).unwrap();
    }
    runtime.block_on(store.stop());
    let whole = std::fs::read(&path).unwrap();
    let (_, expected, _) = open(&path).unwrap();
    let damaged = folder.path().join("damaged.redb");
    let mut refused = 0;
    for position in (0..whole.len()).step_by(whole.len() / 200 + 1) {
        let mut bytes = whole.clone();
        bytes[position] ^= 0xff;
        std::fs::write(&damaged, &bytes).unwrap();
        match open(&damaged) {
            Ok((store, found, _)) => {
                assert_eq!(found, expected, "byte {position} was changed");
                runtime.block_on(store.stop());
            }
            Err(error) => {
                assert!(error.to_string().contains("damaged.redb"), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    for length in [0, 1, 100, 4096, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&damaged, &whole[..length]).unwrap();
        if let Ok((store, found, _)) = open(&damaged) {
            assert!(length == 0 || found == expected, "cut to {length} bytes");
            runtime.block_on(store.stop());
        }
    }
}
