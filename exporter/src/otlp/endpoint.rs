//! [`Endpoint`]: where a receiver listens: a URL, or a Unix socket of this host.
//!
//! A socket is written `unix:///run/otelcol.sock` (or `unix:/run/otelcol.sock`, as gRPC names targets). The
//! whole rest is the path, so a URL of a socket has no room for the path of a signal: over HTTP that is always
//! the standard one. Who may connect is for the socket's owner and mode to say; TLS is not spoken over it.

use std::fmt;

use http::Uri;

const EXPECTED: &str = "a URL such as http://collector:4317 or https://collector:4318, \
                        or a socket such as unix:///run/otelcol.sock";

/// Where a receiver listens, and what requests to it are addressed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: Uri,
    socket: Option<String>,
}

impl Endpoint {
    /// Reads an endpoint; the error says what was expected. `socket_path` is the path of requests to a socket.
    pub fn parse(text: &str, socket_path: &'static str) -> Result<Self, String> {
        if let Some(path) = socket_of(text) {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(format!("{EXPECTED} (the socket's path must be absolute)"));
            }
            return Ok(Self {
                url: local_url(socket_path).ok_or(EXPECTED)?,
                socket: Some(path.to_owned()),
            });
        }
        let url: Uri = text
            .parse()
            .map_err(|error| format!("{EXPECTED} ({error})"))?;
        let scheme_known = matches!(url.scheme_str(), Some("http" | "https"));
        let has_host = url.host().is_some_and(|host| !host.is_empty());
        if scheme_known && has_host {
            Ok(Self { url, socket: None })
        } else {
            Err(EXPECTED.to_owned())
        }
    }

    /// What requests are addressed to.
    #[must_use]
    pub const fn url(&self) -> &Uri {
        &self.url
    }

    /// Path of the socket, when it is one.
    #[must_use]
    pub fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(path) => write!(formatter, "unix://{path}"),
            None => self.url.fmt(formatter),
        }
    }
}

/// Path of the socket that an endpoint names; `None` when it names none.
pub(super) fn socket_of(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("unix:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

fn local_url(path: &'static str) -> Option<Uri> {
    Uri::builder()
        .scheme("http")
        .authority("localhost")
        .path_and_query(path)
        .build()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_named_as_a_url_or_as_grpc_names_it() {
        for text in ["unix:///run/otelcol.sock", "unix:/run/otelcol.sock"] {
            let endpoint = Endpoint::parse(text, "/v1/logs").unwrap();
            assert_eq!(endpoint.socket(), Some("/run/otelcol.sock"));
            assert_eq!(endpoint.url().to_string(), "http://localhost/v1/logs");
            assert_eq!(endpoint.to_string(), "unix:///run/otelcol.sock");
            assert!(!endpoint.is_tls());
        }
    }

    #[test]
    fn what_is_neither_url_nor_absolute_socket_is_refused() {
        for text in [
            "unix:",
            "unix://",
            "unix:otelcol.sock",
            "unix:///a\0b",
            "collector:4317",
        ] {
            let error = Endpoint::parse(text, "/v1/logs").unwrap_err();
            assert!(
                error.contains("unix:///run/otelcol.sock"),
                "{text}: {error}"
            );
        }
        let https = Endpoint::parse("https://c:4317", "/v1/logs").unwrap();
        assert!(https.is_tls() && https.socket().is_none());
    }
}
