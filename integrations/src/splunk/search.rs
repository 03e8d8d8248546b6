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
const TIME_FORMAT: &str = "%Y-%m-%d %H:%M:%S";
/// Heading of a document's time.
const TIME_TITLE: &str = "Time";
/// Heading of a finding's id; links to the finding read this column.
pub(super) const FINDING_TITLE: &str = "Finding";

/// The search of a panel.
pub(super) fn of_panel(dashboard: &Dashboard, panel: &Panel) -> String {
    let data = panel.data;
    let chosen = inputs::filters(dashboard, data).join(" ");
    let mut stages = vec![found(data, panel.filter, &chosen)];
    stages.extend(match panel.drawing {
        Drawing::Number(column) => number(data, &column),
        Drawing::OverTime { columns, group, .. } => vec![over_time(data, columns, group.as_ref())],
        Drawing::Histogram {
            title,
            field,
            interval,
            column,
        } => histogram(data, title, field, interval, &column),
        Drawing::Shares { group, column } => table(data, &[group], &[column]),
        Drawing::Table { groups, columns } => table(data, groups, columns),
        Drawing::Documents { fields } => documents(data, fields),
    });
    stages.join(" | ")
}

fn number(data: DataSet, column: &Column) -> Vec<String> {
    let mut stages = vec![format!("stats {}", as_column(data, column))];
    stages.extend(dates(&[*column]));
    stages
}

fn histogram(
    data: DataSet,
    title: &str,
    field: &str,
    interval: u32,
    column: &Column,
) -> Vec<String> {
    let field = in_expression(&names::name(data, field));
    vec![
        format!("eval bucket={interval}*floor({field}/{interval})"),
        format!("stats {} BY bucket", as_column(data, column)),
        "sort 0 bucket".to_owned(),
        format!("rename bucket AS \"{title}\""),
    ]
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
    let Some(group) = group else {
        return format!("timechart {columns}");
    };
    let field = in_command(&names::name(data, group.field));
    format!(
        "timechart limit={} useother=false {columns} BY {field}",
        group.size
    )
}

fn table(data: DataSet, groups: &[Group], columns: &[Column]) -> Vec<String> {
    let by: Vec<String> = groups
        .iter()
        .map(|group| in_command(&names::name(data, group.field)))
        .collect();
    let rows: u32 = groups.iter().map(|group| group.size).product();
    let columns_text = as_columns(data, columns);
    let mut stages = vec![format!("stats {columns_text} BY {}", by.join(" "))];
    if let Some(first) = columns.first() {
        stages.push(format!("sort {rows} - \"{}\"", first.title));
    }
    for (group, field) in groups.iter().zip(&by) {
        stages.push(format!("rename {field} AS \"{}\"", group.title));
    }
    stages.extend(dates(columns));
    for Column { title, measure } in columns {
        if matches!(measure, Measure::Average(_)) {
            stages.push(format!("eval \"{title}\"=round('{title}', 1)"));
        }
    }
    stages
}

/// Times among the columns as text.
fn dates(columns: &[Column]) -> Vec<String> {
    columns
        .iter()
        .filter(|column| column.measure.field() == Some(detection::TIMESTAMP))
        .map(|column| {
            let title = column.title;
            format!("eval \"{title}\"=strftime('{title}', \"{TIME_FORMAT}\")")
        })
        .collect()
}

fn documents(data: DataSet, fields: &[&str]) -> Vec<String> {
    let mut stages = vec![
        format!("sort {DOCUMENTS} - _time"),
        format!("eval {TIME_TITLE}=strftime(_time, \"{TIME_FORMAT}\")"),
    ];
    let mut fields = fields.to_vec();
    if data == DataSet::Detection && !fields.contains(&detection::FINDING_ID) {
        fields.push(detection::FINDING_ID);
    }
    let mut columns = Vec::new();
    for field in fields {
        let name = names::name(data, field);
        let title = match field {
            detection::TIMESTAMP => TIME_TITLE,
            detection::FINDING_ID => FINDING_TITLE,
            // What all of them begin with tells nothing.
            _ => name.strip_prefix("beaconwatch.").unwrap_or(&name),
        };
        if title != name && field != detection::TIMESTAMP {
            stages.push(format!(
                "rename {} AS {}",
                in_command(&name),
                in_command(title)
            ));
        }
        columns.push(in_command(title));
    }
    stages.push(format!("table {}", columns.join(" ")));
    stages
}

/// Whether readers type a field's value and do not choose from a list: it has too many.
pub(super) fn typed(field: &str) -> bool {
    field == detection::FINDING_ID
        || detection::FIELDS
            .iter()
            .any(|known| known.name == field && known.field_type == FieldType::Ip)
}
