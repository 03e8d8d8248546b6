//! Who asks, and what they may do.
//!
//! A token ([`crate::token`]) has a name and a role: `read` may read, `operate` may do everything. What changes
//! something (every method but GET and HEAD) always needs `operate`; reading needs no token when the API is bound to a loopback address and no
//! token with the role `read` is configured.
//!
//! When no token with the role `operate` is configured, the sidecar makes one of its own at the start: 32 random
//! bytes in [`TOKEN_FILE`] in the data directory, for its owner only, kept over restarts.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use beaconwatch_destinations::SecretSource;
use rand::TryRngCore;

use super::error::ApiError;
use crate::config::{ApiConfig, Role};
use crate::listen::Peer;
use crate::token::{self, Token, TokenError};

/// Name of the token's file in the data directory.
pub(crate) const TOKEN_FILE: &str = "api-token";
/// Name of the token that the sidecar makes.
const LOCAL: &str = "local";
/// Where tokens are configured.
const SECTION: &str = "api.tokens";

/// Why tokens could not be had.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A configured token cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The sidecar's own token cannot be kept.
    #[error("cannot write the API's token to {path}: {source}")]
    Write {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The system has no random numbers, or no thread to read files with.
    #[error("cannot make the API's tokens: {0}")]
    System(String),
}

/// A token and what its bearer may do.
#[derive(Clone, Debug)]
struct Holder {
    token: Token,
    role: Role,
}

/// Tokens that were read and are not in force yet.
#[derive(Debug)]
pub(crate) struct Tokens(Vec<Holder>);

/// The tokens, shared with those who renew them.
#[derive(Clone, Debug)]
pub(crate) struct Access {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    data_directory: PathBuf,
    loopback: bool,
    tokens: RwLock<Vec<Holder>>,
}

/// Who made a request, for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Name of the token; `anonymous` for a read without one.
    pub(crate) actor: Arc<str>,
    /// Its role.
    pub(crate) role: Role,
    /// Where from.
    pub(crate) remote: SocketAddr,
}

impl Access {
    /// Reads the tokens, and makes one when none may operate. Blocks.
    pub(crate) fn open(config: &ApiConfig, data_directory: &Path) -> Result<Self, AccessError> {
        Ok(Self {
            inner: Arc::new(Inner {
                data_directory: data_directory.to_owned(),
                loopback: config.address.ip().to_canonical().is_loopback(),
                tokens: RwLock::new(read_tokens(config, data_directory)?),
            }),
        })
    }

    /// Reads the tokens of a configuration, for [`Self::replace`].
    pub(crate) async fn read(&self, config: ApiConfig) -> Result<Tokens, AccessError> {
        let folder = self.inner.data_directory.clone();
        let read = tokio::task::spawn_blocking(move || read_tokens(&config, &folder).map(Tokens));
        read.await
            .map_err(|error| AccessError::System(error.to_string()))?
    }

    /// Puts tokens in the place of those from before.
    pub(crate) fn replace(&self, tokens: Tokens) {
        let current = self.inner.tokens.write();
        *current.unwrap_or_else(PoisonError::into_inner) = tokens.0;
    }

    /// Who asks; an error when they may not.
    fn admit(
        &self,
        method: &Method,
        headers: &HeaderMap,
        remote: SocketAddr,
    ) -> Result<Caller, ApiError> {
        let writes = !matches!(*method, Method::GET | Method::HEAD);
        let tokens = self
            .inner
            .tokens
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(given) = token::bearer(headers).map_err(ApiError::Unauthorized)? else {
            let readers = tokens.iter().any(|holder| holder.role == Role::Read);
            if writes || readers || !self.inner.loopback {
                return Err(ApiError::Unauthorized("there is no token"));
            }
            return Ok(Caller {
                actor: "anonymous".into(),
                role: Role::Read,
                remote,
            });
        };
        let found = token::find(tokens.iter().map(|holder| &holder.token), given);
        let holder = found.and_then(|place| tokens.get(place));
        let holder = holder.ok_or(ApiError::Unauthorized("the token is not known"))?;
        if writes && holder.role != Role::Operate {
            return Err(ApiError::Forbidden(holder.token.name.to_string()));
        }
        Ok(Caller {
            actor: Arc::clone(&holder.token.name),
            role: holder.role,
            remote,
        })
    }
}

