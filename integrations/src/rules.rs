//! Detection rules: what is worth an analyst's alert, over the documents in a store.
//!
//! A rule is said once; from it come Kibana's `security-rule` objects ([`kibana`]) and, where OpenSearch's alerting can ask
//! the same, monitors ([`monitor`]). Severities and texts are those of the rule. None needs a paid tier.
//!
//! [`security_analytics`] has Sigma rules and none of these.
//!
//! A simulated beacon (`beaconwatch simulate`) raises no alert here.

pub mod kibana;
pub mod monitor;
pub mod security_analytics;

use beaconwatch_schema::detection::{
    DESTINATION_DOMAIN, DESTINATION_IP, HOST_ID, PROCESS_EXECUTABLE, SIMULATED, SOURCE_IP,
};

use crate::panel::{Condition, DataSet};

/// How bad an alert of a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// 47.
    Medium,
    /// 73.
    High,
}

impl Severity {
    /// Name as products spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// Risk score, 0 to 100.
    #[must_use]
    pub const fn risk_score(self) -> u32 {
        match self {
            Self::Medium => 47,
            Self::High => 73,
        }
    }
}

/// What a rule looks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Question {
    /// Every document that meets the conditions.
    Every(&'static [Condition]),
    /// A document with a combination of values that was not there in the days before.
    New {
        /// What documents must meet.
        conditions: &'static [Condition],
        /// The fields whose values are combined.
        fields: &'static [&'static str],
        /// How many days back.
        days: u32,
    },
    /// Values of a field that are seen with at least so many values of another one.
    Several {
        /// What documents must meet.
        conditions: &'static [Condition],
        /// The field.
        field: &'static str,
        /// The other field.
        of: &'static str,
        /// How many of its values.
        least: u32,
    },
    /// One document after another, with the same values of some fields, within hours.
    Sequence {
        /// Fields with the same values.
        by: &'static [&'static str],
        /// Within how many hours.
        hours: u32,
        /// The documents, in their order.
        steps: &'static [(DataSet, &'static [Condition])],
    },
}

/// One detection rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// UUID that never changes.
    pub id: &'static str,
    /// Name for people.
    pub name: &'static str,
    /// What an alert means.
    pub description: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it looks for.
    pub question: Question,
    /// What else it may be.
    pub false_positives: &'static str,
    /// What to do with an alert.
    pub note: &'static str,
}

const REAL: Condition = Condition::IsNot(SIMULATED, "true");
const FIRST_REVISION: Condition = Condition::Is("event.action", "beacon-detected");
/// Nanoseconds of an hour.
const HOUR_NS: f64 = 3.6e12;
const SAME_ENDS: &[&str] = &[SOURCE_IP, DESTINATION_IP];

/// Every rule.
pub const ALL: &[Rule] = &[
    Rule {
        id: "3a0b0a2e-5f7c-4f0e-9a7e-0d6f3c1b8a01",
        name: "Beaconwatch detection",
        description: "A detection of Beaconwatch, with the severity and the risk that Beaconwatch gave it.",
        severity: Severity::Medium,
        question: Question::Every(&[Condition::Is("event.kind", "alert"), REAL]),
        false_positives: "Software that talks home at regular times and is not in the allow-list.",
        note: "Read event.reason and beaconwatch.explanation. Open the finding in depth by beaconwatch.finding.id. \
               Acknowledge it or allow the pair with a reason at the detector.",
    },
    Rule {
        id: "7d0c4d52-8f0a-4c36-8a53-3a1d4d0f6e02",
        name: "Beacon of an executable that did not beat before",
        description: "A finding whose executable had no finding in the 14 days before.",
        severity: Severity::High,
        question: Question::New {
            conditions: &[Condition::Exists(PROCESS_EXECUTABLE), REAL],
            fields: &[PROCESS_EXECUTABLE],
            days: 14,
        },
        false_positives: "Newly installed software with a regular check for updates.",
        note: "Look at where the executable lies, who started it and since when the host has it.",
    },
    Rule {
        id: "b1f6b2de-5c2f-4a65-b7a4-9f0e6a7c2d03",
        name: "Beacon to a domain seen for the first time",
        description: "A finding whose server name had no finding in the 14 days before.",
        severity: Severity::High,
        question: Question::New {
            conditions: &[Condition::Exists(DESTINATION_DOMAIN), REAL],
            fields: &[DESTINATION_DOMAIN],
            days: 14,
        },
        false_positives: "Newly used services.",
        note: "Look at the age and the owner of the domain, and at the other clients that talk to it.",
    },
    Rule {
        id: "0e9a4a7c-2b1d-4d8e-8a6f-5b7c8d9e0f04",
        name: "Several hosts beat to one destination",
        description: "Findings from at least three sources to one destination within an hour.",
        severity: Severity::High,
        question: Question::Several {
            conditions: &[REAL],
            field: DESTINATION_IP,
            of: SOURCE_IP,
            least: 3,
        },
        false_positives: "A monitoring or update server of the organisation's own that is not in the allow-list.",
        note: "Compare the periods and the processes of the findings: the same implant beats with the same period.",
    },
    Rule {
        id: "5c3d2e1f-9a8b-4c7d-a6e5-f4d3c2b1a005",
        name: "Beacon and long connection to one destination",
        description: "A connection that lives for more than an hour, and a finding between the same ends within a day: \
                      a beacon that became a session.",
        severity: Severity::High,
        question: Question::Sequence {
            by: SAME_ENDS,
            hours: 24,
            steps: &[
                (
                    DataSet::Flow,
                    &[Condition::AtLeast("event.duration", HOUR_NS)],
                ),
                (DataSet::Detection, &[REAL]),
            ],
        },
        false_positives: "Chat, push and remote administration that keep a connection and poll beside it.",
        note: "Look at the bytes both ways of the long connection and at its process.",
    },
    Rule {
        id: "9f8e7d6c-5b4a-4938-8271-60f5e4d3c206",
        name: "New beacon from a server",
        description: "A first finding from a host that answered connections of others within the day before: servers \
                      seldom begin to beat.",
        severity: Severity::High,
        question: Question::Sequence {
            by: &[HOST_ID],
            hours: 24,
            steps: &[
                (
                    DataSet::Flow,
                    &[
                        Condition::Is("beaconwatch.flow.role", "server"),
                        Condition::Is("beaconwatch.flow.established", "true"),
                    ],
                ),
                (DataSet::Detection, &[FIRST_REVISION, REAL]),
            ],
        },
        false_positives: "A monitoring agent or a package mirror that was just installed.",
        note: "Look at what was deployed on the server on that day, and at the parent of the process.",
    },
];
