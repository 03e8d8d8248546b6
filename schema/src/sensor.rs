//! Fields of a sensor document: a sensor that fell silent, came back, or lost records.
//!
//! As with detections, one document states one revision of one finding, and `event.id` is made from
//! [`FINDING_ID`] and [`FINDING_REVISION`].

use crate::field::fields;

/// Value of [`DATA_STREAM_TYPE`].
pub const STREAM_TYPE: &str = "logs";
/// Value of [`DATA_STREAM_DATASET`] and of [`EVENT_DATASET`].
pub const DATASET: &str = "beaconwatch.sensor";

fields! {
    TIMESTAMP = "@timestamp", Date, "", Required, Ecs,
        "When this revision of the finding was made.", "2025-11-22T08:26:30.123Z",
        Ocsf "time";
    FINDING_CLOSED = "beaconwatch.finding.closed", Date, "", Optional, Beaconwatch,
        "When the finding closed, while it is closed.", "2025-11-22T10:12:00.000Z";
    FINDING_ID = "beaconwatch.finding.id", Keyword, "", Required, Beaconwatch,
        "Identity of the finding through all of its revisions.", "9f1c2a7be03d4f55a1b2c3d4e5f60718",
        Ocsf "finding_info.uid";
    FINDING_OPENED = "beaconwatch.finding.opened", Date, "", Required, Beaconwatch,
        "When the first revision of the finding was made.", "2025-11-22T08:26:30.123Z",
        Ocsf "finding_info.created_time";
    FINDING_REVISION = "beaconwatch.finding.revision", Long, "", Required, Beaconwatch,
        "Number of this revision, from 1.", "1";
    FINDING_STATE = "beaconwatch.finding.state", Keyword, "", Required, Beaconwatch,
        "open while the fault lasts, else closed.", "open";
    GAPS = "beaconwatch.sensor.gaps", Long, "", Required, Beaconwatch,
        "Separate ranges of sequence numbers that are missing.", "2";
    SENSOR_ID = "beaconwatch.sensor.id", Keyword, "", Required, Beaconwatch,
        "Identity of the sensor's run: beaconwatch.exporter.id of its records.", "0f8e4a2f6d3b4c1e9a5d7c0b1a2f3e4d";
    LAST_SEEN = "beaconwatch.sensor.last_seen", Date, "", Required, Beaconwatch,
        "When its last record came.", "2025-11-22T08:21:02.000Z",
        Ocsf "finding_info.last_seen_time";
    MISSING = "beaconwatch.sensor.missing", Long, "{record}", Required, Beaconwatch,
        "Records that should have come and have not.", "340";
    RECEIVED = "beaconwatch.sensor.received", Long, "{record}", Required, Beaconwatch,
        "Records that came, duplicates not counted.", "81250";
    DATA_STREAM_DATASET = "data_stream.dataset", ConstantKeyword, "", Required, Ecs,
        "Always beaconwatch.sensor.", "beaconwatch.sensor";
    DATA_STREAM_NAMESPACE = "data_stream.namespace", ConstantKeyword, "", Required, Ecs,
        "Namespace of the data stream.", "default";
    DATA_STREAM_TYPE = "data_stream.type", ConstantKeyword, "", Required, Ecs,
        "Always logs.", "logs";
    ECS_VERSION = "ecs.version", Keyword, "", Required, Ecs,
        "Version of the Elastic Common Schema that the document follows.", "9.4.0";
    EVENT_ACTION = "event.action", Keyword, "", Required, Ecs,
        "sensor-silent, sensor-gap or sensor-recovered.", "sensor-silent",
        Cim "signature";
    EVENT_CATEGORY = "event.category", Keyword [array], "", Required, Ecs,
        "Always host.", "host";
    EVENT_CREATED = "event.created", Date, "", Required, Ecs,
        "When the document was made; the same as @timestamp.", "2025-11-22T08:26:30.123Z";
    EVENT_DATASET = "event.dataset", Keyword, "", Required, Ecs,
        "Always beaconwatch.sensor.", "beaconwatch.sensor";
    EVENT_ID = "event.id", Keyword, "", Required, Ecs,
        "Finding id and revision, joined by a hyphen; also the document's _id.", "9f1c2a7be03d4f55a1b2c3d4e5f60718-1",
        Cim "id", Ocsf "metadata.uid";
    EVENT_KIND = "event.kind", Keyword, "", Required, Ecs,
        "alert while the fault lasts, event when it is over.", "alert";
    EVENT_MODULE = "event.module", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_PROVIDER = "event.provider", Keyword, "", Required, Ecs,
        "Always beaconwatch.", "beaconwatch";
    EVENT_REASON = "event.reason", Keyword, "", Required, Ecs,
        "What happened, in one sentence with the numbers of this revision.", "The last of 81250 records came at 2025-11-22T08:21:02.000Z.",
        Cim "description", Ocsf "status_detail";
    EVENT_SEVERITY = "event.severity", Long, "", Required, Ecs,
        "Severity as Elastic's detection rules number it: always 47, medium.", "47",
        Cim "severity_id";
    EVENT_TYPE = "event.type", Keyword [array], "", Required, Ecs,
        "Always info.", "info";
    HOST_ID = "host.id", Keyword, "", Optional, Ecs,
        "Machine id of the sensor's host.", "8f14e45fceea167a5a36dedd4bea2543",
        Ocsf "device.uid";
    HOST_NAME = "host.name", Keyword, "", Optional, Ecs,
        "Name of the sensor's host.", "web-3",
        Cim "dest", Ocsf "device.hostname";
    MESSAGE = "message", MatchOnlyText, "", Required, Ecs,
        "What happened, in a few words.", "Sensor web-3 fell silent",
        Cim "subject", Ocsf "message";
    OBSERVER_NAME = "observer.name", Keyword, "", Optional, Ecs,
        "Name of the detector that noticed.", "detector-1";
    OBSERVER_PRODUCT = "observer.product", Keyword, "", Required, Ecs,
        "Always Beaconwatch.", "Beaconwatch",
        Ocsf "metadata.product.name";
    OBSERVER_TYPE = "observer.type", Keyword, "", Required, Ecs,
        "Always ids.", "ids";
    OBSERVER_VENDOR = "observer.vendor", Keyword, "", Required, Ecs,
        "Always Beaconwatch.", "Beaconwatch",
        Ocsf "metadata.product.vendor_name";
    OBSERVER_VERSION = "observer.version", Keyword, "", Required, Ecs,
        "Version of the detector.", "0.1.0",
        Ocsf "metadata.product.version";
    TAGS = "tags", Keyword [array], "", Required, Ecs,
        "Always sensor.", "sensor";
}
