//! The Splunk app, judged by what Splunk publishes: `AppInspect`, slim, the data models of the Common Information Model and the components
//! of Dashboard Studio. Splunk itself is not run.
//!
//! `BEACONWATCH_TEST_PICTURES=folder` keeps the pictures of the dashboards; `BEACONWATCH_TEST_DETECTIONS=file` draws them of a real
//! run's detections (NDJSON).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use beaconwatch_tests::process::Process;
use beaconwatch_tests::servers::studio;
use beaconwatch_tests::{splunk, tools};
use serde_json::Value;

const DRAWING_DEADLINE: Duration = Duration::from_mins(10);
/// Event types, the source type of their events, and the data models that their tags put them into.
const MODELS: [(&str, &str, &[&str]); 3] = [
    (
        "beaconwatch_detection",
        "beaconwatch:detection",
        &["Intrusion_Detection", "Alerts"],
    ),
    ("beaconwatch_flow", "beaconwatch:flow", &["Network_Traffic"]),
    ("beaconwatch_sensor", "beaconwatch:sensor", &["Alerts"]),
];
/// Computed fields that are no data model's but the app's own.
const OWN: &[&str] = &[
    "beaconwatch_destination",
    "beaconwatch_detector",
    "beaconwatch_finding",
    "delivery_lag_s",
];

#[test]
fn slim_packages_the_app_and_appinspect_has_nothing_against_the_package() -> Result<()> {
    let folder = tempfile::tempdir()?;
    copy_app(folder.path())?;
    splunk::slim(&["validate", "beaconwatch"], folder.path())?;
    splunk::slim(
        &["package", "--output-dir", "out", "beaconwatch"],
        folder.path(),
    )?;
    let package = tools::only_file(&folder.path().join("out"), "gz")?;
    let listed = tools::output_of(Command::new("tar").arg("tzf").arg(&package))?;
    for wanted in [
        "app.manifest",
        "default/app.conf",
        "default/savedsearches.conf",
        "static/appIcon.png",
    ] {
        let path = format!("beaconwatch/{wanted}");
        assert!(
            listed.lines().any(|line| line.ends_with(&path)),
            "{path}: {listed}"
        );
    }
    for tags in [&[][..], &["--included-tags", "cloud"][..]] {
        let (summary, bad) = splunk::inspect(&package, tags, &folder.path().join("report.json"))?;
        assert_eq!(bad, Vec::<String>::new());
        for kind in ["error", "failure", "future_failure", "warning"] {
            assert_eq!(summary[kind], 0, "{tags:?}: {summary}");
        }
        assert!(summary["success"].as_u64() > Some(90), "{summary}");
    }
    Ok(())
}

#[test]
fn appinspect_refuses_an_app_that_links_without_encryption() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let app = copy_app(folder.path())?;
    let path = app.join("default/workflow_actions.conf");
    let text = fs::read_to_string(&path)?;
    fs::write(
        &path,
        text.replace("https://$!beaconwatch_page$", "http://page.example.org"),
    )?;
    let (summary, bad) = splunk::inspect(&app, &[], &folder.path().join("report.json"))?;
    assert!(summary["failure"].as_u64() >= Some(1), "{summary} {bad:?}");
    Ok(())
}

#[test]
fn names_of_the_information_model_are_the_published_ones_and_every_required_one_is_there()
-> Result<()> {
    let models = splunk::data_models()?;
    let published: BTreeSet<&str> = models
        .values()
        .flatten()
        .filter_map(|field| field["name"].as_str())
        .collect();
    let documented = splunk::documented_fields()?;
    let props = splunk::configuration("props.conf")?;
    for (event_type, source_type, of) in MODELS {
        let settings = props.get(source_type).context("a source type is missing")?;
        let aliases = aliases(settings.get("FIELDALIAS-cim").context("no aliases")?);
        for (field, name) in &aliases {
            assert!(
                documented.contains(field),
                "{source_type}: no such field: {field}"
            );
            assert!(
                published.contains(name.as_str()),
                "{source_type}: not of the model: {name}"
            );
        }
        let computed: Vec<(&str, &str)> = settings
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("EVAL-")?, value.as_str())))
            .collect();
        for (name, expression) in &computed {
            assert!(
                published.contains(name) || OWN.contains(name),
                "{source_type}: {name}"
            );
            for field in quoted(expression, '\'') {
                assert!(
                    documented.contains(&field),
                    "{source_type}: {name}: {field}"
                );
            }
        }
        let has = |name: &str| {
            aliases.iter().any(|(_, alias)| alias == name)
                || computed.iter().any(|(computed, _)| *computed == name)
        };
        for model in of {
            let fields = models.get(*model).context("a data model is missing")?;
            ensure!(fields.len() > 10, "{model} has {} fields", fields.len());
            for field in fields.iter().filter(|field| field["type"] == "required") {
                let name = field["name"].as_str().unwrap_or_default();
                assert!(has(name), "{event_type}: {model} requires {name}");
                expect_values(field, &computed, source_type);
            }
        }
    }
    Ok(())
}

