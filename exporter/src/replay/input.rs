//! [`Input`]: captures, one after the other, in batches of packets; [`Feed`]: the same beside the exporter.
//!
//! # Limits
//! A batch holds at most [`BATCH_PACKETS`] packets and is full at [`BATCH_BYTES`]; two batches exist at a time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use beaconwatch_packets::capture::{Captured, Reader};
use flate2::bufread::MultiGzDecoder;
use tokio::task::JoinHandle;

use super::ReplayError;

const BATCH_PACKETS: usize = 1024;
const BATCH_BYTES: usize = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A packet of a batch, without its bytes.
#[derive(Debug)]
struct Entry {
    number: u64,
    link: Option<i32>,
    time_ns: Option<i64>,
    end: usize,
}

/// Packets in their order.
#[derive(Debug, Default)]
pub(super) struct Batch {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Packets of all files before.
    before: u64,
    /// Why no more comes after these.
    pub(super) failure: Option<ReplayError>,
}

impl Batch {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Packets of all files before this batch.
    pub(super) const fn numbers_before(&self) -> u64 {
        self.before
    }

    pub(super) fn first_time_ns(&self) -> Option<i64> {
        self.entries.iter().find_map(|it| it.time_ns)
    }

    pub(super) fn frame(&self, index: usize) -> Option<Captured<'_>> {
        let entry = self.entries.get(index)?;
        let earlier = index.checked_sub(1).and_then(|it| self.entries.get(it));
        let start = earlier.map_or(0, |it| it.end);
        Some(Captured {
            number: entry.number,
            link: entry.link,
            time_ns: entry.time_ns,
            frame: self.bytes.get(start..entry.end)?,
        })
    }

    fn push(&mut self, captured: &Captured<'_>) {
        self.bytes.extend_from_slice(captured.frame);
        self.entries.push(Entry {
            number: captured.number,
            link: captured.link,
            time_ns: captured.time_ns,
            end: self.bytes.len(),
        });
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_PACKETS || self.bytes.len() >= BATCH_BYTES
    }
}

/// Captures that are read one after the other.
#[derive(Debug)]
pub(super) struct Input {
    waiting: VecDeque<PathBuf>,
    current: Option<(PathBuf, Reader<'static>)>,
    packets: u64,
}

impl Input {
    /// Opens the first capture; that the others are there is known before anything is exported.
    pub(super) fn open(files: &[PathBuf]) -> Result<Self, ReplayError> {
        let mut waiting: VecDeque<PathBuf> = files.iter().cloned().collect();
        let first = waiting.pop_front().ok_or(ReplayError::NoFiles)?;
        for path in &waiting {
            open_file(path)?;
        }
        Ok(Self {
            current: Some(open(first)?),
            waiting,
            packets: 0,
        })
    }

    /// The next packets; none at the end.
    pub(super) fn fill(&mut self) -> Batch {
        let mut batch = Batch {
            before: self.packets,
            ..Batch::default()
        };
        while !batch.is_full() {
            match self.read_one(&mut batch) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    batch.failure = Some(error);
                    self.current = None;
                    self.waiting.clear();
                    break;
                }
            }
        }
        self.packets += batch.len() as u64;
        batch
    }

    /// False when there is no more.
    fn read_one(&mut self, batch: &mut Batch) -> Result<bool, ReplayError> {
        let Some((path, reader)) = &mut self.current else {
            return Ok(false);
        };
        let read = reader.next(|captured| batch.push(&captured));
        let read = read.map_err(|source| ReplayError::Capture {
            path: path.clone(),
            source,
        })?;
        if read.is_none() {
            self.current = self.waiting.pop_front().map(open).transpose()?;
        }
        Ok(self.current.is_some())
    }
}

fn open(path: PathBuf) -> Result<(PathBuf, Reader<'static>), ReplayError> {
    let reader = open_file(&path)?;
    match Reader::new(reader) {
        Ok(reader) => Ok((path, reader)),
        Err(source) => Err(ReplayError::Capture { path, source }),
    }
}

fn open_file(path: &Path) -> Result<Box<dyn Read + Send>, ReplayError> {
    let opened = if path == Path::new("-") {
        unpacked(BufReader::new(io::stdin()))
    } else {
        File::open(path).and_then(|file| unpacked(BufReader::new(file)))
    };
    opened.map_err(|source| ReplayError::File {
        path: path.to_owned(),
        source,
    })
}

fn unpacked(mut input: impl BufRead + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    Ok(if input.fill_buf()?.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(input))
    } else {
        Box::new(input)
    })
}

/// Batches that are read on another thread, one ahead.
#[derive(Debug)]
pub(super) struct Feed {
    idle: Option<Input>,
    filling: Option<JoinHandle<(Input, Batch)>>,
}

impl Feed {
    pub(super) const fn new(input: Input) -> Self {
        Self {
            idle: Some(input),
            filling: None,
        }
    }

    /// The next batch; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Batch> {
        self.fill_on();
        let filled = match &mut self.filling {
            Some(filling) => filling.await,
            None => return None,
        };
        self.filling = None;
        let (input, batch) = match filled {
            Ok(filled) => filled,
            Err(error) => {
                tracing::error!(%error, "reading the capture was broken off");
                return None;
            }
        };
        if batch.is_empty() && batch.failure.is_none() {
            return None;
        }
        if batch.failure.is_none() {
            self.idle = Some(input);
            self.fill_on();
        }
        Some(batch)
    }

    fn fill_on(&mut self) {
        if let Some(mut input) = self.idle.take() {
            self.filling = Some(tokio::task::spawn_blocking(move || {
                let batch = input.fill();
                (input, batch)
            }));
        }
    }
}
