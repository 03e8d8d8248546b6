//! Files that are no store, or not this program's.

use std::path::Path;

use super::{StoreError, append, open, runtime};

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
        .insert("schema_version", 4)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = error_of(&path).to_string();
    assert!(
        error.contains("schema version 4") && error.contains("version 3"),
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
