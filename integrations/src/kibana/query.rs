//! What a panel asks for, in the Kibana query language.

use serde_json::{Value, json};

use crate::panel::{Condition, DataSet, Panel};

/// The query of a panel: its data set and its conditions.
#[must_use]
pub fn kuery(panel: &Panel) -> Value {
    json!({ "language": "kuery", "query": kuery_of(panel.data, panel.filter) })
}

/// The query for documents of a data set that meet the conditions.
#[must_use]
pub fn kuery_of(data: DataSet, conditions: &[Condition]) -> String {
    let data_set = format!("data_stream.dataset : \"{}\"", data.name());
    let conditions = conditions.iter().map(|condition| match condition {
        Condition::Is(field, value) => format!("{field} : \"{value}\""),
        Condition::Exists(field) => format!("{field} : *"),
        Condition::AtLeast(field, least) => format!("{field} >= {least}"),
        Condition::IsNot(field, value) => format!("not {field} : \"{value}\""),
    });
    let all: Vec<String> = std::iter::once(data_set).chain(conditions).collect();
    all.join(" and ")
}
