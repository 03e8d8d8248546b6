//! `beaconwatch train`, `score --model` and `hosts`: from labelled files to ranked hosts.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::*;

const HEAD: &str = "event_id,host_id,timestamp,src_ip,dst_ip,dst_port,protocol,bytes_out,bytes_in,\
                    inter_event_seconds,proc_name,user,country_code,signed_binary,label\n";

/// 240 events of 12 hosts in the older system's form, and one without an interval. On the first four hosts every third
/// event is a script host's that comes each minute; the rest is a browser's at any interval.
fn events() -> String {
    let mut table = HEAD.to_owned();
    for n in 0..240_u32 {
        let (host, malicious) = (n % 12, n % 12 < 4 && n / 12 % 3 == 0);
        let (seconds, process) = if malicious {
            (58.0 + f64::from(n % 5), "powershell.exe")
        } else {
            (f64::from(n * 7919 % 900), "chrome.exe")
        };
        let label = u8::from(malicious);
        writeln!(
            table,
            "{n},HOST-{host:02},2024-04-19 00:00:{:02},10.0.0.{host},192.0.2.7,443,TCP,512,2048,\
             {seconds},{process},alice,US,1,{label}",
            n % 60,
        )
        .unwrap();
    }
    table.push_str(
        "240,HOST-00,2024-04-19 00:00:00,10.0.0.0,192.0.2.7,443,TCP,1,1,NaN,x,alice,US,1,0\n",
    );
    table
}

fn rows(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let rows: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(!rows.is_empty());
    rows
}

fn real(value: &Value, name: &str) -> f64 {
    value[name].as_f64().unwrap()
}

fn assert_fused(row: &Value) {
    let fused = 0.7 * real(row, "probability") + 0.3 * real(row, "anomaly");
    assert!(
        (real(row, "risk") - fused.clamp(0.0, 1.0)).abs() < 1e-12,
        "{row}"
    );
    assert!(
        row["driven_by"]
            .as_str()
            .unwrap()
            .starts_with("probability ")
    );
    assert!(real(&row["drivers"][0], "contribution").abs() > 0.0);
}

#[test]
fn events_of_the_older_system_are_learnt_scored_and_summed_up_by_host() {
    let folder = folder(&[
        ("events.csv", events().as_bytes()),
        ("packed", &gzip(&events())),
    ]);
    let at = |name: &str| folder.path().join(name);
    let (data, model) = (at("events.csv"), at("model.json"));
    let train = |out: &Path| {
        let arguments = [
            "train",
            text(&data),
            "--input",
            "beaconhunter",
            "--format",
            "json",
        ];
        run(arguments.into_iter().chain(["--out", text(out)]))
    };
    let trained = train(&model);
    assert_eq!(trained.code, Some(0), "{}", trained.err);
    assert!(
        trained.err.contains("line 242, field inter_event_seconds"),
        "{}",
        trained.err
    );
    let report: Value = serde_json::from_str(&trained.out).unwrap();
    let counts = ["rows", "positives", "negatives", "hosts"].map(|name| report[name].as_u64());
    assert_eq!(counts, [240, 28, 212, 12].map(Some));
    let held_out = &report["cross_validation"];
    assert_eq!(held_out["grouping"], "host");
    assert!(
        real(held_out, "auc_risk") > 0.95 && real(held_out, "brier") < 0.1,
        "{held_out}"
    );
    assert_eq!(report["weights"][2]["name"], "process_risk");
    // The same data and seed give the same bytes.
    train(&at("again.json"));
    assert_eq!(
        fs::read(&model).unwrap(),
        fs::read(at("again.json")).unwrap()
    );

    let with_model = ["--input", "beaconhunter", "--model", text(&model)];
    let score = |more: &[&str]| {
        let arguments = ["score", text(&data)].into_iter().chain(with_model);
        run(arguments.chain(more.iter().copied()))
    };
    let events = rows(&score(&["--format", "json"]));
    assert_eq!(events.len(), 240);
    events.iter().for_each(assert_fused);
    assert!(events.is_sorted_by(|one, next| real(one, "risk") >= real(next, "risk")));
    assert!(
        events[..28]
            .iter()
            .all(|it| it["proc_name"] == "powershell.exe")
    );
    let table = score(&["--min-risk", "0.5", "--limit", "3"]).out;
    assert!(
        table.contains("RISK") && table.contains("3 of 28 shown"),
        "{table}"
    );

    let hosts = |path: &Path, format| {
        let arguments = ["hosts", text(path)].into_iter().chain(with_model);
        run(arguments.chain(["--format", format]))
    };
    let ranked = rows(&hosts(&data, "json"));
    assert_eq!(ranked.len(), 12);
    let first: std::collections::BTreeSet<&str> = ranked[..4]
        .iter()
        .map(|it| it["host"].as_str().unwrap())
        .collect();
    assert_eq!(
        first.into_iter().collect::<Vec<_>>(),
        ["HOST-00", "HOST-01", "HOST-02", "HOST-03"]
    );
    let mine: Vec<f64> = events
        .iter()
        .filter(|it| it["host_id"] == ranked[0]["host"])
        .map(|it| real(it, "risk"))
        .collect();
    let mean = mine.iter().sum::<f64>() / 20.0;
    assert!((real(&ranked[0], "mean_risk") - mean).abs() < 1e-12);
    assert_eq!(mine.len(), 20);
    assert!((real(&ranked[0], "max_risk") - mine[0]).abs() < 1e-12);
    assert_eq!(
        (
            ranked[0]["event_count"].as_u64(),
            ranked[0]["findings"].as_u64()
        ),
        (Some(20), Some(7))
    );
    let csv = hosts(&at("packed"), "csv").out;
    assert!(
        csv.starts_with("host_id,event_count,mean_risk,max_risk,"),
        "{csv}"
    );
    assert_eq!(csv.lines().count(), 13);
    assert_eq!(score(&["--hosts", "--format", "csv"]).out, csv);
}