/// What an expression can come to is among the values that the model expects.
fn expect_values(field: &Value, computed: &[(&str, &str)], source_type: &str) {
    let Some(expected) = field["expected_values"].as_array() else {
        return;
    };
    let name = field["name"].as_str().unwrap_or_default();
    for (_, expression) in computed.iter().filter(|(computed, _)| *computed == name) {
        // Values that are compared with are no results.
        let results = expression
            .split([',', '('])
            .filter(|part| !part.contains('='))
            .flat_map(|part| quoted(part, '"'));
        for value in results.filter(|value| value != "unknown") {
            assert!(
                expected.iter().any(|known| *known == value.as_str()),
                "{source_type}: {name} is {value}, expected is {expected:?}"
            );
        }
    }
}

#[test]
fn every_field_of_every_search_is_documented_or_made_by_the_search_itself() -> Result<()> {
    let documented = splunk::documented_fields()?;
    let mut searches: Vec<(String, String)> = Vec::new();
    for (file, setting) in [
        ("savedsearches.conf", "search"),
        (
            "savedsearches.conf",
            "action.notable.param.drilldown_search",
        ),
        ("macros.conf", "definition"),
        ("eventtypes.conf", "search"),
    ] {
        for (stanza, settings) in splunk::configuration(file)? {
            let text = settings.get(setting).cloned();
            searches.extend(text.map(|text| (format!("{file} [{stanza}]"), text)));
        }
    }
    for (view, definition) in splunk::dashboards()? {
        for (name, source) in definition["dataSources"]
            .as_object()
            .context("no sources")?
        {
            let query = source["options"]["query"].as_str().context("no query")?;
            searches.push((format!("{view} {name}"), query.to_owned()));
        }
    }
    let mut seen = BTreeSet::new();
    for (place, search) in &searches {
        let search = search.replace("\\\"", "");
        let dotted = quoted(&search, '"')
            .into_iter()
            .chain(quoted(&search, '\''));
        for field in dotted.filter(|name| is_dotted(name)) {
            let made = search.contains(&format!(" AS \"{field}\""));
            assert!(
                documented.contains(&field) || made,
                "{place}: no such field: {field}"
            );
            seen.insert(field);
        }
        let outside = search
            .split('"')
            .step_by(2)
            .flat_map(|text| text.split('\'').step_by(2));
        for word in outside.flat_map(|text| text.split([' ', '(', ')', ',', '='])) {
            assert!(!is_dotted(word), "{place}: {word} is not quoted");
        }
    }
    assert!(
        seen.len() > 40 && searches.len() > 50,
        "{} {}",
        seen.len(),
        searches.len()
    );
    Ok(())
}

#[test]
fn no_saved_search_runs_until_it_is_enabled_and_none_more_than_twelve_times_an_hour() -> Result<()>
{
    let searches = splunk::configuration("savedsearches.conf")?;
    for (name, settings) in &searches {
        let setting = |key: &str| settings.get(key).map(String::as_str).unwrap_or_default();
        assert_eq!(setting("disabled"), "1", "{name}");
        assert!(!setting("dispatch.latest_time").is_empty(), "{name}");
        let minutes = setting("cron_schedule")
            .split(' ')
            .next()
            .unwrap_or_default();
        let step = minutes.split_once('/').map_or("60", |(_, step)| step);
        assert!(step.parse::<u32>()? >= 5, "{name}: {minutes}");
        for key in [
            "action.correlationsearch.annotations",
            "action.risk.param._risk",
        ] {
            let text = setting(key);
            let json: Result<Value, _> = serde_json::from_str(text);
            assert!(text.is_empty() || json.is_ok(), "{name}: {key}: {text}");
        }
    }
    let rules = searches.keys().filter(|name| name.ends_with(" - Rule"));
    assert_eq!(rules.count(), 6);
    Ok(())
}

#[test]
fn every_dashboard_is_drawn_by_studios_own_components_and_no_panel_shows_an_error() -> Result<()> {
    let browser = studio::install()?;
    let temporary = tempfile::tempdir()?;
    let kept = std::env::var_os("BEACONWATCH_TEST_PICTURES").map(PathBuf::from);
    let folder = kept.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(folder)?;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("studio/run.mjs");
    let mut command = Command::new(&browser.node);
    command
        .arg(program)
        .arg(&browser.modules)
        .arg(&browser.chromium)
        .arg(splunk::app())
        .arg(folder);
    command.args(std::env::var_os("BEACONWATCH_TEST_DETECTIONS"));
    let mut drawing = Process::start("node", &command, None, &temporary.path().join("log"))?;
    let outcome = drawing.wait_success(DRAWING_DEADLINE);
    println!("{}", drawing.log()?);
    outcome.map(drop)
}

fn copy_app(folder: &Path) -> Result<PathBuf> {
    let copy = folder.join("beaconwatch");
    tools::output_of(Command::new("cp").arg("-r").arg(splunk::app()).arg(&copy))?;
    Ok(copy)
}

/// Pairs of field and alias: `"field" AS name "field" AS name`.
fn aliases(text: &str) -> Vec<(String, String)> {
    let words: Vec<&str> = text.split(' ').collect();
    words
        .chunks(3)
        .filter_map(|three| match three {
            [field, "AS", name] => Some((field.trim_matches('"').to_owned(), (*name).to_owned())),
            _ => None,
        })
        .collect()
}

/// What stands between quotes.
fn quoted(text: &str, quote: char) -> Vec<String> {
    text.split(quote)
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Whether a text is a dotted name of lower-case words, as fields are.
fn is_dotted(text: &str) -> bool {
    let name = text.strip_suffix("{}").unwrap_or(text);
    let letters = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '@')
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_@".contains(c))
    };
    name.contains('.') && name.split('.').all(letters)
}
