use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use beaconwatch_detector::{Observation, Phase, Side, Transport};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

use super::*;

mod bad_input;
mod capture;
mod eve;

mod properties;
mod table;
mod tail;
mod telemetry;

const CONN_FIELDS: &str = "ts uid id.orig_h id.orig_p id.resp_h id.resp_p proto service duration \
     orig_bytes resp_bytes conn_state";

/// A Zeek log with spaces for tabs, because tabs are easily lost in source text.
fn zeek(path: &str, fields: &str, rows: &[&str]) -> String {
    let tabs = |text: &str| text.split_whitespace().collect::<Vec<_>>().join("\t");
    let mut log = format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n\
         #path\t{path}\n#fields\t{}\n#types\tany\n",
        tabs(fields)
    );
    for row in rows {
        log.push_str(&tabs(row));
        log.push('\n');
    }
    log.push_str("#close\t2024-04-19-00-00-01\n");
    log
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A folder with files of the given content.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

fn read_folder(files: &[(&str, &[u8])]) -> Reading {
    let folder = folder(files);
    read(&[folder.path().to_path_buf()], &Settings::default()).unwrap()
}

fn read_one(content: &str) -> Reading {
    read_folder(&[("log", content.as_bytes())])
}

fn error_of(content: &[u8], format: Format) -> String {
    let folder = folder(&[("file.log", content)]);
    let settings = Settings {
        format,
        ..Settings::default()
    };
    read(&[folder.path().join("file.log")], &settings)
        .unwrap_err()
        .to_string()
}

fn names(observations: &[Observation]) -> Vec<Option<&str>> {
    observations
        .iter()
        .map(|it| it.server_name.as_deref())
        .collect()
}

fn phases(observations: &[Observation]) -> Vec<Phase> {
    observations.iter().map(|it| it.phase).collect()
}

const GOOD_FLOW: &str = r#"{"ts":100.5,"src":"10.0.0.1","sport":40000,"dst":"192.0.2.1","dport":443,"proto":"tcp","server_name":"a.example","duration":1.5,"orig_bytes":10,"resp_bytes":20,"conn_state":"SF","uid":"F1"}"#;

#[test]
fn a_flow_line_becomes_a_whole_connection() {
    let reading = read_one(GOOD_FLOW);
    let [one] = reading.observations.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!(one.time.unix_nanos(), 100_500_000_000);
    assert_eq!((one.phase, one.side), (Phase::Whole, Side::Between));
    assert_eq!(one.key.source, "10.0.0.1".parse::<IpAddr>().unwrap());
    assert_eq!(one.key.destination, "192.0.2.1".parse::<IpAddr>().unwrap());
    assert_eq!((one.source_port, one.key.destination_port), (40000, 443));
    assert_eq!(one.key.transport, Transport::Tcp);
    assert_eq!(one.server_name.as_deref(), Some("a.example"));
    assert_eq!((one.bytes_out, one.bytes_in), (Some(10), Some(20)));
    assert_eq!(one.duration, Some(Duration::from_millis(1500)));
    assert_eq!(one.established, Some(true));
    assert!(one.connection.is_some());
}

