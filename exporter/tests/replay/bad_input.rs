//! What cannot be read: said, counted, and no reason to lose what can.

use std::path::PathBuf;

use beaconwatch_exporter::LossPlace;
use beaconwatch_exporter::replay::{ReplaySettings, Speed};

use crate::support::{SECOND_NS, datagram, export, file, pcap, settings};

fn three_datagrams() -> Vec<u8> {
    let packets = [41001, 41002, 41003].map(|port| (0, datagram(true, port, b"payload")));
    pcap(&packets)
}

#[tokio::test]
async fn of_a_truncated_capture_all_before_the_cut_is_exported_and_the_cut_is_said() {
    let mut bytes = three_datagrams();
    bytes.truncate(bytes.len() - 3);
    let (_folder, path) = file(&bytes);
    let (exported, records) = export(settings(std::slice::from_ref(&path), Speed::Max)).await;
    assert_eq!(records.len(), 2);
    let expected = format!(
        "{}: reading stopped after packet 2: the file ends inside of a packet",
        path.display()
    );
    assert_eq!(exported.unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn a_file_that_is_no_capture_is_refused_before_anything_is_sent() {
    let (_folder, path) = file(b"this is a text and no capture at all");
    let (exported, records) = export(settings(std::slice::from_ref(&path), Speed::Max)).await;
    let expected = format!(
        "{}: reading stopped after packet 0: neither pcap nor pcapng",
        path.display()
    );
    assert_eq!(exported.unwrap_err().to_string(), expected);
    assert_eq!(records.len(), 0);
}

#[tokio::test]
async fn a_file_that_is_missing_is_said_before_anything_is_sent_also_when_it_is_not_the_first() {
    let (folder, path) = file(&three_datagrams());
    let missing = folder.path().join("missing.pcap");
    for files in [vec![missing.clone()], vec![path, missing.clone()]] {
        let (exported, records) = export(settings(&files, Speed::Max)).await;
        let said = exported.unwrap_err().to_string();
        let expected = format!("{}: No such file", missing.display());
        assert!(said.starts_with(&expected), "{said}");
        assert_eq!(records.len(), 0);
    }
    let (exported, _) = export(settings(&[], Speed::Max)).await;
    let said = exported.unwrap_err().to_string();
    assert_eq!(said, "no capture to replay: expected at least one file");
}

#[tokio::test]
async fn a_bad_file_after_a_good_one_costs_nothing_of_the_good_one() {
    let (_folder, good) = file(&three_datagrams());
    let (_other, bad) = file(b"this is a text and no capture at all");
    let (exported, records) = export(settings(&[good, bad.clone()], Speed::Max)).await;
    assert_eq!(records.len(), 3);
    let said = exported.unwrap_err().to_string();
    assert!(said.starts_with(&bad.display().to_string()), "{said}");
}

#[tokio::test]
async fn packets_that_cannot_be_read_are_counted_and_the_others_told() {
    let mut cut = datagram(true, 41002, b"payload");
    cut.truncate(24);
    let (_folder, path) = file(&pcap(&[
        (0, datagram(true, 41001, b"payload")),
        (0, cut),
        (0, vec![0xff; 30]),
        (SECOND_NS, datagram(false, 41001, b"answer")),
    ]));
    let (exported, records) = export(settings(&[path], Speed::Max)).await;
    let losses = exported.unwrap().losses;
    let invalid = losses
        .iter()
        .find(|(place, _)| *place == LossPlace::InvalidRecord);
    assert_eq!(invalid.map(|it| it.1), Some(2));
    assert!(!records.is_empty());
}

#[tokio::test]
async fn captures_may_be_packed_and_follow_each_other() {
    let packed = {
        use std::io::Write;
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(&three_datagrams()).unwrap();
        packer.finish().unwrap()
    };
    let (_folder, first) = file(&packed);
    let next = pcap(&[
        (SECOND_NS, datagram(false, 41001, b"answer")),
        (SECOND_NS, datagram(true, 41004, b"payload")),
    ]);
    let (_other, second) = file(&next);
    let files: Vec<PathBuf> = vec![first, second];
    let named = ReplaySettings {
        host_name: Some("replayed".to_owned()),
        ..settings(&files, Speed::Max)
    };
    let (exported, _) = export(named).await;
    assert_eq!(exported.unwrap().flows, 4);
}