fn read_tokens(config: &ApiConfig, data_directory: &Path) -> Result<Vec<Holder>, AccessError> {
    let mut holders: Vec<Holder> = Vec::new();
    for (name, token) in &config.tokens {
        holders.push(read_token(name, token.role, &token.secret)?);
    }
    if !holders.iter().any(|holder| holder.role == Role::Operate) {
        let path = data_directory.join(TOKEN_FILE);
        if !path.exists() {
            make_token(&path)?;
        }
        warn_of_readers(&path);
        holders.push(read_token(LOCAL, Role::Operate, &SecretSource::File(path))?);
    }
    token::expect_different(SECTION, holders.iter().map(|holder| &holder.token))?;
    Ok(holders)
}

fn read_token(name: &str, role: Role, source: &SecretSource) -> Result<Holder, TokenError> {
    let token = Token::read(SECTION, name, source)?;
    Ok(Holder { token, role })
}

/// Writes a new token beside its place and moves it there: the file is whole or not there.
fn make_token(path: &Path) -> Result<(), AccessError> {
    let mut bytes = [0_u8; 32];
    rand::rngs::OsRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| AccessError::System(error.to_string()))?;
    let text = URL_SAFE_NO_PAD.encode(bytes);
    let write = || {
        let partial = path.with_extension("new");
        match fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        writeln!(file, "{text}")?;
        file.sync_all()?;
        fs::rename(&partial, path)
    };
    write().map_err(|source| AccessError::Write {
        path: path.to_owned(),
        source,
    })
}

fn warn_of_readers(path: &Path) {
    let mode = fs::metadata(path).map_or(0, |meta| meta.permissions().mode());
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), mode = format!("{:o}", mode & 0o777), "others can read the API's token, expected mode 600");
    }
}

/// Lets a request pass when its caller may make it, and notes the caller.
pub(super) async fn authenticate(
    State(access): State<Access>,
    mut request: Request,
    next: Next,
) -> Response {
    let remote = request
        .extensions()
        .get::<Peer>()
        .map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |peer| peer.0);
    match access.admit(request.method(), request.headers(), remote) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_made_token_is_private_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let config = ApiConfig::default();
        Access::open(&config, folder.path()).unwrap();
        let path = folder.path().join(TOKEN_FILE);
        let first = fs::read_to_string(&path).unwrap();
        assert_eq!(first.trim().len(), 43, "32 bytes in base64");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        Access::open(&config, folder.path()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), first);
        assert!(!folder.path().join("api-token.new").exists());
    }

    #[test]
    fn short_and_shared_tokens_are_errors_that_name_them() {
        let folder = tempfile::tempdir().unwrap();
        let configured = |texts: &[(&str, &str)]| {
            let mut config = ApiConfig::default();
            for (name, text) in texts {
                let path = folder.path().join(name);
                fs::write(&path, text).unwrap();
                let token = crate::config::TokenConfig {
                    role: Role::Operate,
                    secret: SecretSource::File(path),
                };
                config.tokens.insert((*name).to_owned(), token);
            }
            Access::open(&config, folder.path())
                .unwrap_err()
                .to_string()
        };
        let error = configured(&[("short", "hunter2")]);
        assert!(error.contains("api.tokens.short has 7 bytes"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
        let same = "0123456789abcdef";
        let error = configured(&[("one", same), ("two", same)]);
        assert!(error.contains("one") && error.contains("two"), "{error}");
        assert!(!error.contains(same), "{error}");
    }
}
