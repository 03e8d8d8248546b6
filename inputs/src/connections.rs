//! From connections of packets to records.

use beaconwatch_detector::{ConnectionId, Timestamp, Transport};
use beaconwatch_packets as packets;
use beaconwatch_packets::table::{Connection, Moment};
use std::net::IpAddr;
use xxhash_rust::xxh3::Xxh3;

use crate::record::{Dialect, Kind, Record};

/// What a moment of a connection is to the one normaliser.
pub(crate) fn record(connection: &Connection, moment: Moment) -> Record {
    let over = moment == Moment::Closed;
    let (time_ns, bytes) = match moment {
        Moment::Opened => (connection.first_ns, None),
        Moment::Active => (connection.last_ns, Some(connection.untold)),
        Moment::Closed => (
            connection.first_ns,
            Some((connection.bytes_out, connection.bytes_in)),
        ),
    };
    let (source, destination) = (connection.source, connection.destination);
    Record {
        id: Some(id(connection)),
        source_port: source.port,
        server_name: connection.name.as_deref().map(str::to_owned),
        client_fingerprint: connection.carried.as_ref().and_then(|it| it.ja4.clone()),
        duration: over.then(|| connection.duration()),
        bytes_out: bytes.map(|it| it.0),
        bytes_in: bytes.map(|it| it.1),
        established: if over { connection.established() } else { None },
        ..Record::new(
            match moment {
                Moment::Active => Kind::Activity,
                Moment::Opened | Moment::Closed => Kind::Connection,
            },
            Dialect::Packets,
            Timestamp::from_unix_nanos(time_ns),
            source.address,
            (destination.address, destination.port),
            transport(connection.transport),
        )
    }
}

fn id(connection: &Connection) -> ConnectionId {
    let mut hash = Xxh3::new();
    for end in [connection.source, connection.destination] {
        match end.address {
            IpAddr::V4(address) => hash.update(&address.octets()),
            IpAddr::V6(address) => hash.update(&address.octets()),
        }
        hash.update(&end.port.to_be_bytes());
    }
    hash.update(&[match connection.transport {
        packets::Transport::Tcp => 6,
        packets::Transport::Udp => 17,
        packets::Transport::Icmp => 1,
        packets::Transport::Other(number) => number,
    }]);
    hash.update(&connection.first_ns.to_be_bytes());
    ConnectionId(hash.digest128())
}

const fn transport(of: packets::Transport) -> Transport {
    match of {
        packets::Transport::Tcp => Transport::Tcp,
        packets::Transport::Udp => Transport::Udp,
        packets::Transport::Icmp => Transport::Icmp,
        packets::Transport::Other(number) => Transport::Other(number),
    }
}

/// The transport of a packet that another sensor saw.
pub(crate) const fn transport_of_packet(of: Transport) -> packets::Transport {
    match of {
        Transport::Tcp => packets::Transport::Tcp,
        Transport::Udp => packets::Transport::Udp,
        Transport::Icmp => packets::Transport::Icmp,
        Transport::Other(number) => packets::Transport::Other(number),
    }
}
