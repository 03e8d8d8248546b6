//! What the settings hide is in nothing that leaves the exporter.

use std::path::Path;
use std::process::Command;

use beaconwatch_exporter::config::{PrivacyConfig, PrivateField, ProcessConfig};
use beaconwatch_exporter::{Config, Exporter};
use beaconwatch_records::{FlowRecord, RecordKind};
use beaconwatch_schema::flow as names;

use super::support::{Running, owner_of, read, record, text};

/// A program with a name of its own in a folder of its own, that runs.
fn program(folder: &Path) -> std::process::Child {
    let path = folder.join("plainprogram");
    std::fs::copy("/bin/sleep", &path).unwrap();
    let child = Command::new(&path).arg("60").spawn().unwrap();
    let arguments = format!("/proc/{}/cmdline", child.id());
    while !std::fs::read_to_string(&arguments)
        .unwrap()
        .contains("plainprogram\0")
    {
        std::thread::yield_now();
    }
    child
}

fn config(folder: &Path, privacy: PrivacyConfig) -> Config {
    let passwd = folder.join("passwd");
    let user = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap());
    std::fs::write(&passwd, format!("plainuser:x:{user}:0::/:\n")).unwrap();
    Config {
        host_name: Some("plainhost".to_owned()),
        process: ProcessConfig {
            command_line: true,
            passwd_file: passwd,
            ..ProcessConfig::default()
        },
        privacy,
        ..Config::default()
    }
}

async fn sent(config: Config, pid: u32) -> Vec<bytes::Bytes> {
    let exporter = Running::start(config);
    let owner = owner_of(pid, 0);
    let record = |kind| FlowRecord {
        handler_pid: pid,
        handler_start_ns: owner.process_start_ns,
        ..record(1, kind, owner)
    };
    exporter.send(vec![record(RecordKind::Open)]);
    exporter.came(1).await;
    exporter.send(vec![record(RecordKind::Close)]);
    exporter.came(2).await;
    exporter.stop().await
}

fn holds(requests: &[bytes::Bytes], plain: &str) -> bool {
    let mut places = requests.iter().flat_map(|bytes| bytes.windows(plain.len()));
    places.any(|place| place == plain.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn hidden_fields_are_in_no_byte_that_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = program(folder.path());
    let key_file = folder.path().join("key");
    std::fs::write(&key_file, "0123456789abcdef0123456789abcdef").unwrap();
    let plain = ["plainprogram", "plainuser", "plainhost"];
    let shown = sent(config(folder.path(), PrivacyConfig::default()), child.id()).await;
    for text in plain {
        assert!(holds(&shown, text), "{text} is there to be hidden");
    }
    let omitted = PrivacyConfig {
        omit: PrivateField::ALL.to_vec(),
        ..PrivacyConfig::default()
    };
    let pseudonyms = PrivacyConfig {
        pseudonymise: PrivateField::ALL.to_vec(),
        key_file: Some(key_file),
        ..PrivacyConfig::default()
    };
    for privacy in [omitted, pseudonyms] {
        let named = !privacy.pseudonymise.is_empty();
        let requests = sent(config(folder.path(), privacy), child.id()).await;
        for text in plain {
            assert!(!holds(&requests, text), "{text}");
        }
        let records = read(&requests);
        assert_eq!(records.len(), 2);
        for record in records {
            assert!(!record.contains_key(names::PROCESS_REAL_USER_ID));
            for name in [
                names::PROCESS_EXECUTABLE_NAME,
                names::PROCESS_EXECUTABLE_PATH,
                names::PROCESS_COMMAND_LINE,
                names::PROCESS_REAL_USER_NAME,
                names::PARENT_NAME,
                names::PARENT_EXECUTABLE,
                names::HANDLER_NAME,
                names::HANDLER_EXECUTABLE,
            ] {
                let value = text(&record, name);
                let pseudonym = value.is_some_and(|it| it.starts_with("pseudonym-"));
                assert_eq!(
                    (value.is_some(), pseudonym),
                    (named, named),
                    "{name}: {value:?}"
                );
            }
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn an_exporter_without_the_key_of_its_pseudonyms_does_not_start() {
    struct NoTarget;
    #[async_trait::async_trait]
    impl beaconwatch_exporter::LogsTarget for NoTarget {
        async fn export(
            &self,
            _request: bytes::Bytes,
        ) -> Result<
            opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse,
            beaconwatch_exporter::ExportError,
        > {
            Err(beaconwatch_exporter::ExportError::permanent("nobody"))
        }
    }
    let config = Config {
        privacy: PrivacyConfig {
            pseudonymise: vec![PrivateField::ServerName],
            key_file: Some("/nonexistent/key".into()),
            ..PrivacyConfig::default()
        },
        ..Config::default()
    };
    config.validate().unwrap();
    let source = super::support::silent();
    let error = Exporter::with_source(config, source, std::sync::Arc::new(NoTarget));
    let error = error.err().unwrap().to_string();
    assert_eq!(
        error.split(": ").next(),
        Some("cannot read /nonexistent/key")
    );
}
