#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the numbers are those of this file"
)]

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::sync::Arc;

use beaconwatch_detector::Phase;

use super::*;
use crate::tail::{POLLS_AFTER_ROTATION, Start, TailSettings, TailedLine, Tailer};

fn flow(number: u32) -> String {
    format!(
        r#"{{"ts":{number},"src":"10.0.0.1","sport":1,"dst":"192.0.2.1","dport":443,"proto":"tcp","duration":1,"uid":"F{number}"}}"#
    ) + "\n"
}

fn flows(numbers: std::ops::Range<u32>) -> String {
    numbers.map(flow).collect()
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// A sidecar as far as it matters here: keeps how far each file was told, also over restarts.
struct Keeper {
    paths: Vec<PathBuf>,
    start: Start,
    kept: HashMap<Arc<str>, u64>,
    tailer: Tailer,
}

impl Keeper {
    fn new(paths: &[PathBuf], start: Start) -> Self {
        let tailer = Self::tailer(paths, start, HashMap::new());
        Self {
            paths: paths.to_vec(),
            start,
            kept: HashMap::new(),
            tailer,
        }
    }

    fn tailer(paths: &[PathBuf], start: Start, kept: HashMap<Arc<str>, u64>) -> Tailer {
        let settings = TailSettings {
            paths: paths.to_vec(),
            format: Format::Auto,
            start,
            line_bytes_max: 1 << 16,
        };
        Tailer::new(settings, kept).unwrap()
    }

    fn restart(&mut self) {
        self.tailer = Self::tailer(&self.paths, self.start, self.kept.clone());
    }

    fn keep(&mut self, lines: &[TailedLine]) {
        for line in lines {
            let next = self
                .kept
                .entry(Arc::clone(&line.file))
                .or_insert(line.number);
            assert!(line.number >= *next, "told again: {line:?}");
            *next = line.number + 1;
        }
    }

    /// Reads all there is; what was observed, as seconds.
    fn read(&mut self) -> Vec<u64> {
        self.observations()
            .iter()
            .map(|it| it.time.unix_seconds() as u64)
            .collect()
    }

    fn observations(&mut self) -> Vec<Observation> {
        let mut observations = Vec::new();
        loop {
            let polled = self.tailer.poll(3);
            self.keep(&polled.lines);
            observations.extend(polled.lines.into_iter().filter_map(|it| it.observation));
            if !polled.more {
                return observations;
            }
        }
    }
}

fn following(start: Start) -> (TempDir, PathBuf, Keeper) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.log");
    let keeper = Keeper::new(&[folder.path().to_path_buf()], start);
    (folder, path, keeper)
}

#[test]
fn lines_are_told_once_as_they_come_and_a_partial_one_waits() {
    let (_folder, path, mut keeper) = following(Start::Beginning);
    assert_eq!(keeper.read(), [0_u64; 0]);
    append(&path, &flows(0..5));
    assert_eq!(keeper.read(), [0, 1, 2, 3, 4]);
    let line = flow(5);
    let (one, other) = line.split_at(20);
    append(&path, one);
    assert_eq!(keeper.read(), [0_u64; 0]);
    append(&path, other);
    assert_eq!(keeper.read(), [5]);
    assert_eq!(keeper.read(), [0_u64; 0]);
}

#[test]
fn only_what_is_written_after_the_first_start_counts_unless_told_otherwise() {
    let (_folder, path, mut keeper) = following(Start::End);
    append(&path, &flows(0..3));
    assert_eq!(keeper.read(), [0_u64; 0]);
    append(&path, &flows(3..5));
    assert_eq!(keeper.read(), [3, 4]);
    append(&path, &flows(5..6));
    keeper.restart();
    assert_eq!(keeper.read(), [5]);
    append(&path.with_file_name("new.log"), &flows(6..7));
    keeper.restart();
    assert_eq!(keeper.read(), [6]);
}

