//! The state of an aggregation-based visualization.
//!
//! Aggregations are numbered: measures from 1, then groups.

use serde_json::{Value, json};

use crate::panel::{Column, Drawing, Group, Mark, Measure, Panel};

/// The `visState` of a panel that is not a list of documents.
pub(super) fn state(panel: &Panel) -> Value {
    let (kind, aggregations, parameters) = match panel.drawing {
        Drawing::Number(column) => ("metric", measures(&[column]), number()),
        Drawing::OverTime {
            mark,
            columns,
            group,
        } => {
            let mut all = measures(columns);
            all.push(time(all.len() + 1));
            if let Some(group) = group {
                all.push(terms(all.len() + 1, &group, "group"));
            }
            let parameters = axes(mark, columns, "Time");
            (
                if mark == Mark::Lines {
                    "line"
                } else {
                    "histogram"
                },
                all,
                parameters,
            )
        }
        Drawing::Histogram {
            title,
            field,
            interval,
            column,
        } => {
            let mut all = measures(&[column]);
            all.push(histogram(title, field, interval));
            ("histogram", all, axes(Mark::StackedBars, &[column], title))
        }
        Drawing::Shares { group, column } => {
            let mut all = measures(&[column]);
            all.push(terms(2, &group, "segment"));
            ("pie", all, shares())
        }
        Drawing::Table { groups, columns } => {
            let mut all = measures(columns);
            for group in groups {
                all.push(terms(all.len() + 1, group, "bucket"));
            }
            ("table", all, table())
        }
        Drawing::Documents { .. } => ("table", Vec::new(), table()),
    };
    json!({ "aggs": aggregations, "params": parameters, "title": panel.title, "type": kind })
}

fn measures(columns: &[Column]) -> Vec<Value> {
    let numbered = columns.iter().zip(1_usize..);
    numbered
        .map(|(column, number)| measure(column, number))
        .collect()
}

fn measure(column: &Column, number: usize) -> Value {
    let title = column.title;
    let (kind, parameters) = match column.measure {
        Measure::Count => ("count", json!({ "customLabel": title })),
        Measure::Unique(field) => (
            "cardinality",
            json!({ "customLabel": title, "field": field }),
        ),
        Measure::Maximum(field) => ("max", json!({ "customLabel": title, "field": field })),
        Measure::Minimum(field) => ("min", json!({ "customLabel": title, "field": field })),
        Measure::Average(field) => ("avg", json!({ "customLabel": title, "field": field })),
        Measure::Sum(field) => ("sum", json!({ "customLabel": title, "field": field })),
        Measure::Percentile95(field) => (
            "percentiles",
            json!({ "customLabel": title, "field": field, "percents": [95] }),
        ),
        Measure::Last(field) => (
            "top_hits",
            json!({
                "aggregate": "concat",
                "customLabel": title,
                "field": field,
                "size": 1,
                "sortField": "@timestamp",
                "sortOrder": "desc",
            }),
        ),
    };
    aggregation(number, kind, "metric", &parameters)
}

fn aggregation(number: usize, kind: &str, schema: &str, parameters: &Value) -> Value {
    json!({
        "enabled": true,
        "id": number.to_string(),
        "params": parameters,
        "schema": schema,
        "type": kind,
    })
}

fn terms(number: usize, group: &Group, schema: &str) -> Value {
    let parameters = json!({
        "customLabel": group.title,
        "field": group.field,
        "missingBucket": false,
        "order": "desc",
        "orderBy": "1",
        "otherBucket": false,
        "size": group.size,
    });
    aggregation(number, "terms", schema, &parameters)
}

fn time(number: usize) -> Value {
    let parameters = json!({
        "customLabel": "Time",
        "drop_partials": false,
        "extended_bounds": {},
        "field": "@timestamp",
        "interval": "auto",
        "min_doc_count": 1,
        "useNormalizedOpenSearchInterval": true,
    });
    aggregation(number, "date_histogram", "segment", &parameters)
}

fn histogram(title: &str, field: &str, interval: u32) -> Value {
    let parameters = json!({
        "customLabel": title,
        "extended_bounds": {},
        "field": field,
        "interval": interval,
        "min_doc_count": false,
    });
    aggregation(2, "histogram", "segment", &parameters)
}

fn number() -> Value {
    json!({
        "addLegend": false,
        "addTooltip": true,
        "metric": {
            "colorSchema": "Green to Red",
            "colorsRange": [{ "from": 0, "to": 10000 }],
            "invertColors": false,
            "labels": { "show": true },
            "metricColorMode": "None",
            "percentageMode": false,
            "style": { "bgColor": false, "bgFill": "#000", "fontSize": 48, "labelColor": false, "subText": "" },
            "useRanges": false,
        },
        "type": "metric",
    })
}

fn shares() -> Value {
    json!({
        "addLegend": true,
        "addTooltip": true,
        "isDonut": true,
        "labels": { "last_level": true, "show": false, "truncate": 100, "values": true },
        "legendPosition": "right",
        "type": "pie",
    })
}

fn table() -> Value {
    json!({
        "perPage": 10,
        "percentageCol": "",
        "showMetricsAtAllLevels": false,
        "showPartialRows": false,
        "showTotal": false,
        "totalFunc": "sum",
    })
}

fn axes(mark: Mark, columns: &[Column], x_title: &str) -> Value {
    let (kind, mode) = match mark {
        Mark::StackedBars => ("histogram", "stacked"),
        Mark::Lines => ("line", "normal"),
    };
    let series: Vec<Value> = columns
        .iter()
        .zip(1_usize..)
        .map(|(column, number)| {
            json!({
                "data": { "id": number.to_string(), "label": column.title },
                "drawLinesBetweenPoints": true,
                "lineWidth": 2,
                "mode": mode,
                "show": true,
                "showCircles": true,
                "type": kind,
                "valueAxis": "ValueAxis-1",
            })
        })
        .collect();
    json!({
        "addLegend": true,
        "addTimeMarker": false,
        "addTooltip": true,
        "categoryAxes": [{
            "id": "CategoryAxis-1",
            "labels": { "filter": true, "show": true, "truncate": 100 },
            "position": "bottom",
            "scale": { "type": "linear" },
            "show": true,
            "style": {},
            "title": { "text": x_title },
            "type": "category",
        }],
        "grid": { "categoryLines": false },
        "labels": {},
        "legendPosition": "right",
        "seriesParams": series,
        "thresholdLine": { "color": "#E7664C", "show": false, "style": "full", "value": 10, "width": 1 },
        "times": [],
        "type": kind,
        "valueAxes": [{
            "id": "ValueAxis-1",
            "labels": { "filter": false, "rotate": 0, "show": true, "truncate": 100 },
            "name": "LeftAxis-1",
            "position": "left",
            "scale": { "mode": "normal", "type": "linear" },
            "show": true,
            "style": {},
            "title": { "text": "" },
            "type": "value",
        }],
    })
}
