//! Splunk's `.conf` text.

const HEAD: &str = "# Generated from the models in schema/ and integrations/ by `./x generate`: do not edit. Own settings belong in local/.\n";

/// A stanza and its settings, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stanza {
    name: String,
    settings: Vec<(String, String)>,
}

impl Stanza {
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            settings: Vec::new(),
        }
    }

    /// With one more setting. A value of several lines is one line in the file: Splunk reads a line break as a blank.
    pub(super) fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let value = value.into().replace('\n', " ");
        self.settings.push((name.into(), value));
        self
    }

    pub(super) fn with_all(
        self,
        settings: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>,
    ) -> Self {
        settings
            .into_iter()
            .fold(self, |stanza, (name, value)| stanza.with(name, value))
    }
}

/// A whole file.
pub(super) fn text(stanzas: &[Stanza]) -> String {
    let mut text = HEAD.to_owned();
    for stanza in stanzas {
        text.push_str("\n[");
        text.push_str(&stanza.name);
        text.push_str("]\n");
        for (name, value) in &stanza.settings {
            text.push_str(name);
            text.push_str(" = ");
            text.push_str(value);
            text.push('\n');
        }
    }
    text
}
