//! A certificate for `localhost`, and who trusts it.

use std::path::Path;

use beaconwatch_sidecar::TlsConfig;
use reqwest::Client;

/// Writes a certificate and its key into `folder`, over those that are there; its PEM is what a client must
/// trust.
pub(crate) fn certificate(folder: &Path) -> (TlsConfig, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = TlsConfig {
        certificate_file: folder.join("certificate.pem"),
        key_file: folder.join("key.pem"),
    };
    std::fs::write(&config.key_file, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&config.certificate_file, made.cert.pem()).unwrap();
    (config, made.cert.pem())
}

/// A client of HTTP that trusts one certificate.
pub(crate) fn trusting(trusted: &str) -> Client {
    Client::builder()
        .tls_built_in_root_certs(false)
        .add_root_certificate(reqwest::Certificate::from_pem(trusted.as_bytes()).unwrap())
        .build()
        .unwrap()
}
