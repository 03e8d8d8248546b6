//! `beaconwatch setup opensearch` against a real one: made once, used by real documents, taken out again without touching
//! them.
//!
//! OpenSearch Dashboards cannot be had: what stands in for it answers as its documentation says.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::deployment::{self, DATA_STREAM, INDEX_TEMPLATE};
use beaconwatch_tests::detect::{Detect, beacons};
use beaconwatch_tests::servers::opensearch;
use beaconwatch_tests::setup::{self, Dashboards, Ran, committed};
use beaconwatch_tests::{http, wait};
use serde_json::{Value, json};

const DATA_SETS: [&str; 4] = ["detection", "flow", "sensor", "rule"];
/// Index template that the sidecar has made before.
const EARLIER: &str = "logs-beaconwatch.sensor";
const DEADLINE: Duration = Duration::from_mins(1);

/// A setup of OpenSearch.
struct Open<'a> {
    node: opensearch::Node,
    journal: String,
    folder: &'a Path,
    /// How many objects the store has of the plan.
    made: usize,
}

#[test]
fn opensearch_is_set_up_once_takes_documents_and_is_left_with_them() -> Result<()> {
    deployment::in_folder(|folder| {
        let installed = opensearch::install(&mut |_progress| ())?;
        let mut open = Open {
            node: opensearch::Node::start(&installed, &folder.join("opensearch"))?,
            journal: folder.join("journal.json").display().to_string(),
            folder,
            made: 0,
        };
        let earlier = open.the_sidecar_has_made_its_template()?;
        open.an_index_in_the_way_is_named_and_nothing_is_changed()?;
        open.a_first_run_makes_everything_and_a_second_nothing()?;
        open.the_server_has_what_is_committed()?;
        for data in ["detection", "flow"] {
            open.the_pipeline_makes_the_expected_documents(data)?;
        }
        open.a_flow_is_found_by_its_fields()?;
        open.dashboards_are_imported_once_and_each_refusal_is_told()?;
        let mut detect = open.a_delivered_finding_has_its_arrival()?;
        for transform in ["hosts_by_risk", "beacons_by_pair"] {
            open.the_rows_of_a_transform_can_be_computed(transform)?;
        }
        open.what_was_made_goes_and_documents_stay(&mut detect)?;
        let found = open.node.index_template(EARLIER)?;
        ensure!(found == earlier, "not what was there before: {found:#}");
        Ok(())
    })
}

