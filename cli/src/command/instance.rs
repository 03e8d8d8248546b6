//! [`Instance`]: a running instance, asked one thing after the other.

use std::future::Future;
use std::path::Path;

use serde_json::Value;
use tokio::runtime::Runtime;

use crate::arguments::{InstanceArguments, PrintArguments};
use crate::client::{Client, ClientError, Query, state_folder};
use crate::error::Error;
use crate::output::{self, json};

/// A running instance, with a runtime of its own.
#[derive(Debug)]
pub(crate) struct Instance {
    client: Client,
    runtime: Runtime,
}

impl Instance {
    /// The instance that the command line names. `config` tells where an instance of this machine keeps
    /// its token.
    pub(crate) fn of(arguments: &InstanceArguments, config: Option<&Path>) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = Client::new(arguments, &state_folder(config))?;
        Ok(Self { client, runtime })
    }

    pub(crate) fn get(&self, path: &str, query: &Query) -> Result<Value, Error> {
        self.wait(self.client.get(path, query))
    }

    pub(crate) fn list(
        &self,
        path: &str,
        query: &Query,
        key: &str,
        limit: Option<u64>,
    ) -> Result<Value, Error> {
        self.wait(self.client.list(path, query, key, limit))
    }

    pub(crate) fn find(
        &self,
        path: &str,
        query: &Query,
        key: &str,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Option<Value>, Error> {
        let found = self.client.find(path, query, key, fits);
        Ok(self.runtime.block_on(found)?)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.wait(self.client.post(path, body))
    }

    pub(crate) fn post_with(
        &self,
        path: &str,
        query: &Query,
        body: &Value,
    ) -> Result<Value, Error> {
        self.wait(self.client.post_with(path, query, body))
    }

    pub(crate) fn delete(&self, path: &str) -> Result<Value, Error> {
        self.wait(self.client.delete(path))
    }

    fn wait(
        &self,
        answer: impl Future<Output = Result<Value, ClientError>>,
    ) -> Result<Value, Error> {
        Ok(self.runtime.block_on(answer)?)
    }
}

/// Prints JSON where that was asked for, else what `text` makes of the answer.
pub(crate) fn print(
    arguments: &PrintArguments,
    answer: &Value,
    text: impl FnOnce(&mut dyn std::io::Write, &Value) -> std::io::Result<()>,
) -> Result<(), Error> {
    output::to(arguments.file(), |out, _style| {
        if arguments.json {
            return json::pretty(out, answer);
        }
        text(out, answer)
    })?;
    Ok(())
}

/// Like [`fn@print`]; lines that are wider than the terminal are broken and go on below their values.
pub(crate) fn print_lines(
    arguments: &PrintArguments,
    answer: &Value,
    text: impl FnOnce(&mut dyn std::io::Write, &Value) -> std::io::Result<()>,
) -> Result<(), Error> {
    /// Where values stand.
    const INDENT: usize = 12;
    output::to(arguments.file(), |out, style| {
        let Some(width) = style.line_width().filter(|_| !arguments.json) else {
            return if arguments.json {
                json::pretty(out, answer)
            } else {
                text(out, answer)
            };
        };
        let mut lines = Vec::new();
        text(&mut lines, answer)?;
        let lines = String::from_utf8_lossy(&lines);
        writeln!(out, "{}", output::text::wrapped(&lines, width, INDENT))
    })?;
    Ok(())
}

/// A part of a path: what is no letter or digit is escaped.
pub(crate) fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.') {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(format!("%{byte:02X}").chars());
        }
    }
    escaped
}
