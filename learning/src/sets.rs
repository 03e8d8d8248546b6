//! What counts as a rare port, a risky process and a risky country, for the features of BeaconHunter's events.
//!
//! The sets are data, each entry with its reason (`sets.json`), and a file of the same form replaces the lists
//! that it has. The model keeps the sets that it was trained with.
//!
//! Where an address lies says little: operators rent servers anywhere. The list is short on purpose, its sources
//! are public (FATF's list of high-risk jurisdictions, joint advisories on state-sponsored intrusions), and the weight
//! is learnt from labels.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Most entries of a list.
const MOST_ENTRIES: usize = 65_536;
/// Largest file.
pub const SETS_BYTES_MAX: usize = 8 << 20;
/// Risk of a process without a name: nobody knows what it was.
const UNNAMED_PROCESS: u8 = 1;

/// A port that is not rare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommonPort {
    /// The port.
    pub port: u16,
    /// What it is for.
    pub reason: String,
}

/// A process that is a risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskyProcess {
    /// Name of the executable, in any case.
    pub name: String,
    /// 0, 1 or 2.
    pub risk: u8,
    /// Why.
    pub reason: String,
}

/// A country that is a risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskyCountry {
    /// ISO 3166-1 alpha-2, in any case.
    pub code: String,
    /// 0, 1 or 2.
    pub risk: u8,
    /// Why.
    pub reason: String,
}

/// The three lists. A process or country that is not in its list has risk 0, a process without a name 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RiskSets {
    lists: Lists,
    ports: BTreeSet<u16>,
    processes: BTreeMap<String, u8>,
    countries: BTreeMap<String, u8>,
}

/// The lists as a file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lists {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    common_ports: Option<Vec<CommonPort>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<RiskyProcess>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    countries: Option<Vec<RiskyCountry>>,
}

/// Why a file of sets cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetsError {
    /// Larger than [`SETS_BYTES_MAX`].
    #[error("{bytes} bytes, expected at most {SETS_BYTES_MAX}")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// Not of the form that is expected.
    #[error("field {field}: {problem}")]
    Field {
        /// Path of the field.
        field: String,
        /// What was expected and found.
        problem: String,
    },
}

impl RiskSets {
    /// The lists that ship.
    pub fn shipped() -> Result<Self, SetsError> {
        Self::read(include_bytes!("sets.json"))
    }

    /// Reads a file; a list that it does not have is empty. See [`Self::overridden_by`].
    pub fn read(bytes: &[u8]) -> Result<Self, SetsError> {
        if bytes.len() > SETS_BYTES_MAX {
            return Err(SetsError::TooLarge { bytes: bytes.len() });
        }
        Self::from_lists(
            crate::file::json(bytes)
                .map_err(|(field, problem)| SetsError::Field { field, problem })?,
        )
    }

    /// These lists, each replaced where `bytes` has one.
    pub fn overridden_by(&self, bytes: &[u8]) -> Result<Self, SetsError> {
        let Lists {
            common_ports,
            processes,
            countries,
        } = Self::read(bytes)?.lists;
        let own = self.lists.clone();
        Self::from_lists(Lists {
            common_ports: common_ports.or(own.common_ports),
            processes: processes.or(own.processes),
            countries: countries.or(own.countries),
        })
    }

    pub(crate) fn from_lists(lists: Lists) -> Result<Self, SetsError> {
        let ports = lists.common_ports.iter().flatten();
        let processes = lists.processes.iter().flatten();
        let countries = lists.countries.iter().flatten();
        for (name, count) in [
            ("common_ports", ports.clone().count()),
            ("processes", processes.clone().count()),
            ("countries", countries.clone().count()),
        ] {
            if count > MOST_ENTRIES {
                let problem = format!("{count} entries, expected at most {MOST_ENTRIES}");
                return Err(field(name.to_owned(), problem));
            }
        }
        for (at, it) in processes.clone().enumerate() {
            check(&format!("processes[{at}].risk"), it.risk)?;
        }
        for (at, it) in countries.clone().enumerate() {
            check(&format!("countries[{at}].risk"), it.risk)?;
        }
        Ok(Self {
            ports: ports.map(|it| it.port).collect(),
            processes: processes
                .map(|it| (it.name.trim().to_ascii_lowercase(), it.risk))
                .collect(),
            countries: countries
                .map(|it| (it.code.trim().to_ascii_uppercase(), it.risk))
                .collect(),
            lists,
        })
    }

    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    /// Whether a port is in no list of common ones.
    #[must_use]
    pub fn is_rare_port(&self, port: u16) -> bool {
        !self.ports.contains(&port)
    }