#[test]
fn a_flow_line_with_only_the_needed_fields_is_a_connection() {
    let reading =
        read_one(r#"{"ts":1,"src":"::1","dst":"::2","dport":53,"proto":"udp","uid":"x"}"#);
    assert_eq!(phases(&reading.observations), [Phase::Whole]);
    assert_eq!(reading.report.skipped.len(), 0);
}

#[test]
fn updates_are_activity_with_totals_and_part_the_connection_that_they_belong_to() {
    let update = |ts: f64, out: u64, uid: &str| {
        format!(
            r#"{{"ts":{ts},"src":"10.0.0.1","dst":"192.0.2.1","dport":443,"proto":"tcp","server_name":null,"orig_bytes":{out},"resp_bytes":1,"uid":"{uid}"}}"#
        )
    };
    let updates = [
        update(101.0, 3, "F1"),
        update(101.5, 4, "F1"),
        update(103.0, 9, "other"),
    ]
    .join("\n");
    let reading = read_folder(&[
        ("conn.ndjson.gz", &gzip(GOOD_FLOW.as_bytes())),
        ("updates.ndjson.gz", &gzip(updates.as_bytes())),
    ]);
    let seen = &reading.observations;
    assert_eq!(
        phases(seen),
        [
            Phase::Opened,
            Phase::Activity,
            Phase::Activity,
            Phase::Closed,
            Phase::Activity
        ]
    );
    let out: Vec<_> = seen.iter().map(|it| it.bytes_out).collect();
    assert_eq!(out, [None, Some(3), Some(7), Some(10), Some(9)]);
    assert_eq!(seen[3].time.unix_nanos(), 102_000_000_000);
    assert_eq!(seen[0].connection, seen[3].connection);
}

#[test]
fn the_same_flow_read_twice_counts_once_but_a_uid_used_again_later_counts() {
    let later = GOOD_FLOW.replace("100.5", "200.5");
    let reading = read_one(&format!("{GOOD_FLOW}\n{GOOD_FLOW}\n{later}\n"));
    assert_eq!(reading.observations.len(), 2);
    assert_eq!(reading.report.duplicates, 1);
}

#[test]
fn zeek_logs_of_one_connection_give_one_named_observation() {
    let conn = zeek(
        "conn",
        CONN_FIELDS,
        &[
            "10.0 C1 10.0.0.1 1000 192.0.2.1 443 tcp ssl 1.0 5 6 SF",
            "20.0 C2 10.0.0.1 1001 192.0.2.2 80 tcp http - - - S0",
            "30.0 C3 10.0.0.1 1002 192.0.2.53 53 udp dns 0.1 5 6 SF",
        ],
    );
    let ends = "id.orig_h id.orig_p id.resp_h id.resp_p";
    let ssl = zeek(
        "ssl",
        &format!("ts uid {ends} version server_name"),
        &["10.1 C1 10.0.0.1 1000 192.0.2.1 443 TLSv12 Tls.Example"],
    );
    let http = zeek(
        "http",
        &format!("ts uid {ends} method host"),
        &["20.1 C2 10.0.0.1 1001 192.0.2.2 80 GET web.example:8080"],
    );
    let dns = zeek(
        "dns",
        &format!("ts uid {ends} proto query"),
        &["30.1 C3 10.0.0.1 1002 192.0.2.53 53 udp asked.example."],
    );
    // Names sort before and after `conn`: the order of reading must not matter.
    let reading = read_folder(&[
        ("a_ssl.log", ssl.as_bytes()),
        (
            "2024-04-19/conn.00_00_00-01_00_00.log.gz",
            &gzip(conn.as_bytes()),
        ),
        ("2024-04-19/http.log", http.as_bytes()),
        ("dns.log", dns.as_bytes()),
    ]);
    assert_eq!(
        names(&reading.observations),
        [
            Some("tls.example"),
            Some("web.example"),
            Some("asked.example")
        ]
    );
    assert_eq!(phases(&reading.observations), [Phase::Whole; 3]);
    let established: Vec<_> = reading
        .observations
        .iter()
        .map(|it| it.established)
        .collect();
    assert_eq!(established, [Some(true), Some(false), Some(true)]);
    assert_eq!(reading.report.records, 6);
}

#[test]
fn http_without_conn_opens_a_connection_and_then_tells_of_activity() {
    let log = zeek(
        "http",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p method host",
        &[
            "20.1 C2 10.0.0.1 1001 192.0.2.2 80 GET web.example",
            "25.1 C2 10.0.0.1 1001 192.0.2.2 80 GET web.example",
            "30.1 - 10.0.0.1 1002 192.0.2.2 80 GET -",
        ],
    );
    let reading = read_one(&log);
    assert_eq!(
        phases(&reading.observations),
        [Phase::Opened, Phase::Activity, Phase::Whole]
    );
    assert_eq!(
        names(&reading.observations),
        [Some("web.example"), Some("web.example"), None]
    );
    assert_eq!(reading.observations[0].key.transport, Transport::Tcp);
}

#[test]
fn an_open_connection_seen_again_counts_once_with_what_is_known_last() {
    let open = zeek(
        "open_conn",
        CONN_FIELDS,
        &["5.0 C1 10.0.0.1 9 192.0.2.1 443 tcp - 60 1 1 OTH"],
    );
    let closed = zeek(
        "conn",
        CONN_FIELDS,
        &["5.0 C1 10.0.0.1 9 192.0.2.1 443 tcp - 90 7 8 SF"],
    );
    let reading = read_folder(&[
        ("open_conn.log", open.as_bytes()),
        ("conn.log", closed.as_bytes()),
    ]);
    assert_eq!(reading.observations.len(), 1);
    assert_eq!(reading.observations[0].bytes_out, Some(7));
    assert_eq!(reading.report.duplicates, 1);
}

#[test]
fn zeek_json_is_read_with_dots_or_underscores_and_with_times_as_text() {
    let reading = read_one(concat!(
        r#"{"ts":"2024-04-19T00:00:01.5Z","uid":"C1","id.orig_h":"10.0.0.1","id.orig_p":1,"id.resp_h":"192.0.2.1","id.resp_p":443,"proto":"tcp","conn_state":"SF","tunnel_parents":["x"],"odd":{"a":[1]}}"#,
        "\n",
        r#"{"@stream":"ssl","@system":"sensor-1","ts":1713484802.0,"uid":"C2","id_orig_h":"10.0.0.1","id_orig_p":2,"id_resp_h":"192.0.2.1","id_resp_p":443,"server_name":"b.example"}"#,
        "\n",
        r#"{"@stream":"x509","ts":1713484802.0,"id":"F1"}"#,
        "\n",
    ));
    assert_eq!(reading.observations.len(), 2);
    assert_eq!(
        reading.observations[0].time.unix_nanos(),
        1_713_484_801_500_000_000
    );
    assert_eq!(&*reading.observations[1].key.host, "sensor-1");
    assert_eq!(reading.report.other_records, 1);
}

#[test]
fn the_fingerprint_of_a_client_joins_its_connection() {
    let conn = zeek(
        "conn",
        CONN_FIELDS,
        &["1 C1 10.0.0.1 9 192.0.2.1 443 tcp - - - - SF"],
    );
    let ssl = zeek(
        "ssl",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p ja3 ja4",
        &["1 C1 10.0.0.1 9 192.0.2.1 443 old t13d1516h2_a_b"],
    );
    let reading = read_one(&format!("{conn}{ssl}"));
    assert_eq!(reading.observations.len(), 1);
    let fingerprint = reading.observations[0].client_fingerprint.as_deref();
    assert_eq!(fingerprint, Some("t13d1516h2_a_b"));

    let flow = GOOD_FLOW.replace(r#""conn_state""#, r#""tls.client.ja3":"old","conn_state""#);
    let fingerprint = read_one(&flow).observations[0].client_fingerprint.clone();
    assert_eq!(fingerprint.as_deref(), Some("old"));
}

#[test]
fn a_header_in_the_middle_of_a_file_starts_another_log() {
    let conn = zeek(
        "conn",
        CONN_FIELDS,
        &["1 C1 10.0.0.1 9 192.0.2.1 443 tcp - - - - S0"],
    );
    let files = zeek("files", "ts fuid tx_hosts", &["2 F1 192.0.2.1"]);
    let reversed = zeek(
        "conn",
        "uid ts proto id.resp_p id.resp_h id.orig_p id.orig_h",
        &["C2 3 udp 53 192.0.2.1 9 10.0.0.1"],
    );
    let reading = read_one(&format!("{conn}{files}{reversed}"));
    assert_eq!(reading.observations.len(), 2);
    assert_eq!(reading.report.other_records, 1);
    assert_eq!(reading.observations[1].key.transport, Transport::Udp);
}

#[test]
fn another_separator_and_other_words_for_unset_and_empty_are_understood() {
    let log = "#separator \\x7c\\x7c\n#unset_field||NONE\n#empty_field||EMPTY\n#path||http\n\
         #fields||ts||uid||id.orig_h||id.orig_p||id.resp_h||id.resp_p||host\n\
         1.5||C1||10.0.0.1||NONE||192.0.2.1||80||EMPTY\n";
    let reading = read_one(log);
    let [one] = reading.observations.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!((one.source_port, one.server_name.as_deref()), (0, None));
}

#[test]
fn a_file_reached_by_two_paths_is_read_once() {
    let files = folder(&[("log", GOOD_FLOW.as_bytes())]);
    let paths = [
        files.path().to_path_buf(),
        files.path().join("log"),
        files.path().join("./log"),
    ];
    let report = read(&paths, &Settings::default()).unwrap().report;
    assert_eq!((report.files_read, report.duplicates), (1, 0));
}

#[test]
fn a_connection_in_a_zeek_log_and_in_flows_made_of_it_counts_once() {
    let conn = zeek(
        "conn",
        CONN_FIELDS,
        &["100.5 F1 10.0.0.1 40000 192.0.2.1 443 tcp - 1.5 10 20 SF"],
    );
    let again = GOOD_FLOW.replace("100.5", "300.5");
    let flows = format!("{GOOD_FLOW}\n{again}\n{again}\n");
    let reading = read_folder(&[("conn.log", conn.as_bytes()), ("flows", flows.as_bytes())]);
    assert_eq!(reading.observations.len(), 2);
    assert_eq!(reading.report.duplicates, 2);
}

#[test]
fn only_the_first_skips_are_kept_and_all_are_counted() {
    let mut log = GOOD_FLOW.to_owned();
    for _ in 0..50 {
        log.push_str("\n{}");
    }
    let reading = read_one(&log);
    assert_eq!(
        reading.report.kept.len(),
        Settings::default().kept_skips_max
    );
    assert_eq!(reading.report.lines_skipped(), 50);
}

#[test]
fn the_reading_of_many_files_is_the_same_in_any_order() {
    let conn = zeek(
        "conn",
        CONN_FIELDS,
        &["1 C1 10.0.0.1 9 192.0.2.1 443 tcp - - - - S0"],
    );
    let ssl = zeek(
        "ssl",
        "ts uid id.orig_h id.orig_p id.resp_h id.resp_p server_name",
        &[
            "2 C1 10.0.0.1 9 192.0.2.1 443 a.example",
            "3 C9 10.0.0.1 9 192.0.2.1 443 b.example",
        ],
    );
    let files = folder(&[("conn", conn.as_bytes()), ("ssl", ssl.as_bytes())]);
    let paths: Vec<PathBuf> = ["conn", "ssl"]
        .iter()
        .map(|name| files.path().join(name))
        .collect();
    let backwards: Vec<PathBuf> = paths.iter().rev().cloned().collect();
    let settings = Settings::default();
    assert_eq!(
        read(&paths, &settings).unwrap().observations,
        read(&backwards, &settings).unwrap().observations
    );
}
