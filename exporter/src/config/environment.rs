//! [`OtelEnvironment`]: the standard `OTEL_EXPORTER_OTLP_*` variables as one layer of settings.
//!
//! As the OpenTelemetry specification demands, an empty variable counts as unset, and a value that cannot be
//! understood is ignored with a warning: these variables are often set for a whole machine, for other programs
//! too. A wrong endpoint or header is still an error, because it is checked with the other settings.

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use percent_encoding::percent_decode_str;

/// What the standard variables say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OtelEnvironment {
    otlp: Dict,
    warnings: Vec<String>,
}

impl OtelEnvironment {
    /// Reads the process's environment.
    #[must_use]
    pub fn from_process() -> Self {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads from any source of variables.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let mut layer = Self::default();
        let general = layer.read(&lookup, "OTEL_EXPORTER_OTLP_");
        let logs = layer.read(&lookup, "OTEL_EXPORTER_OTLP_LOGS_");
        let metrics = layer.read(&lookup, "OTEL_EXPORTER_OTLP_METRICS_");
        layer.otlp = general;
        for (key, signal) in [("logs", logs), ("metrics", metrics)] {
            if !signal.is_empty() {
                layer.otlp.insert(key.to_owned(), signal.into());
            }
        }
        layer
    }

    /// Variables that were ignored, and why.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    fn read(&mut self, lookup: &impl Fn(&str) -> Option<String>, prefix: &str) -> Dict {
        const READERS: [(&str, &str, Reader); 8] = [
            ("ENDPOINT", "endpoint", as_text),
            ("PROTOCOL", "protocol", as_protocol),
            ("HEADERS", "headers", as_headers),
            ("COMPRESSION", "compression", as_compression),
            ("TIMEOUT", "timeout_s", as_timeout),
            ("CERTIFICATE", "certificate", as_text),
            ("CLIENT_CERTIFICATE", "client_certificate", as_text),
            ("CLIENT_KEY", "client_key", as_text),
        ];
        let mut dict = Dict::new();
        for (suffix, key, reader) in READERS {
            let name = format!("{prefix}{suffix}");
            let Some(text) = lookup(&name).filter(|text| !text.trim().is_empty()) else {
                continue;
            };
            match reader(text.trim()) {
                Ok(value) => {
                    dict.insert(key.to_owned(), value);
                }
                Err(expected) => {
                    self.warnings
                        .push(format!("{name} is ignored: expected {expected}"));
                }
            }
        }
        dict
    }
}

type Reader = fn(&str) -> Result<Value, &'static str>;

#[expect(clippy::unnecessary_wraps, reason = "one of several readers")]
fn as_text(text: &str) -> Result<Value, &'static str> {
    Ok(Value::from(text))
}

fn as_protocol(text: &str) -> Result<Value, &'static str> {
    match text {
        "grpc" | "http/protobuf" => Ok(Value::from(text)),
        _ => Err("grpc or http/protobuf"),
    }
}

fn as_compression(text: &str) -> Result<Value, &'static str> {
    match text {
        "none" | "gzip" | "zstd" => Ok(Value::from(text)),
        _ => Err("none, gzip or zstd"),
    }
}

/// Milliseconds in the variable, seconds in the settings.
fn as_timeout(text: &str) -> Result<Value, &'static str> {
    let milliseconds: u32 = text
        .parse()
        .map_err(|_ignored| "a number of milliseconds above 0")?;
    if milliseconds == 0 {
        return Err("a number of milliseconds above 0");
    }
    Ok(Value::from(f64::from(milliseconds) / 1000.0))
}

/// `name=value,name=value`, values percent-encoded.
fn as_headers(text: &str) -> Result<Value, &'static str> {
    const EXPECTED: &str = "name=value,name=value with percent-encoded values";
    let mut headers = Dict::new();
    for pair in text.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=').ok_or(EXPECTED)?;
        let value = percent_decode_str(value.trim())
            .decode_utf8()
            .map_err(|_invalid| EXPECTED)?;
        headers.insert(
            name.trim().to_ascii_lowercase(),
            Value::from(value.into_owned()),
        );
    }
    Ok(headers.into())
}

impl Provider for &OtelEnvironment {
    fn metadata(&self) -> Metadata {
        Metadata::named("OTEL_EXPORTER_OTLP_* variables")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        let mut exporter = Dict::new();
        exporter.insert("otlp".to_owned(), self.otlp.clone().into());
        let mut root = Dict::new();
        root.insert("exporter".to_owned(), exporter.into());
        Ok(Profile::Default.collect(root))
    }
}
