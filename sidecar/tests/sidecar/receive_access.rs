//! Who may send flow records over OTLP: tokens and TLS of the receivers, with clients of gRPC and HTTP.

use std::path::Path;

use beaconwatch_sidecar::destinations::SecretSource;
use beaconwatch_sidecar::{Config, Sidecar};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use prost::Message;
use reqwest::Client;
use serde_json::json;
use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic::{Code, Request};

use crate::flows::{START, request, whole_flow};
use crate::running::{Hands, bytes, config_without_destinations, start};
use crate::tls::{certificate, trusting};

const TOKEN: &str = "exporters-secret-token";
const OTHER: &str = "collectors-secret-token";

/// Puts a token in a file; an entry for it.
fn token(folder: &Path, name: &str, text: &str) -> (String, SecretSource) {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    (name.to_owned(), SecretSource::File(path))
}

fn guarded(folder: &Path) -> Config {
    let mut config = config_without_destinations(folder);
    let tokens = [
        token(folder, "exporters", TOKEN),
        token(folder, "collector", OTHER),
    ];
    config.receive.tokens = tokens.into();
    config
}

/// What an HTTP client sends: status, challenge and body of the answer.
async fn post(url: &str, client: &Client, authorization: Option<&str>, number: u64) -> Answer {
    let record = whole_flow("exporter-1", number, "198.51.100.7", START);
    let mut asked = client
        .post(format!("{url}/v1/logs"))
        .header("content-type", "application/x-protobuf")
        .body(request(vec![record]).encode_to_vec());
    if let Some(authorization) = authorization {
        asked = asked.header("authorization", authorization);
    }
    let answer = asked.send().await.unwrap();
    let challenge = answer.headers().get("www-authenticate");
    Answer {
        status: answer.status().as_u16(),
        challenge: challenge.map(|value| value.to_str().unwrap().to_owned()),
        body: bytes(answer).await,
    }
}

struct Answer {
    status: u16,
    challenge: Option<String>,
    body: Vec<u8>,
}

/// What a gRPC client gets.
async fn export(
    client: &mut LogsServiceClient<Channel>,
    authorization: Option<&str>,
    number: u64,
) -> Result<(), tonic::Status> {
    let record = whole_flow("exporter-1", number, "198.51.100.7", START);
    let mut message = Request::new(request(vec![record]));
    if let Some(authorization) = authorization {
        let value = authorization.parse().unwrap();
        message.metadata_mut().insert("authorization", value);
    }
    client.export(message).await.map(|_answer| ())
}

async fn received(sidecar: &Sidecar) -> (u64, u64) {
    let receive = sidecar.status().await.unwrap().receive;
    assert_eq!(receive.requests_refused, receive.requests_unauthenticated);
    (receive.records, receive.requests_unauthenticated)
}

#[tokio::test]
async fn only_who_bears_a_token_may_send_and_a_stranger_is_told_not_to_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(guarded(folder.path()), &Hands::new()).await;
    let url = format!("http://{}", sidecar.addresses().http);
    let mut grpc = crate::running::grpc(&sidecar).await;
    let http = Client::new();
    let cut = format!("Bearer {}", &TOKEN[1..]);
    let basic = format!("Basic {TOKEN}");
    for wrong in [
        None,
        Some(&*cut),
        Some(&*basic),
        Some("Bearer "),
        Some(TOKEN),
    ] {
        let answer = post(&url, &http, wrong, 0).await;
        assert_eq!(
            (answer.status, answer.challenge.as_deref()),
            (401, Some("Bearer"))
        );
        let status = tonic_types::Status::decode(&*answer.body).unwrap();
        assert_eq!(status.code, i32::from(Code::Unauthenticated));
        assert!(status.message.contains("receive.tokens"), "{status:?}");
        let error = export(&mut grpc, wrong, 0).await.unwrap_err();
        assert_eq!(error.code(), Code::Unauthenticated, "{wrong:?}");
        for message in [status.message.as_str(), error.message()] {
            assert!(!message.contains("secret"), "{message}");
        }
    }
    assert_eq!(received(&sidecar).await, (0, 10));
    for (number, text) in [(0, TOKEN), (2, OTHER)] {
        let bearer = format!("Bearer {text}");
        assert_eq!(post(&url, &http, Some(&bearer), number).await.status, 200);
        let sent = export(&mut grpc, Some(&bearer), number + 1).await;
        sent.unwrap();
    }
    assert_eq!(received(&sidecar).await, (4, 10));
}

#[tokio::test]
async fn without_tokens_everybody_may_send_whatever_they_bear() {
    let folder = tempfile::tempdir().unwrap();
    let config = config_without_destinations(folder.path());
    let sidecar = start(config, &Hands::new()).await;
    let url = format!("http://{}", sidecar.addresses().http);
    let answer = post(&url, &Client::new(), Some("Bearer something"), 0).await;
    assert_eq!(answer.status, 200);
    assert_eq!(received(&sidecar).await, (1, 0));
}

