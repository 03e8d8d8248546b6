//! One corpus, every engine that can be had: the samples of all rules, by the program's own engine, as Lucene and as query DSL
//! on a real OpenSearch and on a real Elasticsearch, and as EQL by that language's own engine. Each rule finds the same documents
//! in all of them, and of its own samples what the manifest says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::certificates::Certificates;
use beaconwatch_tests::event_queries::{self, Question};
use beaconwatch_tests::servers::opensearch::{self, Node};
use beaconwatch_tests::servers::{elasticsearch, esql_grammar};
use beaconwatch_tests::setup::committed;
use beaconwatch_tests::{deployment, http, tools};
use serde_json::{Value, json};

/// Most documents that a search gives.
const MOST_HITS: usize = 1000;

/// Documents that each rule finds.
type Hits = BTreeMap<String, BTreeSet<String>>;

/// What the committed queries of a folder of `converted/` are.
#[derive(Clone, Copy, Debug)]
enum Language {
    Lucene,
    /// The body of a search request.
    Dsl,
}

/// One search server.
trait Store {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value>;
}

impl Store for Node {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{path}", self.url());
        let answer = if method == "PUT" {
            http::put(&url, body)?
        } else {
            http::post(&url, body)?
        };
        answer.expect_success(&url)
    }
}

impl Store for elasticsearch::Node {
    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        Self::ask(self, method, path, Some(body))
    }
}

fn sigma() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../integrations/sigma")
}

fn read(path: &str) -> Result<String> {
    let path = sigma().join(path);
    fs::read_to_string(&path).with_context(|| path.display().to_string())
}

#[test]
fn every_rule_finds_the_same_in_every_engine() -> Result<()> {
    deployment::in_folder(|folder| {
        let manifest: Value = serde_json::from_str(&read("samples/manifest.json")?)?;
        let rules = manifest["rules"].as_object().context("no rules")?;
        ensure!(rules.len() >= 17, "{} rules", rules.len());
        let names: Vec<&String> = rules.keys().collect();
        let corpus = corpus(&names)?;
        println!("{} documents", corpus.len());
        let columns = columns(folder, &names, &corpus)?;
        let titles: Vec<&str> = columns.iter().map(|(title, _)| *title).collect();
        println!("rule: {}", titles.join(", "));
        for (name, expected) in rules {
            let hits: Vec<BTreeSet<String>> = columns
                .iter()
                .map(|(_, all)| all.get(name).cloned().unwrap_or_default())
                .collect();
            let counts: Vec<String> = hits.iter().map(|found| found.len().to_string()).collect();
            println!("{name}: {}", counts.join(", "));
            let own = hits.first().context("no columns")?;
            for ((title, _), found) in columns.iter().zip(&hits) {
                ensure!(found == own, "{name}: {title} finds {found:?}, not {own:?}");
            }
            let fires = expected["fires"].as_array().context("no samples")?;
            let fires: BTreeSet<String> = fires
                .iter()
                .filter_map(Value::as_str)
                .map(|id| of(name, id))
                .collect();
            let of_its_own: BTreeSet<String> = own
                .iter()
                .filter(|id| id.starts_with(&of(name, "")))
                .cloned()
                .collect();
            ensure!(
                of_its_own == fires,
                "{name}: {of_its_own:?}, expected {fires:?}"
            );
        }
        Ok(())
    })
}

#[test]
fn the_event_query_of_a_correlation_fires_for_the_group_that_the_program_names() -> Result<()> {
    let name = "beaconwatch_refused_connections";
    deployment::in_folder(|folder| {
        let samples = sigma().join(format!("samples/{name}.ndjson"));
        let mut documents = Vec::new();
        for line in read(&format!("samples/{name}.ndjson"))?.lines() {
            let document: Value = serde_json::from_str(line).context("a sample")?;
            let source = document["source"]["ip"].as_str().context("no source")?;
            documents.push((source.to_owned(), document));
        }
        let query = read(&format!("converted/eql/{name}.eql"))?;
        let found = event_queries::ask(folder, &[Question { query, documents }])?;
        let found: BTreeSet<String> = found.into_iter().flatten().flatten().collect();
        let printed = tools::output_of(
            Command::new(deployment::binaries()?.join("beaconwatch"))
                .args(["rules", "try", "--json"])
                .arg(with_correlations(folder)?)
                .arg(&samples),
        )?;
        let mut named = BTreeSet::new();
        for line in printed.lines() {
            let told: Value = serde_json::from_str(line).context("a match")?;
            let group = told["correlation"]["group"]["source.ip"].as_str();
            named.extend(group.map(str::to_owned));
        }
        ensure!(named.len() == 1, "the program names {named:?}");
        ensure!(found == named, "{found:?}, expected {named:?}");
        Ok(())
    })
}

