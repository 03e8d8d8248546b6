use std::collections::VecDeque;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

fn open_with(directory: &Path, max_bytes: u64) -> (DiskQueue, Arc<Telemetry>) {
    let telemetry = Arc::<Telemetry>::default();
    let settings = DiskSettings {
        directory: directory.to_owned(),
        max_bytes,
    };
    let queue = DiskQueue::open(settings, Arc::clone(&telemetry)).expect("the directory");
    (queue, telemetry)
}

fn open(directory: &Path) -> (DiskQueue, Arc<Telemetry>) {
    open_with(directory, u64::MAX)
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Bytes that cannot be packed.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|index| xxh3_64(&[&index.to_le_bytes()[..], &[seed]].concat()).to_le_bytes()[0])
        .collect()
}

fn drain(queue: &mut DiskQueue) -> Vec<(Vec<u8>, usize)> {
    let mut all = Vec::new();
    while let Some((request, records)) = queue.first().expect("readable") {
        all.push((request.to_vec(), records));
        queue.remove_first();
    }
    all
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the directory")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == WHOLE))
        .collect();
    files.sort();
    files
}

#[test]
fn what_was_kept_is_there_after_a_restart_in_order() {
    let directory = directory();
    let (mut queue, _) = open(directory.path());
    queue.append(b"second", 2).unwrap();
    queue.append(b"third", 3).unwrap();
    queue.prepend(b"first", 1).unwrap();
    assert_eq!(queue.records(), 6);
    drop(queue);
    let (mut queue, telemetry) = open(directory.path());
    let counters = telemetry.counters();
    assert_eq!((counters.restored, counters.stored), (6, 6));
    assert_eq!(
        drain(&mut queue),
        [
            (b"first".to_vec(), 1),
            (b"second".to_vec(), 2),
            (b"third".to_vec(), 3)
        ]
    );
    assert_eq!(telemetry.counters().stored, 0);
    assert!(files(directory.path()).is_empty());
    assert_eq!(queue.file_bytes(), 0);
}

#[test]
fn a_directory_is_one_exporters_at_a_time() {
    let directory = directory();
    let (queue, _) = open(directory.path());
    let settings = DiskSettings {
        directory: directory.path().to_owned(),
        max_bytes: 1,
    };
    let error = DiskQueue::open(settings.clone(), Arc::default()).unwrap_err();
    assert!(matches!(error, DiskError::InUse { .. }), "{error}");
    drop(queue);
    assert!(DiskQueue::open(settings, Arc::default()).is_ok());
}

#[test]
fn past_the_bound_the_oldest_go_and_are_counted_but_not_the_one_that_is_being_sent() {
    let directory = directory();
    let (mut queue, telemetry) = open_with(directory.path(), 3500);
    for seed in 0..3 {
        queue.append(&noise(seed, 1000), 10).unwrap();
    }
    assert_eq!(telemetry.lost(LossPlace::Disk), 0);
    assert_eq!(queue.first().unwrap().unwrap().0, noise(0, 1000));
    queue.append(&noise(3, 1000), 10).unwrap();
    assert_eq!(telemetry.lost(LossPlace::Disk), 10);
    assert!(queue.file_bytes() <= 3500);
    assert!(!queue.prepend(&noise(4, 1000), 10).unwrap());
    assert_eq!(
        telemetry.lost(LossPlace::Disk),
        10,
        "the oldest makes no room"
    );
    assert_eq!(queue.records(), 30);
    assert!(!queue.append(&noise(4, 4000), 7).unwrap());
    assert_eq!(
        telemetry.lost(LossPlace::Disk),
        30,
        "none makes enough room"
    );
    assert_eq!(queue.records(), 10);
    let kept: Vec<Vec<u8>> = drain(&mut queue).into_iter().map(|one| one.0).collect();
    assert_eq!(kept, [noise(0, 1000)]);
}

#[test]
fn damaged_requests_are_skipped_and_their_records_counted() {
    let directory = directory();
    let (mut queue, _) = open(directory.path());
    for seed in 0..6 {
        queue
            .append(&noise(seed, 500), 10 + usize::from(seed))
            .unwrap();
    }
    drop(queue);
    let paths = files(directory.path());
    let content = |index: usize| std::fs::read(&paths[index]).unwrap();
    std::fs::write(&paths[0], b"").unwrap();
    std::fs::write(&paths[1], &content(1)[..100]).unwrap();
    let mut flipped = content(3);
    flipped[200] ^= 1;
    std::fs::write(&paths[3], flipped).unwrap();
    let mut longer = content(4);
    longer[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    std::fs::write(&paths[4], longer).unwrap();
    // What a crash leaves of a file that was being written.
    std::fs::write(
        directory.path().join(format!("{MIDDLE:020}-5.partial")),
        b"BW",
    )
    .unwrap();
    let (mut queue, telemetry) = open(directory.path());
    let sent: Vec<usize> = drain(&mut queue).into_iter().map(|one| one.1).collect();
    assert_eq!(sent, [12, 15]);
    assert_eq!(
        telemetry.lost(LossPlace::DiskDamaged),
        10 + 11 + 13 + 14 + 5
    );
    assert_eq!(
        std::fs::read_dir(directory.path()).unwrap().count(),
        1,
        "the lock"
    );
}

#[test]
fn files_of_others_and_numbers_at_the_ends_are_left_alone() {
    let directory = directory();
    for name in [
        "notes.txt",
        "1-2.otlp",
        "00000000000000000000-2.otlp",
        "18446744073709551615-2.otlp",
        "99999999999999999999-2.otlp",
        "04611686018427387904-x.otlp",
    ] {
        std::fs::write(directory.path().join(name), b"x").unwrap();
    }
    let (mut queue, telemetry) = open(directory.path());
    assert!(queue.is_empty());
    queue.append(b"request", 1).unwrap();
    queue.prepend(b"before", 1).unwrap();
    assert_eq!(drain(&mut queue).len(), 2);
    assert_eq!(telemetry.lost(LossPlace::DiskDamaged), 0);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 7);
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8),
    Prepend(u8),
    First,
    Remove,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => any::<u8>().prop_map(Step::Append),
        1 => any::<u8>().prop_map(Step::Prepend),
        2 => Just(Step::First),
        2 => Just(Step::Remove),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn it_behaves_as_a_queue_in_memory_and_no_record_is_unaccounted(
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let directory = directory();
        let (mut queue, mut telemetry) = open(directory.path());
        let mut model: VecDeque<(Vec<u8>, usize)> = VecDeque::new();
        for step in steps {
            match step {
                Step::Append(seed) => {
                    queue.append(&noise(seed, 50), seed.into()).unwrap();
                    model.push_back((noise(seed, 50), seed.into()));
                }
                Step::Prepend(seed) => {
                    queue.prepend(&noise(seed, 50), seed.into()).unwrap();
                    model.push_front((noise(seed, 50), seed.into()));
                }
                Step::First => {
                    let first = queue.first().unwrap().map(|(request, records)| (request.to_vec(), records));
                    prop_assert_eq!(first.as_ref(), model.front());
                }
                Step::Remove => {
                    queue.remove_first();
                    model.pop_front();
                }
                Step::Reopen => {
                    drop(queue);
                    (queue, telemetry) = open(directory.path());
                }
            }
            let records: usize = model.iter().map(|one| one.1).sum();
            prop_assert_eq!(queue.records(), records as u64);
            prop_assert_eq!(telemetry.counters().stored, records as u64);
        }
        prop_assert_eq!(drain(&mut queue), Vec::from(model));
    }
}