/// One series each of eight sources: the even ones beat every minute, the odd ones come as they like.
/// A number above 0 and below 1 (the finaliser of `MurmurHash3`).
fn uniform(number: u32) -> f64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9);
    z = (z ^ (z >> 16)).wrapping_mul(0x85eb_ca6b);
    z = (z ^ (z >> 13)).wrapping_mul(0xc2b2_ae35);
    (f64::from(z ^ (z >> 16)) + 0.5) / 4_294_967_296.0
}

fn flows() -> String {
    let mut lines = String::new();
    for source in 0..8_u32 {
        let mut ts = 1_700_000_000.0;
        for n in 0..60_u32 {
            let pause = 3.0 - 200.0 * uniform(60 * source + n).ln();
            ts += if source % 2 == 0 {
                60.0 + f64::from(n % 3)
            } else {
                pause
            };
            let flow = json!({
                "ts": ts, "src": format!("10.0.0.{source}"), "sport": 40000, "dst": "198.51.100.7", "dport": 443,
                "proto": "tcp", "duration": 0.2, "orig_bytes": 300, "resp_bytes": 500 + n * (source % 2) * 100,
                "conn_state": "SF", "uid": format!("C{source}-{n}"),
            });
            writeln!(lines, "{flow}").unwrap();
        }
    }
    lines
}

#[test]
fn labelled_series_are_learnt_and_new_ones_get_a_risk() {
    let mut labels = "src,dst,dport,proto,label\n".to_owned();
    for n in 0..7 {
        writeln!(labels, "10.0.0.{n},198.51.100.7,443,tcp,{}", 1 - n % 2).unwrap();
    }
    let folder = folder(&[
        ("flows.ndjson", flows().as_bytes()),
        ("labels.csv", labels.as_bytes()),
    ]);
    let at = |name: &str| folder.path().join(name);
    let (data, labels, model) = (at("flows.ndjson"), at("labels.csv"), at("model.json"));
    let trained = run([
        "train",
        text(&data),
        "--labels",
        text(&labels),
        "--out",
        text(&model),
        "--seed",
        "9",
    ]);
    assert_eq!(trained.code, Some(0), "{}", trained.err);
    let said = "Trained on 7 series of 7 hosts: 4 malicious, 3 benign; 1 without a label left out.";
    assert!(trained.out.starts_with(said), "{}", trained.out);
    assert!(trained.out.contains("area under the curve") && trained.out.contains("Brier"));
    assert!(trained.out.contains(" cadence ") && trained.out.contains("0.9 to 1.0"));

    for (name, profile) in [
        (text(&model), "seed"),
        (text(&model), "evidence"),
        ("builtin", "evidence"),
    ] {
        let ran = run([
            "score",
            text(&data),
            "--model",
            name,
            "--profile",
            profile,
            "--all",
            "--format",
            "json",
        ]);
        let series = rows(&ran);
        assert_eq!(series.len(), 8);
        series.iter().for_each(assert_fused);
        let even = |it: &Value| it["src"].as_str().unwrap().ends_with(['0', '2', '4', '6']);
        assert!(series[..4].iter().all(even), "{name}: {}", ran.out);
        assert_eq!(series[0]["method"], profile);
        let hosts = rows(&run([
            "hosts",
            text(&data),
            "--model",
            name,
            "--profile",
            profile,
            "--format",
            "json",
        ]));
        assert_eq!(hosts[0]["host"], series[0]["src"]);
        assert_eq!(hosts[0]["max_risk"], series[0]["risk"]);
        assert_eq!(hosts[0]["event_count"], 60);
        assert!(
            hosts[0]["reason"]
                .as_str()
                .unwrap()
                .contains("198.51.100.7 443/tcp: probability")
        );
    }
    let csv = run([
        "score",
        text(&data),
        "--model",
        "builtin",
        "--min-risk",
        "0",
        "--format",
        "csv",
    ]);
    assert!(
        csv.out
            .lines()
            .next()
            .unwrap()
            .ends_with(",Risk,Probability,Anomaly,Driven_By")
    );
    let table = run(["score", text(&data), "--model", "builtin", "--all"]).out;
    assert!(
        table.contains("DRIVEN BY") && table.contains("among 8 series"),
        "{table}"
    );
}

