//! Attributes of a flow record (OTLP log record, event name [`EVENT_NAME`]), beside those of every record
//! ([`crate::exporter_record`]).
//!
//! `source` is the end that initiated the flow (the client), `destination` the end that answered,
//! whichever of them is local: [`ROLE`] says which end the exporter saw. The log record's time is the
//! time of the event; its observed time is when the exporter made the record.

use crate::field::fields;

pub use crate::exporter_record::{
    EXPORTER_ID, EXPORTER_SEQUENCE, HOST_ID, HOST_NAME, SERVICE_INSTANCE_ID, SERVICE_NAME,
    SERVICE_VERSION,
};

/// Event name of a flow record.
pub const EVENT_NAME: &str = "beaconwatch.network.flow";

/// What comes before a label's key in the attributes of a pod's labels (`k8s.pod.label.app`): their names are the cluster's,
/// so the table has none of them. A record has those that `exporter.kubernetes.labels` lists.
pub const K8S_POD_LABEL_PREFIX: &str = "k8s.pod.label.";

/// Value of [`EVENT`]: the flow began.
pub const EVENT_START: &str = "start";
/// Value of [`EVENT`]: the flow lives.
pub const EVENT_UPDATE: &str = "update";
/// Value of [`EVENT`]: payload was sent in the flow after an idle time.
pub const EVENT_ACTIVITY: &str = "activity";
/// Value of [`EVENT`]: the flow ended; totals are final.
pub const EVENT_END: &str = "end";
/// Value of [`ROLE`]: the local socket initiated the flow.
pub const ROLE_CLIENT: &str = "client";
/// Value of [`ROLE`]: neither end is a socket of this host; the flow was seen on an interface.
pub const ROLE_TRANSIT: &str = "transit";
/// Value of [`ROLE`]: the local socket answered.
pub const ROLE_SERVER: &str = "server";

