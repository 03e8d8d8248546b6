//! The built-in catalogue against a sample of each entry, and what a catalogue may say.

use std::collections::{BTreeMap, BTreeSet};

use beaconwatch_detector::context::{Catalogue, Entry, Traits};
use proptest::prelude::*;

use super::*;

/// A series as a line of the fixture tells it.
struct Sample {
    key: SeriesKey,
    name: Option<String>,
    process: Option<Arc<Process>>,
    period_s: Option<f64>,
    bytes: Option<f64>,
    inbound: bool,
}

impl Sample {
    fn read(fields: &[&str]) -> Self {
        let [destination, port, transport, name, path, period, bytes] = fields else {
            panic!("{fields:?}");
        };
        let (destination, inbound) = match destination.strip_prefix('<') {
            Some(destination) => (destination, true),
            None => (*destination, false),
        };
        let transport = match *transport {
            "tcp" => Transport::Tcp,
            "udp" => Transport::Udp,
            "icmp" => Transport::Icmp,
            number => Transport::Other(number.parse().unwrap()),
        };
        let known = |text: &str| (text != "_").then(|| text.to_owned());
        let number = |text: &str| known(text).map(|it| it.parse::<f64>().unwrap());
        Self {
            key: key("10.0.0.1", destination, port.parse().unwrap(), transport),
            name: known(name),
            process: known(path).map(|path| process("", &path)),
            period_s: number(period),
            bytes: number(bytes),
            inbound,
        }
    }

    fn traits(&self) -> Traits<'_> {
        Traits {
            key: &self.key,
            server_name: self.name.as_deref(),
            process: self.process.as_deref(),
            period_s: self.period_s,
            typical_bytes: self.bytes,
            inbound: self.inbound,
        }
    }
}

/// Id, a sample that matches and one that does not.
fn samples() -> Vec<(&'static str, Sample, Sample)> {
    let lines = include_str!("catalogue_samples.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            let [id, "+", rest @ ..] = fields.as_slice() else {
                panic!("{line}");
            };
            let cut = rest.iter().position(|it| *it == "-").unwrap();
            (
                *id,
                Sample::read(&rest[..cut]),
                Sample::read(&rest[cut + 1..]),
            )
        })
        .collect()
}

#[test]
fn every_entry_matches_its_sample_and_not_its_neighbour() {
    let catalogue = Catalogue::built_in();
    let entries: BTreeMap<&str, &Entry> =
        catalogue.entries().iter().map(|it| (it.id(), it)).collect();
    assert_eq!(entries.len(), 100);
    let mut seen = BTreeSet::new();
    for (id, like, unlike) in samples() {
        let entry = entries.get(id).unwrap_or_else(|| panic!("no entry {id}"));
        assert!(
            entry.matches(&like.traits()),
            "{id} does not match its sample"
        );
        assert!(
            !entry.matches(&unlike.traits()),
            "{id} matches what is not its own"
        );
        let found = catalogue.find(&like.traits()).unwrap();
        assert!(
            found.marks() >= entry.marks(),
            "{id} loses to the hint {}",
            found.id()
        );
        assert!(seen.insert(id), "{id} stands twice");
    }
    assert_eq!(
        seen,
        entries.keys().copied().collect(),
        "every entry has a sample"
    );
}

#[test]
fn the_server_name_alone_never_marks() {
    // The name of each sample, at the port of the web, without anything else that is known.
    let catalogue = Catalogue::built_in();
    let mut names = 0;
    for (id, like, _) in samples() {
        let Some(name) = &like.name else { continue };
        names += 1;
        let key = web();
        let traits = Traits {
            key: &key,
            server_name: Some(name),
            process: None,
            period_s: None,
            typical_bytes: None,
            inbound: false,
        };
        let found = catalogue.find(&traits);
        assert!(!found.is_some_and(Entry::marks), "{id}: {name}");
    }
    assert!(names > 40);
}

#[test]
fn reasons_are_words_and_ids_say_their_category() {
    for entry in Catalogue::built_in().entries() {
        assert!(
            entry.reason().len() > 15 && !entry.reason().ends_with('.'),
            "{}",
            entry.id()
        );
        assert!(entry.contribution() < 0.0, "{}", entry.id());
    }
}

#[test]
fn what_anybody_can_host_is_not_in_it() {
    let catalogue = Catalogue::built_in();
    for name in [
        "d111111abcdef8.cloudfront.net",
        "account.blob.core.windows.net",
        "bucket.s3.amazonaws.com",
        "raw.githubusercontent.com",
        "api.telegram.org",
        "discord.com",
        "pastebin.com",
        "sheets.googleapis.com",
        "someone.github.io",
        "example.azureedge.net",
    ] {
        let key = web();
        let traits = Traits {
            key: &key,
            server_name: Some(name),
            process: None,
            period_s: Some(3600.0),
            typical_bytes: Some(500.0),
            inbound: false,
        };
        assert_eq!(catalogue.find(&traits).map(Entry::id), None, "{name}");
    }
}

/// An entry with these lines besides what each needs.
fn entry(lines: &str) -> String {
    format!(
        "version = 1\n\n# a comment\n[[entry]]\nid = \"a.b\"\ncategory = \"other\"\nreason = \"words\"\n{lines}\n"
    )
}

#[test]
fn an_error_names_line_entry_field_and_what_was_expected() {
    for (lines, parts) in [
        (
            "contribution = 0.5\nports = [1]",
            ["contribution is 0.5", "line 4", "-8 to 0"],
        ),
        (
            "contribution = -4.0\nports = [1]",
            ["contribution is -4", "a.b", "-3 to 0 for another"],
        ),
        (
            "contribution = nan\nports = [1]",
            ["contribution is NaN", "line 4", "-8 to 0"],
        ),
        (
            "contribution = -1.0",
            ["without conditions", "line 4", "at least one of"],
        ),
        (
            "contribution = -1.0\ndomains = [\"*\"]",
            ["domains is *", "line 4", "*.example.org"],
        ),
        (
            "contribution = -1.0\ndestinations = [\"10.0.0.0/33\"]",
            ["destinations is", "10.0.0.0/33", "192.0.2.0/24"],
        ),
        (
            "contribution = -1.0\nperiod_s = [60.0, 5.0]",
            ["period_s is [60, 5]", "line 4", "ascending"],
        ),
        (
            "contribution = -5.0\nbenign = true\ndomains = [\"*.example.org\"]",
            ["benign is true", "line 4", "two of: domains, processes"],
        ),
        (
            "contribution = -5.0\nbenign = true\ndestinations = [\"8.0.0.0/7\"]\nports = [80]",
            ["benign is true", "line 4", "no outsider has"],
        ),
        (
            "contribution = -1.0\nportz = [1]",
            ["portz", "line 9", "unknown field"],
        ),
    ] {
        let error = Catalogue::parse(&entry(lines)).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{lines:?}: {error}");
        }
    }
    let twice = entry("contribution = -1.0\nports = [1]");
    let (_, body) = twice.split_once('\n').unwrap();
    let error = Catalogue::parse(&format!("{twice}{body}"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("line 12: entry \"a.b\": id is a.b"),
        "{error}"
    );
    let error = Catalogue::parse("version = 2").unwrap_err().to_string();
    assert_eq!(error, "version is 2, expected 1");
}

proptest! {
    #[test]
    fn no_text_makes_a_panic(text in "(version = 1\n)?(\\[\\[entry\\]\\]\n)?[ -~\n]{0,200}") {
        if let Ok(catalogue) = Catalogue::parse(&text) {
            prop_assert!(catalogue.entries().len() <= 1);
        }
    }
}