#[test]
fn without_a_model_hosts_rank_by_score() {
    let folder = folder(&[("flows.ndjson", flows().as_bytes())]);
    let data = folder.path().join("flows.ndjson");
    let ran = run(["hosts", text(&data), "--format", "json"]);
    let hosts = rows(&ran);
    assert_eq!(hosts.len(), 8);
    assert!(real(&hosts[0], "max_risk") > 0.7 && hosts[0]["findings"] == 1);
    assert!(real(&hosts[7], "max_risk") < 0.5 && hosts[7]["findings"] == 0);
    let table = run(["hosts", text(&data), "--limit", "2"]).out;
    assert!(
        table.contains("TOP REASON") && table.contains("2 of 8 shown"),
        "{table}"
    );
}

#[test]
fn what_cannot_be_learnt_or_used_is_named_with_file_and_field() {
    let benign = events().replace(",1\n", ",0\n");
    let folder = folder(&[
        ("events.csv", events().as_bytes()),
        ("benign.csv", benign.as_bytes()),
        ("other.csv", b"a,b\n1,2\n"),
        ("flows.ndjson", flows().as_bytes()),
        (
            "labels.csv",
            b"src,dst,label\n10.0.0.1,198.51.100.7,maybe\n",
        ),
        (
            "model.json",
            br#"{"beaconwatch_model": 1, "feature_set": "series", "intercept": null}"#,
        ),
        (
            "sets.json",
            br#"{"countries": [{"code": "XX", "risk": 9, "reason": ""}]}"#,
        ),
    ]);
    let at = |name: &str| text(&folder.path().join(name)).to_owned();
    let out = at("out.json");
    let (events, flows, model) = (at("events.csv"), at("flows.ndjson"), at("model.json"));
    let (labels, sets, absent) = (at("labels.csv"), at("sets.json"), at("absent.json"));
    let hunter = ["--input", "beaconhunter"];
    for (arguments, expected) in [
        (
            vec!["train", &flows, "--out", &out],
            "no labels: expected --labels FILE".to_owned(),
        ),
        (
            vec!["train", &flows, "--out", &out, "--labels", &labels],
            format!("{labels}: line 2, field label: expected 0 or 1"),
        ),
        (
            [&["train", &at("other.csv"), "--out", &out], &hunter[..]].concat(),
            "other.csv: line 1: no column host_id".to_owned(),
        ),
        (
            [&["train", &at("benign.csv"), "--out", &out], &hunter[..]].concat(),
            "training: 0 malicious and 240 benign examples".to_owned(),
        ),
        (
            [
                &["train", &events, "--out", &out, "--sets", &sets],
                &hunter[..],
            ]
            .concat(),
            format!("{sets}: field countries[0].risk: 9"),
        ),
        (
            vec!["score", &flows, "--model", &model],
            format!("{model}: field intercept: invalid type: null"),
        ),
        (
            vec!["score", &flows, "--model", &absent],
            format!("{absent}: No such file"),
        ),
    ] {
        let ran = run(arguments.iter().copied());
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (Some(1), ""),
            "{arguments:?}: {}",
            ran.err
        );
        assert!(
            ran.err.contains(&expected),
            "{}, expected {expected}",
            ran.err
        );
        assert!(!Path::new(&out).exists());
    }
    let trained = run([&["train", &events, "--out", &out], &hunter[..]].concat());
    assert_eq!(trained.code, Some(0), "{}", trained.err);
    let ran = run(["score", &flows, "--model", &out]);
    assert!(
        ran.err.contains("expected --input beaconhunter"),
        "{}",
        ran.err
    );
}