impl Open<'_> {
    fn setup(&self, more: &[&str]) -> Result<Ran> {
        let url = self.node.url();
        let arguments = ["opensearch", "--url", &url, "--journal", &self.journal];
        setup::run(&[&arguments[..], more].concat())
    }

    /// What was there before the setup.
    fn the_sidecar_has_made_its_template(&self) -> Result<Value> {
        let template = committed("elasticsearch/sidecar-template/sensor.json")?;
        self.node.put_index_template(EARLIER, &template)?;
        self.node.index_template(EARLIER)
    }

    fn an_index_in_the_way_is_named_and_nothing_is_changed(&self) -> Result<()> {
        let index = format!("{}/{DATA_STREAM}", self.node.url());
        let ip = json!({"source": {"properties": {"ip": {"type": "keyword"}}}});
        http::put(&index, &json!({"mappings": {"properties": ip}}))?.expect_success(&index)?;
        self.setup(&[])?.expect_failure(&[
            "nothing was changed",
            &format!("{DATA_STREAM} is an index"),
            "maps source.ip to keyword, expected ip",
            "Reindex it",
        ])?;
        for data in DATA_SETS {
            let name = format!("logs-beaconwatch.{data}");
            for path in [
                format!("_ingest/pipeline/{name}"),
                format!("_component_template/{name}@mappings"),
            ] {
                ensure!(!self.node.has(&path)?, "{path} was made");
            }
        }
        ensure!(!Path::new(&self.journal).exists(), "a journal was written");
        http::delete(&index)?.expect_success(&index).map(drop)
    }

    fn a_first_run_makes_everything_and_a_second_nothing(&mut self) -> Result<()> {
        let dry = self.setup(&["--dry-run", "--exit-code"])?;
        ensure!(dry.code == Some(3), "{dry:?}");
        let first = self.setup(&[])?.expect_success()?;
        self.made = first.with_action("created").len();
        // Of each a pipeline, two components and a template; one template was there.
        ensure!(self.made == 4 * DATA_SETS.len() - 1, "{:#}", first.report);
        let updated = first.with_action("updated");
        ensure!(
            updated == [format!("index_template {EARLIER}")],
            "{updated:?}"
        );
        ensure!(
            first.with_action("created") == dry.with_action("created"),
            "{dry:?}"
        );
        let left_out = first.with_action("left_out");
        for kind in ["ism_policy", "monitor", "saved_object"] {
            ensure!(
                left_out.iter().any(|it| it.starts_with(kind)),
                "{left_out:?}"
            );
        }
        let second = self.setup(&[])?.expect_success()?;
        ensure!(
            second.with_action("unchanged").len() == self.made + 1,
            "{:#}",
            second.report
        );
        ensure!(
            second.with_action("created").is_empty(),
            "{:#}",
            second.report
        );
        ensure!(
            second.with_action("updated").is_empty(),
            "{:#}",
            second.report
        );
        let dry = self.setup(&["--dry-run", "--exit-code"])?;
        ensure!(dry.code == Some(0), "{dry:?}");
        Ok(())
    }

    fn the_server_has_what_is_committed(&self) -> Result<()> {
        for data in DATA_SETS {
            let name = format!("logs-beaconwatch.{data}");
            let found = self.node.get(&format!("_ingest/pipeline/{name}"))?;
            let expected = committed(&format!("opensearch/ingest-pipeline/{data}.json"))?;
            ensure!(found[&name] == expected, "{found:#}");
            let component = format!("{name}@mappings");
            let found = self.node.get(&format!("_component_template/{component}"))?;
            let expected = committed(&format!("opensearch/component-template/{component}.json"))?;
            let found = &found["component_templates"][0]["component_template"];
            ensure!(*found == expected, "{found:#}");
            let found = self.node.index_template(&name)?;
            let composed = json!([format!("{name}@mappings"), format!("{name}@settings")]);
            ensure!(found["composed_of"] == composed, "{found:#}");
        }
        Ok(())
    }

    /// The pipeline that was installed, and that of the Elastic package, for the events of the package's tests.
    fn the_pipeline_makes_the_expected_documents(&self, data: &str) -> Result<()> {
        let folder = format!("elastic/data_stream/{data}");
        let test = format!("{folder}/_dev/test/pipeline/test-{data}.json");
        let events = committed(&test)?["events"].clone();
        let expected = committed(&format!("{test}-expected.json"))?["expected"].clone();
        let index = format!("logs-beaconwatch.{data}-default");
        let events = events.as_array().context("no events")?.iter();
        let documents: Vec<Value> = events
            .map(|event| json!({"_index": index, "_source": event}))
            .collect();
        let package = committed(&format!(
            "{folder}/elasticsearch/ingest_pipeline/default.json"
        ))?;
        for (path, body) in [
            (
                format!("_ingest/pipeline/logs-beaconwatch.{data}/_simulate"),
                json!({"docs": documents}),
            ),
            (
                "_ingest/pipeline/_simulate".to_owned(),
                json!({"pipeline": package, "docs": documents}),
            ),
        ] {
            let url = format!("{}/{path}", self.node.url());
            let answer = http::post(&url, &body)?.expect_success(&url)?;
            let made = answer["docs"].as_array().context("no documents")?.iter();
            let made: Result<Vec<Value>> = made.map(without_arrival).collect();
            ensure!(Value::from(made?) == expected, "{path}: {answer:#}");
        }
        Ok(())
    }

    fn a_flow_is_found_by_its_fields(&self) -> Result<()> {
        let events = committed("elastic/data_stream/flow/_dev/test/pipeline/test-flow.json")?;
        let stream = "logs-beaconwatch.flow-default";
        for event in events["events"].as_array().context("no events")? {
            let url = format!("{}/{stream}/_doc", self.node.url());
            http::post(&url, event)?.expect_success(&url)?;
        }
        // The heartbeat was dropped; what is no flow says so.
        ensure!(
            self.node.documents(stream)?.len() == 5,
            "not five documents"
        );
        let flows = json!([
            {"term": {"source.ip": "192.0.2.0/24"}},
            {"term": {"process.name": "curl"}},
            {"term": {"data_stream.namespace": "default"}},
            {"range": {"event.duration": {"gte": 0}}},
            {"exists": {"field": "beaconwatch.delivery.lag_s"}},
        ]);
        ensure!(self.node.count(stream, &flows)? == 3, "not three flows");
        Ok(())
    }

    fn dashboards_are_imported_once_and_each_refusal_is_told(&self) -> Result<()> {
        let refusing = Dashboards::start(self.folder, "osd-xsrf", "3.1.0", "beaconwatch-hosts")?;
        let url = &refusing.url;
        let ran = self.setup(&["--dashboards-url", url])?;
        let refused = ran.with_action("failed");
        ran.expect_failure(&["objects were refused"])?;
        ensure!(
            refused
                .iter()
                .any(|it| it.contains("dashboard:beaconwatch-hosts")),
            "{refused:?}"
        );
        self.setup(&["--dashboards-url", url, "--remove", "--dry-run"])?
            .expect_success()?;
        let other = Dashboards::start(self.folder, "osd-xsrf", "3.2.0", "")?;
        let other = ["--dashboards-url", &other.url];
        self.setup(&other)?
            .expect_failure(&["journal", "is of opensearch"])?;
        let journal = self.folder.join("other.json").display().to_string();
        let with_journal = [&other[..], &["--journal", &journal]].concat();
        let url = self.node.url();
        let run = |more: &[&str]| {
            setup::run(&[&["opensearch", "--url", &url], &with_journal[..], more].concat())
        };
        let imported = run(&[])?.expect_success()?.with_action("created").len();
        let expected = setup::committed_lines("opensearch/saved-objects.ndjson")?;
        ensure!(
            imported == expected,
            "{imported} saved objects of {expected}"
        );
        let again = run(&[])?.expect_success()?;
        ensure!(again.with_action("created").is_empty(), "{again:?}");
        let removed = run(&["--remove"])?.expect_success()?;
        ensure!(
            removed.with_action("removed").len() == imported,
            "{removed:?}"
        );
        Ok(())
    }

    /// The sidecar finds the template and leaves it; pipeline and mapping do the rest.
    fn a_delivered_finding_has_its_arrival(&self) -> Result<Detect> {
        let destination = format!("type = \"opensearch\"\nurl = \"{}\"", self.node.url());
        let mut detect = Detect::start(&self.folder.join("sidecar"), &destination)?;
        detect.feed(&beacons(1))?;
        detect.wait_until_sent(1)?;
        let arrived = json!([
            {"range": {"event.ingested": {"gte": "now-10m", "lte": "now"}}},
            {"range": {"beaconwatch.delivery.lag_s": {"gte": 0, "lte": 600}}},
        ]);
        wait::wait_for("a finding with its arrival", DEADLINE, || {
            self.node.documents(DATA_STREAM)?;
            Ok((self.node.count(DATA_STREAM, &arrived)? == 1).then_some(()))
        })?;
        Ok(detect)
    }

    /// OpenSearch has no transforms of Elasticsearch's kind; a pivot is a composite aggregation, which both have.
    fn the_rows_of_a_transform_can_be_computed(&self, name: &str) -> Result<()> {
        let transform = committed(&format!("elasticsearch/transform/{name}.json"))?;
        let pivot = &transform["pivot"];
        let groups = pivot["group_by"].as_object().context("no groups")?;
        let sources: Vec<Value> = groups.iter().map(|(name, by)| json!({name: by})).collect();
        let question = json!({
            "aggs": {"rows": {"aggs": pivot["aggregations"], "composite": {"sources": sources}}},
            "query": transform["source"]["query"],
            "size": 0,
        });
        let url = format!("{}/{DATA_STREAM}/_search", self.node.url());
        let answer = http::post(&url, &question)?.expect_success(&url)?;
        let rows = answer
            .pointer("/aggregations/rows/buckets")
            .and_then(Value::as_array);
        let rows = rows.context("no rows")?;
        ensure!(rows.len() == 1, "{name}: {answer:#}");
        let measures = pivot["aggregations"].as_object().context("no measures")?;
        for measure in measures.keys() {
            ensure!(
                rows[0][measure]["value"].is_number(),
                "{measure}: {answer:#}"
            );
        }
        for group in groups.keys() {
            ensure!(!rows[0]["key"][group].is_null(), "{group}: {answer:#}");
        }
        Ok(())
    }

    fn pipelines_and_components_are_gone(&self) -> Result<()> {
        for data in DATA_SETS {
            let name = format!("logs-beaconwatch.{data}");
            for path in [
                format!("_ingest/pipeline/{name}"),
                format!("_component_template/{name}@mappings"),
                format!("_component_template/{name}@settings"),
            ] {
                ensure!(!self.node.has(&path)?, "{path} is there");
            }
        }
        Ok(())
    }

    fn what_was_made_goes_and_documents_stay(&self, detect: &mut Detect) -> Result<()> {
        let without_dashboards = self.setup(&["--remove"])?.expect_success()?;
        let kept = without_dashboards.with_action("kept");
        let in_use =
            ["detection", "flow"].map(|data| format!("index_template logs-beaconwatch.{data}"));
        for template in &in_use {
            ensure!(kept.contains(template), "{kept:?}");
        }
        self.pipelines_and_components_are_gone()?;
        ensure!(
            self.node.documents(DATA_STREAM)?.len() == 1,
            "the document is gone"
        );
        // The stream takes documents: neither pipeline nor template is missed.
        let mut more = beacons(2);
        detect.feed(&more.split_off(1))?;
        let status = detect.wait_until_sent(2)?;
        ensure!(status["dead"] == 0, "{status:#}");
        ensure!(
            self.node.documents(DATA_STREAM)?.len() == 2,
            "not two documents"
        );
        let template = self.node.index_template(INDEX_TEMPLATE)?;
        ensure!(
            template
                .get("composed_of")
                .is_none_or(|it| *it == json!([])),
            "{template:#}"
        );
        for data in ["detection", "flow"] {
            let url = format!(
                "{}/_data_stream/logs-beaconwatch.{data}-default",
                self.node.url()
            );
            http::delete(&url)?.expect_success(&url)?;
        }
        self.setup(&["--remove"])?.expect_success()?;
        for template in in_use {
            let path = template.replace("index_template ", "_index_template/");
            ensure!(!self.node.has(&path)?, "{path} is there");
        }
        Ok(())
    }
}

/// What a pipeline made of an event, without what depends on the time.
fn without_arrival(made: &Value) -> Result<Value> {
    let mut source = made["doc"]["_source"].clone();
    if source["event"]["kind"] == "pipeline_error" || source.is_null() {
        return Ok(source);
    }
    let fields = source.as_object_mut().context("no document")?;
    let event = fields.get_mut("event").and_then(Value::as_object_mut);
    let ingested = event.and_then(|event| event.remove("ingested"));
    ensure!(
        ingested.is_some_and(|it| it.is_string()),
        "no event.ingested: {made:#}"
    );
    let own = fields.get_mut("beaconwatch").and_then(Value::as_object_mut);
    let delivery = own.and_then(|own| own.remove("delivery"));
    let lag = delivery.and_then(|it| it["lag_s"].as_f64());
    ensure!(lag.is_some_and(|lag| lag > 0.0), "no lag: {made:#}");
    Ok(source)
}
