use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// An authority, and files that it has signed.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(parameters, key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trusting(&self) -> TlsConfig {
        TlsConfig {
            ca_file: Some(self.path("ca.pem")),
            ..TlsConfig::default()
        }
    }

    fn sign(&self, name: &str) -> (CertificateDer<'static>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
        (certificate.der().clone(), key)
    }

    fn server(&self, name: &str, asks_for_certificate: bool) -> TlsAcceptor {
        let (certificate, key) = self.sign(name);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let clients =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let builder = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if asks_for_certificate {
            builder.with_client_cert_verifier(clients.build().unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        TlsAcceptor::from(Arc::new(
            builder.with_single_cert(vec![certificate], key).unwrap(),
        ))
    }
}

/// Whether client and server can exchange a byte; `name` is that of the address.
async fn exchange(
    config: &TlsConfig,
    server: TlsAcceptor,
    name: &'static str,
) -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let echo = tokio::spawn(async move {
        let (stream, _) = listener.accept().await?;
        let mut stream = server.accept(stream).await?;
        let byte = stream.read_u8().await?;
        stream.write_u8(byte).await
    });
    let connector = TlsConnector::from(Arc::new(config.client_config().unwrap()));
    let name = ServerName::try_from(name).unwrap();
    let mut stream = connector
        .connect(name, TcpStream::connect(address).await?)
        .await?;
    stream.write_u8(7).await?;
    assert_eq!(stream.read_u8().await?, 7);
    echo.await?
}

#[tokio::test]
async fn only_a_trusted_certificate_with_the_right_name_is_taken() {
    let authority = Authority::new();
    let trusting = authority.trusting();
    let server = || authority.server("siem.example", false);
    exchange(&trusting, server(), "siem.example").await.unwrap();
    let wrong_name = exchange(&trusting, server(), "other.example")
        .await
        .unwrap_err();
    assert!(
        wrong_name.to_string().contains("not valid for name"),
        "{wrong_name}"
    );
    let strange = exchange(&TlsConfig::default(), server(), "siem.example")
        .await
        .unwrap_err();
    assert!(strange.to_string().contains("UnknownIssuer"), "{strange}");
}

#[tokio::test]
async fn the_name_to_expect_can_be_another_than_that_of_the_address() {
    let authority = Authority::new();
    let named = |name: &str| TlsConfig {
        server_name: Some(name.to_owned()),
        ..authority.trusting()
    };
    let server = || authority.server("siem.example", false);
    exchange(&named("siem.example"), server(), "127.0.0.1")
        .await
        .unwrap();
    exchange(&named("other.example"), server(), "siem.example")
        .await
        .unwrap_err();
}

#[tokio::test]
async fn without_verification_any_certificate_is_taken() {
    let authority = Authority::new();
    let config = TlsConfig {
        verify: false,
        ..TlsConfig::default()
    };
    exchange(
        &config,
        authority.server("siem.example", false),
        "other.example",
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_is_shown_ours() {
    let authority = Authority::new();
    authority.sign("client.example");
    let ours = TlsConfig {
        client_certificate_file: Some(authority.path("client.example.pem")),
        client_key_file: Some(authority.path("client.example.key")),
        ..authority.trusting()
    };
    let server = || authority.server("siem.example", true);
    exchange(&ours, server(), "siem.example").await.unwrap();
    exchange(&authority.trusting(), server(), "siem.example")
        .await
        .unwrap_err();
}

#[test]
fn an_error_names_the_file_and_what_was_expected() {
    let authority = Authority::new();
    authority.sign("client.example");
    std::fs::write(authority.path("nonsense"), "no PEM").unwrap();
    let told = |config: TlsConfig| config.client_config().unwrap_err().to_string();
    let ca = |name: &str| TlsConfig {
        ca_file: Some(authority.path(name)),
        ..TlsConfig::default()
    };
    let nonsense = told(ca("nonsense"));
    assert!(
        nonsense.contains("nonsense") && nonsense.contains("expected certificates in PEM"),
        "{nonsense}"
    );
    assert!(told(ca("missing")).contains("missing: "));
    let client = |certificate: &str, key: &str| TlsConfig {
        client_certificate_file: Some(authority.path(certificate)),
        client_key_file: Some(authority.path(key)),
        ..TlsConfig::default()
    };
    let no_key = told(client("client.example.pem", "nonsense"));
    assert!(
        no_key.contains("nonsense") && no_key.contains("private key in PEM"),
        "{no_key}"
    );
    authority.sign("another.example");
    let mixed = told(client("client.example.pem", "another.example.key"));
    assert!(mixed.contains("another.example.key"), "{mixed}");
}

#[test]
fn a_certificate_without_its_key_and_a_name_that_is_none_are_refused() {
    let half = TlsConfig {
        client_certificate_file: Some("client.pem".into()),
        ..TlsConfig::default()
    };
    assert_eq!(
        half.validate("x.tls").unwrap_err().field(),
        "x.tls.client_certificate_file"
    );
    let half = TlsConfig {
        client_key_file: Some("client.key".into()),
        ..TlsConfig::default()
    };
    assert_eq!(
        half.validate("x.tls").unwrap_err().field(),
        "x.tls.client_key_file"
    );
    let unnamed = TlsConfig {
        server_name: Some("not a name".to_owned()),
        ..TlsConfig::default()
    };
    assert_eq!(
        unnamed.validate("x.tls").unwrap_err().field(),
        "x.tls.server_name"
    );
    TlsConfig::default().validate("x.tls").unwrap();
}
