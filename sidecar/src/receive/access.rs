//! Who may send: whoever bears one of the configured tokens, and everybody as long as there is none.
//!
//! A request without a known token is refused for good, before its body is read: HTTP 401, gRPC `UNAUTHENTICATED`. A sender
//! that keeps to OTLP drops it and does not try again, so a new token is made known here before senders get it.

use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;

use crate::config::ReceiveConfig;
use crate::token::{self, Token, TokenError};

/// Where tokens are configured.
const SECTION: &str = "receive.tokens";

/// Why a request is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}, expected `authorization: Bearer <token>` with one of receive.tokens")]
pub(crate) struct Unauthenticated(&'static str);

/// Tokens that were read and are not in force yet.
#[derive(Debug)]
pub(crate) struct SenderTokens(Vec<Token>);

/// The tokens, shared with those who renew them.
#[derive(Clone, Debug)]
pub(crate) struct Senders {
    tokens: Arc<RwLock<Vec<Token>>>,
}

impl Senders {
    /// Reads the tokens. Blocks.
    pub(crate) fn open(config: &ReceiveConfig) -> Result<Self, TokenError> {
        let SenderTokens(tokens) = Self::read(config)?;
        Ok(Self {
            tokens: Arc::new(RwLock::new(tokens)),
        })
    }

    /// Reads the tokens of a configuration, for [`Self::replace`]. Blocks.
    pub(crate) fn read(config: &ReceiveConfig) -> Result<SenderTokens, TokenError> {
        let read = config.tokens.iter();
        let read = read.map(|(name, source)| Token::read(SECTION, name, source));
        let tokens = read.collect::<Result<Vec<_>, _>>()?;
        token::expect_different(SECTION, tokens.iter())?;
        Ok(SenderTokens(tokens))
    }

    /// Puts tokens in the place of those from before.
    pub(crate) fn replace(&self, tokens: SenderTokens) {
        let current = self.tokens.write();
        *current.unwrap_or_else(PoisonError::into_inner) = tokens.0;
    }

    /// Whether the sender of a request may send.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<(), Unauthenticated> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        if tokens.is_empty() {
            return Ok(());
        }
        let given = token::bearer(headers).map_err(Unauthenticated)?;
        let given = given.ok_or(Unauthenticated("there is no token"))?;
        let found = token::find(tokens.iter(), given);
        found
            .map(|_place| ())
            .ok_or(Unauthenticated("the token is not known"))
    }
}
