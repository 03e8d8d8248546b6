//! `props.conf`: how events are read, and their names in the Common Information Model.
//!
//! A field that the model maps to a name of the CIM gets an alias. Where the CIM wants a value and a document may have none, the
//! name is computed and is `unknown` then. What the CIM wants beyond that is in [`COMPUTED`].

use beaconwatch_schema::{Level, Vocabulary, detection, flow, sensor};

use super::names::{self, DELIVERY_LAG_S, DURATION_S, in_expression};
use super::settings::Stanza;
use super::{configuration, lookups};
use crate::panel::DataSet;

/// Names that the data models of a set of events require: they have a value in every event.
const REQUIRED: &[(DataSet, &[&str])] = &[
    (
        DataSet::Detection,
        &["dest", "dvc", "src", "transport", "user"],
    ),
    (
        DataSet::Flow,
        &["app", "dest", "dvc", "src", "transport", "user"],
    ),
    (DataSet::Sensor, &["dest", "user"]),
    (DataSet::Rule, &["dest", "src", "user"]),
];

/// Names that are made of several fields, or say what is always so.
const COMPUTED: &[(DataSet, &[(&str, &str)])] = &[
    (
        DataSet::Detection,
        &[
            ("action", "\"allowed\""),
            ("app", "\"beaconwatch\""),
            ("ids_type", "\"network\""),
            ("type", "\"alert\""),
            ("vendor_product", "\"Beaconwatch\""),
        ],
    ),
    (
        DataSet::Flow,
        &[
            (
                "action",
                "case('beaconwatch.flow.event'=\"start\", \"allowed\", 'beaconwatch.flow.event'=\"end\", \"teardown\", true(), \"flow\")",
            ),
            (
                "bytes",
                "'beaconwatch.flow.source.bytes'+'beaconwatch.flow.destination.bytes'",
            ),
            ("dest_ip", "'destination.address'"),
            (
                "direction",
                "if('beaconwatch.flow.role'=\"server\", \"inbound\", \"outbound\")",
            ),
            (
                "packets",
                "'beaconwatch.flow.source.packets'+'beaconwatch.flow.destination.packets'",
            ),
            ("protocol", "\"ip\""),
            ("src_ip", "'source.address'"),
            ("vendor_product", "\"Beaconwatch\""),
        ],
    ),
    (
        DataSet::Sensor,
        &[
            ("app", "\"beaconwatch\""),
            ("severity", "\"medium\""),
            ("signature_id", "'event.action'"),
            ("src", "coalesce('host.name', 'beaconwatch.sensor.id')"),
            ("type", "if('event.kind'=\"alert\", \"alarm\", \"event\")"),
            ("user", "\"unknown\""),
            ("vendor_product", "\"Beaconwatch\""),
        ],
    ),
    (
        DataSet::Rule,
        &[
            ("action", "\"allowed\""),
            ("app", "\"beaconwatch\""),
            ("ids_type", "\"network\""),
            ("type", "\"alert\""),
            ("vendor_product", "\"Beaconwatch\""),
        ],
    ),
];

/// The stanzas.
pub(super) fn props() -> Vec<Stanza> {
    let mut all: Vec<Stanza> = DataSet::ALL.into_iter().map(source_type).collect();
    // What a monitored file of the file destination has: both kinds of documents.
    all.push(
        read_documents(Stanza::new(configuration::DOCUMENTS)).with(
            "TRANSFORMS-beaconwatch_sourcetype",
            configuration::SOURCE_TYPES
                .map(|(name, _data)| name)
                .join(", "),
        ),
    );
    all
}

fn source_type(data: DataSet) -> Stanza {
    let stanza = Stanza::new(names::source_type(data));
    let stanza = match data {
        DataSet::Detection | DataSet::Sensor | DataSet::Rule => read_documents(stanza),
        // Their time is in the collector's envelope.
        DataSet::Flow => read(stanza),
    };
    let computed = computed(data);
    let aliases: Vec<String> = names::fields(data)
        .iter()
        .filter_map(|field| {
            let name = field.name_in(Vocabulary::Cim)?;
            let made = computed.iter().any(|(computed, _)| computed == name);
            (!made).then(|| format!("\"{}\" AS {name}", names::json_name(field)))
        })
        .collect();
    let stanza = if aliases.is_empty() {
        stanza
    } else {
        stanza.with("FIELDALIAS-cim", aliases.join(" "))
    };
    let evaluated = computed
        .into_iter()
        .map(|(name, value)| (format!("EVAL-{name}"), value));
    stanza
        .with_all(evaluated)
        .with_all(lookups::automatic(data))
}

fn read(stanza: Stanza) -> Stanza {
    stanza
        .with("KV_MODE", "json")
        .with("SHOULD_LINEMERGE", "false")
        .with("LINE_BREAKER", "([\\r\\n]+)")
        .with("TRUNCATE", "65536")
        .with("category", "Network & Security")
        .with("pulldown_type", "true")
}

fn read_documents(stanza: Stanza) -> Stanza {
    read(stanza)
        .with("TIME_PREFIX", "\"@timestamp\"\\s*:\\s*\"")
        .with("TIME_FORMAT", "%Y-%m-%dT%H:%M:%S.%3N%Z")
        .with("MAX_TIMESTAMP_LOOKAHEAD", "32")
        .with("TZ", "UTC")
}

/// Names and expressions of a data set, sorted.
fn computed(data: DataSet) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = of(data, COMPUTED)
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let required = of(data, REQUIRED);
    for field in names::fields(data) {
        let name = field.name_in(Vocabulary::Cim).unwrap_or_default();
        let given = all.iter().any(|(known, _)| known == name);
        if field.level == Level::Optional && required.contains(&name) && !given {
            let field = in_expression(&names::json_name(&field));
            all.push((name.to_owned(), format!("coalesce({field}, \"unknown\")")));
        }
    }
    all.push((DELIVERY_LAG_S.to_owned(), "_indextime-_time".to_owned()));
    if data == DataSet::Flow {
        let end = in_expression(flow::END_TIME);
        let start = in_expression(flow::START_TIME);
        let lived = format!("round(coalesce({end}/1000000000, _time)-{start}/1000000000, 3)");
        all.push((DURATION_S.to_owned(), lived));
    }
    all.extend(lookups::computed(data));
    let finding = match data {
        DataSet::Detection => Some(detection::FINDING_ID),
        DataSet::Sensor => Some(sensor::FINDING_ID),
        DataSet::Flow | DataSet::Rule => None,
    };
    all.extend(finding.map(|id| (configuration::FINDING.to_owned(), in_expression(id))));
    all.sort();
    all
}

fn of<T: Copy>(data: DataSet, table: &[(DataSet, &'static [T])]) -> &'static [T] {
    table
        .iter()
        .find(|(of, _)| *of == data)
        .map_or(&[], |(_, values)| values)
}
