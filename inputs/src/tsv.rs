//! Zeek's tab-separated logs: header lines that begin with `#`, then one record a line.

use super::record::Dialect;
use super::report::{Problem, Reason, quoted};
use super::row::{Column, Hint, Row, Scalar};

/// What the header lines said last: a file may hold several logs, one after the other.
#[derive(Debug)]
pub(crate) struct Header {
    separator: Vec<u8>,
    unset: Vec<u8>,
    empty: Vec<u8>,
    stream: Option<String>,
    fields: Vec<Field>,
    hint: Option<Hint>,
}

#[derive(Debug)]
struct Field {
    name: String,
    column: Option<Column>,
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separator: b"\t".to_vec(),
            unset: b"-".to_vec(),
            empty: b"(empty)".to_vec(),
            stream: None,
            fields: Vec::new(),
            hint: None,
        }
    }
}

impl Header {
    /// The log that `#path` names.
    pub(crate) fn stream(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// Takes in a line that begins with `#`. Unknown ones are passed over.
    pub(crate) fn read(&mut self, line: &[u8]) -> Result<(), Problem> {
        if let Some(rest) = line.strip_prefix(b"#separator") {
            // The only header line that is itself separated by a space.
            *self = Self {
                separator: separator(rest.trim_ascii())?,
                ..Self::default()
            };
            return Ok(());
        }
        let mut parts = split(line, &self.separator);
        match parts.next() {
            Some(b"#unset_field") => self.unset = parts.next().unwrap_or(b"-").to_vec(),
            Some(b"#empty_field") => self.empty = parts.next().unwrap_or(b"(empty)").to_vec(),
            Some(b"#path") => {
                self.stream = parts
                    .next()
                    .map(|name| String::from_utf8_lossy(name).into_owned());
            }
            Some(b"#fields") => {
                let names: Vec<String> = parts
                    .map(|name| String::from_utf8_lossy(name).trim().to_owned())
                    .collect();
                self.fields(names)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn fields(&mut self, names: Vec<String>) -> Result<(), Problem> {
        self.fields = names
            .into_iter()
            .map(|name| Field {
                column: Column::of(&name, Dialect::Zeek),
                name,
            })
            .collect();
        self.hint = self
            .fields
            .iter()
            .filter_map(|field| Hint::of(&field.name))
            .max();
        if self.fields.iter().all(|field| field.column.is_none()) {
            let names: Vec<&str> = self
                .fields
                .iter()
                .map(|field| field.name.as_str())
                .collect();
            return Err(Problem {
                reason: Reason::InvalidHeader,
                field: Some("#fields".to_owned()),
                expected: "names of fields such as ts, uid, id.orig_h".to_owned(),
                got: quoted(&names.join(" ")),
            });
        }
        Ok(())
    }

    /// The fields of a record.
    pub(crate) fn row<'a>(&self, line: &'a [u8]) -> Result<Row<'a>, Problem> {
        if self.fields.is_empty() {
            return Err(Problem {
                reason: Reason::NoHeader,
                field: None,
                expected: "a #fields line before the first record".to_owned(),
                got: quoted(&String::from_utf8_lossy(line)),
            });
        }
        let mut row = Row::default();
        row.hint = self.hint;
        let mut count = 0;
        for value in split(line, &self.separator) {
            if let Some(Field {
                column: Some(column),
                ..
            }) = self.fields.get(count)
            {
                row.set(*column, self.scalar(value));
            }
            count += 1;
        }
        if count == self.fields.len() {
            Ok(row)
        } else {
            Err(self.wrong_count(count))
        }
    }

    fn scalar<'a>(&self, value: &'a [u8]) -> Option<Scalar<'a>> {
        if value.is_empty() || value == self.unset || value == self.empty {
            return None;
        }
        Some(Scalar::Text(String::from_utf8_lossy(value)))
    }

    fn wrong_count(&self, count: usize) -> Problem {
        let first_missing = self.fields.get(count).map(|field| field.name.clone());
        Problem {
            reason: Reason::FieldCount,
            field: first_missing,
            expected: format!("{} fields", self.fields.len()),
            got: format!("{count}"),
        }
    }
}

/// Decodes `\x09` (Zeek writes it so) or takes the text as it is.
fn separator(text: &[u8]) -> Result<Vec<u8>, Problem> {
    let decoded: Option<Vec<u8>> = match text.strip_prefix(b"\\x") {
        Some(_) => std::str::from_utf8(text).ok().and_then(|text| {
            text.split("\\x")
                .skip(1)
                .map(|hex| u8::from_str_radix(hex, 16).ok())
                .collect()
        }),
        None => Some(text.to_vec()),
    };
    decoded
        .filter(|separator| !separator.is_empty())
        .ok_or_else(|| Problem {
            reason: Reason::InvalidHeader,
            field: Some("#separator".to_owned()),
            expected: "a separator such as \\x09".to_owned(),
            got: quoted(&String::from_utf8_lossy(text)),
        })
}

/// Splits by a separator of one or more bytes; an empty separator gives the whole line.
fn split<'a, 's>(
    line: &'a [u8],
    separator: &'s [u8],
) -> impl Iterator<Item = &'a [u8]> + use<'a, 's> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let at = match separator {
            [] => None,
            [byte] => line.iter().position(|other| other == byte),
            _ => line
                .windows(separator.len())
                .position(|window| window == separator),
        };
        let Some(at) = at else {
            rest = None;
            return Some(line);
        };
        rest = line.get(at + separator.len()..);
        line.get(..at)
    })
}
