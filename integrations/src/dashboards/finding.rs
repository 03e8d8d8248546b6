//! One finding in depth: choose it above, and see how it came about and went on.

use beaconwatch_schema::detection::{
    COUNT, DESTINATION_BYTES, DESTINATION_DOMAIN, DESTINATION_IP, DESTINATION_PORT, EVENT_ACTION,
    EVENT_REASON, EVENT_RISK_SCORE, EVIDENCE_BEATS, EVIDENCE_MISS_RATE, EVIDENCE_P_VALUE_ANY_LOOK,
    EVIDENCE_PERIOD, EXPLANATION, FINDING_ID, FINDING_REVISION, FINDING_STATE, INTERVAL_JITTER,
    INTERVAL_MAD, INTERVAL_MEDIAN, PROCESS_EXECUTABLE, SCORE, SOURCE_BYTES, SOURCE_IP, TIMESTAMP,
};
use beaconwatch_schema::flow;
use beaconwatch_schema::flow_document;

use super::{LAST_SEEN, column, group, panel};
use crate::panel::{
    Column, Control, Dashboard, DataSet, Drawing, Group, Mark, Measure, Panel, Place, at,
};

/// One line for each finding, until one is chosen.
const BY_FINDING: Group = group("Finding", FINDING_ID, 5);

pub(super) const DASHBOARD: Dashboard = Dashboard {
    id: "finding",
    title: "One finding in depth",
    description: "Choose a finding: its revisions, evidence, intervals and bytes, and the flows of its ends.",
    controls: &[
        Control {
            title: "Finding",
            field: FINDING_ID,
        },
        Control {
            title: "Source",
            field: SOURCE_IP,
        },
        Control {
            title: "Destination",
            field: DESTINATION_IP,
        },
    ],
    panels: &[
        number("score", "Score", 0, column("Score", Measure::Last(SCORE))),
        number(
            "period",
            "Period in seconds",
            8,
            column("Period in seconds", Measure::Last(EVIDENCE_PERIOD)),
        ),
        number(
            "jitter",
            "Jitter in %",
            16,
            column("Jitter in %", Measure::Last(INTERVAL_JITTER)),
        ),
        number(
            "beats",
            "Beats measured",
            24,
            column("Beats", Measure::Last(EVIDENCE_BEATS)),
        ),
        number(
            "missed",
            "Share of beats missed",
            32,
            column("Share missed", Measure::Last(EVIDENCE_MISS_RATE)),
        ),
        number(
            "connections",
            "Connections",
            40,
            column("Connections", Measure::Maximum(COUNT)),
        ),
        panel(
            "findings",
            "Findings",
            at(0, 6, 48, 10),
            &[],
            Drawing::Table {
                groups: &[group("Finding", FINDING_ID, 20)],
                columns: &[
                    column("Risk", Measure::Maximum(EVENT_RISK_SCORE)),
                    column("Source", Measure::Last(SOURCE_IP)),
                    column("Destination", Measure::Last(DESTINATION_IP)),
                    column("Port", Measure::Last(DESTINATION_PORT)),
                    column("Name", Measure::Last(DESTINATION_DOMAIN)),
                    column("Executable", Measure::Last(PROCESS_EXECUTABLE)),
                    column("State", Measure::Last(FINDING_STATE)),
                    column("Revisions", Measure::Maximum(FINDING_REVISION)),
                    LAST_SEEN,
                ],
            },
        ),
        lines(
            "score-over-time",
            "Score over time",
            at(0, 16, 24, 12),
            &[column("Score", Measure::Maximum(SCORE))],
            Some(BY_FINDING),
        ),
        lines(
            "p-over-time",
            "Chance that irregular traffic looks like it (p at any look)",
            at(24, 16, 24, 12),
            &[column(
                "p at any look",
                Measure::Maximum(EVIDENCE_P_VALUE_ANY_LOOK),
            )],
            Some(BY_FINDING),
        ),
        lines(
            "interval-over-time",
            "Interval over time in seconds",
            at(0, 28, 24, 12),
            &[
                column("Median", Measure::Average(INTERVAL_MEDIAN)),
                column("Median absolute deviation", Measure::Average(INTERVAL_MAD)),
            ],
            None,
        ),
        lines(
            "bytes-over-time",
            "Bytes so far",
            at(24, 28, 24, 12),
            &[
                column("Out", Measure::Maximum(SOURCE_BYTES)),
                column("In", Measure::Maximum(DESTINATION_BYTES)),
            ],
            None,
        ),
        panel(
            "life",
            "What happened to it",
            at(0, 40, 24, 12),
            &[],
            Drawing::OverTime {
                mark: Mark::StackedBars,
                columns: &[column("Revisions", Measure::Count)],
                group: Some(group("Action", EVENT_ACTION, 8)),
            },
        ),
        panel(
            "by-action",
            "Revisions by action",
            at(24, 40, 24, 12),
            &[],
            Drawing::Shares {
                group: group("Action", EVENT_ACTION, 8),
                column: column("Revisions", Measure::Count),
            },
        ),
        panel(
            "revisions",
            "Revisions and their reasons",
            at(0, 52, 48, 14),
            &[],
            Drawing::Documents {
                fields: &[
                    TIMESTAMP,
                    FINDING_REVISION,
                    EVENT_ACTION,
                    SCORE,
                    EVENT_REASON,
                    EXPLANATION,
                ],
            },
        ),
        Panel {
            id: "flows",
            title: "Flows of the chosen ends",
            place: at(0, 66, 48, 14),
            data: DataSet::Flow,
            filter: &[],
            drawing: Drawing::Documents {
                fields: &[
                    TIMESTAMP,
                    SOURCE_IP,
                    DESTINATION_IP,
                    DESTINATION_PORT,
                    flow_document::EVENT_ACTION,
                    SOURCE_BYTES,
                    DESTINATION_BYTES,
                    flow::CLOSE_REASON,
                ],
            },
        },
    ],
};

const fn number(id: &'static str, title: &'static str, x: u32, column: Column) -> Panel {
    panel(id, title, at(x, 0, 8, 6), &[], Drawing::Number(column))
}

const fn lines(
    id: &'static str,
    title: &'static str,
    place: Place,
    columns: &'static [Column],
    group: Option<Group>,
) -> Panel {
    panel(
        id,
        title,
        place,
        &[],
        Drawing::OverTime {
            mark: Mark::Lines,
            columns,
            group,
        },
    )
}
