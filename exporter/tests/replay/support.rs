//! Captures made up for tests, and an exporter over captures.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use beaconwatch_exporter::replay::{self, Replay, ReplayError, ReplaySettings, Speed};
use beaconwatch_exporter::source::FlowSource;
use beaconwatch_exporter::{Config, Counters, LogsTarget};
use beaconwatch_records::FlowRecord;
use tokio_util::sync::CancellationToken;

use crate::receiver::{Receiver, Record};

pub(crate) const SECOND_NS: u64 = 1_000_000_000;
/// When made-up captures begin.
pub(crate) const BEGIN_NS: u64 = 1_700_000_000 * SECOND_NS;

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
    (exported, receiver.take())
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

/// An echo request or its reply; the client asks if `out` is as `is_request`.
pub(crate) fn echo(out: bool, is_request: bool, identifier: u16, payload: &[u8]) -> Vec<u8> {
    let mut above = vec![if is_request { 8 } else { 0 }, 0, 0, 0];
    above.extend(identifier.to_be_bytes());
    above.extend([0, 1]);
    above.extend(payload);
    ip(out, 1, &above)
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
