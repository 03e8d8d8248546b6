//! [`Privacy`]: what records do not say plainly, by the settings.
//!
//! Applied where a value becomes known and before anything keeps it: to an owner when it is looked up,
//! to names of servers and user agents by [`Privacy::server_name`] and [`Privacy::user_agent`], to the flow's
//! record before it is numbered ([`Privacy::hide_record`]). So nothing plain gets to the queue, the receiver or a metric.
//!
//! A pseudonym is `pseudonym-` and the first 128 bits of HMAC-SHA-256 (RFC 2104) over the field's name, a zero byte and
//! the value, as 32 hexadecimal digits: the same for the same value of one field on all hosts with the same key, and nothing
//! without the key. It is also a valid label of a DNS name, so that it can stand where one is expected. Names of servers are
//! the same in upper and lower case and with or without the dot at their end.
//!
//! Limits: a number cannot be a pseudonym, so a pseudonymised user has no number. A field that is plain may tell one that is
//! not: an executable below `/home/alice`, a command line with a name in it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use beaconwatch_records::FlowRecord;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::owner::{Attribution, Handler};
use super::workload::Workload;
use crate::config::{ConfigError, PrivacyConfig, PrivateField, Secret};

/// What every pseudonym begins with.
pub const PREFIX: &str = "pseudonym-";
const PSEUDONYM_BYTES: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Treatment {
    #[default]
    Plain,
    Omit,
    Pseudonymise,
}

/// Leaves out and pseudonymises.
#[derive(Clone, Default)]
pub struct Privacy {
    treatments: [Treatment; PrivateField::ALL.len()],
    /// The hash, already keyed.
    hash: Option<Hmac<Sha256>>,
}

impl fmt::Debug for Privacy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Privacy")
            .field("treatments", &self.treatments)
            .finish_non_exhaustive()
    }
}

impl Privacy {
    /// Reads the key, when one is needed.
    pub fn new(config: &PrivacyConfig) -> Result<Self, ConfigError> {
        let key = config.read_key()?;
        Ok(Self::with_key(config, key.as_ref()))
    }

    fn with_key(config: &PrivacyConfig, key: Option<&Secret>) -> Self {
        let treatments = PrivateField::ALL.map(|field| {
            // Without a key nothing is shown, whatever the settings say.
            if config.omit.contains(&field) || config.pseudonymise.contains(&field) && key.is_none()
            {
                Treatment::Omit
            } else if config.pseudonymise.contains(&field) {
                Treatment::Pseudonymise
            } else {
                Treatment::Plain
            }
        });
        let hash = key.and_then(|key| Hmac::new_from_slice(key.reveal().as_bytes()).ok());
        Self { treatments, hash }
    }

    /// Whether a field is shown as it is.
    #[must_use]
    pub fn shows(&self, field: PrivateField) -> bool {
        self.treatment(field) == Treatment::Plain
    }

    fn treatment(&self, field: PrivateField) -> Treatment {
        // A field without a treatment cannot be: then it is not shown.
        let treatment = self.treatments.get(field as usize).copied();
        treatment.unwrap_or(Treatment::Omit)
    }

