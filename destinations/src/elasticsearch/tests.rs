use std::io::{Read, Write};
use std::net::TcpListener;
use std::thread::JoinHandle;

use super::*;

/// A server that takes requests, answers each with the next answer, and tells what it was sent.
fn server(answers: Vec<&'static str>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = std::thread::spawn(move || {
        answers
            .into_iter()
            .map(|answer| serve(&listener, answer))
            .collect()
    });
    (url, served)
}

/// Takes one request on a connection of its own.
fn serve(listener: &TcpListener, answer: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = Vec::new();
    let mut byte = [0; 1];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        request.push(byte[0]);
    }
    let head = String::from_utf8(request).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    head + std::str::from_utf8(&body).unwrap()
}

fn destination(url: String) -> Elasticsearch {
    let config = ElasticsearchConfig {
        url,
        create_template: false,
        ..ElasticsearchConfig::default()
    };
    Elasticsearch::new(&config, "default").unwrap()
}

fn document(id: &str, stream: Stream) -> Document {
    Document {
        event_id: id.to_owned(),
        body: format!(r#"{{"event":{{"id":"{id}"}}}}"#),
        stream,
    }
}

const ONE_CREATED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 38\r\n\r\n{\"items\":[{\"create\":{\"status\":201}}]}\n";
const ONE_THERE: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 38\r\n\r\n{\"items\":[{\"create\":{\"status\":409}}]}\n";

#[tokio::test]
async fn each_stream_has_its_own_request_and_outcomes_keep_their_order() {
    let (url, served) = server(vec![ONE_CREATED, ONE_THERE]);
    let documents = [
        document("s-1", Stream::Sensor),
        document("d-1", Stream::Detection),
    ];
    let outcomes = destination(url).deliver(&documents).await.unwrap();
    assert_eq!(outcomes, [Outcome::AlreadyThere, Outcome::Delivered]);
    let requests = served.join().unwrap();
    assert!(
        requests[0].starts_with("POST /logs-beaconwatch.detection-default/_bulk?"),
        "{}",
        requests[0]
    );
    assert!(
        requests[0].ends_with("\r\n{\"create\":{\"_id\":\"d-1\"}}\n{\"event\":{\"id\":\"d-1\"}}\n"),
        "{}",
        requests[0]
    );
    assert!(
        requests[1].starts_with("POST /logs-beaconwatch.sensor-default/_bulk?"),
        "{}",
        requests[1]
    );
}

#[tokio::test]
async fn each_stream_has_its_own_template_which_is_made_once_before_its_first_document() {
    let missing = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n";
    let made = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
    let (url, served) = server(vec![
        missing,
        made,
        ONE_CREATED,
        ONE_CREATED,
        missing,
        made,
        ONE_CREATED,
    ]);
    let config = ElasticsearchConfig {
        url,
        ..ElasticsearchConfig::default()
    };
    let mut destination = Elasticsearch::new(&config, "default").unwrap();
    for (id, stream) in [
        ("d-1", Stream::Detection),
        ("d-2", Stream::Detection),
        ("s-1", Stream::Sensor),
    ] {
        let outcomes = destination.deliver(&[document(id, stream)]).await.unwrap();
        assert_eq!(outcomes, [Outcome::Delivered]);
    }
    let requests = served.join().unwrap();
    let lines: Vec<_> = requests
        .iter()
        .map(|request| request.lines().next().unwrap())
        .collect();
    assert!(
        lines[0].starts_with("HEAD /_index_template/logs-beaconwatch.detection "),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("PUT /_index_template/logs-beaconwatch.detection "),
        "{lines:?}"
    );
    assert!(
        lines[4].starts_with("HEAD /_index_template/logs-beaconwatch.sensor "),
        "{lines:?}"
    );
    assert!(
        lines[5].starts_with("PUT /_index_template/logs-beaconwatch.sensor "),
        "{lines:?}"
    );
    assert!(
        requests[5].contains("logs-beaconwatch.sensor-*"),
        "{}",
        requests[5]
    );
}

#[tokio::test]
async fn a_document_that_is_no_json_is_refused_and_the_others_are_delivered() {
    let (url, served) = server(vec![ONE_CREATED]);
    let mut broken = document("d-1", Stream::Detection);
    broken.body.pop();
    let documents = [broken, document("d-2", Stream::Detection)];
    let outcomes = destination(url).deliver(&documents).await.unwrap();
    assert!(matches!(&outcomes[0], Outcome::Refused { reason } if reason.contains("no JSON")));
    assert_eq!(outcomes[1], Outcome::Delivered);
    served.join().unwrap();
}

#[tokio::test]
async fn when_the_server_goes_away_between_two_streams_only_the_second_is_tried_again() {
    let (url, served) = server(vec![ONE_CREATED]);
    let documents = [
        document("s-1", Stream::Sensor),
        document("d-1", Stream::Detection),
    ];
    let outcomes = destination(url).deliver(&documents).await.unwrap();
    assert!(matches!(outcomes[0], Outcome::Retry { .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Delivered);
    served.join().unwrap();
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_all_is_tried_again() {
    let redirect = "HTTP/1.1 301 Moved\r\nlocation: http://127.0.0.1:1/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (url, served) = server(vec![redirect]);
    let documents = [document("d-1", Stream::Detection)];
    let error = destination(url).deliver(&documents).await.unwrap_err();
    assert!(
        error.reason.contains("redirects are not followed"),
        "{}",
        error.reason
    );
    served.join().unwrap();
}

#[tokio::test]
async fn a_server_that_is_too_busy_gets_half_as_many_documents_at_a_time() {
    let busy = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 2\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    let (url, served) = server(vec![busy, ONE_CREATED, ONE_CREATED]);
    let mut destination = destination(url);
    let documents = [
        document("d-1", Stream::Detection),
        document("d-2", Stream::Detection),
    ];
    let error = destination.deliver(&documents).await.unwrap_err();
    assert_eq!(error.retry_after, Some(Duration::from_secs(2)));
    let outcomes = destination.deliver(&documents).await.unwrap();
    assert_eq!(outcomes, [Outcome::Delivered, Outcome::Delivered]);
    let requests = served.join().unwrap();
    assert!(
        !requests[1].contains("d-2") && !requests[2].contains("d-1"),
        "{requests:?}"
    );
}

#[test]
fn an_address_keeps_its_path_and_has_no_query() {
    let config = |url: &str| ElasticsearchConfig {
        url: url.to_owned(),
        ..ElasticsearchConfig::default()
    };
    let base = config("https://proxy.example/search").base_url().unwrap();
    assert_eq!(base.join("x/_bulk").unwrap().path(), "/search/x/_bulk");
    for wrong in [
        "https://user:password@host",
        "ftp://host",
        "https://host/?a=b",
        "host:9200",
    ] {
        assert_eq!(
            config(wrong).validate("x").unwrap_err().field(),
            "x.url",
            "{wrong}"
        );
    }
}
