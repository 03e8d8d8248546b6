//! A store as the first version of the layout had it.

use redb::TableDefinition;
use serde::Serialize;

use super::*;

#[derive(Serialize)]
struct OldDocument {
    event_id: String,
    body: String,
}

fn old_document(number: u64) -> OldDocument {
    let Document { event_id, body, .. } = document(number);
    OldDocument { event_id, body }
}

/// Documents 1 to 3 wait for both destinations, 3 was refused by the first and delivered to none.
fn write_old_store(path: &Path) {
    let meta = TableDefinition::<&str, u64>::new("meta");
    let documents = TableDefinition::<u64, &[u8]>::new("documents");
    let pending = TableDefinition::<(&str, u64), ()>::new("pending");
    let dead = TableDefinition::<(&str, u64), &[u8]>::new("dead");
    let totals = TableDefinition::<&str, &[u8]>::new("totals");
    let database = redb::Database::create(path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let mut meta = transaction.open_table(meta).unwrap();
        meta.insert("schema_version", 1).unwrap();
        meta.insert("last_document", 3).unwrap();
        let mut documents = transaction.open_table(documents).unwrap();
        let mut pending = transaction.open_table(pending).unwrap();
        for (number, left) in [(1, 2_u32), (2, 2), (3, 1)] {
            let queued = encode("document", &(old_document(number), left)).unwrap();
            documents.insert(number, queued.as_slice()).unwrap();
            pending.insert(("search", number), ()).unwrap();
        }
        pending.insert(("file", 1), ()).unwrap();
        pending.insert(("file", 2), ()).unwrap();
        let at = Timestamp::from_unix_nanos(7);
        let letter = encode("dead letter", &(old_document(3), "no", at)).unwrap();
        let mut dead = transaction.open_table(dead).unwrap();
        dead.insert(("file", 3), letter.as_slice()).unwrap();
        let counters = encode("counter set", &(5_u64, 4_u64, 3_u64, 2_u64, 1_u64)).unwrap();
        let mut totals = transaction.open_table(totals).unwrap();
        totals.insert("file", counters.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

#[test]
fn a_store_of_the_first_version_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    write_old_store(&path);
    let (store, found, _) = open(&path).unwrap();
    assert_eq!(found.last_document, 3);
    let runtime = runtime();
    let waiting = |destination| {
        let waiting = runtime.block_on(store.pending(wanted(destination, 10)));
        waiting.unwrap()
    };
    let numbered = |number| (number, document(number));
    assert_eq!(waiting("file"), [1, 2].map(numbered));
    assert_eq!(waiting("search"), [1, 2, 3].map(numbered));
    let letters = runtime.block_on(store.dead_letters(page("file"))).unwrap();
    assert_eq!(letters.len(), 1);
    assert_eq!((letters[0].0, &letters[0].1.document), (3, &document(3)));
    let accounts = runtime.block_on(store.accounts()).unwrap();
    let file = &accounts["file"];
    assert_eq!((file.totals.delivered, file.totals.dead_dropped), (5, 1));
    assert_eq!((file.backlog.pending, file.backlog.dead_letters), (2, 1));
    assert_eq!(accounts["search"].backlog.pending, 3);
    let settled = |number| {
        let already_there = false;
        (number, Settled::Delivered { already_there })
    };
    for destination in DESTINATIONS {
        let settlement = Settlement {
            destination: destination.to_owned(),
            settled: (1..=3).map(settled).collect(),
            retries: 0,
            dead_limit: 10,
        };
        runtime.block_on(store.settle(settlement)).unwrap();
    }
    let size = runtime.block_on(store.size()).unwrap();
    assert_eq!(size.outbox_documents, 0);
}
