//! Transforms: hosts by risk, beacons by pair.

use serde_json::{Map, Value, json};

use beaconwatch_schema::detection::{
    COUNT, DESTINATION_IP, DESTINATION_PORT, EVENT_RISK_SCORE, EVENT_START, EVIDENCE_PERIOD,
    FINDING_ID, NETWORK_TRANSPORT, SOURCE_IP, TIMESTAMP,
};

use crate::panel::{DataSet, Measure};

/// Documents summed up under the values of some fields, kept up to date by the store.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Transform {
    /// Name: lower-case letters and underscores.
    pub id: &'static str,
    /// What it is for.
    pub description: &'static str,
    /// Fields whose values make a row.
    pub groups: &'static [&'static str],
    /// Field of the row, its type in a mapping, and what it is.
    pub measures: &'static [(&'static str, &'static str, Measure)],
}

/// Every transform.
pub const TRANSFORMS: &[Transform] = &[
    Transform {
        id: "hosts_by_risk",
        description: "One row for each source of findings: highest and mean risk, findings, destinations.",
        groups: &[SOURCE_IP],
        measures: &[
            (
                "beaconwatch.risk.maximum",
                "double",
                Measure::Maximum(EVENT_RISK_SCORE),
            ),
            (
                "beaconwatch.risk.mean",
                "double",
                Measure::Average(EVENT_RISK_SCORE),
            ),
            ("beaconwatch.findings", "long", Measure::Unique(FINDING_ID)),
            (
                "beaconwatch.destinations",
                "long",
                Measure::Unique(DESTINATION_IP),
            ),
            (
                "beaconwatch.last_detection",
                "date",
                Measure::Maximum(TIMESTAMP),
            ),
        ],
    },
    Transform {
        id: "beacons_by_pair",
        description: "One row for each pair that beat: risk, period, connections, since when.",
        groups: &[
            SOURCE_IP,
            DESTINATION_IP,
            DESTINATION_PORT,
            NETWORK_TRANSPORT,
        ],
        measures: &[
            (
                "beaconwatch.risk.maximum",
                "double",
                Measure::Maximum(EVENT_RISK_SCORE),
            ),
            (
                "beaconwatch.period_s",
                "double",
                Measure::Average(EVIDENCE_PERIOD),
            ),
            ("beaconwatch.connections", "long", Measure::Maximum(COUNT)),
            ("beaconwatch.findings", "long", Measure::Unique(FINDING_ID)),
            (
                "beaconwatch.first_connection",
                "date",
                Measure::Minimum(EVENT_START),
            ),
            (
                "beaconwatch.last_detection",
                "date",
                Measure::Maximum(TIMESTAMP),
            ),
        ],
    },
];

impl Transform {
    /// Index that the rows are written to.
    #[must_use]
    pub fn index(&self) -> String {
        format!("beaconwatch-{}", self.id.replace('_', "-"))
    }

    /// Body for `PUT _transform/<id>`.
    #[must_use]
    pub fn body(&self) -> Value {
        json!({
            "_meta": { "managed_by": super::MANAGER },
            "description": self.description,
            "dest": { "index": self.index() },
            "frequency": "5m",
            "pivot": { "aggregations": self.aggregations(), "group_by": self.group_by() },
            "settings": { "max_page_search_size": 500 },
            "source": {
                "index": [format!("{}-*", DataSet::Detection.template())],
                "query": { "range": { TIMESTAMP: { "gte": "now-30d" } } },
            },
            "sync": { "time": { "delay": "60s", "field": "event.ingested" } },
        })
    }

    fn group_by(&self) -> Value {
        let groups = self.groups.iter().map(|field| {
            let by = json!({ "terms": { "field": field, "missing_bucket": true } });
            ((*field).to_owned(), by)
        });
        Value::Object(groups.collect())
    }

    fn aggregations(&self) -> Value {
        let mut all = Map::new();
        for (name, _type, measure) in self.measures {
            let (kind, field) = match measure {
                Measure::Maximum(field) => ("max", *field),
                Measure::Minimum(field) => ("min", *field),
                Measure::Average(field) => ("avg", *field),
                Measure::Unique(field) => ("cardinality", *field),
                Measure::Sum(field) => ("sum", *field),
                // Neither store has these in a transform; none of the tables above uses them.
                Measure::Count | Measure::Last(_) | Measure::Percentile95(_) => continue,
            };
            all.insert((*name).to_owned(), json!({ kind: { "field": field } }));
        }
        Value::Object(all)
    }
}
