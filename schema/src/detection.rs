//! Fields of a detection document.
//!
//! One document states one revision of one finding: `event.id` is made from
//! [`FINDING_ID`] and [`FINDING_REVISION`] and is the document's `_id`. All numbers describe the
//! connections up to that revision.
//!
//! Left out on purpose:
//! - `source.port` and `network.community_id`: a finding is about many connections with a source port each.
//!   [`COMMUNITY_IDS`] has the identities of the newest ones, to join them with other logs.
//! - `network.direction`: a sensor between two networks does not know it.
//! - `network.protocol`: the times of connections do not tell it.
//! - the handler of a socket (`beaconwatch.process.handler.*` of flow records): `process.*` is the socket's owner here as
//!   in flow documents, so that both join, and most handlers are workers behind a listener, whose connections are
//!   judged at the end that initiated them. The flows of [`COMMUNITY_IDS`] have it.
//! - labels of the pod: their names are the cluster's, and a mapping of them would be anybody's to grow.

use crate::field::fields;

/// Value of [`DATA_STREAM_TYPE`].
pub const STREAM_TYPE: &str = "logs";
/// Value of [`DATA_STREAM_DATASET`] and of [`EVENT_DATASET`].
pub const DATASET: &str = "beaconwatch.detection";
/// Value of [`DATA_STREAM_NAMESPACE`] unless it is configured.
pub const DEFAULT_NAMESPACE: &str = "default";

