use beaconwatch_detector::Side;

use super::*;

#[test]
fn a_table_is_read_by_any_of_the_usual_names() {
    for (head, row) in [
        (
            "timestamp,src_ip,dst_ip,src_port,dst_port,protocol,bytes",
            "1713484801.5,10.0.0.1,192.0.2.1,40000,443,TCP,10",
        ),
        (
            "Time;Source IP;Source Port;Destination IP;Destination Port;Proto;Size",
            "2024-04-19 00:00:01.5;10.0.0.1;40000;192.0.2.1;443;6;10",
        ),
        (
            "ts\tsrc\tsport\tdst\tdport\tproto\tnote\tbytes_out",
            "2024-04-19T00:00:01.5\t10.0.0.1\t40000\t192.0.2.1\t443\ttcp\tx\t10",
        ),
        (
            "timestamp_ms,src_ip,src_port,dst_ip,dst_port,protocol,\"bytes_out\"",
            "1713484801500,10.0.0.1,40000,192.0.2.1,443,\"tcp\",10",
        ),
        (
            "\u{feff}timestamp,src_ip,dst_ip,src_port,dst_port,protocol,bytes",
            "2024-04-19T02:00:01.5+02:00,10.0.0.1,192.0.2.1,40000,443,tcp,10",
        ),
    ] {
        let reading = read_one(&format!("{head}\r\n{row}\r\n"));
        let [one] = reading.observations.as_slice() else {
            panic!("{head}: {reading:?}")
        };
        assert_eq!(one.time.unix_nanos(), 1_713_484_801_500_000_000, "{head}");
        assert_eq!((one.source_port, one.key.destination_port), (40_000, 443));
        assert_eq!(one.bytes_out, Some(10));
    }
}

#[test]
fn a_table_of_beacon_hunter_gives_host_and_process() {
    let reading = read_one(
        "event_id,host_id,timestamp,src_ip,dst_ip,dst_port,protocol,bytes_out,bytes_in,inter_event_seconds,proc_name,user,country_code,signed_binary,label\n\
         1,HOST-07,2024-04-19 00:00:01,10.0.0.1,192.0.2.1,443,TCP,512,2048,60.0,powershell.exe,alice,US,0,1\n\
         2,HOST-07,2024-04-19 00:01:01,10.0.0.1,192.0.2.1,443,TCP,512,2048,60.0,powershell.exe,alice,US,0,1\n",
    );
    assert_eq!(reading.observations.len(), 2);
    let one = &reading.observations[0];
    assert_eq!((&*one.key.host, one.side), ("HOST-07", Side::Client));
    assert_eq!(
        one.process.as_ref().unwrap().name.as_deref(),
        Some("powershell.exe")
    );
    assert_eq!((one.bytes_out, one.bytes_in), (Some(512), Some(2048)));
}

#[test]
fn bad_rows_are_counted_and_cost_no_neighbour() {
    let reading = read_one(
        "timestamp,src_ip,dst_ip,dst_port,protocol\n\
         1,10.0.0.1,192.0.2.1,443,tcp\n\
         2,10.0.0.1,192.0.2.1,443\n\
         3,10.0.0.1,192.0.2.1,\"443,tcp\n\
         4,10.0.0.1,,443,tcp\n\
         timestamp,src_ip,dst_ip,dst_port,protocol\n\
         5,10.0.0.1,192.0.2.1,443,tcp\n",
    );
    assert_eq!(reading.observations.len(), 2);
    let reasons = [
        (Reason::FieldCount, 1),
        (Reason::NotCsv, 1),
        (Reason::MissingField, 1),
    ];
    assert_eq!(reading.report.skipped, reasons.into());
}

#[test]
fn a_table_without_a_needed_column_is_refused_with_what_was_expected() {
    let error = error_of(
        b"timestamp,src_ip,dst_ip\n1,10.0.0.1,192.0.2.1\n",
        Format::Csv,
    );
    assert!(
        error.contains("expected a table whose header line names time"),
        "{error}"
    );
}