/// Rules and the correlations that name them in one folder.
fn with_correlations(folder: &Path) -> Result<PathBuf> {
    let all = folder.join("rules");
    fs::create_dir(&all).context("making the folder of rules")?;
    for part in ["rules", "correlations"] {
        for entry in fs::read_dir(sigma().join(part)).context("reading the rules")? {
            let entry = entry.context("reading the rules")?;
            fs::copy(entry.path(), all.join(entry.file_name())).context("copying a rule")?;
        }
    }
    Ok(all)
}

#[test]
fn the_converted_esql_is_such_by_the_grammar_of_elasticsearch() -> Result<()> {
    let server = elasticsearch::install(&mut |_progress| ())?;
    let grammar = esql_grammar::install(&server, &mut |progress| println!("{progress}"))?;
    let mut queries = Vec::new();
    for entry in fs::read_dir(sigma().join("converted/esql")).context("reading the queries")? {
        queries.push(entry.context("reading the queries")?.path());
    }
    ensure!(queries.len() >= 21, "{} queries", queries.len());
    let complaints = grammar.complaints(&queries)?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    // The grammar itself refuses: each query damaged is none.
    deployment::in_folder(|folder| {
        let mut damaged = Vec::new();
        for query in &queries {
            let text = fs::read_to_string(query).context("reading a query")?;
            let copy = folder.join(query.file_name().context("a query without name")?);
            fs::write(&copy, text.replacen("where", "where and", 1)).context("writing a query")?;
            damaged.push(copy);
        }
        let complaints = grammar.complaints(&damaged)?;
        for query in damaged {
            let of_it = format!("{}:", query.display());
            let refused = complaints.iter().any(|it| it.starts_with(&of_it));
            ensure!(refused, "{} is damaged and not refused", query.display());
        }
        Ok(())
    })
}

#[test]
fn the_converted_rules_are_what_pysigma_makes_of_them_and_its_checks_find_nothing() -> Result<()> {
    let required = read("requirements.txt")?;
    let required: Vec<&str> = required
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .collect();
    let packages = tools::python_packages("pysigma", &required)?;
    for task in ["--check", "--validate"] {
        let mut command = Command::new(tools::python()?);
        command
            .args(["-B", "convert.py", task])
            .env("PYTHONPATH", &packages)
            .current_dir(sigma());
        println!("{}", tools::output_of(&mut command)?);
    }
    Ok(())
}

/// Id of a rule's sample in the corpus: samples of two rules may have one id.
fn of(rule: &str, id: &str) -> String {
    format!("{rule}:{id}")
}

fn is_flow(document: &Value) -> bool {
    document["event"]["dataset"] == "beaconwatch.flow"
}

/// The samples of all rules, with ids of their own.
fn corpus(rules: &[&String]) -> Result<BTreeMap<String, Value>> {
    let mut corpus = BTreeMap::new();
    for rule in rules {
        for line in read(&format!("samples/{rule}.ndjson"))?.lines() {
            let mut document: Value = serde_json::from_str(line)?;
            let place = if is_flow(&document) {
                "/beaconwatch/flow/id"
            } else {
                "/event/id"
            };
            let id = document.pointer_mut(place).context("no id")?;
            let own = of(rule, id.as_str().context("the id is no text")?);
            *id = own.clone().into();
            corpus.insert(own, document);
        }
    }
    Ok(corpus)
}

fn by_the_program(folder: &Path, corpus: &BTreeMap<String, Value>) -> Result<Hits> {
    let file = folder.join("corpus.ndjson");
    let lines: Vec<String> = corpus.values().map(Value::to_string).collect();
    fs::write(&file, lines.join("\n")).context("writing the corpus")?;
    let printed = tools::output_of(
        Command::new(deployment::binaries()?.join("beaconwatch"))
            .args(["rules", "try", "--json"])
            .arg(sigma().join("rules"))
            .arg(&file),
    )?;
    let by_id = rules_by_id()?;
    let mut hits = Hits::new();
    for line in printed.lines() {
        let found: Value = serde_json::from_str(line).context("a match")?;
        let id = found["rule"]["id"].as_str().context("no rule")?;
        let rule = by_id
            .get(id)
            .with_context(|| format!("no rule has the id {id}"))?;
        let documents = found["documents"].as_array().context("no documents")?;
        let documents = documents
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned);
        hits.entry(rule.clone()).or_default().extend(documents);
    }
    Ok(hits)
}

