//! The state of a Lens panel.
//!
//! A panel has one layer ([`LAYER`]). Its columns are groups (`terms`, `date_histogram`, `range`), then measures; a column's
//! id says its place.

use serde_json::{Map, Value, json};

use beaconwatch_schema::FieldType;

use super::kuery;
use crate::panel::{Column, DataSet, Drawing, Group, Mark, Measure, Panel};

/// Id of the layer.
pub(super) const LAYER: &str = "layer";
/// What Lens calls the documents themselves.
const RECORDS: &str = "___records___";

/// The attributes of a panel by value.
pub(super) fn attributes(panel: &Panel, data_view: &Value) -> Value {
    let mut layer = Layer::new(panel.data);
    let (kind, visualization) = draw(panel.drawing, &mut layer);
    json!({
        "description": "",
        "references": [data_view],
        "state": {
            "adHocDataViews": {},
            "datasourceStates": { "formBased": { "layers": { LAYER: layer.state() } } },
            "filters": [],
            "internalReferences": [],
            "query": kuery(panel),
            "visualization": visualization,
        },
        "title": panel.title,
        "type": "lens",
        "visualizationType": kind,
    })
}

/// Columns in their order.
struct Layer {
    data: DataSet,
    order: Vec<String>,
    columns: Map<String, Value>,
}

impl Layer {
    fn new(data: DataSet) -> Self {
        Self {
            data,
            order: Vec::new(),
            columns: Map::new(),
        }
    }

    fn state(self) -> Value {
        json!({
            "columnOrder": self.order,
            "columns": self.columns,
            "incompleteColumns": {},
            "sampling": 1,
        })
    }

    fn add(&mut self, id: String, column: Value) -> String {
        self.order.push(id.clone());
        self.columns.insert(id.clone(), column);
        id
    }

    /// A column with the values of a group, in order of the measure with the id `by`.
    fn group(&mut self, group: &Group, number: usize, by: &str) -> String {
        let column = json!({
            "customLabel": true,
            "dataType": self.data_type(group.field),
            "isBucketed": true,
            "label": group.title,
            "operationType": "terms",
            "params": {
                "exclude": [],
                "excludeIsRegex": false,
                "include": [],
                "includeIsRegex": false,
                "missingBucket": false,
                "orderBy": { "columnId": by, "type": "column" },
                "orderDirection": "desc",
                "otherBucket": false,
                "parentFormat": { "id": "terms" },
                "size": group.size,
            },
            "scale": "ordinal",
            "sourceField": group.field,
        });
        self.add(format!("group-{number}"), column)
    }

    fn time(&mut self) -> String {
        let column = json!({
            "customLabel": true,
            "dataType": "date",
            "isBucketed": true,
            "label": "Time",
            "operationType": "date_histogram",
            "params": { "dropPartials": false, "includeEmptyRows": true, "interval": "auto" },
            "scale": "interval",
            "sourceField": "@timestamp",
        });
        self.add("time".to_owned(), column)
    }

    fn histogram(&mut self, title: &str, field: &str, interval: u32) -> String {
        let column = json!({
            "customLabel": true,
            "dataType": "number",
            "isBucketed": true,
            "label": title,
            "operationType": "range",
            "params": {
                "includeEmptyRows": false,
                "maxBars": "auto",
                "ranges": [{ "from": 0, "label": "", "to": interval }],
                "type": "histogram",
            },
            "scale": "interval",
            "sourceField": field,
        });
        self.add("range".to_owned(), column)
    }

    fn measure(&mut self, column: &Column, number: usize) -> String {
        let operation = operation(column.measure);
        let mut body = json!({
            "customLabel": true,
            "dataType": column.measure.field().map_or("number", |field| match column.measure {
                Measure::Last(_) | Measure::Maximum(_) | Measure::Minimum(_) => self.data_type(field),
                _ => "number",
            }),
            "isBucketed": false,
            "label": column.title,
            "operationType": operation,
            "params": parameters(column.measure),
            "scale": "ratio",
            "sourceField": column.measure.field().unwrap_or(RECORDS),
        });
        if let (Measure::Last(field), Some(object)) = (column.measure, body.as_object_mut()) {
            let query = format!("{field} : *");
            object.insert(
                "filter".to_owned(),
                json!({ "language": "kuery", "query": query }),
            );
        }
        self.add(measure_id(number), body)
    }

    fn measures(&mut self, columns: &[Column]) -> Vec<String> {
        let numbered = columns.iter().enumerate();
        numbered
            .map(|(number, column)| self.measure(column, number))
            .collect()
    }

