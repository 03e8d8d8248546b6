//! Whether all sensors are heard and all documents arrive.

use beaconwatch_schema::{detection, flow, ingest, sensor};

use super::{column, group, panel_over};
use crate::panel::{Condition, Control, Dashboard, DataSet, Drawing, Mark, Measure, at};

pub(super) const DASHBOARD: Dashboard = Dashboard {
    id: "health",
    title: "Sensors and delivery",
    description: "Exporters that are heard, records that are missing, and how late documents arrive.",
    controls: &[Control {
        title: "Host",
        field: flow::HOST_NAME,
    }],
    panels: &[
        panel_over(
            "exporters",
            "Exporters heard",
            at(0, 0, 12, 6),
            DataSet::Flow,
            &[],
            Drawing::Number(column("Exporters", Measure::Unique(flow::EXPORTER_ID))),
        ),
        panel_over(
            "records",
            "Flow records",
            at(12, 0, 12, 6),
            DataSet::Flow,
            &[],
            Drawing::Number(column("Records", Measure::Count)),
        ),
        panel_over(
            "silent",
            "Sensors that fell silent",
            at(24, 0, 12, 6),
            DataSet::Sensor,
            &[Condition::Is(sensor::EVENT_ACTION, "sensor-silent")],
            Drawing::Number(column("Sensors", Measure::Unique(sensor::SENSOR_ID))),
        ),
        panel_over(
            "suppressed",
            "Detections that were suppressed",
            at(36, 0, 12, 6),
            DataSet::Detection,
            &[],
            Drawing::Number(column(
                "Suppressed",
                Measure::Sum(detection::SUPPRESSION_COUNT),
            )),
        ),
        panel_over(
            "records-over-time",
            "Flow records over time by host",
            at(0, 6, 24, 12),
            DataSet::Flow,
            &[],
            Drawing::OverTime {
                mark: Mark::StackedBars,
                columns: &[column("Records", Measure::Count)],
                group: Some(group("Host", flow::HOST_NAME, 10)),
            },
        ),
        panel_over(
            "sensor-events",
            "Sensors: silent, gaps, recovered",
            at(24, 6, 24, 12),
            DataSet::Sensor,
            &[],
            Drawing::OverTime {
                mark: Mark::StackedBars,
                columns: &[column("Events", Measure::Count)],
                group: Some(group("Action", sensor::EVENT_ACTION, 3)),
            },
        ),
        panel_over(
            "sensors",
            "Sensors with a fault",
            at(0, 18, 48, 12),
            DataSet::Sensor,
            &[],
            Drawing::Table {
                groups: &[group("Sensor", sensor::SENSOR_ID, 50)],
                columns: &[
                    column("Missing", Measure::Maximum(sensor::MISSING)),
                    column("Received", Measure::Last(sensor::RECEIVED)),
                    column("Gaps", Measure::Last(sensor::GAPS)),
                    column("Host", Measure::Last(sensor::HOST_NAME)),
                    column("State", Measure::Last(sensor::FINDING_STATE)),
                    column("Last record", Measure::Maximum(sensor::LAST_SEEN)),
                ],
            },
        ),
        panel_over(
            "lag",
            "Seconds from a document's making to its arrival",
            at(0, 30, 24, 12),
            DataSet::Detection,
            &[Condition::Exists(ingest::DELIVERY_LAG)],
            Drawing::OverTime {
                mark: Mark::Lines,
                columns: &[
                    column("95 % within", Measure::Percentile95(ingest::DELIVERY_LAG)),
                    column("Slowest", Measure::Maximum(ingest::DELIVERY_LAG)),
                ],
                group: None,
            },
        ),
        panel_over(
            "documents",
            "Detections delivered over time by version",
            at(24, 30, 24, 12),
            DataSet::Detection,
            &[],
            Drawing::OverTime {
                mark: Mark::StackedBars,
                columns: &[column("Documents", Measure::Count)],
                group: Some(group("Version", detection::OBSERVER_VERSION, 10)),
            },
        ),
        panel_over(
            "closed",
            "Ended flows by reason",
            at(0, 42, 24, 12),
            DataSet::Flow,
            &[Condition::Exists(flow::CLOSE_REASON)],
            Drawing::Shares {
                group: group("Reason", flow::CLOSE_REASON, 8),
                column: column("Flows", Measure::Count),
            },
        ),
        panel_over(
            "faults",
            "Newest events of sensors",
            at(24, 42, 24, 12),
            DataSet::Sensor,
            &[],
            Drawing::Documents {
                fields: &[
                    sensor::TIMESTAMP,
                    sensor::HOST_NAME,
                    sensor::EVENT_ACTION,
                    sensor::EVENT_REASON,
                ],
            },
        ),
    ],
};
