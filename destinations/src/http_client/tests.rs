use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use http::header::AUTHORIZATION;

use super::*;
use crate::SecretSource;

/// A server that takes one request and answers with these bytes; what it was sent.
fn answering(answer: Vec<u8>) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        let mut buffer = [0; 4096];
        while !request.ends_with(b"the end") {
            let count = stream.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "the client went away");
            request.extend_from_slice(&buffer[..count]);
        }
        // The client may go away before all is written.
        let _gone = stream.write_all(&answer);
        String::from_utf8(request).unwrap()
    });
    (address, served)
}

fn client(max_answer_bytes: usize) -> HttpClient {
    let tls = TlsConfig::default();
    let mut settings = HttpClientSettings::new(Duration::from_secs(10), &tls);
    settings.max_answer_bytes = max_answer_bytes;
    HttpClient::new(settings).unwrap()
}

async fn post(client: &HttpClient, url: &str) -> Result<Answer, AttemptError> {
    let url = parse_url(url).unwrap();
    client
        .send(Method::POST, url, HeaderMap::new(), "the end")
        .await
}

#[tokio::test]
async fn an_answer_in_pieces_is_read_up_to_the_limit_and_no_further() {
    let pieces = |count: usize| {
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for _ in 0..count {
            answer.extend_from_slice(b"400\r\n");
            answer.extend_from_slice(&[b'x'; 0x400]);
            answer.extend_from_slice(b"\r\n");
        }
        answer.extend_from_slice(b"0\r\n\r\n");
        answer
    };
    let client = client(4096);
    let (address, _) = answering(pieces(4));
    let answer = post(&client, &format!("http://{address}/")).await.unwrap();
    assert_eq!(answer.body.len(), 4096);
    let (address, _) = answering(pieces(5));
    let error = post(&client, &format!("http://{address}/"))
        .await
        .unwrap_err();
    assert_eq!(error.reason, "200 OK: the answer has more than 4096 bytes");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = listener.local_addr().unwrap();
    let answer = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n"
    );
    let (address, _) = answering(answer.into_bytes());
    let answer = post(&client(4096), &format!("http://{address}/"))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    assert!(
        answer.reason().contains("redirects are not followed"),
        "{}",
        answer.reason()
    );
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody came");
}

#[tokio::test]
async fn the_time_to_come_back_is_read_as_seconds_and_as_a_date() {
    let answer =
        b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 7\r\ncontent-length: 4\r\n\r\nbusy";
    let (address, _) = answering(answer.to_vec());
    let answer = post(&client(4096), &format!("http://{address}/"))
        .await
        .unwrap();
    assert!(answer.is_retryable());
    let error = answer.into_error();
    assert_eq!(error.reason, "503 Service Unavailable: busy");
    assert_eq!(error.retry_after, Some(Duration::from_secs(7)));

    let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
    let wait = |text: &'static str| retry_after(&HeaderValue::from_static(text), now);
    assert_eq!(
        wait("Sun, 06 Nov 1994 08:49:40 GMT"),
        Some(Duration::from_secs(3))
    );
    assert_eq!(wait("Sun, 06 Nov 1994 08:49:30 GMT"), Some(Duration::ZERO));
    assert_eq!(wait("soon"), None);
}

#[tokio::test]
async fn errors_do_not_show_what_is_in_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/hook?token=hunter2");
    let error = post(&client(4096), &url).await.unwrap_err();
    assert!(!error.reason.contains("hunter2"), "{}", error.reason);
    assert!(error.reason.contains("refused"), "{}", error.reason);
}

#[tokio::test]
async fn a_secret_is_sent_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "hunter2").unwrap();
    let secret = Secret::read(&SecretSource::File(path.clone())).unwrap();
    let value = secret_header("Bearer ", &secret).unwrap();
    assert!(!format!("{value:?}").contains("hunter2"));

    let (address, served) = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec());
    let url = parse_url(&format!("http://{address}/")).unwrap();
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    client(4096)
        .send(Method::POST, url, headers, "the end")
        .await
        .unwrap();
    assert!(
        served
            .join()
            .unwrap()
            .contains("authorization: Bearer hunter2")
    );

    std::fs::write(&path, "hunter2\nhunter3").unwrap();
    let secret = Secret::read(&SecretSource::File(path)).unwrap();
    let error = secret_header("Bearer ", &secret).unwrap_err().to_string();
    assert!(!error.contains("hunter"), "{error}");
}

#[test]
fn addresses_with_credentials_or_another_scheme_are_refused() {
    for wrong in [
        "ftp://host/",
        "http://user:pass@host/",
        "http://user@host/",
        "host",
        "http://",
        "file:///x",
    ] {
        assert!(parse_url(wrong).is_err(), "{wrong}");
    }
    assert!(parse_url("https://[::1]:8088/x").is_ok());
}

#[tokio::test]
async fn names_are_resolved_by_the_resolver_that_was_given() {
    struct Nobody;
    impl reqwest::dns::Resolve for Nobody {
        fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
            let told = format!("{} is forbidden", name.as_str());
            Box::pin(async move { Err(told.into()) })
        }
    }
    let tls = TlsConfig::default();
    let mut settings = HttpClientSettings::new(Duration::from_secs(10), &tls);
    settings.resolver = Some(Arc::new(Nobody));
    let client = HttpClient::new(settings).unwrap();
    let error = post(&client, "http://inside.example:80/")
        .await
        .unwrap_err();
    assert!(
        error.reason.contains("inside.example is forbidden"),
        "{}",
        error.reason
    );
}
