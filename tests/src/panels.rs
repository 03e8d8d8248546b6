//! Dashboards as they are committed, their panels as questions to a store, and its answers.
//!
//! Kibana and OpenSearch Dashboards cannot be had from a package registry, so nothing here runs them. What can be done is
//! done: a panel's definition is read ([`lens`], [`vis`]), the request that the product would make of it is made, and the
//! store answers it. The product's own request differs in details (sampling, the width of time buckets), not in fields,
//! filters and groups.

pub mod kuery;
pub mod lens;
pub mod vis;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http;

/// Buckets over time.
const TIME_BUCKETS: u32 = 40;

/// What makes groups of documents.
#[derive(Clone, Debug)]
pub struct Group {
    /// Heading.
    pub title: String,
    /// `time`, `terms` or `histogram`.
    pub kind: &'static str,
    /// The aggregation.
    pub aggregation: Value,
    /// Field.
    pub field: String,
}

/// A number over the documents of a group.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Heading.
    pub title: String,
    /// The aggregation; none when documents are counted.
    pub aggregation: Option<Value>,
    /// Field, unless documents are counted.
    pub field: Option<String>,
}

/// One panel.
#[derive(Clone, Debug)]
pub struct Panel {
    /// Title of its dashboard.
    pub dashboard: String,
    /// Its id in the dashboard.
    pub id: String,
    /// Heading.
    pub title: String,
    /// How it is drawn, by the product's name.
    pub drawing: String,
    /// How a series over time is drawn: `bar_stacked` or `line`; empty for other drawings and other products.
    pub series: String,
    /// Left edge, upper edge, width, height.
    pub place: [i64; 4],
    /// Which documents, in the Kibana query language.
    pub query: String,
    /// The groups, outermost first.
    pub groups: Vec<Group>,
    /// The measures.
    pub measures: Vec<Measure>,
    /// Fields that are listed, when the panel lists documents.
    pub listed: Vec<String>,
}

/// What a store answers to a panel.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Headings of the columns.
    pub columns: Vec<String>,
    /// Groups' values, then measures' values.
    pub rows: Vec<Vec<Value>>,
    /// How many of the columns are groups.
    pub groups: usize,
}

impl Answer {
    /// Whether a measure (or a listed field) has a value other than nothing and 0.
    #[must_use]
    pub fn says_something(&self) -> bool {
        let mut values = self
            .rows
            .iter()
            .flat_map(|row| row.iter().skip(self.groups));
        values.any(|value| !value.is_null() && value.as_f64() != Some(0.0) && value != "")
    }
}

impl Panel {
    /// Every field that the panel names.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let of_groups = self.groups.iter().map(|group| group.field.clone());
        let of_measures = self
            .measures
            .iter()
            .filter_map(|measure| measure.field.clone());
        let listed = self.listed.iter().cloned();
        let asked = kuery::fields(&self.query);
        of_groups
            .chain(of_measures)
            .chain(listed)
            .chain(asked)
            .collect()
    }

    /// Asks the store at `url` about the indices.
    pub fn ask(&self, url: &str, indices: &str) -> Result<Answer> {
        let search = format!("{url}/{indices}/_search?ignore_unavailable=true");
        let request = self.request()?;
        let answer = http::post(&search, &request)?.expect_success(&search)?;
        ensure!(
            answer["_shards"]["failed"] == 0,
            "{}: a shard failed: {answer}",
            self.title
        );
        if self.listed.is_empty() {
            self.summed(&answer)
        } else {
            Ok(self.documents(&answer))
        }
    }

    /// The body of the search.
    pub fn request(&self) -> Result<Value> {
        let query =
            kuery::parse(&self.query).with_context(|| format!("query of {}", self.title))?;
        if !self.listed.is_empty() {
            return Ok(json!({ "query": query, "size": 20, "sort": [{ "@timestamp": "desc" }] }));
        }
        let mut measures = Map::new();
        for (number, measure) in self.measures.iter().enumerate() {
            if let Some(aggregation) = &measure.aggregation {
                measures.insert(format!("m{number}"), aggregation.clone());
            }
        }
        // At each level: groups are ordered by a measure over all that is in them.
        let mut inner = measures.clone();
        for group in self.groups.iter().rev() {
            let mut outer = group.aggregation.clone();
            if let Some(object) = outer.as_object_mut() {
                object.insert("aggs".to_owned(), Value::Object(std::mem::take(&mut inner)));
            }
            inner.extend(measures.clone());
            inner.insert("g".to_owned(), outer);
        }
        Ok(json!({ "aggs": inner, "query": query, "size": 0, "track_total_hits": true }))
    }

    fn columns(&self) -> Vec<String> {
        let groups = self.groups.iter().map(|group| group.title.clone());
        groups
            .chain(self.measures.iter().map(|measure| measure.title.clone()))
            .collect()
    }

    fn summed(&self, answer: &Value) -> Result<Answer> {
        let mut root = answer["aggregations"].clone();
        if root.is_null() {
            root = json!({});
        }
        if let Some(object) = root.as_object_mut() {
            object.insert(
                "doc_count".to_owned(),
                answer["hits"]["total"]["value"].clone(),
            );
        }
        let mut rows = Vec::new();
        self.descend(&root, &self.groups, &mut Vec::new(), &mut rows)?;
        Ok(Answer {
            columns: self.columns(),
            rows,
            groups: self.groups.len(),
        })
    }

    fn descend(
        &self,
        at: &Value,
        groups: &[Group],
        path: &mut Vec<Value>,
        rows: &mut Vec<Vec<Value>>,
    ) -> Result<()> {
        let Some((_outer, inner)) = groups.split_first() else {
            let values = self
                .measures
                .iter()
                .enumerate()
                .map(|(number, measure)| value(at, number, measure));
            rows.push(path.iter().cloned().chain(values).collect());
            return Ok(());
        };
        let buckets = at["g"]["buckets"]
            .as_array()
            .context("a group without buckets")?;
        for bucket in buckets {
            let key = bucket.get("key_as_string").unwrap_or(&bucket["key"]);
            path.push(key.clone());
            self.descend(bucket, inner, path, rows)?;
            path.pop();
        }
        Ok(())
    }

    fn documents(&self, answer: &Value) -> Answer {
        let hits = answer["hits"]["hits"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let row = |hit: &Value| {
            self.listed
                .iter()
                .map(|field| at(&hit["_source"], field).clone())
                .collect()
        };
        Answer {
            columns: self.listed.clone(),
            rows: hits.iter().map(row).collect(),
            groups: 0,
        }
    }
}

