//! What was found, how bad it is, and where to look first.

use beaconwatch_schema::detection::{
    DESTINATION_DOMAIN, DESTINATION_IP, DESTINATION_PORT, EVENT_ACTION, EVENT_REASON,
    EVENT_RISK_SCORE, EVIDENCE_PERIOD, HOST_NAME, PROCESS_NAME, SEVERITY, SIGMA_TITLE, SOURCE_IP,
    THREAT_TECHNIQUE_NAME, TIMESTAMP,
};
use beaconwatch_schema::rule_match;

use super::{BY_SEVERITY, FINDINGS, HIGHEST_RISK, LAST_SEEN, column, group, panel};
use crate::panel::{Condition, Control, Dashboard, DataSet, Drawing, Mark, Measure, Panel, at};

pub(super) const DASHBOARD: Dashboard = Dashboard {
    id: "overview",
    title: "Overview",
    description: "Findings of Beaconwatch by severity, host and destination.",
    controls: &[
        Control {
            title: "Severity",
            field: SEVERITY,
        },
        Control {
            title: "Host",
            field: HOST_NAME,
        },
        Control {
            title: "Process",
            field: PROCESS_NAME,
        },
    ],
    panels: &[
        panel(
            "findings",
            "Findings",
            at(0, 0, 12, 6),
            &[],
            Drawing::Number(FINDINGS),
        ),
        panel(
            "critical",
            "Critical findings",
            at(12, 0, 12, 6),
            &[Condition::Is(SEVERITY, "critical")],
            Drawing::Number(FINDINGS),
        ),
        panel(
            "sources",
            "Sources",
            at(24, 0, 12, 6),
            &[],
            Drawing::Number(column("Sources", Measure::Unique(SOURCE_IP))),
        ),
        panel(
            "destinations",
            "Destinations",
            at(36, 0, 12, 6),
            &[],
            Drawing::Number(column("Destinations", Measure::Unique(DESTINATION_IP))),
        ),
        panel(
            "over-time",
            "Findings over time by severity",
            at(0, 6, 32, 12),
            &[],
            Drawing::OverTime {
                mark: Mark::StackedBars,
                columns: &[FINDINGS],
                group: Some(BY_SEVERITY),
            },
        ),
        panel(
            "by-severity",
            "Severities that findings reached",
            at(32, 6, 16, 12),
            &[],
            Drawing::Shares {
                group: BY_SEVERITY,
                column: FINDINGS,
            },
        ),
        panel(
            "riskiest-sources",
            "Riskiest sources",
            at(0, 18, 24, 14),
            &[],
            Drawing::Table {
                groups: &[group("Source", SOURCE_IP, 20)],
                columns: &[
                    HIGHEST_RISK,
                    FINDINGS,
                    column("Destinations", Measure::Unique(DESTINATION_IP)),
                    LAST_SEEN,
                ],
            },
        ),
        panel(
            "riskiest-destinations",
            "Riskiest destinations",
            at(24, 18, 24, 14),
            &[],
            Drawing::Table {
                groups: &[group("Destination", DESTINATION_IP, 20)],
                columns: &[
                    HIGHEST_RISK,
                    column("Name", Measure::Last(DESTINATION_DOMAIN)),
                    column("Port", Measure::Last(DESTINATION_PORT)),
                    column("Sources", Measure::Unique(SOURCE_IP)),
                    LAST_SEEN,
                ],
            },
        ),
        panel(
            "periods",
            "Periods of the beats in seconds",
            at(0, 32, 24, 12),
            &[Condition::Exists(EVIDENCE_PERIOD)],
            Drawing::Histogram {
                title: "Period in seconds",
                field: EVIDENCE_PERIOD,
                interval: 60,
                column: FINDINGS,
            },
        ),
        panel(
            "processes",
            "Findings by process",
            at(24, 32, 12, 12),
            &[],
            Drawing::Shares {
                group: group("Process", PROCESS_NAME, 10),
                column: FINDINGS,
            },
        ),
        panel(
            "techniques",
            "Findings by technique",
            at(36, 32, 12, 12),
            &[],
            Drawing::Shares {
                group: group("Technique", THREAT_TECHNIQUE_NAME, 10),
                column: FINDINGS,
            },
        ),
        panel(
            "newest",
            "Newest detections",
            at(0, 44, 48, 16),
            &[],
            Drawing::Documents {
                fields: &[
                    TIMESTAMP,
                    SEVERITY,
                    EVENT_RISK_SCORE,
                    HOST_NAME,
                    SOURCE_IP,
                    DESTINATION_IP,
                    DESTINATION_PORT,
                    PROCESS_NAME,
                    EVENT_ACTION,
                    EVENT_REASON,
                ],
            },
        ),
        panel(
            "marked",
            "Detections that Sigma rules marked",
            at(0, 60, 24, 12),
            &[Condition::Exists(SIGMA_TITLE)],
            Drawing::Table {
                groups: &[group("Rule", SIGMA_TITLE, 20)],
                columns: &[FINDINGS, HIGHEST_RISK, LAST_SEEN],
            },
        ),
        Panel {
            id: "matches",
            title: "Matches of Sigma rules in flows, and of correlations",
            place: at(24, 60, 24, 12),
            data: DataSet::Rule,
            filter: &[],
            drawing: Drawing::Table {
                groups: &[group("Rule", rule_match::RULE_NAME, 20)],
                columns: &[
                    column("Matches", Measure::Count),
                    column("Severity", Measure::Maximum(rule_match::EVENT_SEVERITY)),
                    column("Sources", Measure::Unique(rule_match::SOURCE_IP)),
                    column("Last seen", Measure::Maximum(rule_match::TIMESTAMP)),
                ],
            },
        },
    ],
};
