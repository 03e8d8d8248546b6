//! The API over TLS.

use std::sync::Arc;

use beaconwatch_sidecar::{Sidecar, TlsConfig};
use reqwest::Client;

use crate::running::{Hands, config_without_destinations, start};
use crate::tls::{certificate, trusting};

async fn over_tls(sidecar: &Sidecar, trusted: &str) -> Result<u16, reqwest::Error> {
    let client = trusting(trusted);
    let url = format!(
        "https://localhost:{}/healthz",
        sidecar.addresses().api.port()
    );
    Ok(client.get(url).send().await?.status().as_u16())
}

#[tokio::test]
async fn the_api_speaks_tls_and_takes_a_new_certificate_when_the_files_change() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, first) = certificate(folder.path());
    let mut config = config_without_destinations(folder.path());
    config.api.tls = Some(tls.clone());
    let sidecar = start(config, &Hands::new()).await;
    assert_eq!(over_tls(&sidecar, &first).await.unwrap(), 200);
    let plain = format!("http://{}/healthz", sidecar.addresses().api);
    let plain = Client::new().get(plain).send().await;
    assert!(plain.is_err(), "no plain HTTP beside TLS");

    let (_, second) = certificate(folder.path());
    assert_eq!(over_tls(&sidecar, &second).await.unwrap(), 200);
    assert!(
        over_tls(&sidecar, &first).await.is_err(),
        "the old one is gone"
    );

    // A file that is half there keeps nobody out.
    std::fs::write(&tls.key_file, "-----BEGIN PRIVATE KEY-----\n").unwrap();
    assert_eq!(over_tls(&sidecar, &second).await.unwrap(), 200);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_an_error_of_the_start_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = certificate(folder.path());
    let other = tempfile::tempdir().unwrap();
    let (others, _) = certificate(other.path());
    let mut config = config_without_destinations(folder.path());
    let mut error = async |tls: TlsConfig| {
        config.api.tls = Some(tls);
        Sidecar::start(config.clone())
            .await
            .unwrap_err()
            .to_string()
    };
    let missing = folder.path().join("missing.pem");
    let wrong = TlsConfig {
        certificate_file: missing,
        ..tls.clone()
    };
    assert!(error(wrong).await.contains("api.tls.certificate_file"));
    let swapped = TlsConfig {
        certificate_file: tls.key_file.clone(),
        ..tls.clone()
    };
    assert!(error(swapped).await.contains("no certificate"));
    let mixed = TlsConfig {
        key_file: others.key_file,
        ..tls
    };
    assert!(error(mixed).await.contains("key.pem"));
}

#[tokio::test]
async fn idle_clients_of_tls_hold_only_their_own_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, trusted) = certificate(folder.path());
    let mut config = config_without_destinations(folder.path());
    config.api.tls = Some(tls);
    let sidecar = Arc::new(start(config, &Hands::new()).await);
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(
            tokio::net::TcpStream::connect(sidecar.addresses().api)
                .await
                .unwrap(),
        );
    }
    assert_eq!(over_tls(&sidecar, &trusted).await.unwrap(), 200);
}
