//! The capture on a real kernel: sockets of this process and of programs in a network namespace of
//! their own, compared with what those ends counted themselves.
//!
//! Needs root. Tests run beside each other on one machine and look at their own ports only.

mod capture_support;

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use beaconwatch_exporter::capture::{CaptureSettings, namespace};
use beaconwatch_records::{
    CloseReason, FLAG_OWN, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord, LossCounter, Protocol,
    RecordKind, Role,
};

use crate::capture_support::{Watch, mapped};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LOCALHOST_6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

fn is(record: &FlowRecord, kind: RecordKind, role: Role) -> bool {
    record.kind == kind as u8 && record.role == role as u8
}

/// Sends `request`, answers `response`, the client closes first. Returns the client's port.
fn exchange(server: &TcpListener, request: usize, response: usize) -> u16 {
    let address = server.local_addr().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    let port = client.local_addr().unwrap().port();
    let (mut accepted, _) = server.accept().unwrap();
    let answering = std::thread::spawn(move || {
        let mut received = vec![0; request];
        accepted.read_exact(&mut received).unwrap();
        accepted.write_all(&vec![7; response]).unwrap();
        let mut rest = Vec::new();
        accepted.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty());
    });
    client.write_all(&vec![5; request]).unwrap();
    let mut received = vec![0; response];
    client.read_exact(&mut received).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).unwrap();
    answering.join().unwrap();
    port
}

async fn a_connection_is_seen_from_both_ends(host: IpAddr) {
    let mut watch = Watch::start();
    let server = TcpListener::bind((host, 0)).unwrap();
    let port = server.local_addr().unwrap().port();
    let client_port = exchange(&server, 1_000, 300_000);
    let records = watch
        .until(port, |records| {
            let closes = records.iter().filter(|record| record.kind == RecordKind::Close as u8);
            closes.count() == 2
        })
        .await;
    assert_eq!(records.len(), 4, "two ends, each opened and closed: {records:#?}");
    for (role, local, remote, sent, received) in [
        (Role::Client, client_port, port, 1_000, 300_000),
        (Role::Server, port, client_port, 300_000, 1_000),
    ] {
        let of = |kind| records.iter().find(|record| is(record, kind, role)).unwrap();
        let (open, close) = (of(RecordKind::Open), of(RecordKind::Close));
        for record in [open, close] {
            assert_eq!((record.local_port, record.remote_port), (local, remote));
            assert_eq!(record.local_address, mapped(host));
            assert_eq!(record.remote_address, mapped(host));
            assert_eq!(record.protocol, Protocol::Tcp as u8);
            assert_ne!(record.flags & FLAG_OWN, 0, "the sockets of this process are its own");
            assert_eq!(record.flags & FLAG_START_INFERRED, 0);
        }
        assert_eq!((open.cookie, open.start_ns), (close.cookie, close.start_ns));
        assert!(open.start_ns <= close.last_packet_ns && close.last_packet_ns <= close.time_ns);
        assert_eq!(close.established, 1);
        assert_ne!(close.flags & FLAG_TCP_TOTALS, 0);
        assert_eq!((close.payload_sent, close.payload_received), (sent, received), "{role:?}");
        let counters = close.counters;
        assert!(counters.bytes_sent > sent && counters.bytes_received > received);
        assert!(counters.bytes_sent < sent + 100 * counters.packets_sent);
        assert!(counters.bytes_received < received + 100 * counters.packets_received);
    }
    let reason = |role| {
        records.iter().find(|record| is(record, RecordKind::Close, role)).unwrap().close_reason
    };
    assert_eq!(reason(Role::Client), CloseReason::FinLocal as u8);
    assert_eq!(reason(Role::Server), CloseReason::FinRemote as u8);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv4_connection_is_two_flows_with_exact_payload() {
    a_connection_is_seen_from_both_ends(LOCALHOST).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ipv6_connection_is_two_flows_with_exact_payload() {
    a_connection_is_seen_from_both_ends(LOCALHOST_6).await;
}
