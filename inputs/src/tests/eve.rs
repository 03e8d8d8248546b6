use beaconwatch_detector::Phase;

use super::*;

const FLOW: &str = r#"{"timestamp":"2024-04-19T00:01:05.000001+0000","flow_id":1234567890123456,"event_type":"flow","src_ip":"10.0.0.1","src_port":50000,"dest_ip":"192.0.2.1","dest_port":443,"proto":"TCP","app_proto":"tls","flow":{"pkts_toserver":8,"pkts_toclient":7,"bytes_toserver":1200,"bytes_toclient":4300,"start":"2024-04-19T00:00:01.500000+0000","end":"2024-04-19T00:00:03.500000+0000","age":2,"state":"closed","reason":"timeout","alerted":false},"tcp":{"tcp_flags":"1b","state":"closed"}}"#;
const TLS: &str = r#"{"timestamp":"2024-04-19T00:00:01.600000+0200","flow_id":1234567890123456,"event_type":"tls","src_ip":"10.0.0.1","src_port":50000,"dest_ip":"192.0.2.1","dest_port":443,"proto":"TCP","tls":{"sni":"C2.Example","version":"TLS 1.3","ja3":{"hash":"x"}}}"#;
const STATS: &str = r#"{"timestamp":"2024-04-19T00:00:08.000000+0000","event_type":"stats","stats":{"uptime":8,"flow":{"total":3}}}"#;

#[test]
fn a_flow_event_is_a_connection_that_tls_names() {
    for lines in [[FLOW, TLS, STATS], [TLS, STATS, FLOW]] {
        let reading = read_one(&lines.join("\n"));
        let [one] = reading.observations.as_slice() else {
            panic!("{reading:?}")
        };
        assert_eq!(one.phase, Phase::Whole);
        assert_eq!(one.time.unix_nanos(), 1_713_484_801_500_000_000);
        assert_eq!(one.duration, Some(Duration::from_secs(2)));
        assert_eq!((one.bytes_out, one.bytes_in), (Some(1200), Some(4300)));
        assert_eq!(one.server_name.as_deref(), Some("c2.example"));
        assert_eq!(one.client_fingerprint.as_deref(), Some("x"));
        assert_eq!(
            (reading.report.records, reading.report.other_records),
            (2, 1)
        );
        assert_eq!(reading.report.lines_skipped(), 0);
    }
}

#[test]
fn a_flow_alone_has_its_sizes_and_what_it_carried_alone_stands_for_it() {
    let flow = read_one(FLOW);
    assert_eq!(
        (
            flow.observations[0].bytes_out,
            flow.observations[0].bytes_in
        ),
        (Some(1200), Some(4300))
    );
    let tls = read_one(TLS);
    assert_eq!(phases(&tls.observations), [Phase::Opened]);
    assert_eq!(tls.observations[0].bytes_out, None);
}

#[test]
fn of_two_fingerprints_of_a_client_the_newer_kind_counts() {
    let both = TLS.replace(r#""ja3":{"#, r#""ja4":"t13d1516h2_a_b","ja3":{"#);
    let reading = read_one(&both);
    let fingerprint = reading.observations[0].client_fingerprint.as_deref();
    assert_eq!(fingerprint, Some("t13d1516h2_a_b"));
    let wrong = TLS.replace(r#""hash":"x""#, r#""hash":["x"]"#);
    let reading = read_one(&wrong);
    assert_eq!(reading.observations[0].client_fingerprint, None);
    assert_eq!(
        reading.observations[0].server_name.as_deref(),
        Some("c2.example")
    );
}

#[test]
fn both_directions_of_netflow_are_one_connection() {
    let there = r#"{"timestamp":"2024-04-19T00:01:05.000001+0000","flow_id":7,"event_type":"netflow","src_ip":"10.0.0.1","src_port":5,"dest_ip":"192.0.2.1","dest_port":53,"proto":"UDP","netflow":{"pkts":1,"bytes":60,"start":"2024-04-19T00:00:01.000000+0000","end":"2024-04-19T00:00:02.000000+0000","age":1,"min_ttl":64,"max_ttl":64}}"#;
    let back = there
        .replace(
            r#""src_ip":"10.0.0.1","src_port":5,"dest_ip":"192.0.2.1","dest_port":53"#,
            r#""src_ip":"192.0.2.1","src_port":53,"dest_ip":"10.0.0.1","dest_port":5"#,
        )
        .replace(r#""bytes":60"#, r#""bytes":90"#);
    let reading = read_one(&format!("{there}\n{back}\n"));
    let [one] = reading.observations.as_slice() else {
        panic!("{reading:?}")
    };
    assert_eq!((one.bytes_out, one.bytes_in), (Some(60), Some(90)));
    assert_eq!(
        (one.key.destination_port, reading.report.duplicates),
        (53, 0)
    );
}

#[test]
fn names_of_http_quic_and_both_versions_of_dns_are_found() {
    let event = |kind: &str, body: &str| {
        format!(
            r#"{{"timestamp":"2024-04-19T00:00:01.0+0000","flow_id":{0},"event_type":"{kind}","src_ip":"10.0.0.1","src_port":5,"dest_ip":"192.0.2.1","dest_port":53,"proto":"UDP",{body}}}"#,
            kind.len() * 100 + body.len()
        )
    };
    let lines = [
        event(
            "http",
            r#""http":{"hostname":"Web.Example:8080","url":"/"}"#,
        ),
        event("quic", r#""quic":{"sni":"quic.example","version":"1"}"#),
        event(
            "dns",
            r#""dns":{"type":"query","id":1,"rrname":"two.example","rrtype":"A"}"#,
        ),
        event(
            "dns",
            r#""dns":{"version":3,"type":"request","queries":[{"rrname":"three.example","rrtype":"A"}]}"#,
        ),
        event(
            "dns",
            r#""dns":{"type":"answer","rrname":"no.example","answers":[{"rdata":"192.0.2.9"}]}"#,
        ),
    ];
    let mut found = names(&read_one(&lines.join("\n")).observations)
        .into_iter()
        .map(|name| name.unwrap().to_owned())
        .collect::<Vec<_>>();
    found.sort();
    assert_eq!(
        found,
        [
            "quic.example",
            "three.example",
            "two.example",
            "web.example"
        ]
    );
}

#[test]
fn a_bad_event_is_counted_with_its_field() {
    let reading = read_one(&format!("{FLOW}\n{}\n", FLOW.replace("10.0.0.1", "10.0.0")));
    assert_eq!(reading.observations.len(), 1);
    assert_eq!(reading.report.kept[0].field.as_deref(), Some("src_ip"));
}