#[tokio::test]
async fn a_reload_puts_other_tokens_in_force_also_when_only_their_files_changed() {
    let folder = tempfile::tempdir().unwrap();
    let config = guarded(folder.path());
    let sidecar = start(config.clone(), &Hands::new()).await;
    let url = format!("http://{}", sidecar.addresses().http);
    let http = Client::new();
    let status = async |text: &str, number: u64| {
        let bearer = format!("Bearer {text}");
        post(&url, &http, Some(&bearer), number).await.status
    };
    assert_eq!(status(TOKEN, 0).await, 200);
    let renewed = "exporters-renewed-token";
    token(folder.path(), "exporters", renewed);
    sidecar.reload(config.clone()).await.unwrap();
    assert_eq!(
        (status(TOKEN, 1).await, status(renewed, 1).await),
        (401, 200)
    );

    let mut fewer = config;
    fewer.receive.tokens.remove("exporters");
    let report = sidecar.reload(fewer).await.unwrap();
    assert_eq!(report.needs_restart, [""; 0]);
    assert_eq!(
        (status(renewed, 2).await, status(OTHER, 2).await),
        (401, 200)
    );
}

#[tokio::test]
async fn tokens_that_could_be_guessed_or_mixed_up_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let error = async |tokens: &[(&str, &str)]| {
        let mut config = config_without_destinations(folder.path());
        for (name, text) in tokens {
            let (name, source) = token(folder.path(), name, text);
            config.receive.tokens.insert(name, source);
        }
        let started = Sidecar::start(config).await;
        let error = started.map(|_running| ()).unwrap_err().to_string();
        for (_, text) in tokens {
            assert!(!error.contains(text), "{error}");
        }
        error
    };
    let short = error(&[("short", "hunter2")]).await;
    assert!(
        short.contains("receive.tokens.short has 7 bytes"),
        "{short}"
    );
    let same = error(&[("one", TOKEN), ("two", TOKEN)]).await;
    assert!(
        same.contains("receive.tokens.one") && same.contains("two"),
        "{same}"
    );
}

/// A client of gRPC that trusts one certificate.
async fn grpc_over_tls(
    sidecar: &Sidecar,
    trusted: &str,
) -> Result<LogsServiceClient<Channel>, tonic::transport::Error> {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trusted));
    let url = format!("https://localhost:{}", sidecar.addresses().grpc.port());
    let endpoint = Channel::from_shared(url).unwrap().tls_config(tls)?;
    Ok(LogsServiceClient::new(endpoint.connect().await?))
}

#[tokio::test]
async fn both_receivers_speak_tls_and_nothing_else_and_take_a_renewed_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = guarded(folder.path());
    let (tls, first) = certificate(folder.path());
    config.receive.tls = Some(tls);
    let sidecar = start(config, &Hands::new()).await;
    let address = sidecar.addresses().http;
    let url = format!("https://localhost:{}", address.port());
    let bearer = format!("Bearer {TOKEN}");

    let answer = post(&url, &trusting(&first), Some(&bearer), 0).await;
    assert_eq!(answer.status, 200);
    let mut grpc = grpc_over_tls(&sidecar, &first).await.unwrap();
    export(&mut grpc, Some(&bearer), 1).await.unwrap();
    let stranger = export(&mut grpc, None, 2).await.unwrap_err();
    assert_eq!(stranger.code(), Code::Unauthenticated);

    let plain = Client::new().get(format!("http://{address}/v1/logs"));
    assert!(plain.send().await.is_err(), "no plain HTTP beside TLS");
    let plain = LogsServiceClient::connect(format!("http://{}", sidecar.addresses().grpc)).await;
    if let Ok(mut client) = plain {
        assert!(export(&mut client, Some(&bearer), 3).await.is_err());
    }

    let (_, second) = certificate(folder.path());
    let mut renewed = grpc_over_tls(&sidecar, &second).await.unwrap();
    export(&mut renewed, Some(&bearer), 2).await.unwrap();
    assert!(grpc_over_tls(&sidecar, &first).await.is_err());
    assert_eq!(received(&sidecar).await, (3, 1));
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_an_error_at_the_start_and_names_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config_without_destinations(folder.path());
    let (mut tls, _) = certificate(folder.path());
    tls.key_file = folder.path().join("nowhere.pem");
    config.receive.tls = Some(tls);
    let error = Sidecar::start(config).await.map(|_running| ()).unwrap_err();
    assert!(
        error.to_string().contains("receive.tls.key_file"),
        "{error}"
    );
}

#[tokio::test]
async fn a_json_client_is_told_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let sidecar = start(guarded(folder.path()), &Hands::new()).await;
    let answer = crate::running::post(&sidecar, "application/json", "{}").await;
    assert_eq!(answer.status(), 401);
    let body = crate::running::json(answer).await;
    assert_eq!(body["code"], json!(16));
}
