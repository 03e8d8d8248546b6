//! Power failures at any write: the tables against a model, on a disk that forgets what was not synced.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;

use super::super::database::{Tables, builder};
use super::*;
use crate::alert::{Actor, AuditEntry};

/// A disk in memory. Writes that are not synced may or may not be there after a failure, each page for
/// itself; after the last write that it lives to see it takes no more.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<Contents>>, Arc<AtomicU64>);

#[derive(Clone, Debug, Default)]
struct Contents {
    synced: Vec<u8>,
    now: Vec<u8>,
    /// Places written since the last sync.
    unsynced: Vec<(usize, usize)>,
}

impl Disk {
    fn new(synced: Vec<u8>, writes: u64) -> Self {
        let contents = Contents {
            now: synced.clone(),
            synced,
            unsynced: Vec::new(),
        };
        Self(
            Arc::new(Mutex::new(contents)),
            Arc::new(AtomicU64::new(writes)),
        )
    }

    fn step(&self) -> io::Result<()> {
        let left = self
            .1
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            });
        left.map(drop)
            .map_err(|_dead| io::Error::other("the power is gone"))
    }

    /// What is there when the power is back: of what was not synced, what `luck` says.
    fn after_failure(&self, mut luck: u64) -> Vec<u8> {
        let contents = self.0.lock().unwrap();
        let mut image = contents.synced.clone();
        for (from, to) in &contents.unsynced {
            luck = luck
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            if luck >> 63 == 1 {
                let to = (*to).min(contents.now.len());
                if image.len() < to {
                    image.resize(to, 0);
                }
                image[*from..to].copy_from_slice(&contents.now[*from..to]);
            }
        }
        image
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let contents = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let bytes = contents.now.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::other("past the end"))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.step()?;
        let mut contents = self.0.lock().unwrap();
        let length = usize::try_from(length).unwrap();
        contents.now.resize(length, 0);
        contents.unsynced.retain(|(from, _)| *from < length);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.step()?;
        let mut contents = self.0.lock().unwrap();
        contents.synced = contents.now.clone();
        contents.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.step()?;
        let mut contents = self.0.lock().unwrap();
        let from = usize::try_from(offset).unwrap();
        let to = from + data.len();
        if contents.now.len() < to {
            contents.now.resize(to, 0);
        }
        contents.now[from..to].copy_from_slice(data);
        contents.unsynced.push((from, to));
        Ok(())
    }
}

/// What is done to the tables.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Append(u64),
    Checkpoint {
        documents: u64,
    },
    Settle {
        dead: bool,
    },
    /// A change of the configuration and its entry in the audit.
    Configure,
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        3 => (1_u64..5).prop_map(Operation::Append),
        2 => (0_u64..4).prop_map(|documents| Operation::Checkpoint { documents }),
        2 => any::<bool>().prop_map(|dead| Operation::Settle { dead }),
        1 => Just(Operation::Configure),
    ]
}

/// What the tables hold, in a form that can be compared.
#[derive(Clone, Debug, Default, PartialEq)]
struct State {
    found: Found,
    pending: Vec<Vec<u64>>,
    dead: Vec<u64>,
    outbox: u64,
}

fn state(tables: &Tables) -> State {
    let mut found = Found::default();
    tables
        .restore(&mut |restored| {
            found.take(&restored);
            Ok(())
        })
        .unwrap();
    let pending = DESTINATIONS.map(|name| {
        let waiting = tables.pending(&wanted(name, 1000)).unwrap();
        waiting.into_iter().map(|(number, _)| number).collect()
    });
    let accounts = tables.accounts().unwrap();
    let dead = DESTINATIONS.map(|name| accounts.get(name).map_or(0, |it| it.backlog.dead_letters));
    State {
        found,
        pending: pending.to_vec(),
        dead: dead.to_vec(),
        outbox: tables.outbox_documents().unwrap(),
    }
}