    fn data_type(&self, field: &str) -> &'static str {
        let known = self
            .data
            .fields()
            .into_iter()
            .find(|known| known.name == field);
        match known.map(|known| known.field_type) {
            Some(FieldType::Long | FieldType::Float | FieldType::Double) => "number",
            Some(FieldType::Boolean) => "boolean",
            Some(FieldType::Date) => "date",
            Some(FieldType::Ip) => "ip",
            _ => "string",
        }
    }
}

/// Id of the panel's measure with that number.
fn measure_id(number: usize) -> String {
    format!("measure-{number}")
}

const fn operation(measure: Measure) -> &'static str {
    match measure {
        Measure::Count => "count",
        Measure::Unique(_) => "unique_count",
        Measure::Maximum(_) => "max",
        Measure::Minimum(_) => "min",
        Measure::Average(_) => "average",
        Measure::Sum(_) => "sum",
        Measure::Last(_) => "last_value",
        Measure::Percentile95(_) => "percentile",
    }
}

fn parameters(measure: Measure) -> Value {
    match measure {
        Measure::Last(_) => json!({ "showArrayValues": false, "sortField": "@timestamp" }),
        Measure::Percentile95(_) => json!({ "percentile": 95 }),
        _ => json!({ "emptyAsNull": true }),
    }
}

/// Type and state of the visualization; its columns are added to the layer.
fn draw(drawing: Drawing, layer: &mut Layer) -> (&'static str, Value) {
    let first = measure_id(0);
    match drawing {
        Drawing::Number(column) => {
            let id = layer.measure(&column, 0);
            let state = json!({ "layerId": LAYER, "layerType": "data", "metricAccessor": id });
            ("lnsMetric", state)
        }
        Drawing::OverTime {
            mark,
            columns,
            group,
        } => {
            let split = group.map(|group| layer.group(&group, 0, &first));
            let time = layer.time();
            let measures = layer.measures(columns);
            ("lnsXY", axes(mark, &time, &measures, split.as_deref()))
        }
        Drawing::Histogram {
            title,
            field,
            interval,
            column,
        } => {
            let range = layer.histogram(title, field, interval);
            let measures = layer.measures(&[column]);
            ("lnsXY", axes(Mark::StackedBars, &range, &measures, None))
        }
        Drawing::Shares { group, column } => {
            let slices = layer.group(&group, 0, &first);
            let size = layer.measure(&column, 0);
            ("lnsPie", shares(&slices, &size))
        }
        Drawing::Table { groups, columns } => {
            let numbered = groups.iter().enumerate();
            let rows: Vec<String> = numbered
                .map(|(number, group)| layer.group(group, number, &first))
                .collect();
            let measures = layer.measures(columns);
            ("lnsDatatable", table(rows.into_iter().chain(measures)))
        }
        // A search, not a Lens panel.
        Drawing::Documents { .. } => ("lnsDatatable", table(std::iter::empty())),
    }
}

fn axes(mark: Mark, x: &str, measures: &[String], split: Option<&str>) -> Value {
    let series = match mark {
        Mark::StackedBars => "bar_stacked",
        Mark::Lines => "line",
    };
    let mut layer = json!({
        "accessors": measures,
        "layerId": LAYER,
        "layerType": "data",
        "position": "top",
        "seriesType": series,
        "showGridlines": false,
        "xAccessor": x,
    });
    if let (Some(split), Some(object)) = (split, layer.as_object_mut()) {
        object.insert("splitAccessor".to_owned(), split.into());
    }
    json!({
        "axisTitlesVisibilitySettings": { "x": false, "yLeft": false, "yRight": true },
        "fittingFunction": "None",
        "gridlinesVisibilitySettings": { "x": false, "yLeft": true, "yRight": true },
        "layers": [layer],
        "legend": { "isVisible": true, "position": "right" },
        "preferredSeriesType": series,
        "tickLabelsVisibilitySettings": { "x": true, "yLeft": true, "yRight": true },
        "valueLabels": "hide",
    })
}

fn shares(slices: &str, size: &str) -> Value {
    json!({
        "layers": [{
            "categoryDisplay": "default",
            "layerId": LAYER,
            "layerType": "data",
            "legendDisplay": "default",
            "metrics": [size],
            "nestedLegend": false,
            "numberDisplay": "value",
            "primaryGroups": [slices],
        }],
        "shape": "donut",
    })
}

fn table(columns: impl Iterator<Item = String>) -> Value {
    let columns: Vec<Value> = columns.map(|id| json!({ "columnId": id })).collect();
    json!({ "columns": columns, "layerId": LAYER, "layerType": "data" })
}
