//! Lookups: the allow-list of the app's own searches, how rare a destination is, and where a detector's page is.
//!
//! The files have their headings only (and, for pages, an example on this host). A file's columns are those of its definition
//! in `transforms.conf`.

use super::settings::Stanza;
use crate::panel::DataSet;

/// One lookup: its file, and how it is matched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lookup {
    /// Name of the definition and, with `.csv`, of the file.
    pub(super) name: &'static str,
    columns: &'static [&'static str],
    rows: &'static [&'static str],
    /// Columns whose values are patterns with `*`.
    patterns: &'static [&'static str],
    most_matches: u32,
}

/// What the app's searches do not report. Columns and meaning as in the detector's allow-list, except that a column that
/// matches anything has `*` and that `expires` is `never` or a day (`2026-12-31`).
pub(super) const ALLOW_LIST: Lookup = Lookup {
    name: "beaconwatch_allow_list",
    columns: &[
        "source",
        "destination",
        "port",
        "transport",
        "domain",
        "process",
        "reason",
        "owner",
        "expires",
    ],
    rows: &[],
    patterns: MATCHED,
    most_matches: 100,
};
/// How many sources talk to a destination, and since when: a saved search fills it.
pub(super) const PREVALENCE: Lookup = Lookup {
    name: "beaconwatch_prevalence",
    columns: PREVALENCE_COLUMNS,
    rows: &[],
    patterns: &[],
    most_matches: 1,
};
/// Host and port of the page of a detector (`observer.name`), which is reached by https.
const PAGES: Lookup = Lookup {
    name: "beaconwatch_pages",
    columns: &["detector", "page"],
    rows: &["*,127.0.0.1:9090"],
    patterns: &["detector"],
    most_matches: 1,
};
/// Every one.
pub(super) const ALL: [Lookup; 3] = [ALLOW_LIST, PREVALENCE, PAGES];

/// Columns of [`PREVALENCE`].
pub(super) const PREVALENCE_COLUMNS: &[&str] =
    &["destination", "sources", "first_seen", "last_seen"];

/// Columns of the allow-list that are compared with a detection, and its fields.
const MATCHED: &[&str] = &[
    "source",
    "destination",
    "port",
    "transport",
    "domain",
    "process",
];
const COMPARED: [(&str, &str); 6] = [
    ("source", "'source.ip'"),
    ("destination", "'destination.ip'"),
    ("port", "'destination.port'"),
    ("transport", "'network.transport'"),
    ("domain", "'destination.domain'"),
    ("process", "'process.name'"),
];

impl Lookup {
    pub(super) fn file_name(&self) -> String {
        format!("{}.csv", self.name)
    }

    pub(super) fn content(&self) -> String {
        let mut text = self.columns.join(",");
        text.push('\n');
        for row in self.rows {
            text.push_str(row);
            text.push('\n');
        }
        text
    }

    /// Its definition.
    pub(super) fn definition(&self) -> Stanza {
        let stanza = Stanza::new(self.name)
            .with("filename", self.file_name())
            .with("case_sensitive_match", "false")
            .with("max_matches", self.most_matches.to_string());
        if self.patterns.is_empty() {
            return stanza;
        }
        let patterns: Vec<String> = self
            .patterns
            .iter()
            .map(|column| format!("WILDCARD({column})"))
            .collect();
        stanza.with("match_type", patterns.join(", "))
    }
}

/// Lookups that every event of a data set goes through.
pub(super) fn automatic(data: DataSet) -> Vec<(String, String)> {
    let page =
        "beaconwatch_pages detector AS beaconwatch_detector OUTPUTNEW page AS beaconwatch_page";
    let prevalence = "beaconwatch_prevalence destination AS beaconwatch_destination \
                      OUTPUTNEW sources AS prevalence_sources first_seen AS prevalence_first_seen";
    let used: &[(&str, &str)] = match data {
        DataSet::Detection => &[("page", page), ("prevalence", prevalence)],
        DataSet::Sensor | DataSet::Rule => &[("page", page)],
        DataSet::Flow => &[],
    };
    used.iter()
        .map(|(name, value)| (format!("LOOKUP-beaconwatch_{name}"), (*value).to_owned()))
        .collect()
}

/// What [`automatic`] looks up, as computed fields.
pub(super) fn computed(data: DataSet) -> Vec<(String, String)> {
    let detector = ("beaconwatch_detector", "coalesce('observer.name', \"-\")");
    let destination = (
        "beaconwatch_destination",
        "coalesce('destination.domain', 'destination.ip')",
    );
    let used: &[(&str, &str)] = match data {
        DataSet::Detection => &[detector, destination],
        DataSet::Sensor | DataSet::Rule => &[detector],
        DataSet::Flow => &[],
    };
    used.iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// The end of a search that drops what the allow-list allows today.
pub(super) fn not_allowed() -> String {
    let values: Vec<String> = COMPARED
        .iter()
        .map(|(column, field)| format!("allow_{column}=coalesce({field}, \"-\")"))
        .collect();
    let matched: Vec<String> = COMPARED
        .iter()
        .map(|(column, _)| format!("{column} AS allow_{column}"))
        .collect();
    format!(
        "eval {} | lookup {} {} OUTPUT expires AS allow_expires \
         | where isnull(mvfilter(allow_expires=\"never\" OR strptime(allow_expires, \"%Y-%m-%d\")>now())) | fields - allow_*",
        values.join(", "),
        ALLOW_LIST.name,
        matched.join(", "),
    )
}
