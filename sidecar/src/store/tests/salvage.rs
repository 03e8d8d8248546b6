//! What is left of damaged files.

use std::path::PathBuf;

use super::super::salvage::salvage;
use super::*;

/// A store with batches, state and documents, closed.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("store.redb");
    let runtime = runtime();
    let (store, ..) = open(&path).unwrap();
    for number in 1..=200 {
        append(&runtime, &store, number).unwrap();
    }
    let documents = (1..=50).map(|number| (number, outgoing(number))).collect();
    let exporters = BTreeMap::new();
    let state = BTreeMap::from([("name".to_owned(), Some(vec![7]))]);
    let mut checkpoint = Checkpoint {
        through: 20,
        documents,
        exporters,
        ..Checkpoint::default()
    };
    checkpoint.ledger.state = state;
    store
        .checkpoint(checkpoint)
        .map_err(|(error, _)| error)
        .unwrap();
    let settlement = Settlement {
        destination: DESTINATIONS[0].to_owned(),
        settled: (1..=10)
            .map(|number| {
                (
                    number,
                    Settled::Delivered {
                        already_there: false,
                    },
                )
            })
            .collect(),
        retries: 0,
        dead_limit: 10,
    };
    runtime.block_on(store.settle(settlement)).unwrap();
    runtime.block_on(store.stop());
    path
}

fn waiting(path: &Path) -> (Found, Vec<Vec<u64>>) {
    let (store, found, _) = open(path).unwrap();
    let runtime = runtime();
    let waiting = DESTINATIONS.map(|name| {
        let waiting = runtime.block_on(store.pending(wanted(name, 1000))).unwrap();
        waiting.into_iter().map(|(number, _)| number).collect()
    });
    runtime.block_on(store.stop());
    (found, waiting.to_vec())
}

#[test]
fn a_whole_store_is_salvaged_whole_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let before = std::fs::read(&path).unwrap();
    let out = folder.path().join("new.redb");
    let report = salvage(&path, &out).unwrap();
    assert!(report.is_whole(), "{report:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(waiting(&out), waiting(&path));
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no copy stays"
    );
}

#[test]
fn of_a_damaged_store_the_rest_becomes_a_store_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let (whole, expected) = waiting(&path);
    let bytes = std::fs::read(&path).unwrap();
    let damaged = folder.path().join("damaged.redb");
    let out = folder.path().join("new.redb");
    let (mut refused, mut partial) = (0, 0);
    for position in (4096..bytes.len()).step_by(bytes.len() / 60) {
        let mut bytes = bytes.clone();
        let end = (position + 512).min(bytes.len());
        bytes[position..end].fill(0xa5);
        std::fs::write(&damaged, &bytes).unwrap();
        match salvage(&damaged, &out) {
            Err(error) => {
                assert!(error.to_string().contains("damaged.redb"), "{error}");
                assert!(!out.exists());
                refused += 1;
            }
            Ok(report) => {
                let (found, left) = waiting(&out);
                assert!(found.journal.len() <= whole.journal.len());
                assert!(left[0].iter().all(|number| expected[0].contains(number)));
                partial += usize::from(!report.is_whole());
                std::fs::remove_file(&out).unwrap();
            }
        }
    }
    assert!(partial > 0, "{refused} refused, none was read in part");
}

#[test]
fn a_file_that_is_there_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let out = folder.path().join("mine.txt");
    std::fs::write(&out, "mine").unwrap();
    assert!(
        salvage(&path, &out)
            .unwrap_err()
            .to_string()
            .contains("mine.txt")
    );
    assert_eq!(std::fs::read_to_string(&out).unwrap(), "mine");
}
