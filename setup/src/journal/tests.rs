use serde_json::json;

use super::*;

fn target() -> Target {
    Target {
        product: "elastic".to_owned(),
        store: "http://one:9200".to_owned(),
        dashboards: None,
        cluster: Some("uuid".to_owned()),
    }
}

fn written(folder: &Path) -> Journal {
    let mut journal = Journal::new(&folder.join("j.json"), target());
    let former = Some(json!({ "description": "before" }));
    journal
        .begin(Kind::Pipeline, "p", former, "w".to_owned())
        .unwrap();
    journal
}

#[test]
fn what_was_there_before_the_first_change_is_kept_through_later_ones() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = written(folder.path());
    journal.finish(Kind::Pipeline, "p", "l".to_owned()).unwrap();
    journal
        .begin(
            Kind::Pipeline,
            "p",
            Some(json!({ "description": "ours" })),
            "w2".to_owned(),
        )
        .unwrap();
    let read = Journal::read(&folder.path().join("j.json"), &target())
        .unwrap()
        .unwrap();
    let change = read.change(Kind::Pipeline, "p").unwrap();
    assert_eq!(change.former, Some(json!({ "description": "before" })));
    assert_eq!((change.wrote.as_str(), &change.left), ("w2", &None));
    assert_eq!(read.change(Kind::IndexTemplate, "p"), None);
}

#[test]
fn the_file_goes_with_the_last_change() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = written(folder.path());
    journal
        .begin(Kind::Monitor, "m", None, "w".to_owned())
        .unwrap();
    journal.forget(Kind::Pipeline, "p").unwrap();
    assert!(folder.path().join("j.json").exists());
    journal.forget(Kind::Monitor, "m").unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(
        Journal::read(&folder.path().join("j.json"), &target())
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_journal_of_another_cluster_is_refused_and_one_of_another_address_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.json");
    written(folder.path());
    let moved = Target {
        store: "http://two:9200".to_owned(),
        ..target()
    };
    assert!(Journal::read(&path, &moved).unwrap().is_some());
    let other = Target {
        cluster: Some("another".to_owned()),
        ..target()
    };
    let error = Journal::read(&path, &other).unwrap_err().to_string();
    assert!(
        error.contains("cluster uuid") && error.contains("cluster another"),
        "{error}"
    );
    let unknown = Target {
        cluster: None,
        ..moved
    };
    assert!(Journal::read(&path, &unknown).is_err());
}

#[test]
fn a_broken_journal_says_where_and_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("j.json");
    let whole = {
        written(folder.path());
        fs::read_to_string(&path).unwrap()
    };
    let cut = whole.len() / 2;
    for (text, expected) in [
        (whole.chars().take(cut).collect(), "line"),
        (
            whole.replace("\"version\": 1", "\"version\": 7"),
            "version 7, expected 1",
        ),
        (whole.replace("pipeline", "pipe"), "unknown variant"),
        (String::new(), "line 1"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = Journal::read(&path, &target()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn a_journal_that_cannot_be_written_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::new(&folder.path().join("missing/j.json"), target());
    let error = journal.save().unwrap_err().to_string();
    assert!(error.contains("missing/j.json"), "{error}");
}
