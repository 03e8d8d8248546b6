//! The four dashboards: overview, hosts, one finding in depth, sensors and delivery.

mod finding;
mod health;
mod hosts;
mod overview;

use crate::panel::{Column, Condition, Dashboard, DataSet, Drawing, Group, Measure, Panel, Place};
use beaconwatch_schema::detection;

/// Every dashboard, in the order of navigation.
pub const ALL: [Dashboard; 4] = [
    overview::DASHBOARD,
    hosts::DASHBOARD,
    finding::DASHBOARD,
    health::DASHBOARD,
];

/// Findings, each counted once whatever its revisions.
const FINDINGS: Column = Column {
    title: "Findings",
    measure: Measure::Unique(detection::FINDING_ID),
};
/// Highest risk, 0 to 100.
const HIGHEST_RISK: Column = Column {
    title: "Highest risk",
    measure: Measure::Maximum(detection::EVENT_RISK_SCORE),
};
/// When the newest revision was made.
const LAST_SEEN: Column = Column {
    title: "Last seen",
    measure: Measure::Maximum(detection::TIMESTAMP),
};
/// Findings by severity.
const BY_SEVERITY: Group = group("Severity", detection::SEVERITY, 4);

const fn group(title: &'static str, field: &'static str, size: u32) -> Group {
    Group { title, field, size }
}

const fn column(title: &'static str, measure: Measure) -> Column {
    Column { title, measure }
}

/// A panel over detections.
const fn panel(
    id: &'static str,
    title: &'static str,
    place: Place,
    filter: &'static [Condition],
    drawing: Drawing,
) -> Panel {
    panel_over(id, title, place, DataSet::Detection, filter, drawing)
}

/// A panel over documents of a data set.
const fn panel_over(
    id: &'static str,
    title: &'static str,
    place: Place,
    data: DataSet,
    filter: &'static [Condition],
    drawing: Drawing,
) -> Panel {
    Panel {
        id,
        title,
        place,
        data,
        filter,
        drawing,
    }
}
