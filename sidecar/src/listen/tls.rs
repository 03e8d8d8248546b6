//! TLS of a listening socket: certificate and key from files that may change while it runs.
//!
//! Before each handshake the files' times and sizes are looked at; when they have changed, both files are read
//! again. A pair that cannot be used is told in the log, once, and the one from before stays in use.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};

use crate::config::TlsConfig;

/// Most bytes of a certificate's or key's file.
const MAX_BYTES: u64 = 1 << 20;

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{section}.{field} {path}: {source}")]
    File {
        /// Dotted name of the section.
        section: &'static str,
        /// Name of the setting in it.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{section}.{field} {path} holds no {expected} in PEM")]
    Pem {
        /// Dotted name of the section.
        section: &'static str,
        /// Name of the setting in it.
        field: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// Certificate and key cannot be used together.
    #[error("certificate {certificate} with key {key}: {source}")]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// What tells that a file is another one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        fs::metadata(path).ok().map(|meta| Self {
            modified: meta.modified().ok(),
            bytes: meta.len(),
        })
    }
}

/// Certificate and key of a listening socket.
#[derive(Clone)]
pub(crate) struct Tls {
    inner: Arc<Inner>,
}

struct Inner {
    section: &'static str,
    config: TlsConfig,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    stamps: [Option<Stamp>; 2],
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tls")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key of a section of the configuration. Blocks.
    pub(crate) fn open(section: &'static str, config: TlsConfig) -> Result<Self, TlsError> {
        let stamps = stamps(&config);
        let acceptor = read(section, &config)?;
        let current = Mutex::new(Current { acceptor, stamps });
        Ok(Self {
            inner: Arc::new(Inner {
                section,
                config,
                current,
            }),
        })
    }

    /// What the next connection is accepted with. Blocks for as long as it takes to read two small files.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let config = &self.inner.config;
        let current = self.inner.current.lock();
        let mut current = current.unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(config);
        if stamps != current.stamps {
            current.stamps = stamps;
            match read(self.inner.section, config) {
                Ok(acceptor) => {
                    tracing::info!(certificate = %config.certificate_file.display(), "the certificate was renewed");
                    current.acceptor = acceptor;
                }
                Err(error) => {
                    tracing::error!(%error, "the certificate was not renewed: the one from before stays in use");
                }
            }
        }
        current.acceptor.clone()
    }
}

fn stamps(config: &TlsConfig) -> [Option<Stamp>; 2] {
    [&config.certificate_file, &config.key_file].map(|path| Stamp::of(path))
}

fn read(section: &'static str, config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    const CERTIFICATE: &str = "certificate_file";
    const KEY: &str = "key_file";
    let certificate = &config.certificate_file;
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&contents(section, CERTIFICATE, certificate)?).collect();
    let chain = chain.unwrap_or_default();
    if chain.is_empty() {
        return Err(TlsError::Pem {
            section,
            field: CERTIFICATE,
            path: certificate.clone(),
            expected: "certificate",
        });
    }
    let key = PrivateKeyDer::from_pem_slice(&contents(section, KEY, &config.key_file)?);
    let key = key.map_err(|_no_key| TlsError::Pem {
        section,
        field: KEY,
        path: config.key_file.clone(),
        expected: "private key",
    })?;
    let pair = |source| TlsError::Pair {
        certificate: certificate.clone(),
        key: config.key_file.clone(),
        source,
    };
    let mut server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

fn contents(section: &'static str, field: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let read = || {
        let mut bytes = Vec::new();
        let file = fs::File::open(path)?;
        file.take(MAX_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|source| TlsError::File {
        section,
        field,
        path: path.to_owned(),
        source,
    })
}