/// File names of the rules by their ids.
fn rules_by_id() -> Result<BTreeMap<String, String>> {
    let mut by_id = BTreeMap::new();
    for entry in fs::read_dir(sigma().join("rules")).context("reading the rules")? {
        let path = entry.context("reading the rules")?.path();
        let text = fs::read_to_string(&path).context("reading a rule")?;
        let id = text
            .lines()
            .find_map(|line| line.strip_prefix("id: "))
            .context("a rule without id")?;
        let name = path
            .file_stem()
            .and_then(|name| name.to_str())
            .context("a rule without name")?;
        by_id.insert(id.trim().to_owned(), name.to_owned());
    }
    Ok(by_id)
}

/// What each engine finds, the program's first.
fn columns(
    folder: &Path,
    rules: &[&String],
    corpus: &BTreeMap<String, Value>,
) -> Result<Vec<(&'static str, Hits)>> {
    let mut columns = vec![
        ("program", by_the_program(folder, corpus)?),
        ("EQL", by_event_queries(folder, rules, corpus)?),
    ];
    {
        let installed = opensearch::install(&mut |_progress| ())?;
        let node = Node::start(&installed, &folder.join("opensearch"))?;
        fill(&node, "opensearch", corpus)?;
        columns.extend([
            (
                "OpenSearch Lucene",
                by_store(&node, rules, Language::Lucene)?,
            ),
            ("OpenSearch DSL", by_store(&node, rules, Language::Dsl)?),
        ]);
    }
    let installed = elasticsearch::install(&mut |_progress| ())?;
    let certificates = Certificates::make(&folder.join("certificates"))?;
    let node =
        elasticsearch::Node::start(&installed, &folder.join("elasticsearch"), &certificates)?;
    fill(&node, "elasticsearch", corpus)?;
    columns.extend([
        (
            "Elasticsearch Lucene",
            by_store(&node, rules, Language::Lucene)?,
        ),
        ("Elasticsearch DSL", by_store(&node, rules, Language::Dsl)?),
    ]);
    Ok(columns)
}

fn by_event_queries(
    folder: &Path,
    rules: &[&String],
    corpus: &BTreeMap<String, Value>,
) -> Result<Hits> {
    let documents: Vec<(String, Value)> = corpus.clone().into_iter().collect();
    let mut questions = Vec::new();
    for rule in rules {
        questions.push(Question {
            query: read(&format!("converted/eql/{rule}.eql"))?,
            documents: documents.clone(),
        });
    }
    let found = event_queries::ask(folder, &questions)?;
    Ok(rules
        .iter()
        .zip(found)
        .map(|(rule, found)| ((*rule).clone(), found.into_iter().flatten().collect()))
        .collect())
}

/// Puts the corpus into two indices with the committed mappings.
fn fill(store: &dyn Store, product: &str, corpus: &BTreeMap<String, Value>) -> Result<()> {
    for data in ["detection", "flow"] {
        let component =
            format!("{product}/component-template/logs-beaconwatch.{data}@mappings.json");
        let mappings = committed(&component)?["template"]["mappings"].clone();
        store.ask(
            "PUT",
            &format!("/corpus-{data}"),
            &json!({ "mappings": mappings }),
        )?;
    }
    for (id, document) in corpus {
        let data = if is_flow(document) {
            "flow"
        } else {
            "detection"
        };
        store.ask(
            "PUT",
            &format!("/corpus-{data}/_doc/{id}?refresh=true"),
            document,
        )?;
    }
    Ok(())
}

/// Asks each rule's query over both indices.
fn by_store(store: &dyn Store, rules: &[&String], language: Language) -> Result<Hits> {
    let mut hits = Hits::new();
    for rule in rules {
        let mut request = match language {
            Language::Lucene => {
                let query = read(&format!("converted/lucene/{rule}.lucene"))?;
                json!({ "query": { "query_string": { "query": query.trim() } } })
            }
            Language::Dsl => serde_json::from_str(&read(&format!("converted/dsl/{rule}.json"))?)
                .with_context(|| format!("the body of {rule}"))?,
        };
        request["_source"] = false.into();
        request["size"] = MOST_HITS.into();
        let answer = store.ask("POST", "/corpus-*/_search", &request)?;
        let found = answer["hits"]["hits"].as_array().context("no hits")?;
        let ids = found
            .iter()
            .filter_map(|hit| hit["_id"].as_str())
            .map(str::to_owned);
        hits.insert((*rule).clone(), ids.collect());
    }
    Ok(hits)
}
