//! Fields of a rule match document: what a Sigma rule found in flows, or a correlation in several documents.
//!
//! A rule that matches a detection document makes no document of its own: it marks that one
//! ([`crate::detection::SIGMA_ID`]). `event.id` is made from the rule and what it matched, so that a match that is
//! found again (a replay after a crash) is recognised.

use crate::field::fields;

/// Value of [`DATA_STREAM_TYPE`].
pub const STREAM_TYPE: &str = "logs";
/// Value of [`DATA_STREAM_DATASET`] and of [`EVENT_DATASET`].
pub const DATASET: &str = "beaconwatch.rule";

fields! {
    TIMESTAMP = "@timestamp", Date, "", Required, Ecs,
        "Time of the document that completed the match.", "2025-11-22T08:26:30.123Z";
    FLOW_ID = "beaconwatch.flow.id", Keyword, "", Optional, Beaconwatch,
        "Identity of the flow that was matched: 32 hexadecimal digits.", "5b0c3f8d9e6a4b17a2c4d6e8f0123456";
    CORRELATION_TYPE = "beaconwatch.sigma.correlation.type", Keyword, "", Optional, Beaconwatch,
        "Type of the correlation: event_count, value_count, temporal, temporal_ordered, value_sum, value_avg, value_percentile or value_median; absent for a rule.", "value_count";
    CORRELATION_VALUE = "beaconwatch.sigma.correlation.value", Double, "", Optional, Beaconwatch,
        "What the correlation counted or computed.", "3";
    CORRELATION_WINDOW = "beaconwatch.sigma.correlation.window_s", Long, "s", Optional, Beaconwatch,
        "Length of the correlation's window.", "3600";
    SIGMA_DOCUMENTS = "beaconwatch.sigma.documents", Keyword [array], "", Required, Beaconwatch,
        "What was matched, newest first, up to 16: event.id of detections and of rule matches, beaconwatch.flow.id of flows.", "9f1c2a7be03d4f55a1b2c3d4e5f60718-1";
    SIGMA_GROUP = "beaconwatch.sigma.group", Keyword [array], "", Optional, Beaconwatch,
        "What the documents of a correlation share: field=value.", "destination.ip=198.51.100.7";
    SIGMA_ID = "beaconwatch.sigma.id", Keyword [array], "", Required, Beaconwatch,
        "Identity of the Sigma rule.", "3f1c9d52-7d0e-4a5a-9c43-0f6f4f3f8a11";
    SIGMA_LEVEL = "beaconwatch.sigma.level", Keyword [array], "", Required, Beaconwatch,
        "Level of the Sigma rule: informational, low, medium, high or critical.", "high";
    SIGMA_TITLE = "beaconwatch.sigma.title", Keyword [array], "", Required, Beaconwatch,
        "Title of the Sigma rule.", "Beacons Of Several Hosts To One Destination";
    SUPPRESSION_COUNT = "beaconwatch.suppression.count", Long, "", Optional, Beaconwatch,
        "Matches of this rule since its document before that got none of their own.", "17";
    SYSTEMD_UNIT = "beaconwatch.systemd.unit", Keyword, "", Optional, Beaconwatch,
        "Unit of systemd at the source: of one flow.", "nginx.service";
    CONTAINER_ID = "container.id", Keyword, "", Optional, Ecs,
        "Container at the source: of one flow.", "3f4a5b6c7d8e9f00112233445566778899aabbccddeeff001122334455667788";
    DATA_STREAM_DATASET = "data_stream.dataset", ConstantKeyword, "", Required, Ecs,
        "Always beaconwatch.rule.", "beaconwatch.rule";
    DATA_STREAM_NAMESPACE = "data_stream.namespace", ConstantKeyword, "", Required, Ecs,
        "Namespace of the data stream.", "default";
    DATA_STREAM_TYPE = "data_stream.type", ConstantKeyword, "", Required, Ecs,
        "Always logs.", "logs";
    DESTINATION_DOMAIN = "destination.domain", Keyword, "", Optional, Ecs,
        "Name of the server.", "updates.example.org",
        Cim "dest_name", Sigma "DestinationHostname";
    DESTINATION_IP = "destination.ip", Ip, "", Optional, Ecs,
        "Address of the end that answers, when the documents share it.", "198.51.100.7",
        Cim "dest", Sigma "DestinationIp";
    DESTINATION_PORT = "destination.port", Long, "", Optional, Ecs,
        "Port of the end that answers.", "443",
        Cim "dest_port", Sigma "DestinationPort";
    ECS_VERSION = "ecs.version", Keyword, "", Required, Ecs,
        "Version of the Elastic Common Schema that the document follows.", "9.4.0";
    EVENT_ACTION = "event.action", Keyword, "", Required, Ecs,
        "rule-matched or correlation-matched.", "correlation-matched";
    EVENT_CATEGORY = "event.category", Keyword [array], "", Required, Ecs,
        "Always network and intrusion_detection.", "network";
    EVENT_CREATED = "event.created", Date, "", Required, Ecs,
        "When the document was made.", "2025-11-22T08:26:31.004Z";
    EVENT_DATASET = "event.dataset", Keyword, "", Required, Ecs,
        "Always beaconwatch.rule.", "beaconwatch.rule";
    EVENT_END = "event.end", Date, "", Optional, Ecs,
        "Time of the newest document of a correlation.", "2025-11-22T08:26:30.123Z";
    EVENT_ID = "event.id", Keyword, "", Required, Ecs,
        "Made from the rule and what it matched; also the document's _id, so that a repeated delivery is recognised.", "sigma-6c1f0be2a94d57e833b0a1c2d3e4f506",
        Cim "id";
    EVENT_KIND = "event.kind", Keyword, "", Required, Ecs,
        "Always alert.", "alert";
    EVENT_MODULE = "event.module", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_PROVIDER = "event.provider", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_REASON = "event.reason", Keyword, "", Required, Ecs,
        "Why there is this document, in one sentence.", "value_count is 3 within 3600 s for destination.ip=198.51.100.7.",
        Cim "description";
    EVENT_RISK_SCORE = "event.risk_score", Float, "1", Required, Ecs,
        "By the rule's level: the same as event.severity.", "73.0";
    EVENT_SEVERITY = "event.severity", Long, "", Required, Ecs,
        "Severity of the rule's level as Elastic's detection rules number it: 21 informational and low, 47 medium, 73 high, 99 critical.", "73",
        Cim "severity_id";
    EVENT_START = "event.start", Date, "", Optional, Ecs,
        "Time of the oldest document of a correlation.", "2025-11-22T07:45:30.000Z";
    EVENT_TYPE = "event.type", Keyword [array], "", Required, Ecs,
        "Always info.", "info";
    HOST_ID = "host.id", Keyword, "", Optional, Ecs,
        "Machine id of the host that observed, when the documents share it.", "8f14e45fceea167a5a36dedd4bea2543";
    HOST_NAME = "host.name", Keyword, "", Optional, Ecs,
        "Name of the host that observed.", "web-3",
        Cim "dvc";
    MESSAGE = "message", MatchOnlyText, "", Required, Ecs,
        "Title of the rule, and what it is about.", "Beacons Of Several Hosts To One Destination: 198.51.100.7";
    NETWORK_COMMUNITY_ID = "network.community_id", Keyword, "", Optional, Ecs,
        "Community ID (version 1, seed 0) of the flow that was matched.", "1:LQU9qZlK+B5F3KDmev6m5PMibrg=";
    NETWORK_TRANSPORT = "network.transport", Keyword, "", Optional, Ecs,
        "Transport protocol.", "tcp",
        Cim "transport", Sigma "Protocol";
    OBSERVER_NAME = "observer.name", Keyword, "", Optional, Ecs,
        "Name of the detector that evaluated the rule.", "detector-1";
    OBSERVER_PRODUCT = "observer.product", Keyword, "", Required, Ecs,
        "Always Beaconwatch.", "Beaconwatch";
    OBSERVER_TYPE = "observer.type", Keyword, "", Required, Ecs,
        "Always ids.", "ids",
        Cim "ids_type";
    OBSERVER_VENDOR = "observer.vendor", Keyword, "", Required, Ecs,
        "Always Beaconwatch.", "Beaconwatch";
    OBSERVER_VERSION = "observer.version", Keyword, "", Required, Ecs,
        "Version of the detector.", "0.1.0";
    ORCHESTRATOR_NAMESPACE = "orchestrator.namespace", Keyword, "", Optional, Ecs,
        "Kubernetes namespace of the pod at the source: of one flow.", "shop";
    ORCHESTRATOR_RESOURCE_NAME = "orchestrator.resource.name", Keyword, "", Optional, Ecs,
        "Name of the pod at the source: of one flow.", "web-7d4b9c6f5-x2x7k";
    PROCESS_EXECUTABLE = "process.executable", Keyword, "", Optional, Ecs,
        "Path of the executable at the source.", "/usr/bin/curl",
        Cim "process_path", Sigma "Image";
    PROCESS_NAME = "process.name", Keyword, "", Optional, Ecs,
        "Command name of the process at the source.", "curl",
        Cim "process_name";
    PROCESS_PARENT_EXECUTABLE = "process.parent.executable", Keyword, "", Optional, Ecs,
        "Path of the parent's executable at the source: of one flow.", "/usr/bin/bash",
        Cim "parent_process_path";
    PROCESS_PARENT_NAME = "process.parent.name", Keyword, "", Optional, Ecs,
        "Command name of the parent at the source: of one flow.", "bash",
        Cim "parent_process_name";
    PROCESS_PID = "process.pid", Long, "", Optional, Ecs,
        "Id of the process at the source.", "4711",
        Cim "process_id", Sigma "ProcessId";
    PROCESS_REAL_USER_ID = "process.real_user.id", Keyword, "", Optional, Ecs,
        "User id of the process at the source.", "1000",
        Cim "user", Sigma "User";
    PROCESS_REAL_USER_NAME = "process.real_user.name", Keyword, "", Optional, Ecs,
        "Name of that user: of one flow.", "alice";
    RELATED_HOSTS = "related.hosts", Keyword [array], "", Optional, Ecs,
        "Names of hosts and servers in the documents.", "web-3";
    RELATED_IP = "related.ip", Ip [array], "", Optional, Ecs,
        "Addresses in the documents.", "192.0.2.10";
    RELATED_USER = "related.user", Keyword [array], "", Optional, Ecs,
        "User ids in the documents.", "1000";
    RULE_CATEGORY = "rule.category", Keyword, "", Required, Ecs,
        "Sigma rule or Sigma correlation.", "Sigma correlation",
        Cim "category";
    RULE_DESCRIPTION = "rule.description", Keyword, "", Optional, Ecs,
        "Description of the rule.", "Detects beacons of three or more hosts to one destination";
    RULE_ID = "rule.id", Keyword, "", Required, Ecs,
        "Identity of the rule.", "3f1c9d52-7d0e-4a5a-9c43-0f6f4f3f8a11",
        Cim "signature_id";
    RULE_NAME = "rule.name", Keyword, "", Required, Ecs,
        "Title of the rule.", "Beacons Of Several Hosts To One Destination",
        Cim "signature";
    RULE_RULESET = "rule.ruleset", Keyword, "", Required, Ecs,
        "Always sigma.", "sigma";
    SOURCE_IP = "source.ip", Ip, "", Optional, Ecs,
        "Address of the end that initiates, when the documents share it.", "192.0.2.10",
        Cim "src", Sigma "SourceIp";
    SOURCE_PORT = "source.port", Long, "", Optional, Ecs,
        "Port of the end that initiates: of one flow.", "49152",
        Cim "src_port", Sigma "SourcePort";
    TAGS = "tags", Keyword [array], "", Required, Ecs,
        "Always sigma; simulated when a document was.", "sigma";
    THREAT_FRAMEWORK = "threat.framework", Keyword, "", Optional, Ecs,
        "MITRE ATT&CK, when the rule has tags of it.", "MITRE ATT&CK";
    THREAT_TACTIC_ID = "threat.tactic.id", Keyword [array], "", Optional, Ecs,
        "Tactics of the rule's tags.", "TA0011";
    THREAT_TACTIC_NAME = "threat.tactic.name", Keyword [array], "", Optional, Ecs,
        "Names of the tactics.", "Command and Control";
    THREAT_TACTIC_REFERENCE = "threat.tactic.reference", Keyword [array], "", Optional, Ecs,
        "Where the tactics are described.", "https://attack.mitre.org/tactics/TA0011/";
    THREAT_TECHNIQUE_ID = "threat.technique.id", Keyword [array], "", Optional, Ecs,
        "Techniques of the rule's tags.", "T1071",
        Cim "mitre_technique_id";
    THREAT_TECHNIQUE_REFERENCE = "threat.technique.reference", Keyword [array], "", Optional, Ecs,
        "Where the techniques are described.", "https://attack.mitre.org/techniques/T1071/";
    THREAT_SUBTECHNIQUE_ID = "threat.technique.subtechnique.id", Keyword [array], "", Optional, Ecs,
        "Sub-techniques of the rule's tags.", "T1071.001";
    THREAT_SUBTECHNIQUE_REFERENCE = "threat.technique.subtechnique.reference", Keyword [array], "", Optional, Ecs,
        "Where the sub-techniques are described.", "https://attack.mitre.org/techniques/T1071/001/";
}