    /// The name of a server, as a record may say it: for `server.address`, and for every attribute that repeats one (TLS
    /// server name, HTTP host, DNS question).
    #[must_use]
    pub fn server_name<'a>(&self, name: &'a str) -> Option<Cow<'a, str>> {
        let field = PrivateField::ServerName;
        if self.treatment(field) != Treatment::Pseudonymise {
            return self.text(field, name);
        }
        let same = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        Some(Cow::Owned(self.pseudonym(field, &same)?))
    }

    /// The user agent, as a record may say it.
    #[must_use]
    pub fn user_agent<'a>(&self, user_agent: &'a str) -> Option<Cow<'a, str>> {
        self.text(PrivateField::UserAgent, user_agent)
    }

    /// The name of this host; empty when it is left out.
    #[must_use]
    pub fn host_name(&self, name: String) -> String {
        let field = PrivateField::HostName;
        match self.treatment(field) {
            Treatment::Plain => name,
            Treatment::Omit => String::new(),
            Treatment::Pseudonymise => self.pseudonym(field, &name).unwrap_or_default(),
        }
    }

    /// A value as a record may say it; `None` when it is left out.
    #[must_use]
    pub fn text<'a>(&self, field: PrivateField, value: &'a str) -> Option<Cow<'a, str>> {
        match self.treatment(field) {
            Treatment::Plain => Some(Cow::Borrowed(value)),
            Treatment::Omit => None,
            Treatment::Pseudonymise => self.pseudonym(field, value).map(Cow::Owned),
        }
    }

    fn pseudonym(&self, field: PrivateField, value: &str) -> Option<String> {
        let mut hash = self.hash.clone()?;
        hash.update(field.name().as_bytes());
        hash.update(&[0]);
        hash.update(value.as_bytes());
        let digest = hash.finalize().into_bytes();
        let first = digest.get(..PSEUDONYM_BYTES)?;
        Some(format!("{PREFIX}{}", hex::encode(first)))
    }

    /// Hides what is known of an owner.
    pub(super) fn hide_owner(&self, owner: &mut Attribution) {
        self.hide(PrivateField::ProcessName, &mut owner.name);
        self.hide(PrivateField::ExecutablePath, &mut owner.executable);
        self.hide(PrivateField::CommandLine, &mut owner.command_line);
        let fields = [PrivateField::ProcessName, PrivateField::ExecutablePath];
        if let Some(parent) = &mut owner.parent
            && !fields.into_iter().all(|field| self.shows(field))
        {
            let parent = Arc::make_mut(parent);
            self.hide(PrivateField::ProcessName, &mut parent.name);
            self.hide(PrivateField::ExecutablePath, &mut parent.executable);
        }
        self.hide_user(owner);
    }

    /// Hides what is known of a handler.
    pub(super) fn hide_handler(&self, handler: &mut Handler) {
        self.hide(PrivateField::ProcessName, &mut handler.name);
        self.hide(PrivateField::ExecutablePath, &mut handler.executable);
    }

    fn hide_user(&self, owner: &mut Attribution) {
        let field = PrivateField::User;
        if self.shows(field) {
            return;
        }
        let number = owner.user_id.take();
        // A user without a name is told apart by its number.
        let name = owner
            .user_name
            .take()
            .or_else(|| number.map(|number| Arc::from(number.to_string())));
        owner.user_name = name
            .filter(|_| self.treatment(field) == Treatment::Pseudonymise)
            .and_then(|name| self.pseudonym(field, &name))
            .map(Arc::from);
        if let Some(workload) = &mut owner.workload
            && workload.of_user_session
        {
            // user-1000.slice and user@1000.service hold the number.
            *workload = Arc::new(Workload {
                unit: None,
                slice: None,
                of_user_session: false,
                ..Workload::clone(workload)
            });
        }
    }

    fn hide(&self, field: PrivateField, value: &mut Option<Arc<str>>) {
        if self.shows(field) {
            return;
        }
        *value = value
            .take()
            .and_then(|value| self.text(field, &value).map(|text| Arc::from(&*text)));
    }

    /// Hides what the kernel's record says of the owner: records take it from its [`Attribution`].
    pub fn hide_record(&self, record: &mut FlowRecord) {
        if !self.shows(PrivateField::User) {
            record.owner.uid = 0;
        }
        if !self.shows(PrivateField::ProcessName) {
            record.owner.comm = [0; 16];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::owner::Parent;
    use crate::enrich::workload::PathWorkload;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn privacy(omit: &[PrivateField], pseudonymise: &[PrivateField]) -> Privacy {
        let config = PrivacyConfig {
            omit: omit.to_vec(),
            pseudonymise: pseudonymise.to_vec(),
            ..PrivacyConfig::default()
        };
        Privacy::with_key(&config, Some(&Secret::new(KEY.to_owned())))
    }

    fn owner() -> Attribution {
        let path = PathWorkload::parse(
            "/user.slice/user-1000.slice/user@1000.service/app.slice/a.service",
        );
        Attribution {
            name: Some("curl".into()),
            user_id: Some(1000),
            user_name: Some("alice".into()),
            executable: Some("/home/alice/curl".into()),
            command_line: Some("curl --user alice:s3cret".into()),
            parent: Some(Arc::new(Parent {
                pid: 7,
                name: Some("bash".into()),
                executable: Some("/bin/bash".into()),
                start_ns: 5,
            })),
            workload: Some(Arc::new(Workload {
                unit: path.unit,
                user_unit: path.user_unit,
                slice: path.slice,
                of_user_session: path.of_user_session,
                ..Workload::default()
            })),
            ..Attribution::default()
        }
    }

    #[test]
    fn pseudonyms_are_what_another_program_computes() {
        // By OpenSSL: printf 'server_name\0updates.example.org' | openssl dgst -sha256 -hmac KEY, first 32 digits.
        let privacy = privacy(&[], &[PrivateField::ServerName, PrivateField::User]);
        let expected = "pseudonym-b9b5eb3aad256a47fd70f832acda26dc";
        for name in ["updates.example.org", "UPDATES.example.ORG."] {
            assert_eq!(privacy.server_name(name).unwrap(), expected);
        }
        assert_eq!(
            privacy.text(PrivateField::User, "alice").unwrap(),
            "pseudonym-cb3672212cc144136a334f5deeb1b353"
        );
    }

    #[test]
    fn one_value_in_two_fields_or_under_two_keys_has_different_pseudonyms() {
        let all = privacy(&[], &PrivateField::ALL);
        let mut seen: Vec<String> = PrivateField::ALL
            .iter()
            .map(|&field| all.text(field, "x").unwrap().into_owned())
            .collect();
        let config = PrivacyConfig {
            pseudonymise: PrivateField::ALL.to_vec(),
            ..PrivacyConfig::default()
        };
        let other = Privacy::with_key(&config, Some(&Secret::new("another key".to_owned())));
        seen.extend(other.server_name("x").map(Cow::into_owned));
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
        assert!(seen.iter().all(|it| it.len() == PREFIX.len() + 32));
    }

    #[test]
    fn nothing_plain_is_left_of_an_owner_whose_fields_are_hidden() {
        for (omit, pseudonymise) in [(&PrivateField::ALL[..], &[][..]), (&[], &PrivateField::ALL)] {
            let mut owner = owner();
            privacy(omit, pseudonymise).hide_owner(&mut owner);
            let shown = format!("{owner:?}");
            for plain in ["curl", "alice", "1000", "s3cret", "bash"] {
                assert!(!shown.contains(plain), "{plain}: {shown}");
            }
            assert_eq!(owner.name.is_some(), omit.is_empty());
            assert_eq!(owner.user_name.is_some(), omit.is_empty());
            let workload = owner.workload.unwrap();
            assert_eq!(workload.user_unit.as_deref(), Some("a.service"));
            assert_eq!(owner.parent.unwrap().pid, 7);
        }
    }

    #[test]
    fn what_is_not_hidden_stays_as_it_is() {
        let mut hidden = owner();
        privacy(&[PrivateField::CommandLine], &[]).hide_owner(&mut hidden);
        assert_eq!(hidden.command_line, None);
        assert_eq!(hidden.executable, owner().executable);
        assert_eq!(hidden.user_id, Some(1000));
        let plain = Privacy::default();
        assert_eq!(plain.server_name("A.b.").unwrap(), "A.b.");
        assert_eq!(plain.user_agent("curl/8").unwrap(), "curl/8");
    }

    #[test]
    fn a_user_without_a_name_is_told_apart_by_a_pseudonym() {
        let hide = |user_id| {
            let mut owner = Attribution {
                user_id: Some(user_id),
                ..Attribution::default()
            };
            privacy(&[], &[PrivateField::User]).hide_owner(&mut owner);
            assert_eq!(owner.user_id, None);
            owner.user_name.unwrap()
        };
        assert_eq!(hide(1001), hide(1001));
        assert_ne!(hide(1001), hide(1002));
    }

    #[test]
    fn the_kernel_s_record_keeps_neither_user_nor_name() {
        let mut record = FlowRecord::ZERO;
        record.owner.uid = 1000;
        record.owner.comm = *b"curl\0\0\0\0\0\0\0\0\0\0\0\0";
        let whole = record;
        privacy(&[PrivateField::ServerName], &[]).hide_record(&mut record);
        assert_eq!(record, whole);
        privacy(&[PrivateField::User, PrivateField::ProcessName], &[]).hide_record(&mut record);
        assert_eq!((record.owner.uid, record.owner.comm), (0, [0; 16]));
    }

    #[test]
    fn a_pseudonym_without_a_key_is_never_the_value() {
        let config = PrivacyConfig {
            pseudonymise: vec![PrivateField::ServerName],
            ..PrivacyConfig::default()
        };
        assert_eq!(
            Privacy::with_key(&config, None).server_name("a.example"),
            None
        );
        assert!(Privacy::new(&config).is_err());
        assert!(!format!("{:?}", privacy(&[], &[PrivateField::User])).contains(KEY));
    }

    #[test]
    fn a_host_name_is_pseudonymised_or_empty() {
        let hide = |privacy: Privacy| privacy.host_name("web-3".to_owned());
        assert_eq!(hide(Privacy::default()), "web-3");
        assert_eq!(hide(privacy(&[PrivateField::HostName], &[])), "");
        assert!(hide(privacy(&[], &[PrivateField::HostName])).starts_with(PREFIX));
    }
}
