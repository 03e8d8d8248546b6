//! What is left of damaged files.
//!
//! Values are damaged in two ways: in the file, where the engine's checksums of pages see it, too, and through the
//! engine, which then vouches for the page, so that only the value's own checksum tells.

use std::path::PathBuf;

use beaconwatch_detector::{Detector, Observation, Phase, Settings, Severity, Transport};

use super::super::database::{ALERTS, EXPORTERS, JOURNAL, META, SERIES};
use super::super::ledger::{AUDIT, SETTINGS, STATE};
use super::super::outbox::{DEAD, DELIVERIES, DOCUMENTS, TOTALS};
use super::super::salvage::salvage;
use super::*;
use crate::alert::{Actor, AuditEntry, Finding, SeriesId, Subject};
use crate::observe::Sequences;

/// Every fifth document is refused.
fn outcome(number: u64) -> Settled {
    if number.is_multiple_of(5) {
        return Settled::Dead {
            reason: "no".to_owned(),
            at: Timestamp::from_unix_nanos(1),
        };
    }
    Settled::Delivered {
        already_there: false,
    }
}

/// A series, an exporter and a finding, as the scoring thread writes them.
fn state() -> Checkpoint {
    let key = SeriesKey {
        host: "host".into(),
        namespace: "".into(),
        source: [192, 0, 2, 1].into(),
        destination: [192, 0, 2, 2].into(),
        destination_port: 443,
        transport: Transport::Tcp,
    };
    let at = Timestamp::from_unix_nanos(1);
    let mut detector = Detector::new(Settings::default()).unwrap();
    detector.observe(at, &Observation::new(at, Phase::Whole, key.clone()));
    let series = detector.take_changes().remove(0);
    let series = encode("series", &series.state.unwrap()).unwrap();
    let id = FindingId::from_bytes([1; 16]);
    let subject = Subject::Beacon {
        key: key.clone(),
        assessment: None,
    };
    let finding = Finding::open(id, SeriesId::of(&key), subject, Severity::High, at);
    let mut sequences = Sequences::new(10);
    sequences.arrive(&Arc::from("run"), 0, at);
    let (exporter, tracker) = sequences.take_changes().remove(0);
    let tracker = encode("exporter", tracker.unwrap()).unwrap();
    Checkpoint {
        series: BTreeMap::from([(encode_key(&key).unwrap(), Some(series))]),
        exporters: BTreeMap::from([(exporter.to_string(), Some(tracker))]),
        findings: BTreeMap::from([(id, Some(encode("finding", &finding).unwrap()))]),
        ..Checkpoint::default()
    }
}

