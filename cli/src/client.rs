//! Asks the status API of a running instance.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::Value;

use crate::arguments::InstanceArguments;

/// A request that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Largest answer that is read.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody answers.
    #[error(
        "no answer from {url}: {reason}\n\
         Is an instance running? `beaconwatch run` starts one; --host, --port or --url name another."
    )]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why it failed.
        reason: String,
    },
    /// The instance refuses.
    #[error("{url} answers {status}: {message}")]
    Refused {
        /// What was asked.
        url: String,
        /// HTTP status.
        status: u16,
        /// What it says.
        message: String,
    },
    /// The answer cannot be understood.
    #[error("{url} answers with {problem}, expected JSON of the status API")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The client could not be made.
    #[error("cannot make an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

/// A status API.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(arguments: &InstanceArguments) -> Result<Self, ClientError> {
        let base = match &arguments.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => match arguments.host.parse::<IpAddr>() {
                Ok(IpAddr::V6(address)) => format!("http://[{address}]:{}", arguments.port),
                _ => format!("http://{}:{}", arguments.host, arguments.port),
            },
        };
        Self::of(base)
    }

    /// For a base URL without a slash at its end.
    pub(crate) fn of(base: String) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT);
        if is_local(&base) {
            // A proxy cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        Ok(Self {
            base,
            http: builder.build()?,
        })
    }

    /// The JSON at `path`.
    pub(crate) async fn get(
        &self,
        path: &str,
        query: &[(&str, String)],
    ) -> Result<Value, ClientError> {
        let url = format!("{}{path}", self.base);
        let unreachable = |error: reqwest::Error| ClientError::Unreachable {
            url: url.clone(),
            reason: chain(&error),
        };
        let mut response = self
            .http
            .get(&url)
            .query(query)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let Some(body) = bounded(&mut response).await.map_err(unreachable)? else {
            let problem = format!("more than {BODY_BYTES_MAX} bytes");
            return Err(ClientError::Answer { url, problem });
        };
        let value = serde_json::from_slice::<Value>(&body);
        if status.is_success() {
            return value.map_err(|error| ClientError::Answer {
                url,
                problem: error.to_string(),
            });
        }
        let said = value
            .ok()
            .and_then(|it| Some(it.get("error")?.as_str()?.to_owned()));
        let message = said.unwrap_or_else(|| "no reason given".to_owned());
        Err(ClientError::Refused {
            url,
            status: status.as_u16(),
            message,
        })
    }
}

/// The body; `None` when it is larger than the limit.
async fn bounded(response: &mut reqwest::Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

fn is_local(base: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(base) else {
        return false;
    };
    url.host_str().is_some_and(|host| {
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
    })
}

/// The innermost causes say what happened.
fn chain(error: &reqwest::Error) -> String {
    let mut source: Option<&dyn std::error::Error> = std::error::Error::source(error);
    let mut text = error.to_string();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
