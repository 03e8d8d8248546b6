//! Captures made up for tests, and an exporter over captures with a receiver in the same process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use beaconwatch_exporter::replay::{self, Replay, ReplayError, ReplaySettings, Speed};
use beaconwatch_exporter::source::FlowSource;
use beaconwatch_exporter::{Config, Counters, ExportError, LogsTarget};
use beaconwatch_records::FlowRecord;
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio_util::sync::CancellationToken;

pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// When made-up captures begin.
pub(crate) const BEGIN_NS: u64 = 1_700_000_000 * SECOND_NS;

/// Attributes of a log record, its `time` and its `observed` time.
pub(crate) type Record = BTreeMap<String, Value>;

#[derive(Default)]
struct Receiver {
    records: Mutex<Vec<Record>>,
}

#[async_trait]
impl LogsTarget for Receiver {
    async fn export(&self, request: Bytes) -> Result<ExportLogsServiceResponse, ExportError> {
        let request = ExportLogsServiceRequest::decode(request).unwrap();
        let logs = request.resource_logs.into_iter();
        let logs = logs.flat_map(|resource| resource.scope_logs);
        let records = logs.flat_map(|scope| scope.log_records).map(|log| {
            let integer = |number: u64| Value::IntValue(i64::try_from(number).unwrap());
            let pairs = log.attributes.into_iter();
            let pairs = pairs.map(|pair| (pair.key, pair.value.unwrap().value.unwrap()));
            let times = [
                ("time".to_owned(), integer(log.time_unix_nano)),
                ("observed".to_owned(), integer(log.observed_time_unix_nano)),
            ];
            pairs.chain(times).collect()
        });
        self.records.lock().unwrap().extend(records);
        Ok(ExportLogsServiceResponse::default())
    }
}

pub(crate) fn text<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    match record.get(name)? {
        Value::StringValue(text) => Some(text),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn number(record: &Record, name: &str) -> u64 {
    match record.get(name) {
        Some(Value::IntValue(number)) => u64::try_from(*number).unwrap(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn settings(files: &[PathBuf], speed: Speed) -> ReplaySettings {
    ReplaySettings {
        files: files.to_vec(),
        speed,
        host_name: None,
    }
}

/// What a replay comes to, and what arrived.
pub(crate) async fn export(
    settings: ReplaySettings,
) -> (Result<Counters, ReplayError>, Vec<Record>) {
    let receiver = Arc::new(Receiver::default());
    let target = Arc::clone(&receiver) as Arc<dyn LogsTarget>;
    let stop = CancellationToken::new();
    let exported = replay::export(Config::default(), settings, target, stop).await;
    let records = std::mem::take(&mut *receiver.records.lock().unwrap());
    (exported, records)
}

/// Everything that a replay says to an exporter.
pub(crate) async fn all_records(file: &Path) -> (Replay, Vec<FlowRecord>) {
    let settings = settings(&[file.to_owned()], Speed::Max);
    let mut replay = Replay::open(&settings, &Config::default()).unwrap();
    let mut records = Vec::new();
    while replay.read(&mut records).await.unwrap() > 0 {}
    (replay, records)
}

/// A capture of the project's own.
pub(crate) fn real(name: &str) -> PathBuf {
    let captures = "../packets/tests/data/captures";
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(captures)
        .join(name)
}

/// IP packets by time since [`BEGIN_NS`], as a pcap file with nanoseconds.
pub(crate) fn pcap(packets: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for (at_ns, packet) in packets {
        let time_ns = BEGIN_NS + at_ns;
        let length = packet.len() as u64;
        for word in [time_ns / SECOND_NS, time_ns % SECOND_NS, length, length] {
            file.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

/// A file that goes with its folder.
pub(crate) fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made-up.pcap");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

/// Client 10.0.0.1 and server 10.0.0.2, from the one or to it.
fn ip(out: bool, protocol: u8, above: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + above.len()).unwrap().to_be_bytes();
    let (from, to) = if out { (1, 2) } else { (2, 1) };
    let mut packet = vec![0x45, 0, length[0], length[1], 0, 1, 0, 0, 64, protocol];
    packet.extend([0, 0, 10, 0, 0, from, 10, 0, 0, to]);
    packet.extend(above);
    packet
}

fn ports(out: bool, client: u16, server: u16) -> Vec<u8> {
    let (from, to) = if out {
        (client, server)
    } else {
        (server, client)
    };
    [from.to_be_bytes(), to.to_be_bytes()].concat()
}

/// A datagram between port `client` and port 9999 of the server.
pub(crate) fn datagram(out: bool, client: u16, payload: &[u8]) -> Vec<u8> {
    datagram_of(out, client, 9999, payload)
}

/// A datagram between port `client` and a port of the server.
pub(crate) fn datagram_of(out: bool, client: u16, server: u16, payload: &[u8]) -> Vec<u8> {
    let mut above = ports(out, client, server);
    let length = u16::try_from(8 + payload.len()).unwrap();
    above.extend(length.to_be_bytes());
    above.extend([0, 0]);
    above.extend(payload);
    ip(out, 17, &above)
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RESET: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// A segment between port `client` and port 443 of the server.
pub(crate) fn segment(out: bool, client: u16, flags: u8, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut above = ports(out, client, 443);
    above.extend(sequence.to_be_bytes());
    above.extend([0, 0, 0, 1, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    above.extend(payload);
    ip(out, 6, &above)
}