fields! {
    TIMESTAMP = "@timestamp", Date, "", Required, Ecs,
        "When this revision of the finding was made.", "2025-11-22T08:26:30.123Z",
        Ocsf "time";
    CLIENT_JA4 = "beaconwatch.client.ja4", Keyword, "", Optional, Beaconwatch,
        "Last known fingerprint of the client's TLS (JA4), for which ECS has no field.", "t13d1516h2_8daaf6152771_b186095e22b6";
    COMMUNITY_IDS = "beaconwatch.community_ids", Keyword [array], "", Optional, Beaconwatch,
        "Community IDs (version 1, seed 0) of the newest connections, newest first, up to 8.", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=",
        Ocsf "evidences[].connection_info.community_uid";
    COUNT = "beaconwatch.count", Long, "{connection}", Required, Beaconwatch,
        "Connections from event.start to event.end.", "42",
        Ocsf "count", OpenTelemetry "beaconwatch.count";
    EVIDENCE_ACTIVE_HOURS = "beaconwatch.evidence.active_hours", Long, "h", Optional, Beaconwatch,
        "Hours with a beat, of the newest 16 days.", "21";
    EVIDENCE_BEATS = "beaconwatch.evidence.beats", Long, "{beat}", Optional, Beaconwatch,
        "Beats that were measured: first events after two seconds of silence.", "42";
    EVIDENCE_CLOCK_PERIOD = "beaconwatch.evidence.clock_period_s", Double, "s", Optional, Beaconwatch,
        "Period of the clock that the beats keep to, when that is the stronger reason.", "3600";
    EVIDENCE_EXPLAINED = "beaconwatch.evidence.explained", Double, "1", Optional, Beaconwatch,
        "Share of the gaps between beats that the period explains, 0 to 1.", "0.98";
    EVIDENCE_MISS_RATE = "beaconwatch.evidence.miss_rate", Double, "1", Optional, Beaconwatch,
        "Share of the beats that were missed, 0 to 1.", "0.05";
    EVIDENCE_NEXT_EARLIEST = "beaconwatch.evidence.next_earliest", Date, "", Optional, Beaconwatch,
        "Begin of the window in which the next beat is due.", "2025-11-22T08:27:15.000Z";
    EVIDENCE_NEXT_LATEST = "beaconwatch.evidence.next_latest", Date, "", Optional, Beaconwatch,
        "End of that window.", "2025-11-22T08:27:45.000Z";
    EVIDENCE_P_VALUE = "beaconwatch.evidence.p_value", Double, "1", Optional, Beaconwatch,
        "Chance that irregular traffic looks as sharp at one look.", "2e-7";
    EVIDENCE_P_VALUE_ANY_LOOK = "beaconwatch.evidence.p_value_any_look", Double, "1", Optional, Beaconwatch,
        "The same at any of the looks so far: what false alerts a day are counted by.", "1.5e-6";
    EVIDENCE_PERIOD = "beaconwatch.evidence.period_s", Double, "s", Optional, Beaconwatch,
        "Base period of the beats.", "60.1";
    EVIDENCE_PERIOD_ERROR = "beaconwatch.evidence.period_error_s", Double, "s", Optional, Beaconwatch,
        "Standard error of the period; 0 when it is the clock's.", "0.2";
    EVIDENCE_SOURCE = "beaconwatch.evidence.source", Keyword, "", Optional, Beaconwatch,
        "Which times spoke: connections, or activity inside live connections.", "connections";
    EXPLANATION = "beaconwatch.explanation", MatchOnlyText, "", Required, Beaconwatch,
        "The reasons for the score in one or two sentences.", "42 connections with a median interval of 60.0 s.",
        Ocsf "finding_info.desc";
    FINDING_ACKNOWLEDGED = "beaconwatch.finding.acknowledged", Date, "", Optional, Beaconwatch,
        "When somebody acknowledged the finding.", "2025-11-22T08:30:00.000Z";
    FINDING_ACKNOWLEDGED_BY = "beaconwatch.finding.acknowledged_by", Keyword, "", Optional, Beaconwatch,
        "Who acknowledged the finding: the name of a token.", "night-shift";
    FINDING_ALLOWED_ID = "beaconwatch.finding.allowed.id", Keyword, "", Optional, Beaconwatch,
        "Entry of the allow-list that allows what was found.", "a41f6c0d52e98b37";
    FINDING_ALLOWED_REASON = "beaconwatch.finding.allowed.reason", Keyword, "", Optional, Beaconwatch,
        "Reason of the entry that allows what was found.", "time server";
    FINDING_CLOSED = "beaconwatch.finding.closed", Date, "", Optional, Beaconwatch,
        "When the finding closed, while it is closed.", "2025-11-22T10:12:00.000Z";
    FINDING_ESCALATED = "beaconwatch.finding.escalated", Long, "", Required, Beaconwatch,
        "How often the severity rose above that of the document before.", "1";
    FINDING_ID = "beaconwatch.finding.id", Keyword, "", Required, Beaconwatch,
        "Identity of the finding through all of its revisions.", "9f1c2a7be03d4f55a1b2c3d4e5f60718",
        Ocsf "finding_info.uid", OpenTelemetry "beaconwatch.finding.id";
    FINDING_OPENED = "beaconwatch.finding.opened", Date, "", Required, Beaconwatch,
        "When the first revision of the finding was made.", "2025-11-22T08:26:30.123Z",
        Ocsf "finding_info.created_time";
    FINDING_REOPENED = "beaconwatch.finding.reopened", Long, "", Required, Beaconwatch,
        "How often the finding went on after it had been closed.", "0";
    FINDING_REVISION = "beaconwatch.finding.revision", Long, "", Required, Beaconwatch,
        "Number of this revision, from 1.", "1",
        OpenTelemetry "beaconwatch.finding.revision";
    FINDING_STATE = "beaconwatch.finding.state", Keyword, "", Required, Beaconwatch,
        "open while the beats go on, else closed.", "open";
    INTERVAL_COEFFICIENT_OF_VARIATION = "beaconwatch.interval.coefficient_of_variation", Double, "1", Optional, Beaconwatch,
        "Standard deviation over mean of the intervals between connection starts.", "0.08";
    INTERVAL_JITTER = "beaconwatch.interval.jitter_pct", Double, "%", Optional, Beaconwatch,
        "Jitter as a percentage of the interval: 20 means ±20 %.", "20.0";
    INTERVAL_MAD = "beaconwatch.interval.mad_s", Double, "s", Optional, Beaconwatch,
        "Median absolute deviation of the intervals from their median.", "5.9";
    INTERVAL_MAXIMUM = "beaconwatch.interval.maximum_s", Double, "s", Optional, Beaconwatch,
        "Longest interval.", "71.8";
    INTERVAL_MEAN = "beaconwatch.interval.mean_s", Double, "s", Optional, Beaconwatch,
        "Mean of the intervals.", "60.2";
    INTERVAL_MEDIAN = "beaconwatch.interval.median_s", Double, "s", Optional, Beaconwatch,
        "Median of the intervals.", "60.0",
        OpenTelemetry "beaconwatch.interval.median_s";
    INTERVAL_MINIMUM = "beaconwatch.interval.minimum_s", Double, "s", Optional, Beaconwatch,
        "Shortest interval.", "48.3";
    INTERVAL_STANDARD_DEVIATION = "beaconwatch.interval.standard_deviation_s", Double, "s", Optional, Beaconwatch,
        "Standard deviation of the intervals.", "4.8";
    METHOD = "beaconwatch.method", Keyword, "", Required, Beaconwatch,
        "Name of the method that scored: evidence or seed.", "evidence";
    NETWORK_NAMESPACE = "beaconwatch.network.namespace", Keyword, "", Optional, Beaconwatch,
        "Network namespace of the source on its host.", "host";
    PERIODICITY = "beaconwatch.periodicity", Double, "1", Optional, Beaconwatch,
        "Value of the signal periodicity, 0 to 1.", "0.93";
    SCORE = "beaconwatch.score", Double, "1", Required, Beaconwatch,
        "Score of the finding, 0 to 1.", "0.94",
        OpenTelemetry "beaconwatch.score";
    SEVERITY = "beaconwatch.severity", Keyword, "", Required, Beaconwatch,
        "Severity of the score: low, medium (from 0.7), high (from 0.8) or critical (from 0.9).", "critical",
        Cim "severity", Ocsf "severity";
    SIGMA_ID = "beaconwatch.sigma.id", Keyword [array], "", Optional, Beaconwatch,
        "Identities of the Sigma rules that match this document.", "7d3e6a1c-0b52-4f0e-8a55-52f0c1d9b7aa";
    SIGMA_LEVEL = "beaconwatch.sigma.level", Keyword [array], "", Optional, Beaconwatch,
        "Levels of these rules, in the same order: informational, low, medium, high or critical.", "high";
    SIGMA_TITLE = "beaconwatch.sigma.title", Keyword [array], "", Optional, Beaconwatch,
        "Titles of these rules, in the same order.", "Beacon Of A Process In A Temporary Folder";
    SIGNALS = "beaconwatch.signals", Nested [array], "", Optional, Beaconwatch,
        "The signals whose contributions add up to the score (method seed) or to its log-odds (method evidence).", "";
    SIGNALS_CONTRIBUTION = "beaconwatch.signals.contribution", Double, "1", Optional, Beaconwatch,
        "What the signal adds to the score: its value times its weight.", "0.38";
    SIGNALS_NAME = "beaconwatch.signals.name", Keyword, "", Optional, Beaconwatch,
        "Name of the signal.", "coefficient_of_variation";
    SIGNALS_RAW_VALUE = "beaconwatch.signals.raw_value", Double, "", Optional, Beaconwatch,
        "The measured quantity behind the signal, in the unit that its text states.", "0.08";
    SIGNALS_SCORE = "beaconwatch.signals.score", Double, "1", Optional, Beaconwatch,
        "Value of the signal, 0 to 1.", "0.95";
    SIGNALS_TEXT = "beaconwatch.signals.text", MatchOnlyText, "", Optional, Beaconwatch,
        "The reason in words.", "the intervals vary by 8.0 % of their mean of 60.2 s (a beacon: below 15.0 %)";
    SIGNALS_THRESHOLD = "beaconwatch.signals.threshold", Double, "", Optional, Beaconwatch,
        "What the measured quantity was compared with, in its unit.", "0.15";
    SIGNALS_WEIGHT = "beaconwatch.signals.weight", Double, "1", Optional, Beaconwatch,
        "Weight of the signal in the score.", "0.4";
    SIMULATED = "beaconwatch.simulated", Boolean, "", Optional, Beaconwatch,
        "True when `beaconwatch simulate` made the connections; absent else.", "true";
    SUPPRESSION_COUNT = "beaconwatch.suppression.count", Long, "", Optional, Beaconwatch,
        "Detections since the document before that got none of their own.", "17";
    SUPPRESSION_END = "beaconwatch.suppression.end", Date, "", Optional, Beaconwatch,
        "When the last of them was made.", "2025-11-22T09:25:30.000Z";
    SUPPRESSION_START = "beaconwatch.suppression.start", Date, "", Optional, Beaconwatch,
        "When the first of them was made.", "2025-11-22T08:27:00.000Z";
    SYSTEMD_UNIT = "beaconwatch.systemd.unit", Keyword, "", Optional, Beaconwatch,
        "Unit of the host's systemd that the process belongs to.", "nginx.service",
        OpenTelemetry "beaconwatch.systemd.unit";
    SYSTEMD_USER_UNIT = "beaconwatch.systemd.user_unit", Keyword, "", Optional, Beaconwatch,
        "Unit of a user's systemd that the process belongs to.", "backup.service",
        OpenTelemetry "beaconwatch.systemd.user_unit";
    OTHER_CLIENTS = "beaconwatch.other_clients", Long, "{client}", Optional, Beaconwatch,
        "Other clients that beat to the same server with about the same period; absent when there are none.", "17";
    VIEW_KIND = "beaconwatch.view.kind", Keyword, "", Optional, Beaconwatch,
        "What series that beat as one share: process_destination, server_name, domain, client_fingerprint or rotation; absent for one series.", "rotation";
    VIEW_MEMBERS = "beaconwatch.view.members", Long, "{series}", Optional, Beaconwatch,
        "How many series beat as one.", "6";
    VIEW_SHARED = "beaconwatch.view.shared", Keyword, "", Optional, Beaconwatch,
        "The name, the domain, the process, the fingerprint or the port that they share.", "443/tcp";
    CONTAINER_ID = "container.id", Keyword, "", Optional, Ecs,
        "Container of the process, when it is in one.", "3f4a5b6c7d8e9f00112233445566778899aabbccddeeff001122334455667788",
        Ocsf "evidences[].container.uid", OpenTelemetry "container.id";
    CONTAINER_NAME = "container.name", Keyword, "", Optional, Ecs,
        "Name of the container in its pod.", "nginx",
        Ocsf "evidences[].container.name", OpenTelemetry "k8s.container.name";
    CONTAINER_RUNTIME = "container.runtime", Keyword, "", Optional, Ecs,
        "Runtime of the container: docker, containerd, cri-o or podman.", "containerd",
        Ocsf "evidences[].container.runtime", OpenTelemetry "container.runtime.name";
    DATA_STREAM_DATASET = "data_stream.dataset", ConstantKeyword, "", Required, Ecs,
        "Always beaconwatch.detection.", "beaconwatch.detection";
    DATA_STREAM_NAMESPACE = "data_stream.namespace", ConstantKeyword, "", Required, Ecs,
        "Namespace of the data stream.", "default";
    DATA_STREAM_TYPE = "data_stream.type", ConstantKeyword, "", Required, Ecs,
        "Always logs.", "logs";
    DESTINATION_BYTES = "destination.bytes", Long, "By", Optional, Ecs,
        "Bytes from destination to source over all connections that have ended.", "352880",
        Cim "bytes_in";
    DESTINATION_DOMAIN = "destination.domain", Keyword, "", Optional, Ecs,
        "Last known name of the server (DNS, TLS server name, HTTP host).", "updates.example.org",
        Cim "dest_name", Ocsf "evidences[].dst_endpoint.hostname", OpenTelemetry "server.address", Sigma "DestinationHostname";
    DESTINATION_IP = "destination.ip", Ip, "", Required, Ecs,
        "Address of the end that answers.", "198.51.100.7",
        Cim "dest", Ocsf "evidences[].dst_endpoint.ip", OpenTelemetry "destination.address", Sigma "DestinationIp";
    DESTINATION_PORT = "destination.port", Long, "", Required, Ecs,
        "Port of the end that answers.", "443",
        Cim "dest_port", Ocsf "evidences[].dst_endpoint.port", OpenTelemetry "destination.port", Sigma "DestinationPort";
    ECS_VERSION = "ecs.version", Keyword, "", Required, Ecs,
        "Version of the Elastic Common Schema that the document follows.", "9.4.0";
    EVENT_ACTION = "event.action", Keyword, "", Required, Ecs,
        "What made this revision: beacon-detected in the first one; later beacon-updated, beacon-escalated, beacon-closed, beacon-reopened, beacon-allowed or beacon-acknowledged.", "beacon-detected",
        OpenTelemetry "beaconwatch.event.action";
    EVENT_CATEGORY = "event.category", Keyword [array], "", Required, Ecs,
        "Always network and intrusion_detection.", "network";
    EVENT_CREATED = "event.created", Date, "", Required, Ecs,
        "When the document was made; the same as @timestamp.", "2025-11-22T08:26:30.123Z";
    EVENT_DATASET = "event.dataset", Keyword, "", Required, Ecs,
        "Always beaconwatch.detection.", "beaconwatch.detection";
    EVENT_END = "event.end", Date, "", Required, Ecs,
        "Start of the last connection.", "2025-11-22T08:26:28.900Z",
        Ocsf "finding_info.last_seen_time";
    EVENT_ID = "event.id", Keyword, "", Required, Ecs,
        "Finding id and revision, joined by a hyphen; also the document's _id, so that a repeated delivery is recognised.", "9f1c2a7be03d4f55a1b2c3d4e5f60718-1",
        Cim "id", Ocsf "metadata.uid", OpenTelemetry "beaconwatch.event.id";
    EVENT_KIND = "event.kind", Keyword, "", Required, Ecs,
        "Always alert.", "alert";
    EVENT_MODULE = "event.module", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_PROVIDER = "event.provider", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_REASON = "event.reason", Keyword, "", Required, Ecs,
        "Why there is this finding, in one sentence with the numbers of this revision.", "Score 0.94 (critical) over 42 connections about every 60.0 s.",
        Cim "description", Ocsf "status_detail";
    EVENT_RISK_SCORE = "event.risk_score", Float, "1", Required, Ecs,
        "Score of the finding, 0 to 100.", "94.0",
        Ocsf "risk_score" as Long, OpenTelemetry "beaconwatch.risk_score";
    EVENT_SEVERITY = "event.severity", Long, "", Required, Ecs,
        "Severity as Elastic's detection rules number it: 21 low, 47 medium, 73 high, 99 critical.", "99",
        Cim "severity_id", OpenTelemetry "beaconwatch.severity";
    EVENT_START = "event.start", Date, "", Required, Ecs,
        "Start of the first connection.", "2025-11-22T07:45:30.000Z",
        Ocsf "finding_info.first_seen_time";
    EVENT_TYPE = "event.type", Keyword [array], "", Required, Ecs,
        "Always info.", "info";
    HOST_ID = "host.id", Keyword, "", Optional, Ecs,
        "Machine id of the host or id of the sensor that observed.", "8f14e45fceea167a5a36dedd4bea2543",
        Ocsf "device.uid", OpenTelemetry "host.id";
    HOST_NAME = "host.name", Keyword, "", Optional, Ecs,
        "Name of the host that observed.", "web-3",
        Cim "dvc", Ocsf "device.hostname", OpenTelemetry "host.name";
    MESSAGE = "message", MatchOnlyText, "", Required, Ecs,
        "What was found, the same in every revision.", "Beaconing from 192.0.2.10 to 198.51.100.7:443/tcp",
        Ocsf "message";
    NETWORK_BYTES = "network.bytes", Long, "By", Optional, Ecs,
        "Bytes both ways over all connections that have ended.", "396308",
        Cim "bytes";
    NETWORK_IANA_NUMBER = "network.iana_number", Keyword, "", Required, Ecs,
        "Transport protocol by its IANA number.", "6",
        Ocsf "evidences[].connection_info.protocol_num" as Long;
    NETWORK_TRANSPORT = "network.transport", Keyword, "", Optional, Ecs,
        "Transport protocol: tcp, udp, icmp or ipv6-icmp; absent for others.", "tcp",
        Cim "transport", Ocsf "evidences[].connection_info.protocol_name", OpenTelemetry "network.transport", Sigma "Protocol";
    NETWORK_TYPE = "network.type", Keyword, "", Required, Ecs,
        "Network layer: ipv4 or ipv6.", "ipv4",
        OpenTelemetry "network.type";
    OBSERVER_NAME = "observer.name", Keyword, "", Optional, Ecs,
        "Name of the detector that made the finding.", "detector-1";
    OBSERVER_PRODUCT = "observer.product", Keyword, "", Required, Ecs,
        "Always Beaconwatch.", "Beaconwatch",
        Ocsf "metadata.product.name";
    OBSERVER_TYPE = "observer.type", Keyword, "", Required, Ecs,
        "Always ids.", "ids",
        Cim "ids_type";
    OBSERVER_VENDOR = "observer.vendor", Keyword, "", Required, Ecs,
        "Always Beaconwatch.", "Beaconwatch",
        Ocsf "metadata.product.vendor_name";
    OBSERVER_VERSION = "observer.version", Keyword, "", Required, Ecs,
        "Version of the detector.", "0.1.0",
        Ocsf "metadata.product.version";
    ORCHESTRATOR_NAMESPACE = "orchestrator.namespace", Keyword, "", Optional, Ecs,
        "Kubernetes namespace of the pod.", "shop",
        OpenTelemetry "k8s.namespace.name";
    ORCHESTRATOR_RESOURCE_ID = "orchestrator.resource.id", Keyword, "", Optional, Ecs,
        "Uid of the pod that the process is in.", "0f8e4a2f-6d3b-4c1e-9a5d-7c0b1a2f3e4d",
        OpenTelemetry "k8s.pod.uid";
    ORCHESTRATOR_RESOURCE_NAME = "orchestrator.resource.name", Keyword, "", Optional, Ecs,
        "Name of the pod.", "web-7d4b9c6f5-x2x7k",
        OpenTelemetry "k8s.pod.name";
    PROCESS_COMMAND_LINE = "process.command_line", Keyword, "", Optional, Ecs,
        "Command line of the process, its first 1024 bytes: only when the exporter tells it.", "curl -s https://updates.example.org/",
        Cim "process", Ocsf "evidences[].process.cmd_line", OpenTelemetry "process.command_line";
    PROCESS_EXECUTABLE = "process.executable", Keyword, "", Optional, Ecs,
        "Path of the last known executable at the source.", "/usr/bin/curl",
        Cim "process_path", Ocsf "evidences[].process.file.path", OpenTelemetry "process.executable.path", Sigma "Image";
    PROCESS_HASH = "process.hash.sha256", Keyword, "", Optional, Ecs,
        "SHA-256 of the executable: only when the exporter tells it.", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        Cim "process_hash", Ocsf "evidences[].process.file.hashes[].value", OpenTelemetry "beaconwatch.process.executable.sha256";
    PROCESS_NAME = "process.name", Keyword, "", Optional, Ecs,
        "Command name of the last known process at the source.", "curl",
        Cim "process_name", Ocsf "evidences[].process.name", OpenTelemetry "process.executable.name";
    PROCESS_PARENT_EXECUTABLE = "process.parent.executable", Keyword, "", Optional, Ecs,
        "Executable of the parent.", "/usr/bin/bash",
        Cim "parent_process_path", Ocsf "evidences[].process.parent_process.file.path", OpenTelemetry "beaconwatch.process.parent.executable";
    PROCESS_PARENT_NAME = "process.parent.name", Keyword, "", Optional, Ecs,
        "Command name of the parent.", "bash",
        Cim "parent_process_name", Ocsf "evidences[].process.parent_process.name", OpenTelemetry "beaconwatch.process.parent.name";
    PROCESS_PARENT_PID = "process.parent.pid", Long, "", Optional, Ecs,
        "Parent of the process when the exporter looked.", "4700",
        Cim "parent_process_id", Ocsf "evidences[].process.parent_process.pid", OpenTelemetry "process.parent_pid";
    PROCESS_PID = "process.pid", Long, "", Optional, Ecs,
        "Id of the last known process at the source.", "4711",
        Cim "process_id", Ocsf "evidences[].process.pid", OpenTelemetry "process.pid", Sigma "ProcessId";
    PROCESS_REAL_USER_ID = "process.real_user.id", Keyword, "", Optional, Ecs,
        "User id of the last known process at the source.", "1000",
        Cim "user", Ocsf "evidences[].process.user.uid", OpenTelemetry "process.real_user.id", Sigma "User";
    PROCESS_REAL_USER_NAME = "process.real_user.name", Keyword, "", Optional, Ecs,
        "Name of that user on the host.", "alice",
        Ocsf "evidences[].process.user.name", OpenTelemetry "process.real_user.name";
    PROCESS_START = "process.start", Date, "", Optional, Ecs,
        "When the last known process at the source began.", "2025-11-22T07:44:59.870Z",
        Ocsf "evidences[].process.created_time", OpenTelemetry "process.creation.time";
    RELATED_HOSTS = "related.hosts", Keyword [array], "", Optional, Ecs,
        "Names of the host and of the server.", "web-3";
    RELATED_IP = "related.ip", Ip [array], "", Required, Ecs,
        "Addresses of both ends.", "192.0.2.10";
    RELATED_USER = "related.user", Keyword [array], "", Optional, Ecs,
        "Id and name of the user of the process.", "1000";
    RULE_CATEGORY = "rule.category", Keyword, "", Required, Ecs,
        "Always Command and Control.", "Command and Control",
        Cim "category";
    RULE_DESCRIPTION = "rule.description", Keyword, "", Required, Ecs,
        "What the method looks for.", "Connections that start at regular intervals.";
    RULE_ID = "rule.id", Keyword, "", Required, Ecs,
        "Identity of the method: beaconwatch- and its name.", "beaconwatch-seed",
        Cim "signature_id", Ocsf "finding_info.analytic.uid";
    RULE_NAME = "rule.name", Keyword, "", Required, Ecs,
        "Name of the method for people.", "Periodic connections (seed score)",
        Cim "signature", Ocsf "finding_info.analytic.name";
    RULE_RULESET = "rule.ruleset", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    RULE_VERSION = "rule.version", Keyword, "", Required, Ecs,
        "Version of the method.", "1",
        Ocsf "finding_info.analytic.version";
    SOURCE_BYTES = "source.bytes", Long, "By", Optional, Ecs,
        "Bytes from source to destination over all connections that have ended.", "43428",
        Cim "bytes_out";
    SOURCE_IP = "source.ip", Ip, "", Required, Ecs,
        "Address of the end that initiates.", "192.0.2.10",
        Cim "src", Ocsf "evidences[].src_endpoint.ip", OpenTelemetry "source.address", Sigma "SourceIp";
    TAGS = "tags", Keyword [array], "", Required, Ecs,
        "Always beaconing; simulated when `beaconwatch simulate` made the connections; sigma when a Sigma rule matches.", "beaconing";
    THREAT_FRAMEWORK = "threat.framework", Keyword, "", Required, Ecs,
        "Always MITRE ATT&CK.", "MITRE ATT&CK";
    THREAT_TACTIC_ID = "threat.tactic.id", Keyword [array], "", Required, Ecs,
        "Tactic: TA0011.", "TA0011";
    THREAT_TACTIC_NAME = "threat.tactic.name", Keyword [array], "", Required, Ecs,
        "Tactic: Command and Control.", "Command and Control";
    THREAT_TACTIC_REFERENCE = "threat.tactic.reference", Keyword [array], "", Required, Ecs,
        "Where the tactic is described.", "https://attack.mitre.org/tactics/TA0011/";
    THREAT_TECHNIQUE_ID = "threat.technique.id", Keyword [array], "", Required, Ecs,
        "Technique: T1071 for TCP and UDP, T1095 for other protocols.", "T1071",
        Cim "mitre_technique_id";
    THREAT_TECHNIQUE_NAME = "threat.technique.name", Keyword [array], "", Required, Ecs,
        "Name of the technique.", "Application Layer Protocol";
    THREAT_TECHNIQUE_REFERENCE = "threat.technique.reference", Keyword [array], "", Required, Ecs,
        "Where the technique is described.", "https://attack.mitre.org/techniques/T1071/";
    THREAT_SUBTECHNIQUE_ID = "threat.technique.subtechnique.id", Keyword [array], "", Optional, Ecs,
        "Sub-technique that the port suggests: T1071.001 for 80, 443, 8080 and 8443, T1071.004 for 53.", "T1071.001";
    THREAT_SUBTECHNIQUE_NAME = "threat.technique.subtechnique.name", Keyword [array], "", Optional, Ecs,
        "Name of the sub-technique.", "Web Protocols";
    THREAT_SUBTECHNIQUE_REFERENCE = "threat.technique.subtechnique.reference", Keyword [array], "", Optional, Ecs,
        "Where the sub-technique is described.", "https://attack.mitre.org/techniques/T1071/001/";
    TLS_CLIENT_JA3 = "tls.client.ja3", Keyword, "", Optional, Ecs,
        "Last known fingerprint of the client's TLS as JA3, where the input has no JA4.", "d4e5b18d6b55c71272893221c96ba240";
}