/// A store with batches, state and documents, closed.
fn filled(folder: &Path) -> PathBuf {
    let path = folder.join("store.redb");
    let runtime = runtime();
    let (store, ..) = open(&path).unwrap();
    for number in 1..=200 {
        append(&runtime, &store, number).unwrap();
    }
    let documents = (1..=50).map(|number| (number, outgoing(number))).collect();
    let mut checkpoint = Checkpoint {
        through: 20,
        documents,
        ..state()
    };
    let at = Timestamp::from_unix_nanos(1);
    let entry = AuditEntry::new(at, &Actor::in_process("tester"), "config.change", "x", "");
    let ledger = &mut checkpoint.ledger;
    ledger.audit.insert(1, entry);
    ledger.settings.insert("overrides", "{}".to_owned());
    ledger.state.insert("name".to_owned(), Some(vec![7]));
    store
        .checkpoint(checkpoint)
        .map_err(|(error, _)| error)
        .unwrap();
    let settlement = Settlement {
        destination: DESTINATIONS[0].to_owned(),
        settled: (1..=10).map(|number| (number, outcome(number))).collect(),
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

/// Alters one bit of a stored value in every table that `damage` names, through the engine.
fn damage<K: redb::Key + 'static>(
    path: &Path,
    table: redb::TableDefinition<'_, K, &'static [u8]>,
    place: impl Fn(usize) -> usize,
) {
    let database = redb::Database::open(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(table).unwrap();
        let (key, mut value) = {
            let (key, value) = redb::ReadableTable::first(&table).unwrap().unwrap();
            let key = K::as_bytes(&key.value()).as_ref().to_vec();
            (key, value.value().to_vec())
        };
        let place = place(value.len());
        value[place] ^= 1;
        table.insert(K::from_bytes(&key), value.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

/// Checks that one damaged value of a table is told from the good ones.
fn is_told<K: redb::Key + 'static>(table: redb::TableDefinition<'_, K, &'static [u8]>) {
    use redb::TableHandle as _;
    let name = table.name().to_owned();
    let ends: [fn(usize) -> usize; 2] = [|_| 0, |length| length - 1];
    for place in ends {
        let folder = tempfile::tempdir().unwrap();
        let path = filled(folder.path());
        let whole = salvage(&path, &folder.path().join("whole.redb")).unwrap();
        let kept = |report: &SalvageReport| {
            let table = report.tables.iter().find(|table| table.name == name);
            let table = table.unwrap();
            (table.kept, table.damaged, table.dropped)
        };
        let (all, ..) = kept(&whole);
        assert!(all > 0, "{name} is empty: nothing would be tried");
        damage(&path, table, place);
        let out = folder.path().join("new.redb");
        let report = salvage(&path, &out).unwrap();
        assert!(!report.is_whole());
        assert_eq!(kept(&report), (all - 1, 1, 0), "{name}");
        let others = report.tables.iter().filter(|table| table.name != name);
        assert!(others.clone().count() > 0);
        for other in others {
            assert_eq!((other.damaged, other.dropped), (0, 0), "{name}: {other:?}");
        }
        let (store, ..) = open(&out).unwrap();
        runtime().block_on(store.stop());
    }
}

#[test]
fn a_damaged_value_of_any_table_is_counted_and_left_behind_and_the_good_ones_are_kept() {
    is_told(JOURNAL);
    is_told(SERIES);
    is_told(EXPORTERS);
    is_told(ALERTS);
    is_told(AUDIT);
    is_told(STATE);
    is_told(SETTINGS);
    is_told(DOCUMENTS);
    is_told(DELIVERIES);
    is_told(DEAD);
    is_told(TOTALS);
}

#[test]
fn a_value_that_still_decodes_is_not_taken_for_a_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let mut bytes = std::fs::read(&path).unwrap();
    let (old, new) = (br#"{"number":37}"#, br#"{"number":38}"#);
    let places: Vec<usize> = (0..bytes.len() - old.len())
        .filter(|&place| bytes[place..].starts_with(old))
        .collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place..place + new.len()].copy_from_slice(new);
    }
    std::fs::write(&path, bytes).unwrap();
    let error = open(&path).map(|_| ()).unwrap_err();
    assert!(error.is_corruption());
    assert!(error.to_string().contains("store salvage"), "{error}");
    let out = folder.path().join("new.redb");
    let report = salvage(&path, &out).unwrap();
    let documents = report.tables.iter().find(|it| it.name == "documents");
    let documents = documents.unwrap();
    assert_eq!((documents.kept, documents.damaged), (49, 1));
    let (_, waiting) = waiting(&out);
    let expected: Vec<u64> = (1..=50).filter(|&number| number != 37).collect();
    assert_eq!(waiting[1], expected);
}

#[test]
fn damaged_positions_are_an_error_and_made_anew_from_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = filled(folder.path());
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(META)
        .unwrap()
        .insert("last_document", 7)
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let error = open(&path).map(|_| ()).unwrap_err();
    assert!(error.is_corruption(), "{error}");
    let out = folder.path().join("new.redb");
    let report = salvage(&path, &out).unwrap();
    let meta = report.tables.iter().find(|it| it.name == "meta").unwrap();
    assert_eq!((meta.kept, meta.damaged), (0, 1));
    let (found, _) = waiting(&out);
    assert_eq!(found.last_document, 50);
    assert_eq!(found.journal.len(), 180);
}

#[test]
fn a_damaged_value_is_an_error_where_it_is_read_first() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime();
    // What is restored is read at the opening.
    let path = filled(folder.path());
    damage(&path, SERIES, |length| length / 2);
    let error = open(&path).map(|_| ()).unwrap_err();
    assert!(error.is_corruption());
    let said = error.to_string();
    assert!(
        said.contains("stored series") && said.contains("damaged"),
        "{said}"
    );
    std::fs::remove_file(&path).unwrap();
    // What waits for somebody is read when it is asked for.
    let path = filled(folder.path());
    damage(&path, DEAD, |length| length / 2);
    let (store, ..) = open(&path).unwrap();
    let read = runtime.block_on(store.dead_letters(page("file")));
    let error = read.unwrap_err();
    assert!(error.is_corruption(), "{error}");
    assert!(error.to_string().contains("dead letter"), "{error}");
    let others = runtime.block_on(store.pending(wanted("search", 100)));
    assert_eq!(others.unwrap().len(), 50, "the rest is delivered");
}
