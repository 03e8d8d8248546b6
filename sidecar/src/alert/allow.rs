//! Entries of the allow-list: what is written, what it means, and who reads it.

mod stored;

use std::sync::{Arc, PoisonError, RwLock};

use beaconwatch_detector::{
    AllowFacts, AllowList, AllowRule, Assessment, DomainPattern, FingerprintPattern, Network,
    ProcessPattern, Timestamp, Transport,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use self::stored::StoredEntry;
use super::AlertError;
use crate::time_text::rfc3339;

/// What an entry of the allow-list says: at least one condition, and all of them must hold.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, schemars::JsonSchema,
)]
#[serde(default, deny_unknown_fields)]
pub struct AllowConfig {
    /// Address or block of the end that initiates.
    pub source: Option<String>,
    /// Address or block of the end that answers.
    pub destination: Option<String>,
    /// Port of the end that answers.
    #[schema(maximum = 65535)]
    pub port: Option<u16>,
    /// tcp, udp or icmp.
    pub transport: Option<String>,
    /// Name of the server: `*.example.org` means the name and all below it.
    pub domain: Option<String>,
    /// Process at the source: a name, or a path with `*` as wildcard.
    pub process: Option<String>,
    /// Fingerprint of the client's TLS (JA4, or JA3 where the input has only that): `t13d1516h2_*` and
    /// `t13d1516h2_8daaf6152771_*` mean all that begin so.
    pub client_fingerprint: Option<String>,
    /// Why it is allowed, 1 to 500 characters.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    pub reason: String,
    /// Who answers for it, at most 200 characters.
    #[schema(max_length = 200)]
    pub owner: Option<String>,
    /// When it ends (RFC 3339).
    pub expires: Option<String>,
}

fn read<T, E: std::fmt::Display>(
    field: &'static str,
    text: Option<&str>,
    read: impl Fn(&str) -> Result<T, E>,
    expected: &'static str,
) -> Result<Option<T>, AlertError> {
    text.map(|text| {
        read(text).map_err(|_what| AlertError::invalid(field, format!("{text:?}"), expected))
    })
    .transpose()
}

impl AllowConfig {
    /// The rule that it states.
    pub(crate) fn rule(&self) -> Result<AllowRule, AlertError> {
        const NETWORK: &str = "an IP address or a block such as 192.0.2.0/24";
        self.check_texts()?;
        let rule = AllowRule {
            source: read(
                "source",
                self.source.as_deref(),
                str::parse::<Network>,
                NETWORK,
            )?,
            destination: read(
                "destination",
                self.destination.as_deref(),
                str::parse::<Network>,
                NETWORK,
            )?,
            port: self.port,
            transport: read(
                "transport",
                self.transport.as_deref(),
                |text| match text {
                    "tcp" => Ok(Transport::Tcp),
                    "udp" => Ok(Transport::Udp),
                    "icmp" => Ok(Transport::Icmp),
                    _ => Err("unknown"),
                },
                "tcp, udp or icmp",
            )?,
            domain: read(
                "domain",
                self.domain.as_deref(),
                DomainPattern::parse,
                "a domain name such as example.org or *.example.org",
            )?,
            process: read(
                "process",
                self.process.as_deref(),
                ProcessPattern::parse,
                "a name such as curl, or a path such as /usr/bin/*",
            )?,
            client_fingerprint: read(
                "client_fingerprint",
                self.client_fingerprint.as_deref(),
                FingerprintPattern::parse,
                "a JA4 or JA3 fingerprint, or the first parts of a JA4 such as t13d1516h2_*",
            )?,
            expires: read(
                "expires",
                self.expires.as_deref(),
                instant,
                "a time such as 2026-01-31T12:00:00Z, before the year 2262",
            )?,
        };
        if rule.is_empty() {
            return Err(AlertError::invalid(
                "entry",
                "without any condition",
                "source, destination, port, transport, domain, process or client_fingerprint",
            ));
        }
        Ok(rule)
    }

    /// What it says as JSON, without what it does not say.
    pub(crate) fn text(&self) -> String {
        let mut fields = serde_json::to_value(self).unwrap_or_default();
        if let Some(fields) = fields.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
        fields.to_string()
    }

    fn check_texts(&self) -> Result<(), AlertError> {
        let length = self.reason.chars().count();
        if !(1..=500).contains(&length) || self.reason.trim().is_empty() {
            let found = format!("{length} characters long");
            return Err(AlertError::invalid(
                "reason",
                found,
                "1 to 500 characters, not only white space",
            ));
        }
        let owner = self.owner.as_ref().map_or(0, |owner| owner.chars().count());
        if owner > 200 {
            let found = format!("{owner} characters long");
            return Err(AlertError::invalid(
                "owner",
                found,
                "at most 200 characters",
            ));
        }
        Ok(())
    }
}

/// An instant from RFC 3339.
fn instant(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|error: jiff::Error| error.to_string())?;
    i64::try_from(time.as_nanosecond())
        .map(Timestamp::from_unix_nanos)
        .map_err(|error| error.to_string())
}

/// Where an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AllowOrigin {
    /// The configuration: only changing it there removes the entry.
    Config,
    /// The API.
    Api,
}

/// An entry of the allow-list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredEntry", into = "StoredEntry")]
pub(crate) struct AllowEntry {
    pub(crate) id: String,
    pub(crate) origin: AllowOrigin,
    pub(crate) created: Timestamp,
    pub(crate) config: AllowConfig,
}

