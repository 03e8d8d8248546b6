//! Against a server with TLS that answers what a kubelet answers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::KubernetesConfig;

const UID: &str = "a1b2c3d4-e5f6-4711-8899-aabbccddeeff";
const HASH: &str = "0123456789abcdef0123456789abcdef";
const ID: &str = "8f2a1d3c4b5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8";

/// As the API has it (v1, `PodList`), with fields that are not read.
fn pod_list() -> String {
    serde_json::json!({
        "kind": "PodList",
        "apiVersion": "v1",
        "metadata": {},
        "items": [
            {
                "metadata": {
                    "name": "web-7d4b9c6f5-x2x7k",
                    "generateName": "web-7d4b9c6f5-",
                    "namespace": "shop",
                    "uid": UID,
                    "creationTimestamp": "2025-11-22T08:26:30Z",
                    "labels": {
                        "app.kubernetes.io/name": "web",
                        "pod-template-hash": "7d4b9c6f5",
                        "secret-plan": "not asked for"
                    },
                    "annotations": { "kubernetes.io/config.source": "api" },
                    "ownerReferences": [{ "kind": "ReplicaSet", "name": "web-7d4b9c6f5" }]
                },
                "spec": {
                    "nodeName": "node-3",
                    "containers": [{ "name": "nginx", "image": "nginx:1.29" }]
                },
                "status": {
                    "phase": "Running",
                    "podIP": "10.244.1.7",
                    "containerStatuses": [{
                        "name": "nginx",
                        "ready": true,
                        "containerID": format!("containerd://{ID}")
                    }],
                    "initContainerStatuses": [{ "name": "not-made-yet" }]
                }
            },
            {
                "metadata": {
                    "name": "etcd-node-3",
                    "namespace": "kube-system",
                    "uid": "99999999-e5f6-4711-8899-aabbccddeeff",
                    "annotations": {
                        "kubernetes.io/config.hash": HASH,
                        "kubernetes.io/config.source": "file"
                    }
                },
                "spec": { "nodeName": "node-3" },
                "status": { "phase": "Pending" }
            }
        ]
    })
    .to_string()
}

/// What a server saw.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    bad: AtomicUsize,
}

/// A server at `https://localhost:PORT/pods`. The first `failures` requests are answered by 503.
async fn serve(ca: &CertifiedIssuer<'static, KeyPair>, failures: usize) -> (SocketAddr, Arc<Seen>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&key, ca)
        .unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Arc::<Seen>::default();
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                counted.bad.fetch_add(1, Ordering::SeqCst);
                continue;
            };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    break;
                };
                request.push(byte);
            }
            let request = String::from_utf8(request).unwrap().to_lowercase();
            let number = counted.requests.fetch_add(1, Ordering::SeqCst);
            let right = request.starts_with("get /pods http/1.1\r\n")
                && request.contains("\r\nauthorization: bearer the-token\r\n");
            if !right {
                counted.bad.fetch_add(1, Ordering::SeqCst);
            }
            let (status, body) = if number < failures {
                ("503 Service Unavailable", String::new())
            } else {
                ("200 OK", pod_list())
            };
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _sent = stream.write_all(head.as_bytes()).await;
            let _sent = stream.write_all(body.as_bytes()).await;
            let _closed = stream.shutdown().await;
        }
    });
    (address, seen)
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn settings(folder: &Path, ca: &CertifiedIssuer<'static, KeyPair>, port: u16) -> KubernetesConfig {
    let token_file = folder.join("token");
    let ca_file = folder.join("ca.crt");
    std::fs::write(&token_file, "the-token\n").unwrap();
    std::fs::write(&ca_file, ca.pem()).unwrap();
    KubernetesConfig {
        enabled: true,
        url: Some(format!("https://localhost:{port}/pods")),
        token_file: Some(token_file),
        ca_file: Some(ca_file),
        labels: vec!["app.kubernetes.io/name".to_owned(), "tier".to_owned()],
        ..KubernetesConfig::default()
    }
}

async fn until(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .expect("it does not come");
}

