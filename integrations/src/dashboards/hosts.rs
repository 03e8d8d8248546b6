//! Hosts ranked for triage.

use beaconwatch_schema::detection::{
    DESTINATION_IP, EVENT_REASON, EVENT_RISK_SCORE, FINDING_ID, HOST_NAME, PROCESS_EXECUTABLE,
    PROCESS_NAME, SEVERITY, SOURCE_IP, TIMESTAMP, VIEW_KIND,
};

use super::{BY_SEVERITY, FINDINGS, HIGHEST_RISK, LAST_SEEN, column, group, panel};
use crate::panel::{Condition, Control, Dashboard, Drawing, Mark, Measure, at};

const BY_SOURCE: crate::panel::Group = group("Source", SOURCE_IP, 10);

pub(super) const DASHBOARD: Dashboard = Dashboard {
    id: "hosts",
    title: "Hosts",
    description: "Hosts by risk, and what raised it.",
    controls: &[
        Control {
            title: "Host",
            field: HOST_NAME,
        },
        Control {
            title: "Source",
            field: SOURCE_IP,
        },
    ],
    panels: &[
        panel(
            "ranked",
            "Hosts by risk",
            at(0, 0, 48, 15),
            &[],
            Drawing::Table {
                groups: &[group("Source", SOURCE_IP, 50)],
                columns: &[
                    HIGHEST_RISK,
                    column("Mean risk", Measure::Average(EVENT_RISK_SCORE)),
                    column("Host", Measure::Last(HOST_NAME)),
                    FINDINGS,
                    column("Destinations", Measure::Unique(DESTINATION_IP)),
                    column("Processes", Measure::Unique(PROCESS_NAME)),
                    LAST_SEEN,
                ],
            },
        ),
        panel(
            "risk-over-time",
            "Highest risk over time by source",
            at(0, 15, 24, 12),
            &[],
            Drawing::OverTime {
                mark: Mark::Lines,
                columns: &[HIGHEST_RISK],
                group: Some(BY_SOURCE),
            },
        ),
        panel(
            "findings-over-time",
            "Findings over time by source",
            at(24, 15, 24, 12),
            &[],
            Drawing::OverTime {
                mark: Mark::StackedBars,
                columns: &[FINDINGS],
                group: Some(BY_SOURCE),
            },
        ),
        panel(
            "severities",
            "Severities that findings of a source reached",
            at(0, 27, 24, 12),
            &[],
            Drawing::Table {
                groups: &[group("Source", SOURCE_IP, 20), BY_SEVERITY],
                columns: &[FINDINGS, LAST_SEEN],
            },
        ),
        panel(
            "executables",
            "Executables that beat",
            at(24, 27, 24, 12),
            &[],
            Drawing::Table {
                groups: &[group("Executable", PROCESS_EXECUTABLE, 20)],
                columns: &[
                    HIGHEST_RISK,
                    FINDINGS,
                    column("Sources", Measure::Unique(SOURCE_IP)),
                    LAST_SEEN,
                ],
            },
        ),
        panel(
            "views",
            "Series that beat as one, by what they share",
            at(0, 39, 16, 12),
            &[Condition::Exists(VIEW_KIND)],
            Drawing::Shares {
                group: group("Shared", VIEW_KIND, 6),
                column: FINDINGS,
            },
        ),
        panel(
            "newest",
            "Newest detections",
            at(16, 39, 32, 12),
            &[],
            Drawing::Documents {
                fields: &[
                    TIMESTAMP,
                    SOURCE_IP,
                    SEVERITY,
                    DESTINATION_IP,
                    FINDING_ID,
                    EVENT_REASON,
                ],
            },
        ),
    ],
};