impl AllowEntry {
    /// An entry that is made now. One of the configuration has the same id in every run.
    pub(crate) fn new(config: AllowConfig, origin: AllowOrigin, created: Timestamp) -> Self {
        let mut digest = Sha256::new();
        digest.update(stored::identity(&config));
        if origin == AllowOrigin::Api {
            digest.update(created.unix_nanos().to_le_bytes());
        }
        let id = hex::encode(digest.finalize().get(..8).unwrap_or_default());
        Self {
            id,
            origin,
            created,
            config,
        }
    }
}

/// An entry as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AllowView {
    /// Identity of the entry.
    pub(crate) id: String,
    /// Address or block of the end that initiates.
    pub(crate) source: Option<String>,
    /// Address or block of the end that answers.
    pub(crate) destination: Option<String>,
    /// Port of the end that answers.
    pub(crate) port: Option<u16>,
    /// tcp, udp or icmp.
    pub(crate) transport: Option<String>,
    /// Name of the server.
    pub(crate) domain: Option<String>,
    /// Process at the source.
    pub(crate) process: Option<String>,
    /// Fingerprint of the client's TLS.
    pub(crate) client_fingerprint: Option<String>,
    /// Why it is allowed.
    pub(crate) reason: String,
    /// Who answers for it.
    pub(crate) owner: Option<String>,
    /// When it ends (RFC 3339).
    pub(crate) expires: Option<String>,
    /// When it was made (RFC 3339); of an entry of the configuration: when the sidecar started.
    pub(crate) created: String,
    /// config or api.
    #[schema(value_type = String)]
    pub(crate) origin: AllowOrigin,
    /// Whether it has ended.
    pub(crate) expired: bool,
    /// Detections that it allowed since the sidecar started.
    pub(crate) matched: u64,
}

/// Entries with their compiled rules.
#[derive(Debug, Default)]
pub(crate) struct Allowances {
    pub(crate) entries: Vec<AllowEntry>,
    list: AllowList,
}

impl Allowances {
    pub(crate) fn new(entries: Vec<AllowEntry>) -> Result<Self, AlertError> {
        let rules: Result<Vec<_>, _> = entries.iter().map(|it| it.config.rule()).collect();
        Ok(Self {
            entries,
            list: AllowList::new(rules?),
        })
    }

    /// The entry that allows a series.
    pub(crate) fn find(&self, facts: &AllowFacts<'_>, now: Timestamp) -> Option<&AllowEntry> {
        self.entries.get(self.list.find(facts, now)?)
    }

    /// The latest instant at which an entry has ended, up to now: when it changes, an entry has expired.
    pub(crate) fn last_expiry(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self
            .entries
            .iter()
            .filter_map(|entry| entry.config.expires.as_deref());
        ends.filter_map(|text| instant(text).ok())
            .filter(|expires| *expires <= now)
            .max()
    }
}

/// The allow-list in force, for those who read it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowBook {
    allowances: Arc<RwLock<Arc<Allowances>>>,
    /// Detections by entry.
    matched: Arc<RwLock<std::collections::HashMap<String, u64>>>,
}

impl AllowBook {
    /// The entries in force.
    pub(crate) fn current(&self) -> Arc<Allowances> {
        let held = self.allowances.read();
        Arc::clone(&held.unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other entries in force.
    pub(crate) fn replace(&self, allowances: Allowances) {
        let mut matched = self.matched.write().unwrap_or_else(PoisonError::into_inner);
        matched.retain(|id, _| allowances.entries.iter().any(|entry| entry.id == *id));
        drop(matched);
        let mut held = self
            .allowances
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *held = Arc::new(allowances);
    }

    /// Counts a detection that an entry allowed.
    pub(crate) fn count(&self, id: &str) {
        let mut matched = self.matched.write().unwrap_or_else(PoisonError::into_inner);
        match matched.get_mut(id) {
            Some(count) => *count += 1,
            None => {
                matched.insert(id.to_owned(), 1);
            }
        }
    }

    /// The entry that allows a series: its id and its reason.
    pub(crate) fn allows(
        &self,
        assessment: &Assessment,
        now: Timestamp,
    ) -> Option<(String, String)> {
        let current = self.current();
        let entry = current.find(&assessment.into(), now)?;
        Some((entry.id.clone(), entry.config.reason.clone()))
    }

    /// One entry as the API shows it.
    pub(crate) fn view(&self, entry: &AllowEntry, now: Timestamp) -> AllowView {
        let matched = self.matched.read().unwrap_or_else(PoisonError::into_inner);
        let expires = entry.config.expires.as_deref().map(instant);
        let config = entry.config.clone();
        AllowView {
            id: entry.id.clone(),
            source: config.source,
            destination: config.destination,
            port: config.port,
            transport: config.transport,
            domain: config.domain,
            process: config.process,
            client_fingerprint: config.client_fingerprint,
            reason: config.reason,
            owner: config.owner,
            expires: config.expires,
            created: rfc3339(entry.created),
            origin: entry.origin,
            expired: matches!(expires, Some(Ok(expires)) if expires <= now),
            matched: matched.get(&entry.id).copied().unwrap_or(0),
        }
    }

    /// All entries as the API shows them.
    pub(crate) fn views(&self, now: Timestamp) -> Vec<AllowView> {
        let current = self.current();
        let entries = current.entries.iter();
        entries.map(|entry| self.view(entry, now)).collect()
    }
}
