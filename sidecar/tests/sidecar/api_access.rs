//! Who may do what with the API: tokens, roles, hosts, pages of other sites, sizes.

use std::path::Path;

use beaconwatch_sidecar::destinations::SecretSource;
use beaconwatch_sidecar::{Config, Role, Sidecar, TokenConfig};
use reqwest::{Client, Method, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::running::{Hands, config_without_destinations, json, start};

const READ: &str = "read-0123456789abcdef";
const OPERATE: &str = "operate-0123456789abcdef";

/// A configuration with a token of each role.
fn config_with_tokens(folder: &Path) -> Config {
    let mut config = config_without_destinations(folder);
    for (name, role, text) in [
        ("viewer", Role::Read, READ),
        ("admin", Role::Operate, OPERATE),
    ] {
        let path = folder.join(format!("{name}.token"));
        std::fs::write(&path, format!("{text}\n")).unwrap();
        let secret = SecretSource::File(path);
        config
            .api
            .tokens
            .insert(name.to_owned(), TokenConfig { role, secret });
    }
    config
}

async fn running(folder: &tempfile::TempDir) -> Sidecar {
    start(config_with_tokens(folder.path()), &Hands::new()).await
}

fn url(sidecar: &Sidecar, path: &str) -> String {
    format!("http://{}{path}", sidecar.addresses().api)
}

async fn ask(sidecar: &Sidecar, method: Method, path: &str, token: Option<&str>) -> Response {
    let mut request = Client::new().request(method, url(sidecar, path));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    request.send().await.unwrap()
}

async fn status(sidecar: &Sidecar, method: Method, path: &str, token: Option<&str>) -> u16 {
    ask(sidecar, method, path, token).await.status().as_u16()
}

/// Every operation of the description, with something in place of the variable parts of its path.
async fn operations(sidecar: &Sidecar) -> Vec<(Method, String, Value)> {
    let described = json(ask(sidecar, Method::GET, "/openapi.json", Some(OPERATE)).await).await;
    let mut operations = Vec::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        let path = path
            .replace("{id}", &"0".repeat(32))
            .replace("{name}", "nothing");
        assert!(!path.contains('{'), "{path}");
        for (method, operation) in item.as_object().unwrap() {
            let Ok(method) = method.to_uppercase().parse::<Method>() else {
                continue;
            };
            operations.push((method, path.clone(), operation.clone()));
        }
    }
    operations
}

#[tokio::test]
async fn every_route_asks_for_a_token_and_every_write_for_one_that_may_operate() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    let operations = operations(&sidecar).await;
    let (mut reads, mut writes) = (0, 0);
    for (method, path, operation) in operations {
        let open = operation["security"] == serde_json::json!([{}]);
        assert_eq!(open, path == "/healthz" || path == "/readyz", "{path}");
        if open {
            continue;
        }
        let what = format!("{method} {path}");
        let ask = |token| status(&sidecar, method.clone(), &path, token);
        for token in [None, Some("no such token at all"), Some("")] {
            assert_eq!(ask(token).await, 401, "{what} {token:?}");
        }
        if method == Method::GET {
            reads += 1;
            assert_ne!(ask(Some(READ)).await, 401, "{what}");
        } else {
            writes += 1;
            assert_eq!(ask(Some(READ)).await, 403, "{what}");
        }
        assert!(![401, 403].contains(&ask(Some(OPERATE)).await), "{what}");
    }
    assert!(reads >= 5 && writes >= 1, "{reads} reads, {writes} writes");
}

#[tokio::test]
async fn a_refusal_says_how_to_come_in_and_which_role_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    let refused = ask(&sidecar, Method::GET, "/api/v1/status", None).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    let refused = ask(&sidecar, Method::POST, "/api/v1/analyze", Some(READ)).await;
    assert_eq!(refused.status(), 403);
    let error = json(refused).await["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains("\"viewer\"") && error.contains("operate"),
        "{error}"
    );
    assert!(!error.contains(READ), "{error}");
    let basic = Client::new()
        .get(url(&sidecar, "/api/v1/status"))
        .basic_auth(READ, Some(READ));
    assert_eq!(basic.send().await.unwrap().status(), 401);
}

#[tokio::test]
async fn on_loopback_without_a_token_for_reading_everybody_reads_and_only_the_made_token_writes() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(config_without_destinations(folder.path()), &Hands::new()).await;
    assert_eq!(
        status(&sidecar, Method::GET, "/api/v1/status", None).await,
        200
    );
    assert_eq!(
        status(&sidecar, Method::POST, "/api/v1/analyze", None).await,
        401
    );
    // A wrong token is told, also where none is needed.
    let wrong = Some("no such token at all");
    assert_eq!(
        status(&sidecar, Method::GET, "/api/v1/status", wrong).await,
        401
    );
    let made = std::fs::read_to_string(folder.path().join("api-token")).unwrap();
    let analyzed = ask(&sidecar, Method::POST, "/api/v1/analyze", Some(made.trim())).await;
    assert_eq!(analyzed.status(), 200);
    assert_eq!(json(analyzed).await["status"], "completed");
}

