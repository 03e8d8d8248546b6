//! OTLP over TLS, gRPC and HTTP: the receiver's certificate is checked against the configured authority, and
//! a receiver that asks for one gets the client's.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::support::{self, grpc_peer::GrpcPeer};
use axum::Router;
use axum::serve::Listener;
use beaconwatch_exporter::config::Config;
use beaconwatch_exporter::otlp::connection::Protocol;
use beaconwatch_exporter::otlp::{ExportError, client};
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::LogsServiceServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};

/// An authority, a server and a client that it signed, as PEM files.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("an authority");
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).expect("written");
        Self { issuer, directory }
    }

    /// Certificate and key in PEM and DER.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = parameters.signed_by(&key, &self.issuer).expect("signed");
        (certificate, key)
    }

    fn write_client(&self) {
        let (certificate, key) = self.sign("client");
        std::fs::write(self.path("client.pem"), certificate.pem()).expect("written");
        std::fs::write(self.path("client.key"), key.serialize_pem()).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

async fn grpc(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.sign("localhost");
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(certificate.pem(), key.serialize_pem()))
        .client_ca_root(Certificate::from_pem(authority.issuer.pem()));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the port");
    let server = Server::builder()
        .tls_config(tls)
        .expect("TLS")
        .add_service(LogsServiceServer::new(GrpcPeer::default()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

struct TlsListener {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            if let Ok((stream, address)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

async fn http(authority: &Authority) -> SocketAddr {
    let (certificate, key) = authority.sign("localhost");
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.issuer.der().clone())
        .expect("an authority");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .expect("a verifier");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier)
        .with_single_cert(
            vec![certificate.der().clone()],
            key.serialize_der().try_into().expect("a key"),
        )
        .expect("TLS");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("the port");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let router = Router::new().fallback(async || Vec::<u8>::new());
    tokio::spawn(async move { axum::serve(TlsListener { listener, acceptor }, router).await });
    address
}

async fn export(config: &Config) -> Result<(), ExportError> {
    let connection = config.otlp.logs_connection().expect("settings");
    let target = client::connect(&connection).expect("a client");
    target.export(bytes::Bytes::new()).await.map(|_| ())
}

#[tokio::test]
async fn certificates_are_checked_both_ways() {
    let authority = Authority::new();
    authority.write_client();
    for protocol in [Protocol::Grpc, Protocol::HttpProtobuf] {
        let address = if protocol == Protocol::Grpc {
            grpc(&authority).await
        } else {
            http(&authority).await
        };
        let mut config = support::config(format!("https://localhost:{}", address.port()), protocol);
        export(&config).await.expect_err("an unknown authority");
        config.otlp.certificate = Some(authority.path("ca.pem"));
        export(&config).await.expect_err("no client certificate");
        config.otlp.client_certificate = Some(authority.path("client.pem"));
        config.otlp.client_key = Some(authority.path("client.key"));
        export(&config).await.expect("both sides know each other");
        config.otlp.endpoint = Some(format!("https://127.0.0.1:{}", address.port()));
        export(&config)
            .await
            .expect_err("another name than the certificate's");
        config.otlp.certificate = Some(authority.path("missing.pem"));
        let connection = config.otlp.logs_connection().unwrap();
        let error = client::connect(&connection).err().unwrap().to_string();
        assert!(error.contains("missing.pem"), "{error}");
    }
}
