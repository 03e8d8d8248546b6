//! A store that may not grow: requests are put off, and nothing that was acknowledged is lost.
//!
//! The limit is the process's own limit of file sizes, so the test runs in a process of its own: the write
//! fails as on a full disk, with another error number.

use std::process::{Command, Stdio};

use beaconwatch_sidecar::AcceptError;

use crate::asking::Asking;
use crate::flows::{START, beacon, request};
use crate::running::{Hands, PATIENCE, config_without_destinations, start, until};

#[test]
fn a_full_disk_puts_requests_off_until_there_is_room_again() {
    // An ignored SIGXFSZ stays ignored through exec: the write returns an error instead.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -S -f 8192; exec \"$0\" --ignored --exact full_disk::inside_the_limit",
        ])
        .arg(std::env::current_exe().unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
#[ignore = "runs under the limit that the test above sets"]
async fn inside_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    let next = |sequence: u64| {
        request(beacon(
            "exporter-1",
            sequence,
            "198.51.100.7",
            START,
            1,
            500,
        ))
    };
    let mut acknowledged = 0;
    let refused = loop {
        match sidecar.receiver().accept(next(acknowledged)).await {
            Ok(_) => acknowledged += 500,
            Err(error) => break error,
        }
        assert!(acknowledged < 100_000, "the limit was never met");
    };
    assert!(matches!(refused, AcceptError::Store { .. }), "{refused:?}");
    assert!(refused.is_retryable());
    let status = sidecar.status().await.unwrap();
    assert!(status.store.error.is_some());
    assert_eq!(status.receive.requests_put_off, 1);

    let patch = serde_json::json!({"detector": {"seed": {"alert_threshold": 0.99}}});
    let changed = sidecar.change_configuration(&patch, "tester").await;
    let overrides = sidecar.configuration().overrides.clone();
    assert_eq!(overrides == patch, changed.is_ok(), "{changed:?}");

    let raised = Command::new("prlimit")
        .args([
            "--fsize=unlimited",
            "--pid",
            &std::process::id().to_string(),
        ])
        .status();
    assert!(raised.unwrap().success());
    until("the store takes requests again", async || {
        sidecar.receiver().accept(next(acknowledged)).await.ok()
    })
    .await;
    sidecar.analyse().await.unwrap();
    let status = sidecar.status().await.unwrap();
    assert_eq!(status.detector.observations, acknowledged + 500);
    assert_eq!((status.store.error, status.exporters[0].missing), (None, 0));

    // A change that was refused comes to nothing, also in what was written later.
    sidecar.stop(PATIENCE).await;
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    assert_eq!(sidecar.configuration().overrides, overrides);
    let audit = Asking::of(&sidecar, folder.path())
        .read("/api/v1/audit")
        .await;
    let entries = audit["entries"].as_array().unwrap().len();
    assert_eq!(entries, usize::from(changed.is_ok()), "{audit}");
}
