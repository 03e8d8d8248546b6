//! The fields that are read, and what each format calls them.

use super::record::Dialect;

/// A field that is read; all others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Column {
    Time,
    /// Time in thousandths, millionths or billionths of a second.
    TimeMillis,
    TimeMicros,
    TimeNanos,
    Start,
    End,
    Uid,
    Source,
    SourcePort,
    Destination,
    DestinationPort,
    Protocol,
    Duration,
    BytesOut,
    BytesIn,
    State,
    Flags,
    ServerName,
    Host,
    Query,
    QueryType,
    Version,
    Sensor,
    Stream,
    Process,
    Ja4,
    Ja3,
}

/// Number of columns.
pub(crate) const COLUMNS: usize = Column::Ja3 as usize + 1;

impl Column {
    /// The column that a field name stands for. Names inside of an object of EVE have dots.
    pub(crate) fn of(name: &str, dialect: Dialect) -> Option<Self> {
        match dialect {
            Dialect::Flows => Self::of_flows(name),
            Dialect::Zeek => Self::of_zeek(name),
            Dialect::Eve => Self::of_eve(name),
            Dialect::Csv => Self::of_csv(name),
            Dialect::BeaconHunter => Self::of_beacon_hunter(name),
            Dialect::Telemetry => Self::of_telemetry(name),
            Dialect::Packets => None,
        }
    }

    fn of_flows(name: &str) -> Option<Self> {
        Some(match name {
            "src" => Self::Source,
            "sport" => Self::SourcePort,
            "dst" => Self::Destination,
            "dport" => Self::DestinationPort,
            "server_name" => Self::ServerName,
            _ => return Self::of_flows_and_zeek(name),
        })
    }

    /// Some shippers write `id_orig_h` for Zeek's `id.orig_h`.
    fn of_zeek(name: &str) -> Option<Self> {
        Some(match name {
            "id.orig_h" | "id_orig_h" => Self::Source,
            "id.orig_p" | "id_orig_p" => Self::SourcePort,
            "id.resp_h" | "id_resp_h" => Self::Destination,
            "id.resp_p" | "id_resp_p" => Self::DestinationPort,
            "server_name" => Self::ServerName,
            "host" => Self::Host,
            "query" => Self::Query,
            "version" => Self::Version,
            "_system_name" | "@system" => Self::Sensor,
            "_path" | "@stream" => Self::Stream,
            _ => return Self::of_flows_and_zeek(name),
        })
    }

    fn of_flows_and_zeek(name: &str) -> Option<Self> {
        Some(match name {
            "ts" => Self::Time,
            "uid" => Self::Uid,
            "proto" => Self::Protocol,
            "duration" => Self::Duration,
            "orig_bytes" => Self::BytesOut,
            "resp_bytes" => Self::BytesIn,
            "conn_state" => Self::State,
            "ja4" | "tls.client.ja4" => Self::Ja4,
            "ja3" | "tls.client.ja3" => Self::Ja3,
            _ => return None,
        })
    }

    fn of_eve(name: &str) -> Option<Self> {
        Some(match name {
            "timestamp" => Self::Time,
            "flow.start" | "netflow.start" => Self::Start,
            "flow.end" | "netflow.end" => Self::End,
            "flow_id" => Self::Uid,
            "event_type" => Self::Stream,
            "host" => Self::Sensor,
            "src_ip" => Self::Source,
            "src_port" => Self::SourcePort,
            "dest_ip" => Self::Destination,
            "dest_port" => Self::DestinationPort,
            "proto" => Self::Protocol,
            "flow.bytes_toserver" | "netflow.bytes" => Self::BytesOut,
            "flow.bytes_toclient" => Self::BytesIn,
            "flow.state" => Self::State,
            "tls.sni" | "quic.sni" => Self::ServerName,
            "tls.ja4" | "quic.ja4" => Self::Ja4,
            "tls.ja3.hash" | "quic.ja3.hash" => Self::Ja3,
            "http.hostname" => Self::Host,
            "dns.rrname" => Self::Query,
            "dns.type" => Self::QueryType,
            _ => return None,
        })
    }

