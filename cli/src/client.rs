//! Asks the API of a running instance.
//!
//! An answer is read up to a limit and within a deadline; redirects are not followed, so that a token goes
//! to nobody but the instance that was named. Text in answers comes from the network: who prints it makes
//! it harmless first ([`crate::output::text::harmless`]).

mod error;
mod events;
mod token;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::arguments::InstanceArguments;

pub(crate) use error::ClientError;
use events::EventReader;
use token::Token;

/// A request that takes longer is given up.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Nobody takes longer to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer that is read.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Most entries that the API gives at a time.
const PAGE_MAX: u64 = 10_000;
/// Entries of a page in which one entry is looked for.
const SEARCH_PAGE: u64 = 500;
/// Largest file with certificates that is read.
const CA_BYTES_MAX: u64 = 4 << 20;

/// What a query asks for.
pub(crate) type Query = Vec<(&'static str, String)>;

/// The API of one instance.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    base: String,
    http: reqwest::Client,
    token: Token,
}

impl Client {
    /// For the instance that the command line names. `state_folder` is where an instance of this machine
    /// keeps its token.
    pub(crate) fn new(
        arguments: &InstanceArguments,
        state_folder: &Path,
    ) -> Result<Self, ClientError> {
        let base = match &arguments.url {
            Some(url) => base_of(url)?,
            None => of_host(&arguments.host, arguments.port, arguments.ca_file.is_some()),
        };
        let local = is_local(&base);
        let token = Token::choose(arguments, local.then_some(state_folder))?;
        if token.is_known() && base.starts_with("http://") && !local {
            tracing::warn!(
                "the token goes to {base} in the clear: https:// and --ca-file keep it secret"
            );
        }
        let mut client = Self::with(base, arguments.ca_file.as_deref())?;
        client.token = token;
        Ok(client)
    }

    /// For a base URL without a slash at its end, without a token.
    pub(crate) fn of(base: String) -> Result<Self, ClientError> {
        Self::with(base, None)
    }

    fn with(base: String, ca_file: Option<&Path>) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if is_local(&base) {
            // A proxy cannot reach this machine's loopback.
            builder = builder.no_proxy();
        }
        if let Some(file) = ca_file {
            for certificate in certificates(file)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            base,
            http: builder.build()?,
            token: Token::none(),
        })
    }

    /// Where it asks.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// The JSON at `path`.
    pub(crate) async fn get(&self, path: &str, query: &Query) -> Result<Value, ClientError> {
        self.send(Method::GET, path, query, None).await
    }

    /// Sends `body` to `path`.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, ClientError> {
        self.send(Method::POST, path, &Query::new(), Some(body))
            .await
    }

    /// Sends `body` to `path` with a query.
    pub(crate) async fn post_with(
        &self,
        path: &str,
        query: &Query,
        body: &Value,
    ) -> Result<Value, ClientError> {
        self.send(Method::POST, path, query, Some(body)).await
    }

    /// Deletes what is at `path`.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, ClientError> {
        self.send(Method::DELETE, path, &Query::new(), None).await
    }

    /// The first `limit` entries of a list, over as many pages as it takes: the first answer with the
    /// entries of all under `key`.
    pub(crate) async fn list(
        &self,
        path: &str,
        query: &Query,
        key: &str,
        limit: Option<u64>,
    ) -> Result<Value, ClientError> {
        let first_query = page(query, limit, None);
        let mut whole = self.get(path, &first_query).await?;
        let Some(limit) = limit else {
            return Ok(whole);
        };
        loop {
            let have = whole[key].as_array().map_or(0, Vec::len);
            let left = limit.saturating_sub(u64::try_from(have).unwrap_or(u64::MAX));
            let Some(cursor) = whole["next"].as_str().filter(|_| left > 0) else {
                return Ok(whole);
            };
            let more = page(query, Some(left), Some(cursor));
            let mut more = self.get(path, &more).await?;
            let entries = match more[key].take() {
                Value::Array(entries) if !entries.is_empty() => entries,
                // A page without anything would be asked for for ever.
                _ => return Ok(whole),
            };
            whole["next"] = more["next"].take();
            whole["count"] = Value::from(have + entries.len());
            if let Value::Array(all) = &mut whole[key] {
                all.extend(entries);
            }
        }
    }

    /// The first entry of a list for which `fits` holds, looked for page by page.
    pub(crate) async fn find(
        &self,
        path: &str,
        query: &Query,
        key: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, ClientError> {
        let mut cursor = None;
        loop {
            let page = page(query, Some(SEARCH_PAGE), cursor.as_deref());
            let mut answer = self.get(path, &page).await?;
            let entries = answer[key].as_array_mut().map(std::mem::take);
            let entries = entries.unwrap_or_default();
            let empty = entries.is_empty();
            if let Some(found) = entries.into_iter().find(&fits) {
                return Ok(Some(found));
            }
            match answer["next"].as_str().filter(|_| !empty) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(None),
            }
        }
    }

    /// The instance's events as they come.
    pub(crate) async fn events(&self, path: &str) -> Result<EventReader, ClientError> {
        let url = format!("{}{path}", self.base);
        let request = self.authorised(self.http.get(&url));
        let response = tokio::time::timeout(TIMEOUT, request.send())
            .await
            .map_err(|_elapsed| ClientError::slow(&url, TIMEOUT))?
            .map_err(|error| ClientError::unreachable(&url, &error))?;
        if response.status() == StatusCode::OK {
            return EventReader::new(url, response);
        }
        let (status, body) = tokio::time::timeout(TIMEOUT, read(&url, response))
            .await
            .map_err(|_elapsed| ClientError::slow(&url, TIMEOUT))??;
        Err(self.refusal(url, status, serde_json::from_slice(&body).ok()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        body: Option<&Value>,
    ) -> Result<Value, ClientError> {
        let url = format!("{}{path}", self.base);
        let mut request = self
            .http
            .request(method, &url)
            .timeout(TIMEOUT)
            .query(query);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = self
            .authorised(request)
            .send()
            .await
            .map_err(|error| ClientError::unreachable(&url, &error))?;
        let (status, body) = read(&url, response).await?;
        let value = serde_json::from_slice::<Value>(&body);
        if !status.is_success() {
            return Err(self.refusal(url, status, value.ok()));
        }
        if body.is_empty() {
            return Ok(Value::Null);
        }
        value.map_err(|error| ClientError::Answer {
            url,
            problem: error.to_string(),
        })
    }

    fn authorised(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match self.token.secret() {
            Some(secret) => match HeaderValue::try_from(format!("Bearer {secret}")) {
                Ok(mut value) => {
                    value.set_sensitive(true);
                    request.header(AUTHORIZATION, value)
                }
                // What cannot stand in a header was refused when the token was read.
                Err(_not_a_header) => request,
            },
            None => request,
        }
    }

    fn refusal(&self, url: String, status: StatusCode, answer: Option<Value>) -> ClientError {
        let said = answer.and_then(|it| Some(it.get("error")?.as_str()?.to_owned()));
        let message = said.unwrap_or_else(|| "no reason given".to_owned());
        match status {
            StatusCode::UNAUTHORIZED => ClientError::Token {
                url,
                message,
                advice: self.token.advice(),
            },
            StatusCode::FORBIDDEN => ClientError::Role { url, message },
            status => ClientError::Refused {
                url,
                status: status.as_u16(),
                message,
            },
        }
    }
}

fn page(query: &Query, limit: Option<u64>, cursor: Option<&str>) -> Query {
    let mut query = query.clone();
    query.extend(limit.map(|limit| ("limit", limit.min(PAGE_MAX).to_string())));
    query.extend(cursor.map(|cursor| ("cursor", cursor.to_owned())));
    query
}

/// The body, which must not be larger than the limit.
async fn read(
    url: &str,
    mut response: reqwest::Response,
) -> Result<(StatusCode, Vec<u8>), ClientError> {
    let mut body = Vec::new();
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| ClientError::unreachable(url, &error))? else {
            return Ok((response.status(), body));
        };
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(ClientError::Answer {
                url: url.to_owned(),
                problem: format!("more than {BODY_BYTES_MAX} bytes"),
            });
        }
        body.extend_from_slice(&chunk);
    }
}