fn value(at_bucket: &Value, number: usize, measure: &Measure) -> Value {
    let (Some(_aggregation), Some(field)) = (&measure.aggregation, &measure.field) else {
        return at_bucket["doc_count"].clone();
    };
    let answer = &at_bucket[format!("m{number}")];
    if let Some(percentiles) = answer["values"].as_object() {
        return percentiles.values().next().cloned().unwrap_or_default();
    }
    for hits in [&answer["hits"]["hits"], &answer["last"]["hits"]["hits"]] {
        if hits.is_array() {
            return at(&hits[0]["_source"], field).clone();
        }
    }
    answer
        .get("value_as_string")
        .unwrap_or(&answer["value"])
        .clone()
}

/// The fields that a search lists: the time, and its columns.
fn listed(attributes: &Value) -> Result<Vec<String>> {
    let columns = attributes["columns"].as_array().context("no columns")?;
    let columns = columns.iter().filter_map(Value::as_str);
    Ok(std::iter::once("@timestamp")
        .chain(columns)
        .map(str::to_owned)
        .collect())
}

/// A text in an object.
fn string<'a>(object: &'a Value, name: &str) -> Result<&'a str> {
    object[name]
        .as_str()
        .with_context(|| format!("no text {name} in {object}"))
}

/// Where a panel stands: left edge, upper edge, width, height.
fn place(panel: &Value) -> Result<[i64; 4]> {
    let place = ["x", "y", "w", "h"].map(|name| panel["gridData"][name].as_i64().unwrap_or(-1));
    ensure!(
        place.iter().all(|number| *number >= 0),
        "a place is missing: {place:?}"
    );
    Ok(place)
}

/// The value of a dotted field of a document.
#[must_use]
pub fn at<'a>(document: &'a Value, field: &str) -> &'a Value {
    field.split('.').fold(document, |value, part| &value[part])
}

/// Groups over time.
fn over_time(title: &str, field: &str) -> Group {
    Group {
        title: title.to_owned(),
        kind: "time",
        aggregation: json!({ "auto_date_histogram": { "buckets": TIME_BUCKETS, "field": field } }),
        field: field.to_owned(),
    }
}

/// Groups by how large a number is.
fn histogram(title: &str, field: &str, interval: &Value) -> Group {
    Group {
        title: title.to_owned(),
        kind: "histogram",
        aggregation: json!({ "histogram": { "field": field, "interval": interval, "min_doc_count": 1 } }),
        field: field.to_owned(),
    }
}

/// Groups by the values of a field, those with the largest value of the measure `by` first; `counts` says that it counts
/// documents, for which the store has an order of its own.
fn terms(title: &str, field: &str, size: &Value, by: usize, counts: bool) -> Group {
    let order = if counts {
        "_count".to_owned()
    } else {
        format!("m{by}")
    };
    Group {
        title: title.to_owned(),
        kind: "terms",
        aggregation: json!({ "terms": { "field": field, "order": { order: "desc" }, "size": size } }),
        field: field.to_owned(),
    }
}

/// The newest value of a field.
fn newest(field: &str) -> Value {
    json!({
        "aggs": { "last": { "top_hits": { "_source": [field], "size": 1, "sort": [{ "@timestamp": "desc" }] } } },
        "filter": { "exists": { "field": field } },
    })
}