    /// Risk of a process by its name, or by the last part of its path: 0, 1 or 2.
    #[must_use]
    pub fn process_risk(&self, process: &str) -> u8 {
        let name = process.rsplit(['/', '\\']).next().unwrap_or(process).trim();
        if name.is_empty() {
            return UNNAMED_PROCESS;
        }
        let known = self.processes.get(&name.to_ascii_lowercase());
        known.copied().unwrap_or(0)
    }

    /// Risk of a country by its code: 0, 1 or 2.
    #[must_use]
    pub fn country_risk(&self, code: &str) -> u8 {
        let known = self.countries.get(&code.trim().to_ascii_uppercase());
        known.copied().unwrap_or(0)
    }
}

fn check(name: &str, risk: u8) -> Result<(), SetsError> {
    if risk <= 2 {
        return Ok(());
    }
    Err(field(
        name.to_owned(),
        format!("{risk}, expected 0, 1 or 2"),
    ))
}

fn field(field: String, problem: String) -> SetsError {
    SetsError::Field { field, problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_that_ship_have_a_reason_for_each_entry() {
        let sets = RiskSets::shipped().unwrap();
        let lists = sets.lists();
        let reasons: Vec<&str> = lists
            .common_ports
            .iter()
            .flatten()
            .map(|it| it.reason.as_str())
            .chain(
                lists
                    .processes
                    .iter()
                    .flatten()
                    .map(|it| it.reason.as_str()),
            )
            .chain(
                lists
                    .countries
                    .iter()
                    .flatten()
                    .map(|it| it.reason.as_str()),
            )
            .collect();
        assert!(reasons.len() > 40 && reasons.iter().all(|it| !it.trim().is_empty()));
    }

    #[test]
    fn names_and_codes_are_found_in_any_case_and_with_a_path() {
        let sets = RiskSets::shipped().unwrap();
        assert_eq!(sets.process_risk("C:\\Windows\\System32\\RunDLL32.exe"), 2);
        assert_eq!(sets.process_risk("/usr/bin/curl"), 1);
        assert_eq!(
            (sets.process_risk("firefox"), sets.process_risk(" ")),
            (0, 1)
        );
        assert_eq!((sets.country_risk("kp"), sets.country_risk("DE")), (2, 0));
        assert!(sets.is_rare_port(4444) && !sets.is_rare_port(443));
    }

    #[test]
    fn a_file_replaces_the_lists_that_it_has_and_no_other() {
        let sets = RiskSets::shipped().unwrap();
        let own = br#"{"common_ports": [{"port": 4444, "reason": "our own"}]}"#;
        let changed = sets.overridden_by(own).unwrap();
        assert!(!changed.is_rare_port(4444) && changed.is_rare_port(443));
        assert_eq!(changed.process_risk("mshta.exe"), 2);
    }

    #[test]
    fn a_wrong_file_is_refused_with_the_name_of_the_field() {
        for (text, expected) in [
            (r#"{"ports": []}"#, "ports"),
            (
                r#"{"processes": [{"name": "x", "risk": 3, "reason": ""}]}"#,
                "processes[0].risk: 3",
            ),
            (
                r#"{"countries": [{"code": "X", "risk": 1}]}"#,
                "countries[0]",
            ),
            (
                r#"{"common_ports": [{"port": 70000, "reason": ""}]}"#,
                "common_ports[0].port",
            ),
            ("[", ""),
        ] {
            let error = RiskSets::read(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