/// `url` as a base that paths are put behind.
fn base_of(url: &str) -> Result<String, ClientError> {
    let wrong = |problem: &str| ClientError::Url {
        url: url.to_owned(),
        problem: problem.to_owned(),
    };
    let parsed = reqwest::Url::parse(url).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(wrong("it is neither http nor https with a host"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(wrong("it has a query or a fragment"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(wrong("it has a user or a password"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn of_host(host: &str, port: u16, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("{scheme}://[{address}]:{port}"),
        _ => format!("{scheme}://{host}:{port}"),
    }
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

fn certificates(file: &Path) -> Result<Vec<reqwest::Certificate>, ClientError> {
    let wrong = |problem: String| ClientError::CaFile {
        file: file.to_owned(),
        problem,
    };
    let pem = small_file(file, CA_BYTES_MAX).map_err(|error| wrong(error.to_string()))?;
    let found =
        reqwest::Certificate::from_pem_bundle(&pem).map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("no certificate in it, expected PEM".to_owned()));
    }
    Ok(found)
}

/// A file that has at most `bytes_max` bytes.
fn small_file(file: &Path, bytes_max: u64) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut content = Vec::new();
    let read = std::fs::File::open(file)?
        .take(bytes_max + 1)
        .read_to_end(&mut content)?;
    if u64::try_from(read).unwrap_or(u64::MAX) > bytes_max {
        let message = format!("more than {bytes_max} bytes");
        return Err(std::io::Error::new(
            std::io::ErrorKind::FileTooLarge,
            message,
        ));
    }
    Ok(content)
}

/// The folder in which an instance of this machine keeps its state: as the configuration says, where it
/// can be read.
pub(crate) fn state_folder(config_file: Option<&Path>) -> PathBuf {
    let loaded = crate::config::load(config_file, crate::config::Flags::default());
    loaded.map_or_else(
        |_unreadable| beaconwatch_sidecar::Config::default().data_directory,
        |loaded| loaded.config.sidecar.data_directory,
    )
}
