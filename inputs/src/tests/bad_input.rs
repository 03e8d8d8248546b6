use super::*;

#[test]
fn each_bad_line_is_skipped_with_its_place_and_costs_no_neighbour() {
    let bad = [
        (r#""ts":100.5"#, r#""ts":-1"#, "ts"),
        (r#""ts":100.5"#, r#""ts":1e300"#, "ts"),
        (r#""ts":100.5"#, r#""ts":1713484801000"#, "ts"),
        (r#""ts":100.5"#, r#""ts":"inf""#, "ts"),
        (r#""ts":100.5"#, r#""ts":"NaN""#, "ts"),
        (r#""ts":100.5"#, r#""ts":NaN"#, "ts"),
        (r#""ts":100.5"#, r#""ts":null"#, "ts"),
        (r#""ts":100.5,"#, "", "ts"),
        (r#""src":"10.0.0.1""#, r#""src":"10.0.0.256""#, "src"),
        (r#""src":"10.0.0.1""#, r#""src":7"#, "src"),
        (r#""dport":443"#, r#""dport":65536"#, "dport"),
        (r#""dport":443"#, r#""dport":443.5"#, "dport"),
        (r#""proto":"tcp""#, r#""proto":"carrier-pigeon""#, "proto"),
        (r#""proto":"tcp""#, r#""proto":256"#, "proto"),
    ];
    for (from, to, field) in bad {
        let line = GOOD_FLOW.replace(from, to);
        assert_ne!(line, GOOD_FLOW);
        let reading = read_one(&format!(
            "{GOOD_FLOW}\n{line}\n{}\n",
            GOOD_FLOW.replace("F1", "F2").replace("100.5", "7")
        ));
        assert_eq!(reading.observations.len(), 2, "{line}");
        let [skip] = reading.report.kept.as_slice() else {
            panic!("{line}: {reading:?}")
        };
        assert_eq!(
            (skip.line, skip.field.as_deref()),
            (2, Some(field)),
            "{skip}"
        );
        assert!(
            skip.to_string()
                .contains(&format!("log:2: field {field}: expected ")),
            "{skip}"
        );
    }
}

#[test]
fn a_wrong_field_that_is_not_needed_costs_only_itself_and_is_counted() {
    let line = GOOD_FLOW
        .replace(r#""sport":40000"#, r#""sport":93145"#)
        .replace(r#""duration":1.5"#, r#""duration":-1.5"#)
        .replace(r#""orig_bytes":10"#, r#""orig_bytes":[1]"#);
    let reading = read_one(&line);
    let [one] = reading.observations.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!(
        (one.source_port, one.duration, one.bytes_out),
        (0, None, None)
    );
    assert_eq!(one.bytes_in, Some(20));
    assert_eq!(reading.report.fields_not_used_total(), 3);
    assert_eq!(reading.report.lines_skipped(), 0);
}

#[test]
fn a_line_cut_in_half_is_skipped_and_the_first_missing_field_named() {
    let log = zeek(
        "conn",
        CONN_FIELDS,
        &["1 C1 10.0.0.1 9 192.0.2.1 443 tcp - - - - S0"],
    );
    let cut = log.replace("#close\t2024-04-19-00-00-01\n", "2\tC2\t10.0.0.1\t9\t192.0");
    let reading = read_one(&cut);
    assert_eq!(reading.observations.len(), 1);
    let skip = &reading.report.kept[0];
    assert_eq!(
        (skip.reason, skip.field.as_deref()),
        (Reason::FieldCount, Some("id.resp_p"))
    );
    assert_eq!(
        (skip.expected.as_str(), skip.got.as_str()),
        ("12 fields", "5")
    );
}

#[test]
fn a_cut_gzip_stream_gives_what_stands_before_the_cut() {
    let lines: Vec<String> = (0..2000)
        .map(|n| GOOD_FLOW.replace("F1", &format!("F{}", n * 7919)))
        .collect();
    let mut compressed = gzip(lines.join("\n").as_bytes());
    compressed.truncate(compressed.len() / 2);
    let reading = read_folder(&[("cut.gz", &compressed), ("good", GOOD_FLOW.as_bytes())]);
    assert!(
        (100..2000).contains(&reading.observations.len()),
        "{}",
        reading.observations.len()
    );
    let [problem] = reading.report.file_problems.as_slice() else {
        panic!("{:?}", reading.report)
    };
    assert!(
        problem
            .to_string()
            .contains("cut.gz: reading stopped after line "),
        "{problem}"
    );
}

#[test]
fn a_line_of_exactly_the_limit_is_read_and_a_longer_one_is_skipped() {
    let padded = GOOD_FLOW.replace("a.example", "b");
    let files = folder(&[("log", format!("{GOOD_FLOW}\n{padded}\n").as_bytes())]);
    let paths = [files.path().to_path_buf()];
    let at = |line_bytes_max| {
        let settings = Settings {
            line_bytes_max,
            ..Settings::default()
        };
        let report = read(&paths, &settings).unwrap().report;
        (
            report.records,
            report.skipped.get(&Reason::LineTooLong).copied(),
        )
    };
    assert_eq!(at(GOOD_FLOW.len()), (2, None));
    assert_eq!(at(GOOD_FLOW.len() - 1), (1, Some(1)));
}

#[test]
fn a_file_of_no_known_format_is_an_error_when_named_and_passed_over_in_a_folder() {
    let headless = b"1.0\tC1\t10.0.0.1\t9\t192.0.2.1\t443\ttcp\n";
    for content in [
        &headless[..],
        b"Lorem ipsum",
        b"",
        b"\x00\xff\x1f",
        b"[1]",
        b"{\"np\":1}",
    ] {
        let error = error_of(content, Format::Auto);
        assert!(error.contains("file.log: expected a Zeek log"), "{error}");
    }
    assert!(error_of(GOOD_FLOW.as_bytes(), Format::Zeek).contains("expected a Zeek log"));
    assert!(error_of(headless, Format::Flows).contains("expected flow NDJSON"));
    assert!(error_of(b"\x1f\x8b\x08", Format::Auto).contains("file.log: "));

    let reading = read_folder(&[("truth.json", b"{}"), ("log", GOOD_FLOW.as_bytes())]);
    assert_eq!(reading.report.files_of_other_kind, 1);
    assert!(reading.report.files_of_other_kind_kept[0].ends_with("truth.json"));
}

#[test]
fn a_missing_file_is_named_and_the_others_are_read() {
    let files = folder(&[("log", GOOD_FLOW.as_bytes())]);
    let missing = files.path().join("missing.log");
    let both = [missing.clone(), files.path().join("log")];
    let report = read(&both, &Settings::default()).unwrap().report;
    assert_eq!(report.file_problems[0].file, missing);
    let error = read(&[missing], &Settings::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("none of 1 files could be read"), "{error}");
    assert!(matches!(
        read(&[], &Settings::default()),
        Err(ReadError::NoPath)
    ));
    let empty = tempfile::tempdir().unwrap();
    let error = read(&[empty.path().to_path_buf()], &Settings::default()).unwrap_err();
    assert!(matches!(error, ReadError::NoLog { .. }), "{error}");
}
