//! The part of the Kibana query language that our dashboards and rules use, as a query of the store.
//!
//! `field : "value"`, `field : *`, `field >= number`, each with an optional `not` before it, joined by `and`.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

struct Term {
    negated: bool,
    field: String,
    query: Value,
}

fn terms(text: &str) -> Result<Vec<Term>> {
    text.split(" and ").map(term).collect()
}

fn term(text: &str) -> Result<Term> {
    let text = text.trim();
    let (negated, positive) = text
        .strip_prefix("not ")
        .map_or((false, text), |rest| (true, rest));
    let (field, query) = if let Some((field, least)) = positive.split_once(" >= ") {
        let least: f64 = least
            .parse()
            .with_context(|| format!("{least} is no number"))?;
        (field, json!({ "range": { field: { "gte": least } } }))
    } else if let Some((field, value)) = positive.split_once(" : ") {
        let exact = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        match (exact, value) {
            (Some(exact), _) => (field, json!({ "term": { field: exact } })),
            (None, "*") => (field, json!({ "exists": { "field": field } })),
            (None, _) => bail!("neither a quoted value nor *: {value}"),
        }
    } else {
        bail!("not understood: {text}")
    };
    Ok(Term {
        negated,
        field: field.to_owned(),
        query,
    })
}

/// The store's query for a text.
pub fn parse(text: &str) -> Result<Value> {
    let (negated, positive): (Vec<Term>, Vec<Term>) =
        terms(text)?.into_iter().partition(|term| term.negated);
    let queries =
        |terms: Vec<Term>| -> Vec<Value> { terms.into_iter().map(|term| term.query).collect() };
    Ok(json!({ "bool": { "filter": queries(positive), "must_not": queries(negated) } }))
}

/// The fields that a text names; none when it is not understood.
#[must_use]
pub fn fields(text: &str) -> Vec<String> {
    terms(text)
        .unwrap_or_default()
        .into_iter()
        .map(|term| term.field)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parse;

    #[test]
    fn conditions_are_joined_and_negated_ones_refused() -> anyhow::Result<()> {
        let query = parse("a.b : \"x y\" and c : * and not d : \"e\" and f >= 2.5")?;
        let expected = json!({ "bool": {
            "filter": [
                { "term": { "a.b": "x y" } },
                { "exists": { "field": "c" } },
                { "range": { "f": { "gte": 2.5 } } },
            ],
            "must_not": [{ "term": { "d": "e" } }],
        } });
        assert_eq!(query, expected);
        assert!(parse("a or b").is_err());
        Ok(())
    }
}