#[test]
fn rotation_by_rename_by_copy_and_by_compression_tells_each_line_once() {
    let (_folder, path, mut keeper) = following(Start::Beginning);
    append(&path, &flows(0..5));
    assert_eq!(keeper.read(), [0, 1, 2, 3, 4]);
    // Renamed with a line that was not read yet.
    append(&path, &flow(5));
    let rotated = path.with_file_name("flows.log.1");
    fs::rename(&path, &rotated).unwrap();
    append(&path, &flows(6..9));
    let mut read = keeper.read();
    read.sort_unstable();
    assert_eq!(read, [5, 6, 7, 8]);
    // Compressed.
    let content = fs::read(&rotated).unwrap();
    fs::write(path.with_file_name("flows.log.2.gz"), gzip(&content)).unwrap();
    fs::remove_file(&rotated).unwrap();
    assert_eq!(keeper.read(), [0_u64; 0]);
    // Copied and truncated, with a line that was not read yet.
    append(&path, &flow(9));
    fs::copy(&path, &rotated).unwrap();
    fs::write(&path, "").unwrap();
    assert_eq!(keeper.read(), [9]);
    append(&path, &flows(10..20));
    assert_eq!(keeper.read(), (10..20).collect::<Vec<_>>());
    keeper.restart();
    assert_eq!(keeper.read(), [0_u64; 0]);
}

#[test]
fn a_file_moved_out_of_the_folder_is_read_to_its_end_with_its_last_partial_line() {
    let (_folder, path, mut keeper) = following(Start::Beginning);
    append(&path, &flows(0..2));
    assert_eq!(keeper.read(), [0, 1]);
    let away = tempfile::tempdir().unwrap();
    let moved = away.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    append(&moved, &flow(2));
    assert_eq!(keeper.read(), [2]);
    append(&moved, flow(3).trim_end());
    let later: Vec<u64> = (0..=POLLS_AFTER_ROTATION)
        .flat_map(|_| keeper.read())
        .collect();
    assert_eq!(later, [3]);
    assert_eq!(keeper.tailer.status().files, 0);
}

#[test]
fn a_restart_at_any_line_loses_and_doubles_nothing() {
    for kept in 0..12 {
        let (_folder, path, mut keeper) = following(Start::Beginning);
        append(&path, &flows(0..6));
        fs::rename(&path, path.with_file_name("flows.log.1")).unwrap();
        append(&path, &flows(6..12));
        // What was read and not kept is as if it had not been read.
        let mut seen = Vec::new();
        while seen.len() < kept {
            let lines = keeper.tailer.poll(1).lines;
            keeper.keep(&lines);
            seen.extend(lines.iter().filter_map(|it| it.observation.clone()));
        }
        let mut seen: Vec<u64> = seen
            .iter()
            .map(|it| it.time.unix_seconds() as u64)
            .collect();
        keeper.tailer.poll(2);
        keeper.restart();
        seen.extend(keeper.read());
        seen.sort_unstable();
        assert_eq!(seen, (0..12).collect::<Vec<_>>(), "{kept}");
    }
}

#[test]
fn names_come_from_other_files_and_a_restart_between_keeps_them_apart_from_starts() {
    let ends = "id.orig_h id.orig_p id.resp_h id.resp_p";
    let ssl = zeek(
        "ssl",
        &format!("ts uid {ends} server_name"),
        &["10 C1 10.0.0.1 9 192.0.2.1 443 a.example"],
    );
    let conn = zeek(
        "conn",
        CONN_FIELDS,
        &[
            "10 C1 10.0.0.1 9 192.0.2.1 443 tcp ssl 5 6 7 SF",
            "20 C2 10.0.0.1 9 192.0.2.1 443 tcp - 5 6 7 SF",
        ],
    );
    for restart in [false, true] {
        let (_folder, path, mut keeper) = following(Start::Beginning);
        append(&path.with_file_name("ssl.log"), &ssl);
        let opened = keeper.observations();
        assert_eq!(phases(&opened), [Phase::Opened]);
        if restart {
            keeper.restart();
        }
        append(&path.with_file_name("conn.log"), &conn);
        let ended = keeper.observations();
        assert_eq!(phases(&ended), [Phase::Closed, Phase::Whole]);
        assert_eq!(names(&ended), [Some("a.example"), None]);
        assert_eq!(ended[0].time.unix_nanos(), 15_000_000_000);
        assert_eq!(ended[0].bytes_out, Some(6));
    }
}

