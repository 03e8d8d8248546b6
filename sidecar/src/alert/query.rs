//! Which alerts, in which order, from where on.

use std::fmt;
use std::str::FromStr;

use beaconwatch_detector::{Network, Severity, Timestamp};

use super::row::Row;
use super::{AlertError, FindingId};

/// States that can be asked for; they overlap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateFilter {
    Open,
    Closed,
    Acknowledged,
    Allowed,
    Suppressed,
}

impl FromStr for StateFilter {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        Ok(match text {
            "open" => Self::Open,
            "closed" => Self::Closed,
            "acknowledged" => Self::Acknowledged,
            "allowed" => Self::Allowed,
            "suppressed" => Self::Suppressed,
            _ => {
                return Err(AlertError::invalid(
                    "state",
                    text,
                    "open, closed, acknowledged, allowed or suppressed",
                ));
            }
        })
    }
}

/// What comes first: always the latest or the greatest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Updated,
    Opened,
    Score,
    /// Severity, then time of the last change.
    Severity,
}

impl FromStr for Sort {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        Ok(match text {
            "updated" => Self::Updated,
            "opened" => Self::Opened,
            "score" => Self::Score,
            "severity" => Self::Severity,
            _ => {
                return Err(AlertError::invalid(
                    "sort",
                    text,
                    "updated, opened, score or severity",
                ));
            }
        })
    }
}

/// A place in an order; greater comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(super) major: u64,
    pub(super) minor: u64,
    pub(super) id: FindingId,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:016x}{:016x}{}",
            self.major, self.minor, self.id
        )
    }
}

impl FromStr for Place {
    type Err = AlertError;

    fn from_str(text: &str) -> Result<Self, AlertError> {
        let place = || {
            if text.len() != 64 || !text.is_ascii() {
                return None;
            }
            let (major, rest) = text.split_at_checked(16)?;
            let (minor, id) = rest.split_at_checked(16)?;
            Some(Self {
                major: u64::from_str_radix(major, 16).ok()?,
                minor: u64::from_str_radix(minor, 16).ok()?,
                id: id.parse().ok()?,
            })
        };
        // A place is written in one way.
        let place = place().filter(|place| place.to_string() == text);
        place.ok_or_else(|| AlertError::invalid("cursor", text, "the `next` of an answer"))
    }
}

/// Which alerts. The default asks for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AlertQuery {
    /// Any of these states; empty means all.
    pub(crate) states: Vec<StateFilter>,
    pub(crate) minimum_severity: Option<Severity>,
    pub(crate) source: Option<Network>,
    pub(crate) destination: Option<Network>,
    /// Part of the process's name or path.
    pub(crate) process: Option<String>,
    /// Part of the server's name.
    pub(crate) server_name: Option<String>,
    /// Part of anything that is text: ids, addresses, names.
    pub(crate) text: Option<String>,
    /// Changed at or after this time.
    pub(crate) since: Option<Timestamp>,
    pub(crate) simulated: Option<bool>,
    pub(crate) sort: Sort,
    /// Go on behind this place.
    pub(crate) after: Option<Place>,
    pub(crate) limit: usize,
}

impl AlertQuery {
    /// Whether every alert matches.
    pub(super) fn is_unfiltered(&self) -> bool {
        *self
            == Self {
                sort: self.sort,
                after: self.after,
                limit: self.limit,
                ..Self::default()
            }
    }

    /// The same query with texts as rows have them.
    pub(super) fn prepared(&self) -> Self {
        let lower = |text: &Option<String>| text.as_ref().map(|text| text.to_lowercase());
        Self {
            process: lower(&self.process),
            server_name: lower(&self.server_name),
            text: lower(&self.text),
            ..self.clone()
        }
    }

    /// Whether a row matches a [`Self::prepared`] query at this time.
    pub(super) fn matches(&self, row: &Row, now: Timestamp) -> bool {
        let in_state = |state: &StateFilter| match state {
            StateFilter::Open => row.open,
            StateFilter::Closed => !row.open,
            StateFilter::Acknowledged => row.acknowledged,
            StateFilter::Allowed => row.allowed,
            StateFilter::Suppressed => row.suppressed_until > now,
        };
        let lies_in = |network: &Option<Network>, address: Option<std::net::IpAddr>| match network {
            None => true,
            Some(network) => address.is_some_and(|address| network.contains(address)),
        };
        let has = |text: &Option<String>, part: &str| {
            text.as_ref()
                .is_none_or(|text| part.contains(text.as_str()))
        };
        (self.states.is_empty() || self.states.iter().any(in_state))
            && self
                .minimum_severity
                .is_none_or(|minimum| row.severity >= minimum)
            && self.simulated.is_none_or(|wanted| row.simulated == wanted)
            && self.since.is_none_or(|since| row.updated >= since)
            && lies_in(&self.source, row.source)
            && lies_in(&self.destination, row.destination)
            && has(&self.process, row.text.process())
            && has(&self.server_name, row.text.server_name())
            && has(&self.text, row.text.all())
    }
}