fields! {
    FLOW_ID = "beaconwatch.flow.id", Keyword, "", Required, Beaconwatch,
        "Identity of the flow on its host, the same in all of its records: 32 hexadecimal digits.", "5b0c3f8d9e6a4b17a2c4d6e8f0123456",
        Cim "session_id";
    EVENT = "beaconwatch.flow.event", Keyword, "", Required, Beaconwatch,
        "What the record says of the flow: start, update, activity (the local end sent payload after an idle time) or end.", "end";
    RECORD_NUMBER = "beaconwatch.flow.record", Long, "", Required, Beaconwatch,
        "Number of this record among the flow's own, from 0. The record 0 announces the flow, whatever its event: a flow that ended before it was reported has one record, an end.", "0";
    ROLE = "beaconwatch.flow.role", Keyword, "", Required, Beaconwatch,
        "Which end the exporter saw: client (the local socket initiated), server, or transit (neither end is a socket of this host: the flow was seen on an interface).", "client";
    START_TIME = "beaconwatch.flow.start", Long, "ns", Required, Beaconwatch,
        "When the flow began, nanoseconds since the Unix epoch. Never changes while the flow lives.", "1763800000123456789",
        Ecs "event.start" as Date;
    END_TIME = "beaconwatch.flow.end", Long, "ns", Optional, Beaconwatch,
        "When the flow ended, nanoseconds since the Unix epoch.", "1763800000323456789",
        Ecs "event.end" as Date;
    START_INFERRED = "beaconwatch.flow.start_inferred", Boolean, "", Optional, Beaconwatch,
        "True when the socket is older than the exporter: the start is when it was first seen.", "true";
    CLOSE_REASON = "beaconwatch.flow.close_reason", Keyword, "", Optional, Beaconwatch,
        "Why the flow ended: fin_local, fin_remote, reset, refused, no_reply, idle or socket_closed.", "fin_local";
    ESTABLISHED = "beaconwatch.flow.established", Boolean, "", Required, Beaconwatch,
        "TCP: the handshake was completed. UDP and ICMP: packets went both ways.", "true";
    OWN = "beaconwatch.flow.own", Boolean, "", Optional, Beaconwatch,
        "True for traffic of Beaconwatch itself (OTLP, deliveries): it is never scored.", "true";
    SAMPLING_RATIO = "beaconwatch.flow.sampling_ratio", Double, "1", Optional, Beaconwatch,
        "The part of all flows that the exporter reports, when it is not all of them: a flow stands for one divided by it.", "0.25";
    SOURCE_BYTES = "beaconwatch.flow.source.bytes", Long, "By", Required, Beaconwatch,
        "IP-layer bytes from source to destination since the start.", "1034",
        Ecs "source.bytes", Cim "bytes_out";
    SOURCE_BYTES_DELTA = "beaconwatch.flow.source.bytes_delta", Long, "By", Required, Beaconwatch,
        "IP-layer bytes from source to destination since the flow's last record.", "512";
    SOURCE_PACKETS = "beaconwatch.flow.source.packets", Long, "{packet}", Required, Beaconwatch,
        "IP packets from source to destination since the start.", "7",
        Ecs "source.packets", Cim "packets_out";
    SOURCE_PACKETS_DELTA = "beaconwatch.flow.source.packets_delta", Long, "{packet}", Required, Beaconwatch,
        "IP packets from source to destination since the flow's last record.", "3";
    DESTINATION_BYTES = "beaconwatch.flow.destination.bytes", Long, "By", Required, Beaconwatch,
        "IP-layer bytes from destination to source since the start.", "8120",
        Ecs "destination.bytes", Cim "bytes_in";
    DESTINATION_BYTES_DELTA = "beaconwatch.flow.destination.bytes_delta", Long, "By", Required, Beaconwatch,
        "IP-layer bytes from destination to source since the flow's last record.", "4060";
    DESTINATION_PACKETS = "beaconwatch.flow.destination.packets", Long, "{packet}", Required, Beaconwatch,
        "IP packets from destination to source since the start.", "9",
        Ecs "destination.packets", Cim "packets_in";
    DESTINATION_PACKETS_DELTA = "beaconwatch.flow.destination.packets_delta", Long, "{packet}", Required, Beaconwatch,
        "IP packets from destination to source since the flow's last record.", "4";
    SOURCE_PAYLOAD_BYTES = "beaconwatch.flow.source.payload_bytes", Long, "By", Optional, Beaconwatch,
        "Payload bytes from source to destination since the start; for TCP known at the end.", "310";
    DESTINATION_PAYLOAD_BYTES = "beaconwatch.flow.destination.payload_bytes", Long, "By", Optional, Beaconwatch,
        "Payload bytes from destination to source since the start; for TCP known at the end.", "7420";
    ACTIVITY_SOURCE_BYTES = "beaconwatch.flow.activity.source.bytes", Long, "By", Optional, Beaconwatch,
        "Only of an activity: IP bytes from source to destination from then on, until the next activity, reading of the counters or end.", "412";
    ACTIVITY_DESTINATION_BYTES = "beaconwatch.flow.activity.destination.bytes", Long, "By", Optional, Beaconwatch,
        "Only of an activity: the same from destination to source.", "633";
    RETRANSMITS = "beaconwatch.flow.tcp.retransmits", Long, "{segment}", Optional, Beaconwatch,
        "TCP segments that the local socket sent again.", "0";
    SMOOTHED_RTT = "beaconwatch.flow.tcp.smoothed_rtt", Long, "us", Optional, Beaconwatch,
        "Smoothed round-trip time of the TCP socket.", "182";
    NETWORK_NAMESPACE = "beaconwatch.network.namespace", Keyword, "", Optional, Beaconwatch,
        "Network namespace of the socket: `host` for the exporter's own, else the kernel's cookie of the namespace.", "4123";
    INTERFACE_NAME = "network.interface.name", Keyword, "", Optional, OpenTelemetry,
        "The interface on which a flow in transit is counted: the first that saw what its initiating end sent.", "eth0",
        Ecs "observer.ingress.interface.name";
    SOURCE_ADDRESS = "source.address", Ip, "", Required, OpenTelemetry,
        "Address of the end that initiated the flow.", "192.0.2.10",
        Ecs "source.ip", Cim "src", Sigma "SourceIp";
    SOURCE_PORT = "source.port", Long, "", Required, OpenTelemetry,
        "Port of the end that initiated the flow; of ICMP the type of its echo requests (8, or 128 of ICMPv6).", "49152",
        Ecs "source.port", Cim "src_port", Sigma "SourcePort";
    DESTINATION_ADDRESS = "destination.address", Ip, "", Required, OpenTelemetry,
        "Address of the end that answered.", "198.51.100.7",
        Ecs "destination.ip", Cim "dest", Sigma "DestinationIp";
    DESTINATION_PORT = "destination.port", Long, "", Required, OpenTelemetry,
        "Port of the end that answered; of ICMP the code of the echo requests (0).", "443",
        Ecs "destination.port", Cim "dest_port", Sigma "DestinationPort";
    TRANSPORT = "network.transport", Keyword, "", Required, OpenTelemetry,
        "Transport protocol: tcp, udp or icmp, which is ICMPv6 where network.type is ipv6.", "tcp",
        Ecs "network.transport", Cim "transport", Sigma "Protocol";
    NETWORK_TYPE = "network.type", Keyword, "", Required, OpenTelemetry,
        "Network layer: ipv4 or ipv6.", "ipv4",
        Ecs "network.type", Cim "protocol_version";
    COMMUNITY_ID = "network.community_id", Keyword, "", Required, Ecs,
        "Community ID (version 1, seed 0) of the flow: the same in every tool that makes it, whichever end was seen.", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
    SERVER_ADDRESS = "server.address", Keyword, "", Optional, OpenTelemetry,
        "Name of the server, when it is known: what the client asked for (TLS, QUIC, HTTP), else the name that led this process or host to the address (DNS).", "updates.example.org",
        Ecs "destination.domain", Cim "dest_name", Sigma "DestinationHostname";
    SERVER_NAME_ORIGIN = "beaconwatch.server.address.origin", Keyword, "", Optional, Beaconwatch,
        "Where the server's name comes from: tls, quic, http or dns.", "tls";
    TLS_CLIENT_JA4 = "beaconwatch.client.ja4", Keyword, "", Optional, Beaconwatch,
        "JA4 fingerprint of the client's TLS or QUIC ClientHello.", "t13d1516h2_8daaf6152771_e5627efa2ab1";
    TLS_CLIENT_JA3 = "tls.client.ja3", Keyword, "", Optional, OpenTelemetry,
        "JA3 fingerprint of the client's TLS ClientHello.", "d4e5b18d6b55c71272893221c96ba240",
        Ecs "tls.client.ja3";
    TLS_NEXT_PROTOCOL = "tls.next_protocol", Keyword, "", Optional, OpenTelemetry,
        "Application protocol that the client named first (ALPN).", "h2",
        Ecs "tls.next_protocol";
    HTTP_REQUEST_METHOD = "http.request.method", Keyword, "", Optional, OpenTelemetry,
        "Method of the first HTTP/1 request.", "GET",
        Ecs "http.request.method", Cim "http_method";
    USER_AGENT = "user_agent.original", Keyword, "", Optional, OpenTelemetry,
        "User agent of the first HTTP/1 request.", "curl/8.5.0",
        Ecs "user_agent.original", Cim "http_user_agent";
    DNS_QUESTION_NAME = "dns.question.name", Keyword, "", Optional, OpenTelemetry,
        "Name that the first DNS question of the flow asks for.", "updates.example.org",
        Ecs "dns.question.name", Cim "query";
    PROCESS_PID = "process.pid", Long, "", Optional, OpenTelemetry,
        "Process that owns the local socket.", "4711",
        Ecs "process.pid", Cim "process_id", Sigma "ProcessId";
    PROCESS_EXECUTABLE_NAME = "process.executable.name", Keyword, "", Optional, OpenTelemetry,
        "Command name of the process, as the kernel has it (15 characters).", "curl",
        Ecs "process.name", Cim "app";
    PROCESS_EXECUTABLE_PATH = "process.executable.path", Keyword, "", Optional, OpenTelemetry,
        "Executable of the process, when it still lived when the exporter looked; ends in ` (deleted)` when the file was removed.", "/usr/bin/curl",
        Ecs "process.executable", Sigma "Image";
    PROCESS_CREATION_TIME = "process.creation.time", Keyword, "", Optional, OpenTelemetry,
        "Start of the process, RFC 3339.", "2025-11-22T08:26:30.123456789Z",
        Ecs "process.start" as Date;
    PROCESS_REAL_USER_ID = "process.real_user.id", Long, "", Optional, OpenTelemetry,
        "User id of the process.", "1000",
        Ecs "process.real_user.id" as Keyword, Cim "user", Sigma "User";
    HANDLER_PID = "beaconwatch.process.handler.pid", Long, "", Optional, Beaconwatch,
        "Process that uses the local socket and is not its owner: it accepted the connection from another's listener, or was handed the socket.", "4715";
    HANDLER_NAME = "beaconwatch.process.handler.name", Keyword, "", Optional, Beaconwatch,
        "Command name of that process, as the kernel has it (15 characters); of one that was gone, the name that its executable gave it.", "nginx";
    HANDLER_EXECUTABLE = "beaconwatch.process.handler.executable", Keyword, "", Optional, Beaconwatch,
        "Executable of that process; ends in ` (deleted)` when the file was removed.", "/usr/sbin/nginx";
    HANDLER_START = "beaconwatch.process.handler.start", Keyword, "", Optional, Beaconwatch,
        "Start of that process, RFC 3339.", "2025-11-22T08:26:31.123456789Z";
    PROCESS_REAL_USER_NAME = "process.real_user.name", Keyword, "", Optional, OpenTelemetry,
        "Name of that user in the host's /etc/passwd; absent for processes in containers.", "alice",
        Ecs "process.real_user.name";
    PROCESS_COMMAND_LINE = "process.command_line", Keyword, "", Optional, OpenTelemetry,
        "Command line of the process, its arguments joined by spaces: only when `exporter.process.command_line` asks for it.", "curl -s https://updates.example.org/",
        Ecs "process.command_line", Cim "process";
    PROCESS_HASH = "beaconwatch.process.executable.sha256", Keyword, "", Optional, Beaconwatch,
        "SHA-256 of the executable: only when `exporter.process.hash` asks for it; absent until it is computed.", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        Ecs "process.hash.sha256", Cim "process_hash";
    PARENT_PID = "process.parent_pid", Long, "", Optional, OpenTelemetry,
        "Parent of the process when the exporter looked.", "4700",
        Ecs "process.parent.pid", Cim "parent_process_id";
    PARENT_NAME = "beaconwatch.process.parent.name", Keyword, "", Optional, Beaconwatch,
        "Command name of the parent, as the kernel has it (15 characters).", "bash",
        Ecs "process.parent.name", Cim "parent_process_name";
    PARENT_EXECUTABLE = "beaconwatch.process.parent.executable", Keyword, "", Optional, Beaconwatch,
        "Executable of the parent.", "/usr/bin/bash",
        Ecs "process.parent.executable", Cim "parent_process_path";
    PARENT_START = "beaconwatch.process.parent.start", Keyword, "", Optional, Beaconwatch,
        "Start of the parent, RFC 3339, to a hundredth of a second.", "2025-11-22T08:00:00.12Z",
        Ecs "process.parent.start" as Date;
    CONTAINER_ID = "container.id", Keyword, "", Optional, OpenTelemetry,
        "Container of the process, when it is in one.", "3f4a5b6c7d8e9f00112233445566778899aabbccddeeff001122334455667788",
        Ecs "container.id";
    CONTAINER_RUNTIME = "container.runtime.name", Keyword, "", Optional, OpenTelemetry,
        "Runtime of the container: docker, containerd, cri-o or podman; absent when its cgroup does not tell.", "containerd",
        Ecs "container.runtime";
    SYSTEMD_UNIT = "beaconwatch.systemd.unit", Keyword, "", Optional, Beaconwatch,
        "Unit of the host's systemd that the process belongs to.", "nginx.service";
    SYSTEMD_USER_UNIT = "beaconwatch.systemd.user_unit", Keyword, "", Optional, Beaconwatch,
        "Unit of a user's systemd that the process belongs to.", "backup.service";
    SYSTEMD_SLICE = "beaconwatch.systemd.slice", Keyword, "", Optional, Beaconwatch,
        "Innermost slice of the host's systemd around the process.", "system.slice";
    K8S_POD_UID = "k8s.pod.uid", Keyword, "", Optional, OpenTelemetry,
        "Pod of the process.", "0f8e4a2f-6d3b-4c1e-9a5d-7c0b1a2f3e4d",
        Ecs "orchestrator.resource.id";
    K8S_POD_NAME = "k8s.pod.name", Keyword, "", Optional, OpenTelemetry,
        "Name of the pod; this and what follows only with `exporter.kubernetes.enabled`, once the kubelet has told.", "web-7d4b9c6f5-x2x7k",
        Ecs "orchestrator.resource.name";
    K8S_NAMESPACE_NAME = "k8s.namespace.name", Keyword, "", Optional, OpenTelemetry,
        "Namespace of the pod.", "shop",
        Ecs "orchestrator.namespace";
    K8S_NODE_NAME = "k8s.node.name", Keyword, "", Optional, OpenTelemetry,
        "Node of the pod.", "node-3";
    K8S_CONTAINER_NAME = "k8s.container.name", Keyword, "", Optional, OpenTelemetry,
        "Name of the container in its pod.", "nginx",
        Ecs "container.name";
    CGROUP_ID = "beaconwatch.process.cgroup_id", Long, "", Optional, Beaconwatch,
        "Kernel's id of the cgroup v2 of the process.", "3251";
}
