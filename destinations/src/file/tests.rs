use super::*;

fn document(id: &str) -> Document {
    Document {
        event_id: id.to_owned(),
        body: format!(r#"{{"event":{{"id":"{id}"}}}}"#),
        ..Document::default()
    }
}

fn destination(path: &Path) -> File {
    let config = FileConfig {
        path: Some(path.to_owned()),
        create_folder: false,
    };
    File::new(&config, Path::new("/nonexistent")).unwrap()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn each_document_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detections.ndjson");
    let mut file = destination(&path);
    let outcomes = file
        .deliver(&[document("a-1"), document("b-1")])
        .await
        .unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    file.deliver(&[document("a-2")]).await.unwrap();
    let ids: Vec<_> = lines(&path)
        .iter()
        .filter_map(|line| event_id(line.as_bytes()))
        .collect();
    assert_eq!(ids, ["a-1", "b-1", "a-2"]);
}

#[tokio::test]
async fn a_document_written_before_a_crash_is_not_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detections.ndjson");
    destination(&path)
        .deliver(&[document("a-1")])
        .await
        .unwrap();
    let again = destination(&path)
        .deliver(&[document("a-1"), document("b-1")])
        .await
        .unwrap();
    assert_eq!(again, [Outcome::AlreadyThere, Outcome::Delivered]);
    assert_eq!(lines(&path).len(), 2);
}

#[tokio::test]
async fn a_last_line_cut_off_at_any_byte_is_taken_away_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detections.ndjson");
    destination(&path)
        .deliver(&[document("a-1"), document("b-1")])
        .await
        .unwrap();
    let whole = std::fs::read(&path).unwrap();
    let second = document("a-1").body.len() + 1;
    for cut in second..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let outcomes = destination(&path)
            .deliver(&[document("a-1"), document("b-1")])
            .await
            .unwrap();
        assert_eq!(
            outcomes,
            [Outcome::AlreadyThere, Outcome::Delivered],
            "cut at {cut}"
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
    }
}

#[tokio::test]
async fn a_renamed_file_is_left_alone_and_a_new_one_begun() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detections.ndjson");
    let mut file = destination(&path);
    file.deliver(&[document("a-1")]).await.unwrap();
    let rotated = folder.path().join("detections.ndjson.1");
    std::fs::rename(&path, &rotated).unwrap();
    file.deliver(&[document("b-1")]).await.unwrap();
    assert_eq!((lines(&rotated).len(), lines(&path).len()), (1, 1));
}

#[test]
fn a_path_that_cannot_be_opened_is_an_error_that_names_it() {
    let config = FileConfig {
        path: Some("/nonexistent/detections.ndjson".into()),
        create_folder: false,
    };
    let error = File::new(&config, Path::new("/")).unwrap_err().to_string();
    assert!(
        error.starts_with("/nonexistent/detections.ndjson: "),
        "{error}"
    );
}

#[tokio::test]
async fn an_error_of_the_disk_is_told_and_later_attempts_work() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("detections.ndjson");
    let mut file = destination(&path);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    let error = file.deliver(&[document("a-1")]).await.unwrap_err();
    assert!(error.reason.contains("detections.ndjson"), "{error}");
    std::fs::remove_dir(&path).unwrap();
    assert_eq!(
        file.deliver(&[document("a-1")]).await.unwrap(),
        [Outcome::Delivered]
    );
}

#[tokio::test]
async fn a_folder_is_made_only_when_that_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/detections.ndjson");
    let config = |create_folder| FileConfig {
        path: Some(path.clone()),
        create_folder,
    };
    assert!(File::new(&config(false), folder.path()).is_err());
    assert!(!folder.path().join("a").exists());
    let mut file = File::new(&config(true), folder.path()).unwrap();
    file.deliver(&[document("a-1")]).await.unwrap();
    assert_eq!(lines(&path).len(), 1);
}
