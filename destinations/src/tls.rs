//! TLS as a client: whom to trust and how to prove who we are, the same for every kind of destination.
//!
//! # Contract
//! The server's certificate is verified unless `verify` is turned off, which is said in the log each time a
//! destination is made. Files are PEM and read once, when the destination is made; an error names the file.
//!
//! # Limits
//! TLS 1.2 and 1.3 by rustls with ring. Without `ca_file` the authorities of the public web are trusted (the
//! list of Mozilla that this program was built with), not those of the operating system.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_rustls::rustls;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::{BuildError, SettingError};

/// How TLS is spoken to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// File (PEM) with the certificates of the authorities to trust; those of the public web when not given.
    pub ca_file: Option<PathBuf>,
    /// File (PEM) with our certificate and those between it and its authority, for servers that ask for one.
    pub client_certificate_file: Option<PathBuf>,
    /// File (PEM) with the private key of our certificate: PKCS #8, PKCS #1 or SEC 1, not encrypted.
    pub client_key_file: Option<PathBuf>,
    /// Name that the server's certificate must carry; that of the address when not given.
    pub server_name: Option<String>,
    /// Whether the server's certificate is verified. Without that anybody on the way can read and change
    /// what is sent, credentials included.
    pub verify: bool,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            ca_file: None,
            client_certificate_file: None,
            client_key_file: None,
            server_name: None,
            verify: true,
        }
    }
}

impl TlsConfig {
    /// Checks that the values fit together; `field` is the dotted name of this section.
    pub fn validate(&self, field: &str) -> Result<(), SettingError> {
        let given = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        match (
            given(&self.client_certificate_file),
            given(&self.client_key_file),
        ) {
            (Some(value), None) => {
                return Err(SettingError::value(
                    format!("{field}.client_certificate_file"),
                    value,
                    "client_key_file beside it",
                ));
            }
            (None, Some(value)) => {
                return Err(SettingError::value(
                    format!("{field}.client_key_file"),
                    value,
                    "client_certificate_file beside it",
                ));
            }
            _ => {}
        }
        match &self.server_name {
            Some(name) if ServerName::try_from(name.as_str()).is_err() => Err(SettingError::value(
                format!("{field}.server_name"),
                name,
                "a host name or an IP address",
            )),
            _ => Ok(()),
        }
    }

    /// Whether anything differs from the default.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    /// Reads the files and makes what connections are opened with.
    pub(crate) fn client_config(&self) -> Result<ClientConfig, BuildError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = self.verifier(&provider)?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::Client(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let (Some(certificate_file), Some(key_file)) =
            (&self.client_certificate_file, &self.client_key_file)
        else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(certificate_file)?;
        let key = PrivateKeyDer::from_pem_slice(&read(key_file)?)
            .map_err(|error| not_pem(key_file, &error, "an unencrypted private key in PEM"))?;
        builder.with_client_auth_cert(chain, key).map_err(|error| {
            BuildError::Client(format!(
                "{} and {} are no certificate and its key: {error}",
                certificate_file.display(),
                key_file.display()
            ))
        })
    }

    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ServerCertVerifier>, BuildError> {
        if !self.verify {
            tracing::warn!(
                "TLS without verification: anybody on the way can read and change what is sent"
            );
            return Ok(Arc::new(Verifier {
                provider: Arc::clone(provider),
                accepts: Accepts::Anyone,
            }));
        }
        let roots = self.roots()?;
        let inner =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .build()
                .map_err(|error| BuildError::Client(error.to_string()))?;
        match &self.server_name {
            None => Ok(inner),
            Some(name) => {
                let name = ServerName::try_from(name.clone()).map_err(|error| {
                    BuildError::Client(format!("server_name {name:?}: {error}"))
                })?;
                Ok(Arc::new(Verifier {
                    provider: Arc::clone(provider),
                    accepts: Accepts::Named(inner, name),
                }))
            }
        }
    }

    fn roots(&self) -> Result<RootCertStore, BuildError> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.ca_file else {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            return Ok(roots);
        };
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(|error| {
                BuildError::Client(format!(
                    "{}: a certificate is wrong: {error}",
                    path.display()
                ))
            })?;
        }
        Ok(roots)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    std::fs::read(path).map_err(|source| BuildError::File {
        path: path.to_owned(),
        source,
    })
}

/// Every certificate of a file; at least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    const EXPECTED: &str = "certificates in PEM";
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let found = found.map_err(|error| not_pem(path, &error, EXPECTED))?;
    if found.is_empty() {
        let none = rustls::pki_types::pem::Error::NoItemsFound;
        return Err(not_pem(path, &none, EXPECTED));
    }
    Ok(found)
}

fn not_pem(path: &Path, error: &rustls::pki_types::pem::Error, expected: &str) -> BuildError {
    BuildError::Client(format!("{}: {error}, expected {expected}", path.display()))
}

/// Verifies by something else than the name in the address. That the server holds the key of its certificate is checked
/// in any case: a broken handshake shows as one.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    accepts: Accepts,
}

/// Which certificates are taken.
#[derive(Debug)]
enum Accepts {
    /// Those for this name, which is not the address's.
    Named(Arc<WebPkiServerVerifier>, ServerName<'static>),
    /// Every one (`verify = false`).
    Anyone,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _address_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match &self.accepts {
            Accepts::Named(inner, name) => {
                inner.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            }
            Accepts::Anyone => Ok(ServerCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