    /// Names in use in tables, in lower case with underscores. Of several for one field the first counts.
    fn of_csv(name: &str) -> Option<Self> {
        Some(match name {
            "timestamp" | "ts" | "time" | "datetime" | "start" | "start_time" | "first_seen"
            | "timestamp_utc" | "epoch" | "timestamp_s" => Self::Time,
            "timestamp_ms" | "time_ms" | "epoch_ms" => Self::TimeMillis,
            "timestamp_us" | "time_us" | "epoch_us" => Self::TimeMicros,
            "timestamp_ns" | "time_ns" | "epoch_ns" => Self::TimeNanos,
            "uid" | "flow_id" | "connection_id" | "event_id" => Self::Uid,
            "src_ip" | "source_ip" | "src" | "source" | "srcip" | "sourceip" | "src_addr"
            | "saddr" | "source_address" | "client_ip" | "id.orig_h" | "sa" => Self::Source,
            "src_port" | "source_port" | "sport" | "srcport" | "client_port" | "id.orig_p"
            | "sp" => Self::SourcePort,
            "dst_ip"
            | "dest_ip"
            | "destination_ip"
            | "dst"
            | "dest"
            | "destination"
            | "dstip"
            | "destip"
            | "dst_addr"
            | "daddr"
            | "destination_address"
            | "server_ip"
            | "id.resp_h"
            | "da" => Self::Destination,
            "dst_port" | "dest_port" | "destination_port" | "dport" | "dstport" | "destport"
            | "server_port" | "port" | "id.resp_p" | "dp" => Self::DestinationPort,
            "protocol" | "proto" | "transport" | "protocol_name" | "pr" => Self::Protocol,
            "duration" | "duration_s" | "dur" | "duration_seconds" | "td" => Self::Duration,
            "bytes_out" | "bytes_sent" | "orig_bytes" | "src_bytes" | "sbytes" | "bytes"
            | "size" | "packet_size" | "length" => Self::BytesOut,
            "bytes_in" | "bytes_received" | "resp_bytes" | "dst_bytes" | "dbytes" => Self::BytesIn,
            "conn_state" => Self::State,
            "server_name" | "domain" | "sni" | "host" | "hostname" | "query" => Self::ServerName,
            "host_id" | "sensor" | "node_id" => Self::Sensor,
            "proc_name" | "process" | "process_name" => Self::Process,
            "ja4" | "tls.client.ja4" => Self::Ja4,
            "ja3" | "tls.client.ja3" => Self::Ja3,
            _ => return None,
        })
    }

    fn of_beacon_hunter(name: &str) -> Option<Self> {
        Some(match name {
            "timestamp" => Self::Time,
            "event_id" => Self::Uid,
            "host_id" => Self::Sensor,
            "src_ip" => Self::Source,
            "dst_ip" => Self::Destination,
            "dst_port" => Self::DestinationPort,
            "protocol" => Self::Protocol,
            "bytes_out" => Self::BytesOut,
            "bytes_in" => Self::BytesIn,
            "proc_name" => Self::Process,
            _ => return None,
        })
    }

    fn of_telemetry(name: &str) -> Option<Self> {
        Some(match name {
            "timestamp_utc" => Self::Time,
            "timestamp_ns" => Self::TimeNanos,
            "src_ip" => Self::Source,
            "src_port" => Self::SourcePort,
            "dst_ip" => Self::Destination,
            "dst_port" => Self::DestinationPort,
            "protocol" => Self::Protocol,
            "packet_size" => Self::BytesOut,
            "tcp_flags" => Self::Flags,
            _ => return None,
        })
    }

    /// The name of the field, for messages.
    pub(crate) const fn name(self, dialect: Dialect) -> &'static str {
        match dialect {
            Dialect::Flows => self.flows_name(),
            Dialect::Zeek | Dialect::Packets => self.zeek_name(),
            Dialect::Eve => self.eve_name(),
            Dialect::Csv | Dialect::BeaconHunter | Dialect::Telemetry => self.table_name(),
        }
    }

    const fn flows_name(self) -> &'static str {
        match self {
            Self::Source => "src",
            Self::SourcePort => "sport",
            Self::Destination => "dst",
            Self::DestinationPort => "dport",
            other => other.zeek_name(),
        }
    }

    const fn zeek_name(self) -> &'static str {
        match self {
            Self::Source => "id.orig_h",
            Self::SourcePort => "id.orig_p",
            Self::Destination => "id.resp_h",
            Self::DestinationPort => "id.resp_p",
            Self::Time => "ts",
            Self::Uid => "uid",
            Self::Protocol => "proto",
            Self::Duration => "duration",
            Self::BytesOut => "orig_bytes",
            Self::BytesIn => "resp_bytes",
            Self::State => "conn_state",
            Self::Host => "host",
            Self::Sensor => "_system_name",
            Self::Stream => "_path",
            other => other.table_name(),
        }
    }

    const fn eve_name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::End => "end",
            Self::Uid => "flow_id",
            Self::Destination => "dest_ip",
            Self::DestinationPort => "dest_port",
            Self::Protocol => "proto",
            Self::BytesOut => "bytes_toserver",
            Self::BytesIn => "bytes_toclient",
            Self::State => "state",
            Self::ServerName => "sni",
            Self::Host => "hostname",
            Self::Query => "rrname",
            Self::Stream => "event_type",
            Self::Sensor => "host",
            other => other.table_name(),
        }
    }

    const fn table_name(self) -> &'static str {
        match self {
            Self::Time => "timestamp",
            Self::TimeMillis => "timestamp_ms",
            Self::TimeMicros => "timestamp_us",
            Self::TimeNanos => "timestamp_ns",
            Self::Start => "start",
            Self::End => "end",
            Self::Uid => "event_id",
            Self::Source => "src_ip",
            Self::SourcePort => "src_port",
            Self::Destination => "dst_ip",
            Self::DestinationPort => "dst_port",
            Self::Protocol => "protocol",
            Self::Duration => "duration",
            Self::BytesOut => "bytes_out",
            Self::BytesIn => "bytes_in",
            Self::State => "conn_state",
            Self::Flags => "tcp_flags",
            Self::ServerName => "server_name",
            Self::Host => "hostname",
            Self::Query => "query",
            Self::QueryType => "type",
            Self::Version => "version",
            Self::Sensor => "host_id",
            Self::Stream => "event_type",
            Self::Process => "proc_name",
            Self::Ja4 => "ja4",
            Self::Ja3 => "ja3",
        }
    }
}
