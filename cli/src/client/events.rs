//! Server-sent events: [`EventReader`] reads them from a response, [`Parser`] takes bytes apart.
//!
//! As the HTML standard says: lines end with LF, CR LF or CR, a line of its own ends an event, a line that
//! begins with a colon is a comment. Comments and unknown fields are passed over. An event that is larger
//! than the limit ends the connection: the next one begins anew.

use std::time::Duration;

use super::ClientError;

/// The instance sends something (a comment at least) more often than this.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Largest event.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerEvent {
    /// What it is about.
    pub(crate) name: String,
    /// What it says.
    pub(crate) data: String,
}

/// Reads events from a response.
#[derive(Debug)]
pub(crate) struct EventReader {
    url: String,
    response: reqwest::Response,
    parser: Parser,
    ready: std::collections::VecDeque<ServerEvent>,
}

impl EventReader {
    pub(super) fn new(url: String, response: reqwest::Response) -> Result<Self, ClientError> {
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
        let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            let problem = format!("{kind:?} instead of events");
            return Err(ClientError::Answer { url, problem });
        }
        Ok(Self {
            url,
            response,
            parser: Parser::default(),
            ready: std::collections::VecDeque::new(),
        })
    }

    /// The next event; an error when the connection ends.
    pub(crate) async fn next(&mut self) -> Result<ServerEvent, ClientError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let chunk = tokio::time::timeout(SILENCE_MAX, self.response.chunk())
                .await
                .map_err(|_elapsed| ClientError::slow(&self.url, SILENCE_MAX))?
                .map_err(|error| ClientError::unreachable(&self.url, &error))?;
            let Some(chunk) = chunk else {
                return Err(self.ended("the connection was closed"));
            };
            if !self.parser.feed(&chunk, &mut self.ready) {
                return Err(self.ended("an event was too large"));
            }
        }
    }

    fn ended(&self, reason: &str) -> ClientError {
        ClientError::Unreachable {
            url: self.url.clone(),
            reason: reason.to_owned(),
        }
    }
}

/// Takes a stream of events apart, in whatever pieces it comes.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    /// The last byte was CR: an LF behind it belongs to the same end of line.
    after_cr: bool,
    event: ServerEvent,
    has_data: bool,
}

impl Parser {
    /// Takes `bytes`; whole events go to `out`. False when an event is larger than the limit.
    fn feed(&mut self, bytes: &[u8], out: &mut impl Extend<ServerEvent>) -> bool {
        for &byte in bytes {
            match byte {
                b'\n' if std::mem::take(&mut self.after_cr) => {}
                b'\n' | b'\r' => {
                    self.after_cr = byte == b'\r';
                    out.extend(self.end_of_line());
                }
                _ => {
                    self.after_cr = false;
                    self.line.push(byte);
                }
            }
            if self.line.len() + self.event.data.len() > EVENT_BYTES_MAX {
                return false;
            }
        }
        true
    }

    fn end_of_line(&mut self) -> Option<ServerEvent> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then_some(event);
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if std::mem::replace(&mut self.has_data, true) {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for piece in pieces {
            assert!(parser.feed(piece, &mut found));
        }
        found.into_iter().map(|it| (it.name, it.data)).collect()
    }

    fn event(name: &str, data: &str) -> (String, String) {
        (name.to_owned(), data.to_owned())
    }

    #[test]
    fn events_are_read_in_whatever_pieces_they_come() {
        let text = b": hello\n\nevent: alert\nid: 7\ndata: {\"a\":1,\ndata: \"b\":2}\n\r\nevent:status\r\ndata:x\r\rdata: y\n\n";
        let expected = [
            event("alert", "{\"a\":1,\n\"b\":2}"),
            event("status", "x"),
            event("", "y"),
        ];
        assert_eq!(events(&[text]), expected);
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(events(&bytes), expected);
        let pieces: Vec<&[u8]> = text.chunks(7).collect();
        assert_eq!(events(&pieces), expected);
    }

    #[test]
    fn an_event_without_data_or_without_an_end_is_none() {
        assert_eq!(events(&[b"event: alert\n\n"]), []);
        assert_eq!(events(&[b"data: half"]), []);
        assert_eq!(events(&[b"data\n\n"]), [event("", "")]);
        assert_eq!(events(&[b"data: \xff\n\n"]), [event("", "\u{fffd}")]);
    }

    #[test]
    fn an_event_that_never_ends_is_given_up() {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        let line = vec![b'x'; EVENT_BYTES_MAX];
        assert!(parser.feed(&line, &mut found));
        assert!(!parser.feed(b"x", &mut found));
        let mut parser = Parser::default();
        let line = [b"data: ", &vec![b'x'; EVENT_BYTES_MAX / 2][..], b"\n"].concat();
        assert!(parser.feed(&line, &mut found));
        assert!(!parser.feed(&line, &mut found));
        assert_eq!(found, []);
    }
}
