//! Lines of a stream, each of bounded length.

use std::collections::VecDeque;
use std::io::{self, BufRead};

/// One line without its end (`\n` or `\r\n`).
#[derive(Debug)]
pub(crate) enum Line<'a> {
    /// Its bytes.
    Text(&'a [u8]),
    /// It was longer than the limit; its bytes are gone.
    TooLong,
}

/// Reading ended before the stream did.
#[derive(Debug, thiserror::Error)]
#[error("reading stopped after line {after_line}: {error}")]
pub(crate) struct Stopped {
    after_line: u64,
    error: io::Error,
}

/// Reads lines; the first ones can be looked at before they are taken.
pub(crate) struct LineReader {
    input: Box<dyn BufRead + Send>,
    buffer: Vec<u8>,
    bytes_max: usize,
    number: u64,
    /// Lines that were looked at: `None` stands for a too long one.
    ahead: VecDeque<Option<Vec<u8>>>,
    /// What ended the look ahead.
    failed: Option<io::Error>,
}

impl LineReader {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, bytes_max: usize) -> Self {
        Self {
            input,
            buffer: Vec::new(),
            bytes_max,
            number: 0,
            ahead: VecDeque::new(),
            failed: None,
        }
    }

    /// Longest line that is read.
    pub(crate) fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// The next line and its number; `None` at the end. After an error the stream is not usable.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, Line<'_>)>, Stopped> {
        let fits = match self.ahead.pop_front() {
            Some(Some(text)) => {
                self.buffer = text;
                Some(true)
            }
            Some(None) => Some(false),
            None => match self.failed.take() {
                Some(error) => return Err(self.stopped(error)),
                None => self.fill().map_err(|error| self.stopped(error))?,
            },
        };
        let Some(fits) = fits else { return Ok(None) };
        self.number += 1;
        let line = if fits {
            Line::Text(&self.buffer)
        } else {
            Line::TooLong
        };
        Ok(Some((self.number, line)))
    }

    fn stopped(&self, error: io::Error) -> Stopped {
        Stopped {
            after_line: self.number,
            error,
        }
    }

    /// Looks at up to `count` lines without taking them.
    pub(crate) fn peek(&mut self, count: usize) -> impl Iterator<Item = &[u8]> {
        while self.ahead.len() < count && self.failed.is_none() {
            match self.fill() {
                Ok(None) => break,
                Ok(Some(true)) => self.ahead.push_back(Some(std::mem::take(&mut self.buffer))),
                Ok(Some(false)) => self.ahead.push_back(None),
                Err(error) => self.failed = Some(error),
            }
        }
        self.ahead
            .iter()
            .take(count)
            .filter_map(|line| line.as_deref())
    }

    /// What stopped the look ahead, when it failed before the first line.
    pub(crate) fn failed_at_start(&mut self) -> Option<io::Error> {
        if self.ahead.is_empty() {
            self.failed.take()
        } else {
            None
        }
    }

    /// Reads one line into the buffer: `None` at the end, `Some(false)` when it was too long.
    fn fill(&mut self) -> io::Result<Option<bool>> {
        self.buffer.clear();
        let mut fits = true;
        let mut any = false;
        loop {
            let available = match self.input.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                break;
            }
            any = true;
            let end = available.iter().position(|&byte| byte == b'\n');
            let part = available
                .get(..end.unwrap_or(available.len()))
                .unwrap_or_default();
            let used = part.len() + usize::from(end.is_some());
            fits = fits && self.buffer.len() + part.len() <= self.bytes_max;
            if fits {
                self.buffer.extend_from_slice(part);
            }
            self.input.consume(used);
            if end.is_some() {
                break;
            }
        }
        if self.buffer.last() == Some(&b'\r') {
            self.buffer.pop();
        }
        Ok(any.then_some(fits))
    }
}
