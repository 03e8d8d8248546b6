//! What a panel asks for, in Splunk's search language.
//!
//! A document that was delivered twice counts once: `dedup` on its id. Flow records have none, and a
//! Collector's exporter may repeat some.

use beaconwatch_schema::{FieldType, detection};

use super::inputs;
use super::names::{self, in_command, in_expression};
use crate::panel::{Column, Condition, Dashboard, DataSet, Drawing, Group, Measure, Panel};

/// Most rows of a list of documents.
const DOCUMENTS: u32 = 100;
/// How a time is shown.
pub(super) const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";
/// Heading of a document's time.
const TIME_TITLE: &str = "Time";
/// Heading of a finding's id; links to the finding read this column.
pub(super) const FINDING_TITLE: &str = "Finding";

/// The search of a panel.
pub(super) fn of_panel(dashboard: &Dashboard, panel: &Panel) -> String {
    let data = panel.data;
    let mut text = found(
        data,
        panel.filter,
        &inputs::filters(dashboard, data).join(" "),
    );
    text.push_str(&match panel.drawing {
        Drawing::Number(column) => format!(" | stats {}{}", as_column(data, &column), dates(&[column])),
        Drawing::OverTime { columns, group, .. } => over_time(data, columns, group.as_ref()),
        Drawing::Histogram {
            title,
            field,
            interval,
            column,
        } => {
            let field = in_expression(&names::name(data, field));
            format!(
                " | eval bucket={interval}*floor({field}/{interval}) | stats {} BY bucket | sort 0 bucket | rename bucket AS \"{title}\"",
                as_column(data, &column)
            )
        }
        Drawing::Shares { group, column } => table(data, &[group], &[column]),
        Drawing::Table { groups, columns } => table(data, groups, columns),
        Drawing::Documents { fields } => documents(data, fields),
    });
    text
}

/// The events of a data set that meet conditions, each once.
pub(super) fn found(data: DataSet, conditions: &[Condition], more: &str) -> String {
    let mut text = names::events(data).to_owned();
    for condition in conditions {
        text.push(' ');
        text.push_str(&term(data, *condition));
    }
    if !more.is_empty() {
        text.push(' ');
        text.push_str(more);
    }
    if data != DataSet::Flow {
        text.push_str(" | dedup ");
        text.push_str(&in_command(detection::EVENT_ID));
    }
    text
}

/// A condition as a term of a search.
pub(super) fn term(data: DataSet, condition: Condition) -> String {
    let field = names::name(data, condition.field());
    let quoted = in_command(&field);
    match condition {
        Condition::Is(_, value) => format!("{quoted}=\"{value}\""),
        Condition::Exists(_) => format!("{quoted}=*"),
        Condition::AtLeast(_, least) if field == names::DURATION_S => {
            format!("{quoted}>={}", least * names::NANOSECOND_S)
        }
        Condition::AtLeast(_, least) => format!("{quoted}>={least}"),
        // Unlike `!=`, also for events without the field.
        Condition::IsNot(_, value) => format!("NOT {quoted}=\"{value}\""),
    }
}

fn measure(data: DataSet, measure: Measure) -> String {
    let function = match measure {
        Measure::Count => return "count".to_owned(),
        Measure::Unique(_) => "dc",
        Measure::Maximum(_) => "max",
        Measure::Minimum(_) => "min",
        Measure::Average(_) => "avg",
        Measure::Sum(_) => "sum",
        Measure::Last(_) => "latest",
        Measure::Percentile95(_) => "perc95",
    };
    let field = measure.field().unwrap_or_default();
    format!("{function}({})", in_command(&names::name(data, field)))
}

fn as_column(data: DataSet, column: &Column) -> String {
    format!("{} AS \"{}\"", measure(data, column.measure), column.title)
}

fn as_columns(data: DataSet, columns: &[Column]) -> String {
    let all: Vec<String> = columns
        .iter()
        .map(|column| as_column(data, column))
        .collect();
    all.join(" ")
}

fn over_time(data: DataSet, columns: &[Column], group: Option<&Group>) -> String {
    let columns = as_columns(data, columns);
    match group {
        None => format!(" | timechart {columns}"),
        Some(group) => {
            let field = in_command(&names::name(data, group.field));
            format!(
                " | timechart limit={} useother=false {columns} BY {field}",
                group.size
            )
        }
    }
}

fn table(data: DataSet, groups: &[Group], columns: &[Column]) -> String {
    let by: Vec<String> = groups
        .iter()
        .map(|group| in_command(&names::name(data, group.field)))
        .collect();
    let rows: u32 = groups.iter().map(|group| group.size).product();
    let mut text = format!(" | stats {} BY {}", as_columns(data, columns), by.join(" "));
    if let Some(first) = columns.first() {
        text.push_str(&format!(" | sort {rows} - \"{}\"", first.title));
    }
    for (group, field) in groups.iter().zip(&by) {
        text.push_str(&format!(" | rename {field} AS \"{}\"", group.title));
    }
    text.push_str(&dates(columns));
    text
}

/// Times among the columns as text.
fn dates(columns: &[Column]) -> String {
    columns
        .iter()
        .filter(|column| column.measure.field() == Some(detection::TIMESTAMP))
        .map(|column| {
            format!(
                " | eval \"{0}\"=strftime('{0}', \"{TIME_FORMAT}\")",
                column.title
            )
        })
        .collect()
}

fn documents(data: DataSet, fields: &[&str]) -> String {
    let mut text = format!(
        " | sort {DOCUMENTS} - _time | eval {TIME_TITLE}=strftime(_time, \"{TIME_FORMAT}\")"
    );
    let mut columns: Vec<String> = fields
        .iter()
        .map(|field| match *field {
            detection::TIMESTAMP => TIME_TITLE.to_owned(),
            detection::FINDING_ID => FINDING_TITLE.to_owned(),
            field => in_command(&names::name(data, field)),
        })
        .collect();
    if data == DataSet::Detection {
        let id = in_command(detection::FINDING_ID);
        text.push_str(&format!(" | rename {id} AS {FINDING_TITLE}"));
        if !columns.iter().any(|column| column == FINDING_TITLE) {
            columns.push(FINDING_TITLE.to_owned());
        }
    }
    text.push_str(" | table ");
    text.push_str(&columns.join(" "));
    text
}

/// Whether readers type a field's value and do not choose from a list: it has too many.
pub(super) fn typed(field: &str) -> bool {
    field == detection::FINDING_ID
        || detection::FIELDS
            .iter()
            .any(|known| known.name == field && known.field_type == FieldType::Ip)
}
