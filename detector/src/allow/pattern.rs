//! Names with wildcards.

use crate::Process;
use crate::server_name::{MAX_DOMAIN_BYTES, normal as normal_domain};

/// Longest label of a domain name.
const MAX_LABEL_BYTES: usize = 63;
/// Longest pattern of a process.
const MAX_PROCESS_BYTES: usize = 1024;
/// Longest pattern of a fingerprint: JA4 has 36 characters, JA3 32, JA4 with its lists written out some hundreds.
const MAX_FINGERPRINT_BYTES: usize = 1024;
/// Parts of JA4 behind which a wildcard can stand: it has three.
const MAX_BEGINNING_PARTS: usize = 2;

/// A text that is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{value:?}, expected {expected}")]
pub struct PatternError {
    /// What it was.
    pub value: String,
    /// What it should have been.
    pub expected: &'static str,
}

fn error(value: &str, expected: &'static str) -> PatternError {
    let value = value.chars().take(100).collect();
    PatternError { value, expected }
}

/// `example.org` (that name alone) or `*.example.org` (that name and all below it), in any case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainPattern {
    base: Box<str>,
    below: bool,
}

impl DomainPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        const EXPECTED: &str = "a domain name such as example.org or *.example.org";
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        let base = normal_domain(name);
        let is_label = |label: &str| {
            (1..=MAX_LABEL_BYTES).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        };
        if base.len() > MAX_DOMAIN_BYTES || !base.split('.').all(is_label) {
            return Err(error(text, EXPECTED));
        }
        Ok(Self {
            base: base.into(),
            below,
        })
    }

    /// The name without the wildcard.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whether a name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let name = normal_domain(name);
        match name.strip_suffix(&*self.base) {
            Some("") => true,
            Some(above) => self.below && above.ends_with('.'),
            None => false,
        }
    }
}

/// A name and all names above it.
pub(crate) fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        name.split_once('.').map(|(_, above)| above)
    })
}

/// `curl` (name of the command or last part of the path), or a path in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessPattern {
    /// A name, exactly.
    Name(Box<str>),
    /// A path; its parts lie around the wildcards.
    Path(Box<[Box<str>]>),
}

impl ProcessPattern {
    /// Reads a pattern: a path when it has a slash.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        const EXPECTED: &str =
            "a name such as curl, or a path such as /usr/bin/*, of at most 1024 bytes";
        if text.is_empty() || text.len() > MAX_PROCESS_BYTES || text.contains('\0') {
            return Err(error(text, EXPECTED));
        }
        if text.contains('/') {
            return Ok(Self::Path(text.split('*').map(Box::from).collect()));
        }
        if text.contains('*') {
            return Err(error(text, EXPECTED));
        }
        Ok(Self::Name(text.into()))
    }

    /// The name, when it is one.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Path(_) => None,
        }
    }

    /// Whether a process is meant.
    #[must_use]
    pub fn matches(&self, process: &Process) -> bool {
        match self {
            Self::Name(name) => names(process).any(|other| *other == **name),
            Self::Path(parts) => process
                .executable
                .as_deref()
                .is_some_and(|path| matches_parts(parts, path)),
        }
    }
}

/// Name of the command, and last part of the path (the kernel cuts names after 15 bytes).
pub(super) fn names(process: &Process) -> impl Iterator<Item = &str> {
    let path = process.executable.as_deref();
    let last = path.map(|path| path.rsplit('/').next().unwrap_or(path));
    process.name.as_deref().into_iter().chain(last)
}

/// `t13d1516h2_8daaf6152771_b186095e22b6` (that fingerprint alone), or `t13d1516h2_8daaf6152771_*` and `t13d1516h2_*`
/// (all that begin with these parts), in any case.
///
/// Only JA4 has parts: their order is that of its definition, protocol and counts first, then ciphers, then
/// extensions (`technical_details/JA4.md` of `FoxIO-LLC/ja4`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FingerprintPattern {
    /// The fingerprint, or its first parts without the underscore behind them.
    base: Box<str>,
    more: bool,
}

impl FingerprintPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        const EXPECTED: &str = "a fingerprint such as t13d1516h2_8daaf6152771_b186095e22b6, or one or two parts of it such as t13d1516h2_*";
        let (base, more) = match text.strip_suffix("_*") {
            Some(base) => (base, true),
            None => (text, false),
        };
        let is_fit = (1..=MAX_FINGERPRINT_BYTES).contains(&base.len())
            && base
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'*');
        let parts = base.split('_');
        if !is_fit || (more && parts.clone().count() > MAX_BEGINNING_PARTS) {
            return Err(error(text, EXPECTED));
        }
        if more && parts.clone().any(str::is_empty) {
            return Err(error(text, EXPECTED));
        }
        Ok(Self {
            base: base.to_ascii_lowercase().into(),
            more,
        })
    }

    /// The fingerprint without the wildcard, in lower case.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Whether a fingerprint is meant.
    #[must_use]
    pub fn matches(&self, fingerprint: &str) -> bool {
        let beginning = fingerprint.get(..self.base.len());
        beginning.is_some_and(|it| it.eq_ignore_ascii_case(&self.base))
            && match fingerprint.get(self.base.len()..) {
                Some("") => !self.more,
                Some(rest) => self.more && rest.starts_with('_'),
                None => false,
            }
    }
}

/// A fingerprint and what patterns with a wildcard can have of it.
pub(super) fn beginnings(fingerprint: &str) -> impl Iterator<Item = &str> {
    let parts = fingerprint.match_indices('_').take(MAX_BEGINNING_PARTS);
    let beginnings = parts.filter_map(|(end, _)| fingerprint.get(..end));
    beginnings.chain([fingerprint])
}

/// Whether the parts stand in the text in their order, the first at its beginning and the last at its end.
/// Taking each part where it comes first is enough, and goes through the text once.
fn matches_parts(parts: &[Box<str>], text: &str) -> bool {
    let [first, middle @ .., last] = parts else {
        return matches!(parts, [only] if **only == *text);
    };
    let Some(mut rest) = text.strip_prefix(&**first) else {
        return false;
    };
    for part in middle {
        match rest.split_once(&**part) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(&**last)
}
