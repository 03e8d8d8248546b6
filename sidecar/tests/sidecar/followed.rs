//! Files that are followed, and inputs that come, change and go while the sidecar runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use beaconwatch_inputs::tail::Start;
use beaconwatch_sidecar::{Config, InputConfig, Sidecar, TailConfig};
use serde_json::json;

use crate::asking::Asking;
use crate::flows::{SECOND, START};
use crate::running::{Hands, PATIENCE, bytes, config_without_destinations, start, until};

fn append(path: &Path, numbers: Range<i64>) -> usize {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    let lines: String = numbers
        .map(|number| {
            let time = START / SECOND + 5 * number;
            format!(
                r#"{{"ts":{time},"src":"10.0.0.1","sport":{},"dst":"192.0.2.1","dport":443,"proto":"tcp","duration":1,"uid":"F{number}"}}"#,
                1024 + number
            ) + "\n"
        })
        .collect();
    file.write_all(lines.as_bytes()).unwrap();
    lines.len()
}

/// Follows files from their beginning.
fn input(paths: &[&PathBuf]) -> InputConfig {
    InputConfig::Tail(TailConfig {
        paths: paths.iter().map(|path| (*path).clone()).collect(),
        start: Start::Beginning,
        poll_interval_ms: 10,
        ..TailConfig::default()
    })
}

fn with(config: &Config, inputs: &[(&str, &[&PathBuf])]) -> Config {
    let mut config = config.clone();
    config.inputs = inputs
        .iter()
        .map(|(name, paths)| ((*name).to_owned(), input(paths)))
        .collect();
    config
}

async fn observed(sidecar: &Sidecar, count: u64) {
    until("all lines are observed", async || {
        let status = sidecar.status().await.unwrap();
        let known = status.detector.observations;
        assert!(known <= count, "{known} of {count}: a line was told twice");
        (known == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_input_comes_and_goes_with_a_reload_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("flows.log");
    append(&log, 0..3);
    let none = config_without_destinations(folder.path());
    let one = with(&none, &[("flows", &[&log])]);
    let sidecar = start(none.clone(), &Hands::new()).await;

    let report = sidecar.reload(one.clone()).await.unwrap();
    assert!(report.applied.contains(&"inputs.flows.paths".to_owned()));
    assert_eq!(report.needs_restart, [""; 0]);
    observed(&sidecar, 3).await;

    sidecar.reload(none).await.unwrap();
    assert!(sidecar.status().await.unwrap().inputs.followed.is_empty());
    append(&log, 3..5);
    sidecar.reload(one.clone()).await.unwrap();
    observed(&sidecar, 5).await;

    sidecar.stop(PATIENCE).await;
    append(&log, 5..6);
    let again = start(one, &Hands::new()).await;
    // The count begins anew with the process.
    observed(&again, 1).await;
}

#[tokio::test]
async fn an_input_that_changes_tells_no_line_twice_and_its_neighbour_is_not_disturbed() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["first.log", "second.log", "other.log"];
    let [first, second, other] = paths.map(|name| folder.path().join(name));
    append(&first, 0..4);
    append(&second, 100..103);
    append(&other, 200..202);
    let none = config_without_destinations(folder.path());
    let neighbour: (&str, &[&PathBuf]) = ("other", &[&other]);
    let before = with(&none, &[("flows", &[&first]), neighbour]);
    let sidecar = start(before, &Hands::new()).await;
    observed(&sidecar, 6).await;

    let after = with(&none, &[("flows", &[&first, &second]), neighbour]);
    sidecar.reload(after).await.unwrap();
    observed(&sidecar, 9).await;
    until("the counts of both inputs", async || {
        let followed = sidecar.status().await.unwrap().inputs.followed;
        let lines = |name: &str| followed[name].lines;
        // The one that changed counts anew, the other one goes on.
        ((lines("flows"), lines("other")) == (3, 2)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reload_over_the_api_follows_what_the_file_says_and_a_wrong_path_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("flows.log");
    append(&log, 0..3);
    let none = config_without_destinations(folder.path());
    let sidecar = start(none.clone(), &Hands::new()).await;
    let file = Arc::new(Mutex::new(with(&none, &[("flows", &[&log])])));
    let read = Arc::clone(&file);
    sidecar.reread_with(Arc::new(move || Ok(read.lock().unwrap().clone())));
    let asking = Asking::of(&sidecar, folder.path());
    let reload = async || asking.post("/api/v1/config/reload", &json!({})).await;
    let (status, answer) = reload().await;
    assert_eq!(status, 200, "{answer}");
    observed(&sidecar, 3).await;

    *file.lock().unwrap() = with(&none, &[("flows", &[&PathBuf::from("flows.log")])]);
    let (status, answer) = reload().await;
    assert_eq!(status, 422, "{answer}");
    assert!(
        answer.to_string().contains("inputs.flows.paths"),
        "{answer}"
    );
    append(&log, 3..4);
    observed(&sidecar, 4).await;
}

#[tokio::test]
async fn status_and_metrics_say_what_was_read_and_what_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("flows.log");
    let mut written = append(&log, 0..3);
    let none = config_without_destinations(folder.path());
    let config = with(&none, &[("flows", &[&log])]);
    let sidecar = start(config, &Hands::new()).await;
    observed(&sidecar, 3).await;
    std::fs::rename(&log, folder.path().join("flows.log.1")).unwrap();
    written += append(&log, 3..5);
    let mut file = OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(b"{\n").unwrap();
    written += 2;
    let followed = until("six lines", async || {
        let followed = sidecar.status().await.unwrap().inputs.followed;
        (followed["flows"].lines == 6).then_some(followed)
    })
    .await;
    let followed = &followed["flows"];
    assert_eq!((followed.files, followed.rotations), (2, 1));
    assert_eq!(followed.bytes_read, written as u64);
    assert_eq!((followed.observations, followed.lag_bytes), (5, 0));

    let asking = Asking::of(&sidecar, folder.path());
    let answer = asking.request(reqwest::Method::GET, "/metrics").send();
    let text = String::from_utf8(bytes(answer.await.unwrap()).await).unwrap();
    for line in [
        format!("beaconwatch_input_read_bytes_total{{input=\"flows\"}} {written}"),
        "beaconwatch_input_lines_total{input=\"flows\"} 6".to_owned(),
        "beaconwatch_input_observations_total{input=\"flows\"} 5".to_owned(),
        "beaconwatch_input_rotations_total{input=\"flows\"} 1".to_owned(),
        "beaconwatch_input_lag_bytes{input=\"flows\"} 0.0".to_owned(),
        "beaconwatch_input_lines_refused_total{input=\"flows\",reason=\"not_json\"} 1".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
    }
}