#[tokio::test]
async fn a_pod_is_told_once_the_kubelet_answers_and_nobody_waits_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let (address, seen) = serve(&ca, 1).await;
    let config = settings(folder.path(), &ca, address.port());
    let (reader, mut pods) = PodReader::new(&config, "unused").unwrap();
    let stop = CancellationToken::new();
    let reader = reader.with_first_pause(Duration::from_millis(20));
    let task = tokio::spawn(reader.run(stop.clone()));
    let place = pods.find(UID);
    assert_eq!((place.uid(), place.get()), (UID, None));
    until(|| place.get().is_some()).await;
    let pod = place.get().unwrap();
    assert_eq!(
        (&*pod.name, &*pod.namespace, pod.node.as_deref()),
        ("web-7d4b9c6f5-x2x7k", "shop", Some("node-3"))
    );
    let label = (
        "k8s.pod.label.app.kubernetes.io/name".to_owned(),
        "web".to_owned(),
    );
    assert_eq!(pod.labels, [label]);
    let container = pod.container(ID).unwrap();
    assert_eq!(
        (&*container.name, &*container.runtime),
        ("nginx", "containerd")
    );
    assert_eq!(pod.containers.len(), 1);
    // The same place again, and no request for it.
    assert!(Arc::ptr_eq(&place, &pods.find(UID)));
    // A pod of the node's own files: its cgroup has the hash.
    let of_file = pods.find(HASH);
    until(|| of_file.get().is_some()).await;
    assert_eq!(of_file.get().unwrap().name, "etcd-node-3");
    assert_eq!(seen.bad.load(Ordering::SeqCst), 0);
    assert_eq!(seen.requests.load(Ordering::SeqCst), 3);
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn uids_that_no_pod_has_are_bounded_and_do_not_keep_the_kubelet_busy() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let (address, seen) = serve(&ca, 0).await;
    let config = settings(folder.path(), &ca, address.port());
    let (reader, mut pods) = PodReader::new(&config, "unused").unwrap();
    let waiting = reader.waiting();
    let stop = CancellationToken::new();
    let reader = reader.with_first_pause(Duration::from_millis(50));
    let task = tokio::spawn(reader.run(stop.clone()));
    for number in 0..20_000 {
        pods.find(&format!("{number:08x}-e5f6-4711-8899-aabbccddeeff"));
    }
    assert_eq!(waiting.lock().len(), MAX_WAITING);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let requests = seen.requests.load(Ordering::SeqCst);
    // At 0, 50, 150, 350 ms.
    assert!((1..=4).contains(&requests), "{requests}");
    assert!(!waiting.give_up(Instant::now() + GIVE_UP_AFTER));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_server_that_somebody_else_vouches_for_never_sees_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (address, seen) = serve(&authority(), 0).await;
    let config = settings(folder.path(), &authority(), address.port());
    let kubelet = client::Kubelet::new(&config, "unused").unwrap();
    let error = kubelet.pods().await.err().unwrap().to_string();
    assert!(error.starts_with("https://localhost:"), "{error}");
    assert_eq!(seen.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_wrong_is_said_and_the_token_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let (address, _seen) = serve(&ca, 1).await;
    let config = settings(folder.path(), &ca, address.port());
    let kubelet = client::Kubelet::new(&config, "unused").unwrap();
    let error = kubelet.pods().await.err().unwrap().to_string();
    assert!(error.contains("status 503"), "{error}");
    assert!(!error.contains("the-token") && !format!("{kubelet:?}").contains("the-token"));
    std::fs::write(config.ca_file(), "no certificate").unwrap();
    let error = client::Kubelet::new(&config, "unused")
        .unwrap_err()
        .to_string();
    assert!(error.contains("ca.crt: expected certificates"), "{error}");
    std::fs::remove_file(config.ca_file()).unwrap();
    let error = client::Kubelet::new(&config, "unused")
        .unwrap_err()
        .to_string();
    assert!(error.contains("ca.crt"), "{error}");
}

#[test]
fn the_kubelet_of_the_node_is_asked_unless_the_settings_say_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = settings(folder.path(), &authority(), 1);
    config.url = None;
    let url = |config: &KubernetesConfig, node| {
        let kubelet = client::Kubelet::new(config, node).unwrap();
        kubelet.url().to_owned()
    };
    assert_eq!(url(&config, "node-3"), "https://node-3:10250/pods");
    assert_eq!(url(&config, "fd00::3"), "https://[fd00::3]:10250/pods");
    config.node_name = Some("other".to_owned());
    assert_eq!(url(&config, "node-3"), "https://other:10250/pods");
}
