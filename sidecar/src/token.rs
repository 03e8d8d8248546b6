//! Bearer tokens: read from where the configuration says, compared in constant time.
//!
//! Of a token only its SHA-256 hash is kept, and no error and no log shows one. [`find`] compares with all tokens,
//! whichever fits, so the time that it takes tells nothing.

use std::fmt;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use beaconwatch_destinations::{Secret, SecretError, SecretSource};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Shortest token: below this it could be guessed.
const MIN_BYTES: usize = 16;

/// Why tokens could not be had.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A configured token cannot be read.
    #[error("{section}.{name}: {source}")]
    Secret {
        /// Dotted name of the section.
        section: &'static str,
        /// The token's name.
        name: String,
        /// Why.
        source: SecretError,
    },
    /// A token that could be guessed.
    #[error("{section}.{name} has {found} bytes, expected at least {MIN_BYTES}")]
    Short {
        /// Dotted name of the section.
        section: &'static str,
        /// The token's name.
        name: String,
        /// Its length.
        found: usize,
    },
    /// Two tokens are the same: nobody could say who asked.
    #[error("{section}.{first} and {section}.{second} are the same token, expected different ones")]
    Same {
        /// Dotted name of the section.
        section: &'static str,
        /// One name.
        first: String,
        /// The other.
        second: String,
    },
}

/// A token, without the token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) name: Arc<str>,
    hash: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Token({})", self.name)
    }
}

impl Token {
    /// Reads a token of a section of the configuration. Blocks.
    pub(crate) fn read(
        section: &'static str,
        name: &str,
        source: &SecretSource,
    ) -> Result<Self, TokenError> {
        let secret = Secret::read(source).map_err(|source| TokenError::Secret {
            section,
            name: name.to_owned(),
            source,
        })?;
        let text = secret.reveal().as_bytes();
        if text.len() < MIN_BYTES {
            return Err(TokenError::Short {
                section,
                name: name.to_owned(),
                found: text.len(),
            });
        }
        Ok(Self {
            name: name.into(),
            hash: Sha256::digest(text).into(),
        })
    }
}

/// Checks that no two tokens of a section are the same.
pub(crate) fn expect_different<'a>(
    section: &'static str,
    tokens: impl Iterator<Item = &'a Token>,
) -> Result<(), TokenError> {
    let mut others: Vec<&Token> = tokens.collect();
    while let Some(token) = others.pop() {
        if let Some(other) = others.iter().find(|other| other.hash == token.hash) {
            return Err(TokenError::Same {
                section,
                first: other.name.to_string(),
                second: token.name.to_string(),
            });
        }
    }
    Ok(())
}

/// The place of the token with this text. Looks at all of them, whichever fits.
pub(crate) fn find<'a>(tokens: impl Iterator<Item = &'a Token>, given: &[u8]) -> Option<usize> {
    let hash: [u8; 32] = Sha256::digest(given).into();
    let mut found = u32::MAX;
    for (index, token) in (0..u32::MAX).zip(tokens) {
        let same: Choice = token.hash.ct_eq(&hash);
        found.conditional_assign(&index, same);
    }
    (found != u32::MAX).then_some(usize::try_from(found).ok()?)
}

/// The token of a request; none when it has no such header. The error is what is wrong with the header.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&[u8]>, &'static str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("there is more than one token");
    }
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Ok(Some(token.trim_ascii()))
        }
        _ => Err("the authorization is no bearer token"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_whole_text_only() {
        let token = |text: &str| Token {
            name: text.into(),
            hash: Sha256::digest(text).into(),
        };
        let tokens = [token("0123456789abcdef"), token("fedcba9876543210")];
        let place = |given: &str| find(tokens.iter(), given.as_bytes());
        assert_eq!(place("0123456789abcdef"), Some(0));
        assert_eq!(place("fedcba9876543210"), Some(1));
        for wrong in [
            "",
            "0123456789abcde",
            "0123456789abcdef0",
            "0123456789ABCDEF",
        ] {
            assert_eq!(place(wrong), None, "{wrong}");
        }
        assert_eq!(find([].iter(), b"0123456789abcdef"), None);
    }
}
