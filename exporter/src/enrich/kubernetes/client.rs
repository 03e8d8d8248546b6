//! [`Kubelet`]: asks a node's kubelet for its pods.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::redirect::Policy;

use super::pod_list::PodList;
use crate::config::KubernetesConfig;

const MAX_ANSWER_BYTES: usize = 64 << 20;
const MAX_TOKEN_BYTES: u64 = 64 << 10;

/// Why the kubelet's pods are not known.
#[derive(Debug, thiserror::Error)]
pub enum KubernetesError {
    /// A file that the settings name cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file has no certificates, or the token is no text of a header.
    #[error("{}: expected {expected}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
    },
    /// The client cannot be made, or the request failed below HTTP.
    #[error("{url}: {source}")]
    Http {
        /// Where the request went.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server does not give the list.
    #[error("{url}: status {status}, expected 200 and a list of pods{}", hint(*status))]
    Status {
        /// Where the request went.
        url: String,
        /// What was answered.
        status: u16,
    },
    /// The answer is too long.
    #[error("{url}: more than {MAX_ANSWER_BYTES} bytes, expected a list of one node's pods")]
    TooLong {
        /// Where the request went.
        url: String,
    },
    /// The answer is not a list of pods.
    #[error("{url}: {source}, expected a PodList")]
    NoPodList {
        /// Where the request went.
        url: String,
        /// Why.
        source: serde_json::Error,
    },
}

const fn hint(status: u16) -> &'static str {
    match status {
        401 => " (the token is not accepted)",
        403 => " (the service account may not get nodes/proxy)",
        _ => "",
    }
}

/// Asks for pods.
#[derive(Debug)]
pub(super) struct Kubelet {
    client: reqwest::Client,
    url: String,
    token_file: PathBuf,
}

impl Kubelet {
    /// Reads the certificates; connects to nothing. `node` is the name of the node when the settings have none.
    pub(super) fn new(config: &KubernetesConfig, node: &str) -> Result<Self, KubernetesError> {
        let url = config.url.clone().unwrap_or_else(|| {
            let node = config.node_name.as_deref().unwrap_or(node);
            // An IPv6 address stands in brackets.
            if node.contains(':') && !node.starts_with('[') {
                format!("https://[{node}]:10250/pods")
            } else {
                format!("https://{node}:10250/pods")
            }
        });
        let path = config.ca_file();
        let pem = fs::read(&path).map_err(|source| KubernetesError::File {
            path: path.clone(),
            source,
        })?;
        let roots = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
        if roots.is_empty() {
            return Err(KubernetesError::Content {
                path,
                expected: "certificates (PEM)",
            });
        }
        // Only who is named is trusted, nothing is followed and no proxy asked: the token must not go elsewhere.
        let builder = reqwest::Client::builder()
            .https_only(true)
            .no_proxy()
            .redirect(Policy::none())
            .timeout(config.timeout_s)
            .pool_idle_timeout(Duration::from_secs(30))
            .tls_built_in_root_certs(false);
        let client = roots
            .into_iter()
            .fold(builder, reqwest::ClientBuilder::add_root_certificate)
            .build();
        Ok(Self {
            client: client.map_err(|source| KubernetesError::Http {
                url: url.clone(),
                source,
            })?,
            url,
            token_file: config.token_file(),
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// The node's pods now.
    pub(super) async fn pods(&self) -> Result<PodList, KubernetesError> {
        let http = |source| KubernetesError::Http {
            url: self.url.clone(),
            source,
        };
        let request = self.client.get(&self.url);
        let request = request.header(reqwest::header::AUTHORIZATION, self.bearer()?);
        let mut response = request.send().await.map_err(http)?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(KubernetesError::Status {
                url: self.url.clone(),
                status: response.status().as_u16(),
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                let url = self.url.clone();
                return Err(KubernetesError::TooLong { url });
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|source| KubernetesError::NoPodList {
            url: self.url.clone(),
            source,
        })
    }

    fn bearer(&self) -> Result<HeaderValue, KubernetesError> {
        use std::io::Read;
        let path = || self.token_file.clone();
        let mut token = String::new();
        fs::File::open(&self.token_file)
            .and_then(|file| file.take(MAX_TOKEN_BYTES).read_to_string(&mut token))
            .map_err(|source| KubernetesError::File {
                path: path(),
                source,
            })?;
        let value = HeaderValue::from_str(&format!("Bearer {}", token.trim()));
        let mut value = value.map_err(|_unprintable| KubernetesError::Content {
            path: path(),
            expected: "a token",
        })?;
        value.set_sensitive(true);
        Ok(value)
    }
}
