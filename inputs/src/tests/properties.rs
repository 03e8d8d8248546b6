use proptest::prelude::*;

use super::*;

fn any_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(|it| IpAddr::from(it).to_canonical()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Every line of a file with any content is accounted for, and the file next to it is not lost.
    #[test]
    fn any_bytes_are_read_or_counted(
        head in prop_oneof![
            Just(Vec::new()),
            Just(zeek("conn", CONN_FIELDS, &[]).into_bytes()),
            Just(format!("{GOOD_FLOW}\n").into_bytes()),
        ],
        tail in proptest::collection::vec(any::<u8>(), 0..400),
        compressed: bool,
    ) {
        let mut content = head;
        content.extend_from_slice(&tail);
        let content = if compressed { gzip(&content) } else { content };
        let other = GOOD_FLOW.replace("F1", "F2");
        let reading = read_folder(&[("any", &content), ("good", other.as_bytes())]);
        let report = &reading.report;
        let headers = report.skipped.get(&Reason::InvalidHeader).copied().unwrap_or_default();
        // A line that is too long or an unknown header may be counted on top of the lines with data.
        prop_assert!(report.records + report.other_records <= report.lines);
        prop_assert!(report.lines <= report.records + report.other_records + report.lines_skipped());
        prop_assert!(report.lines_skipped() <= report.lines + headers);
        prop_assert!(!reading.observations.is_empty());
        prop_assert!(reading.observations.is_sorted_by_key(|it| it.time));
    }

    /// One changed byte costs at most the line that it stands in.
    #[test]
    fn a_changed_byte_costs_no_neighbour(at in 0..GOOD_FLOW.len(), byte: u8, json: bool) {
        let (mut log, line) = if json {
            (Vec::new(), GOOD_FLOW.as_bytes().to_vec())
        } else {
            let line = b"100.5\tF1\t10.0.0.1\t40000\t192.0.2.1\t443\ttcp\t-\t1.5\t10\t20\tSF".to_vec();
            (zeek("conn", CONN_FIELDS, &[]).into_bytes(), line)
        };
        let mut changed = line.clone();
        let length = changed.len();
        changed[at % length] = if byte == b'\n' { b' ' } else { byte };
        let text = String::from_utf8(line).unwrap();
        for neighbour in [text.replace("F1", "F8").into_bytes(), changed, text.replace("F1", "F9").into_bytes()] {
            log.extend_from_slice(&neighbour);
            log.push(b'\n');
        }
        let reading = read_folder(&[("log", &log)]);
        prop_assert!((2..=3).contains(&reading.observations.len()));
    }

    /// The same connection is the same observation in all three formats.
    #[test]
    fn all_formats_agree(
        micros in 0..7_258_118_400_000_000_u64,
        (source, destination) in (any_address(), any_address()),
        (source_port, destination_port) in any::<(u16, u16)>(),
        (sent, received) in (0..1_u64 << 53, 0..1_u64 << 53),
        duration_ms in 0..1_000_000_u32,
        uid in "[A-Za-z0-9]{1,18}",
    ) {
        let time = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let duration = f64::from(duration_ms) / 1000.0;
        let ends = format!("{source} {source_port} {destination} {destination_port}");
        let row = format!("{time} {uid} {ends} udp - {duration} {sent} {received} SF");
        let tsv = zeek("conn", CONN_FIELDS, &[&row]);
        let json = format!(
            r#"{{"ts":{time},"uid":"{uid}","id.orig_h":"{source}","id.orig_p":{source_port},"id.resp_h":"{destination}","id.resp_p":{destination_port},"proto":"udp","duration":{duration},"orig_bytes":{sent},"resp_bytes":{received},"conn_state":"SF"}}"#
        );
        let flow = json
            .replace("id.orig_h", "src").replace("id.orig_p", "sport")
            .replace("id.resp_h", "dst").replace("id.resp_p", "dport");
        let tsv = read_one(&tsv).observations;
        prop_assert_eq!(tsv.len(), 1);
        prop_assert_eq!((tsv[0].bytes_out, tsv[0].bytes_in), (Some(sent), Some(received)));
        prop_assert_eq!((tsv[0].key.source, tsv[0].key.destination), (source, destination));
        prop_assert_eq!(&tsv, &read_one(&json).observations);
        prop_assert_eq!(&tsv, &read_one(&flow).observations);
    }
}