#[tokio::test]
async fn a_reload_reads_the_tokens_again_and_keeps_those_from_before_when_it_cannot() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_with_tokens(folder.path());
    let sidecar = start(config.clone(), &Hands::new()).await;
    std::fs::write(folder.path().join("viewer.token"), "another-0123456789").unwrap();
    sidecar.reload(config.clone()).await.unwrap();
    let ask = |token| status(&sidecar, Method::GET, "/api/v1/status", Some(token));
    assert_eq!(
        (ask(READ).await, ask("another-0123456789").await),
        (401, 200)
    );
    // What cannot be read changes nothing.
    std::fs::write(folder.path().join("viewer.token"), "").unwrap();
    assert!(sidecar.reload(config).await.is_err());
    assert_eq!(ask("another-0123456789").await, 200);
}

#[tokio::test]
async fn an_address_that_others_can_reach_needs_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_without_destinations(folder.path());
    config.api.address.set_ip([0, 0, 0, 0].into());
    config.api.allow_remote = true;
    let error = Sidecar::start(config.clone())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("api.tokens"), "{error}");
    config.api.tokens = config_with_tokens(folder.path()).api.tokens;
    config.api.tokens.remove("viewer");
    let sidecar = start(config, &Hands::new()).await;
    let local = format!(
        "http://127.0.0.1:{}/api/v1/status",
        sidecar.addresses().api.port()
    );
    let ask = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status() };
    assert_eq!(ask(Client::new().get(&local)).await, 401);
    assert_eq!(
        ask(Client::new().get(&local).bearer_auth(OPERATE)).await,
        200
    );
}

#[tokio::test]
async fn a_rebound_name_and_two_names_are_refused_before_the_token_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    for host in [
        "attacker.example",
        "localhost.attacker.example:9090",
        "10.9.8.7",
        "",
    ] {
        let request = Client::new()
            .get(url(&sidecar, "/api/v1/status"))
            .bearer_auth(OPERATE);
        let answer = request.header("host", host).send().await.unwrap();
        assert_eq!(answer.status(), 421, "{host}");
    }
    let twice = "GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: attacker.example\r\n\r\n";
    let answer = raw(&sidecar, twice.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.1 400"),
        "{answer}"
    );
    let none = raw(&sidecar, b"GET /healthz HTTP/1.1\r\n\r\n").await;
    assert!(
        none.starts_with("HTTP/1.1 421") || none.starts_with("HTTP/1.1 400"),
        "{none}"
    );
}

#[tokio::test]
async fn a_page_of_another_site_changes_nothing_even_with_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    let ask = |name: &'static str, value: String| {
        let request = Client::new()
            .post(url(&sidecar, "/api/v1/analyze"))
            .bearer_auth(OPERATE);
        async move {
            request
                .header(name, value)
                .send()
                .await
                .unwrap()
                .status()
                .as_u16()
        }
    };
    let own = format!("http://{}", sidecar.addresses().api);
    assert_eq!(ask("origin", own).await, 200);
    for origin in ["https://attacker.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(ask("origin", origin.to_owned()).await, 403, "{origin}");
    }
    assert_eq!(ask("sec-fetch-site", "cross-site".to_owned()).await, 403);
    // And no page of another site is let in by answering its question beforehand.
    let preflight = Client::new()
        .request(Method::OPTIONS, url(&sidecar, "/api/v1/analyze"))
        .header("origin", "https://attacker.example")
        .header("access-control-request-method", "POST");
    let answer = preflight.send().await.unwrap();
    assert!(!answer.status().is_success());
    assert!(
        answer
            .headers()
            .get("access-control-allow-origin")
            .is_none()
    );
}

#[tokio::test]
async fn answers_are_not_stored_guessed_at_or_framed() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    for path in ["/api/v1/status", "/nothing", "/healthz", "/", "/metrics"] {
        let answer = ask(&sidecar, Method::GET, path, Some(READ)).await;
        let headers = answer.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("default-src 'self'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let answer = ask(&sidecar, Method::GET, "/api/v1/status", Some(READ)).await;
    assert_eq!(answer.headers()["cache-control"], "no-store");
}

#[tokio::test]
async fn bodies_and_heads_that_are_too_large_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_with_tokens(folder.path());
    config.api.max_body_bytes = 1024;
    let sidecar = start(config, &Hands::new()).await;
    let post = |body: reqwest::Body| {
        let request = Client::new()
            .post(url(&sidecar, "/api/v1/analyze"))
            .bearer_auth(OPERATE);
        let request = request
            .header("content-type", "application/json")
            .body(body);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post(vec![b' '; 2000].into()).await, 413);
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100]));
    let unannounced = reqwest::Body::wrap_stream(futures_stream(chunks));
    assert_eq!(post(unannounced).await, 413);
    assert_eq!(post("{}".into()).await, 200);
    let long = format!("/api/v1/status?{}", "x".repeat(70_000));
    let head = format!("GET {long} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    let answer = raw(&sidecar, head.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414"),
        "{answer}"
    );
    assert_eq!(status(&sidecar, Method::GET, "/healthz", None).await, 200);
}

