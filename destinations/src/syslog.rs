//! Syslog: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octet counting) and TLS (RFC 5425), and the local
//! `/dev/log`.
//!
//! # Contract
//! Syslog has no acknowledgements, so what can be known is taken from the transport:
//!
//! - UDP and local: [`Outcome::Unconfirmed`]. A refusal that the system reports (nobody listens at the port,
//!   no socket at the path) fails the attempt, and all of its documents are sent again.
//! - TCP and TLS: one connection for each attempt. When everything is written our side is closed (TLS:
//!   `close_notify`) and the receiver's close awaited. A close in order means that the receiver has read
//!   every byte, for its system answers unread bytes with a reset: [`Outcome::Delivered`]. It does not mean that the
//!   receiver has stored them. A reset or an alert (a refused certificate shows only now in TLS 1.3)
//!   fails the attempt. A receiver that keeps the connection open for [`CLOSE_TIMEOUT`]:
//!   [`Outcome::Unconfirmed`].
//!
//! A connection that the receiver has closed meanwhile cannot be written to, because none is kept.
//!
//! What can be sent twice carries the same event id. Messages are those of [`message`]; for `local`, they have the
//! older form that `syslog(3)` writes, for that is what journald and others read there.
//!
//! # Limits
//! A message has at most `max_message_bytes`. A document that is longer in its format is sent as `text`, which is
//! cut; never is JSON cut.

mod event;
mod message;
mod transport;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fields::Fields;
use crate::{
    AttemptError, BuildError, Destination, Document, Outcome, SettingError, TlsConfig, in_range,
};

use message::{Form, Messages};
use transport::Sender;

/// How long a receiver may take to close its side after we have closed ours.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The enterprise number that is reserved for examples (RFC 5612).
const EXAMPLE_ENTERPRISE_NUMBER: u32 = 32_473;

/// Configuration of a syslog destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SyslogConfig {
    /// How messages are carried.
    pub transport: SyslogTransport,
    /// Host and port of the receiver, for example `siem.example.org:6514`; not used by `local`.
    pub address: String,
    /// Socket of the local receiver, used by `local` only.
    pub path: PathBuf,
    /// TLS, used by `tls` only.
    pub tls: TlsConfig,
    /// What a message says.
    pub format: SyslogFormat,
    /// Facility of the messages.
    pub facility: Facility,
    /// Private enterprise number in the name of the structured data (`beaconwatch@32473`). This project has none; 32473
    /// is reserved for examples, so set your organisation's where names must be unique.
    pub enterprise_number: u32,
    /// Most bytes of a message, 1024..=65507. Many receivers take no more than 8192 unless told to.
    pub max_message_bytes: usize,
    /// Seconds for one attempt, 1..=600.
    pub timeout_s: u64,
}

impl Default for SyslogConfig {
    fn default() -> Self {
        Self {
            transport: SyslogTransport::Local,
            address: "127.0.0.1:514".to_owned(),
            path: PathBuf::from("/dev/log"),
            tls: TlsConfig::default(),
            format: SyslogFormat::Ecs,
            facility: Facility::Local0,
            enterprise_number: EXAMPLE_ENTERPRISE_NUMBER,
            max_message_bytes: 8192,
            timeout_s: 30,
        }
    }
}

/// How syslog messages are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogTransport {
    /// One datagram each: can be lost unseen.
    Udp,
    /// Octet counting over TCP.
    Tcp,
    /// Octet counting over TLS.
    Tls,
    /// The socket of this machine's own logging.
    Local,
}

/// What a syslog message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyslogFormat {
    /// The whole document as JSON in ASCII.
    Ecs,
    /// One line to read.
    Text,
    /// Common Event Format, version 0.
    Cef,
    /// Log Event Extended Format, version 2.0, with tabs.
    Leef,
}

/// Facility of syslog messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names of RFC 5424 and syslog(3) say all")]
pub enum Facility {
    User = 1,
    Daemon = 3,
    Auth = 4,
    Authpriv = 10,
    Local0 = 16,
    Local1 = 17,
    Local2 = 18,
    Local3 = 19,
    Local4 = 20,
    Local5 = 21,
    Local6 = 22,
    Local7 = 23,
}

impl SyslogConfig {
    pub(crate) fn validate(&self, field: &str) -> Result<(), SettingError> {
        let wrong = |name: &str, value: &str, expected| {
            SettingError::value(format!("{field}.{name}"), value, expected)
        };
        let port = |address: &str| {
            address
                .rsplit_once(':')
                .map(|(_, port)| port.parse::<u16>())
        };
        if self.transport == SyslogTransport::Local {
            if !self.path.is_absolute() {
                let path = self.path.display().to_string();
                return Err(wrong("path", &path, "an absolute path"));
            }
        } else if !matches!(port(&self.address), Some(Ok(1..)))
            || transport::host(&self.address).is_empty()
        {
            let expected = "host and port such as siem.example.org:6514";
            return Err(wrong("address", &self.address, expected));
        }
        if self.transport != SyslogTransport::Tls && self.tls.is_given() {
            return Err(wrong("tls", "given", "nothing, or transport = \"tls\""));
        }
        self.tls.validate(&format!("{field}.tls"))?;
        let bytes = u64::try_from(self.max_message_bytes).unwrap_or(u64::MAX);
        in_range(&format!("{field}.max_message_bytes"), bytes, 1024, 65_507)?;
        in_range(&format!("{field}.timeout_s"), self.timeout_s, 1, 600)
    }

    const fn form(&self) -> Form {
        match self.transport {
            SyslogTransport::Local => Form::Local,
            SyslogTransport::Udp | SyslogTransport::Tcp | SyslogTransport::Tls => Form::Rfc5424,
        }
    }
}

/// A syslog destination.
#[derive(Debug)]
pub(crate) struct Syslog {
    messages: Messages,
    sender: Sender,
    timeout: Duration,
}

impl Syslog {
    pub(crate) fn new(
        config: &SyslogConfig,
        observer_name: Option<&str>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            messages: Messages::new(config, observer_name),
            sender: Sender::new(config)?,
            timeout: Duration::from_secs(config.timeout_s),
        })
    }
}

#[async_trait]
impl Destination for Syslog {
    async fn deliver(&mut self, documents: &[Document]) -> Result<Vec<Outcome>, AttemptError> {
        let made: Vec<Result<Vec<u8>, String>> = documents
            .iter()
            .map(|document| self.messages.make(&Fields::read(document)?, document))
            .collect();
        let messages: Vec<&[u8]> = made.iter().flatten().map(Vec::as_slice).collect();
        let mut sent = if messages.is_empty() {
            Vec::new()
        } else {
            let sending = tokio::time::timeout(self.timeout, self.sender.send(&messages));
            sending
                .await
                .map_err(|_elapsed| AttemptError::new("the receiver took too long"))?
                .map_err(|error| AttemptError::new(error.to_string()))?
        }
        .into_iter();
        let outcome = |made: Result<Vec<u8>, String>| match made {
            Ok(_) => sent.next().unwrap_or(Outcome::Unconfirmed),
            Err(reason) => Outcome::Refused { reason },
        };
        Ok(made.into_iter().map(outcome).collect())
    }

    fn rendered(&self, documents: &[Document]) -> Result<String, String> {
        // What is only shown takes no sequence number.
        let mut messages = self.messages.clone();
        let made = documents.iter().map(|document| {
            let message = messages.make(&Fields::read(document)?, document)?;
            String::from_utf8(message).map_err(|error| error.to_string())
        });
        Ok(made.collect::<Result<Vec<_>, String>>()?.join("\n"))
    }
}

#[cfg(test)]
mod tests;