#[test]
fn unusable_lines_have_numbers_and_are_counted_and_other_files_are_passed_over() {
    let (_folder, path, mut keeper) = following(Start::Beginning);
    append(&path, &format!("{}{{\n\n{}", flow(0), flow(1)));
    append(
        &path.with_file_name("notes.txt"),
        &"nothing of use\n".repeat(100),
    );
    assert_eq!(keeper.read(), [0, 1]);
    let status = keeper.tailer.status();
    assert_eq!(
        (status.lines, status.observations, status.lag_bytes),
        (4, 2, 0)
    );
    assert_eq!(status.skipped, [(Reason::NotJson, 1)].into());
    assert_eq!(status.files_of_other_kind, 1);
}

#[test]
fn patterns_name_files_and_relative_paths_are_refused() {
    let folder = folder(&[
        ("a/x1.log", flow(1).as_bytes()),
        ("b/x22.log", flow(2).as_bytes()),
        ("b/y.log", flow(3).as_bytes()),
    ]);
    let mut keeper = Keeper::new(&[folder.path().join("*/x?*.log")], Start::Beginning);
    assert_eq!(keeper.read(), [1, 2]);
    let settings = TailSettings {
        paths: vec!["logs/*.log".into()],
        format: Format::Auto,
        start: Start::End,
        line_bytes_max: 1000,
    };
    let error = Tailer::new(settings, HashMap::new())
        .unwrap_err()
        .to_string();
    assert_eq!(error, "logs/*.log: expected a path that begins with /");
}

#[test]
fn bytes_and_rotations_are_counted_and_a_file_that_only_moves_on_is_no_rotation() {
    let (folder, path, mut keeper) = following(Start::Beginning);
    let rotations = |keeper: &Keeper| keeper.tailer.status().rotations;
    let text = flows(0..3);
    append(&path, &text);
    keeper.read();
    assert_eq!(rotations(&keeper), 0);
    let first = folder.path().join("flows.log.1");
    fs::rename(&path, &first).unwrap();
    append(&path, &flow(3));
    assert_eq!(keeper.read(), [3]);
    assert_eq!(rotations(&keeper), 1, "renamed");
    fs::rename(&first, folder.path().join("flows.log.2")).unwrap();
    fs::rename(&path, &first).unwrap();
    keeper.read();
    assert_eq!(rotations(&keeper), 1, "nothing new took the place");
    append(&path, &flow(4));
    assert_eq!(keeper.read(), [4]);
    assert_eq!(rotations(&keeper), 2);
    fs::write(&path, flow(50)).unwrap();
    assert_eq!(keeper.read(), [50]);
    assert_eq!(rotations(&keeper), 3, "written anew");
    let written = text.len() + flow(3).len() + flow(4).len() + flow(50).len();
    assert_eq!(keeper.tailer.status().bytes_read, written as u64);
}

#[test]
fn the_lag_is_what_was_written_and_not_read_yet() {
    let (_folder, path, mut keeper) = following(Start::Beginning);
    append(&path, &flow(0));
    keeper.read();
    append(&path, &flows(1..4));
    assert_eq!(keeper.tailer.lag_bytes(), flows(1..4).len() as u64);
    assert_eq!(keeper.tailer.status().lag_bytes, 0, "as of the last look");
    keeper.read();
    assert_eq!(keeper.tailer.lag_bytes(), 0);
}