fn perform(tables: &mut Tables, before: &State, operation: Operation) -> Result<(), StoreError> {
    match operation {
        Operation::Append(count) => {
            let batches: Vec<Vec<u8>> = (0..count)
                .map(|number| encode("batch", &batch(number)).unwrap())
                .collect();
            let batches: Vec<&[u8]> = batches.iter().map(Vec::as_slice).collect();
            tables.append(&batches).map(drop)
        }
        Operation::Checkpoint { documents } => {
            let journal = before.found.journal.last();
            let through = journal.map_or(before.found.applied, |(position, _)| *position);
            let last = before.found.last_document;
            let key = vec![u8::try_from(through % 5).unwrap()];
            let numbers = last + 1..=last + documents;
            let finding = FindingId::from_bytes([u8::try_from(through % 3).unwrap(); 16]);
            tables.checkpoint(&Checkpoint {
                through,
                series: BTreeMap::from([(key, Some(through.to_le_bytes().to_vec()))]),
                findings: BTreeMap::from([(finding, Some(vec![1]))]),
                documents: numbers.map(|number| (number, outgoing(number))).collect(),
                ..Checkpoint::default()
            })
        }
        Operation::Configure => tables.checkpoint(&change(before)),
        Operation::Settle { dead } => {
            let settled = before.pending.first().into_iter().flatten().map(|number| {
                let settled = if dead {
                    Settled::Dead {
                        reason: "no".to_owned(),
                        at: Timestamp::from_unix_nanos(1),
                    }
                } else {
                    Settled::Delivered {
                        already_there: false,
                    }
                };
                (*number, settled)
            });
            let settlement = Settlement {
                destination: DESTINATIONS[0].to_owned(),
                settled: settled.collect(),
                retries: 0,
                dead_limit: 100,
            };
            tables.settle(&settlement).map(drop)
        }
    }
}

/// The setting says the number of its entry in the audit.
fn change(before: &State) -> Checkpoint {
    let number = before.found.last_audit + 1;
    let at = Timestamp::from_unix_nanos(1);
    let actor = Actor::in_process("tester");
    let entry = AuditEntry::new(at, &actor, "config.change", "configuration", "");
    let mut change = Checkpoint {
        through: before.found.applied,
        ..Checkpoint::default()
    };
    change.ledger.audit.insert(number, entry);
    change.ledger.settings.insert("changed", number.to_string());
    change
}

/// The number of the audit's entry that the setting tells of.
fn told(state: &State) -> u64 {
    let setting = state.found.settings.get("changed");
    setting.map_or(0, |text| String::from_utf8_lossy(text).parse().unwrap())
}

fn on(disk: &Disk) -> Result<Tables, StoreError> {
    Tables::of(builder(1 << 20).create_with_backend(disk.clone())?)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn a_power_failure_at_any_write_leaves_the_state_before_or_after_the_operation(
        lives in prop::collection::vec(
            (prop::collection::vec(operation(), 1..8), 0_u64..400, any::<u64>()),
            1..6,
        )
    ) {
        let mut image = Vec::new();
        let mut known = State::default();
        let mut is_new = true;
        for (operations, writes, luck) in lives {
            let disk = Disk::new(image, writes);
            let mut possible = vec![known.clone()];
            if let Ok(mut tables) = on(&disk) {
                is_new = false;
                let mut current = state(&tables);
                for operation in operations {
                    let before = current.clone();
                    // What it should come to, on a disk that does not fail.
                    let copy = Disk::new(disk.0.lock().unwrap().synced.clone(), u64::MAX);
                    let mut healthy = on(&copy).unwrap();
                    prop_assert_eq!(&state(&healthy), &before);
                    perform(&mut healthy, &before, operation).unwrap();
                    let after = state(&healthy);
                    if perform(&mut tables, &before, operation).is_err() {
                        possible = vec![before, after];
                        break;
                    }
                    current = state(&tables);
                    prop_assert_eq!(&current, &after);
                    possible = vec![after];
                }
            }
            image = disk.after_failure(luck);
            let revived = Disk::new(image.clone(), u64::MAX);
            match on(&revived) {
                Ok(tables) => {
                    known = state(&tables);
                    prop_assert!(
                        is_new || possible.contains(&known),
                        "{known:?} is none of {possible:?}"
                    );
                    prop_assert_eq!(told(&known), known.found.last_audit);
                }
                // A file that was being made when the power went is no store yet.
                Err(error) => {
                    prop_assert!(is_new, "{error}");
                    image = Vec::new();
                }
            }
            if let Ok(contents) = revived.0.lock() && !image.is_empty() {
                image = contents.synced.clone();
            }
        }
    }
}