/// A stream of what is there already.
fn futures_stream<T: Send + 'static>(
    items: impl Iterator<Item = T> + Send + 'static,
) -> impl futures::Stream<Item = T> + Send + 'static {
    futures::stream::iter(items)
}

#[tokio::test]
async fn bodies_that_are_no_json_or_say_too_much_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    let post = |content_type: &'static str, body: &'static str| {
        let request = Client::new()
            .post(url(&sidecar, "/api/v1/analyze"))
            .bearer_auth(OPERATE);
        let request = request.header("content-type", content_type).body(body);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(post("application/json; charset=utf-8", "{}").await, 200);
    assert_eq!(post("text/plain", "{}").await, 415);
    assert_eq!(post("application/x-www-form-urlencoded", "a=b").await, 415);
    assert_eq!(post("application/json", "{").await, 400);
    assert_eq!(post("application/json", "{\"unknown\":1}").await, 422);
    assert_eq!(post("application/json", "[1]").await, 422);
    let deep: &'static str = Box::leak("[".repeat(100_000).into_boxed_str());
    assert!([400, 422].contains(&post("application/json", deep).await));
}

#[tokio::test]
async fn no_path_leads_out_of_the_web_page_s_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret.txt"), "hidden").unwrap();
    let sidecar = running(&folder).await;
    for path in [
        "/../../../../../../etc/passwd",
        "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/assets/../../Cargo.toml",
        "/assets/..%2f..%2fCargo.toml",
        "/assets/%2e%2e/%2e%2e/src/lib.rs",
        "//etc/passwd",
        "/assets/%00",
        "/assets\\..\\..\\Cargo.toml",
        "/api-token",
        "/%c0%ae%c0%ae/etc/passwd",
    ] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = raw(&sidecar, request.as_bytes()).await;
        let refused = answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 400");
        assert!(refused, "{path}: {answer}");
        assert!(
            !answer.contains("root:") && !answer.contains("[package]"),
            "{path}: {answer}"
        );
    }
}

#[tokio::test]
async fn more_requests_than_the_limit_are_told_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_with_tokens(folder.path());
    config.api.max_requests = 1;
    let sidecar = start(config, &Hands::new()).await;
    // A request whose body does not come holds its place.
    let mut slow = tokio::net::TcpStream::connect(sidecar.addresses().api)
        .await
        .unwrap();
    let head = format!(
        "POST /api/v1/analyze HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OPERATE}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let busy = crate::running::until("the place is taken", || async {
        let answer = ask(&sidecar, Method::GET, "/healthz", None).await;
        (answer.status() == 429).then_some(answer)
    });
    assert_eq!(busy.await.headers()["retry-after"], "1");
    slow.write_all(b"{}").await.unwrap();
    crate::running::until("the place is free", || async {
        (status(&sidecar, Method::GET, "/healthz", None).await == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_with_tokens(folder.path());
    config.api.request_timeout_s = 1;
    let sidecar = start(config, &Hands::new()).await;
    let head = format!(
        "POST /api/v1/analyze HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {OPERATE}\r\n\
         content-type: application/json\r\ncontent-length: 2\r\n\r\n"
    );
    let answer = raw(&sidecar, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

/// Sends bytes and reads what comes until the head of an answer is there.
async fn raw(sidecar: &Sidecar, bytes: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(sidecar.addresses().api)
        .await
        .unwrap();
    // The other end may have heard enough before all is said.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut part).await {
        answer.extend_from_slice(&part[..count]);
        if answer.windows(4).any(|end| end == b"\r\n\r\n") {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn the_web_page_needs_no_token_and_is_sent_again_only_when_it_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = running(&folder).await;
    let page = ask(&sidecar, Method::GET, "/", None).await;
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let tag = page.headers()["etag"].to_str().unwrap().to_owned();
    let again = Client::new().get(url(&sidecar, "/index.html"));
    let again = again.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), 304);
    let refused = ask(&sidecar, Method::POST, "/", Some(OPERATE)).await;
    assert_eq!(refused.status(), 405);
    assert_eq!(refused.headers()["allow"], "GET,HEAD");
}
