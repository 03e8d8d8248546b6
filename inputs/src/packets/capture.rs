//! Capture files: pcap in both byte orders, with micro- and nanoseconds, and pcapng with several
//! interfaces and sections.

use std::io::{self, BufRead, Read};
use std::path::Path;

use beaconwatch_detector::Timestamp;
use pcap_parser::pcapng::{EnhancedPacketBlock, InterfaceDescriptionBlock};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

use super::fragments::Fragments;
use super::link::{self, Frame};
use super::table::{Connection, Counters, Moment, Table};
use crate::join::Joiner;
use crate::report::{Problem, Reason, Report};

/// First size of the buffer, and the largest packet or block that is read.
const BUFFER_BYTES: usize = 1 << 16;
const BLOCK_BYTES_MAX: usize = 1 << 25;
/// Interfaces of one section.
const INTERFACES_MAX: usize = 4096;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Whether a file that begins so is a capture.
pub(crate) fn is_capture(beginning: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 6] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x34, 0xcd, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    MAGICS.iter().any(|magic| beginning.starts_with(magic))
}

/// How a section of pcapng begins, and the length of the shortest block.
const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const BLOCK_BYTES_MIN: u32 = 12;

/// Whether the next block states a length that no block can have, in either byte order: the parser
/// subtracts from it unseen. What is that short in the wrong order is longer than [`BLOCK_BYTES_MAX`] in the right one.
fn is_too_short(data: &[u8]) -> bool {
    let length = data.get(4..8).and_then(|it| <[u8; 4]>::try_from(it).ok());
    length.is_some_and(|it| {
        u32::from_le_bytes(it) < BLOCK_BYTES_MIN || u32::from_be_bytes(it) < BLOCK_BYTES_MIN
    })
}

/// How an interface of pcapng, or a whole pcap file, tells link layer and time.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: i32,
    /// Ticks of a second; zero when it cannot be told.
    ticks: u128,
    offset_s: i64,
}

impl Interface {
    fn of(block: &InterfaceDescriptionBlock<'_>) -> Self {
        let exponent = u32::from(block.if_tsresol & 0x7f);
        let base: u128 = if block.if_tsresol & 0x80 == 0 { 10 } else { 2 };
        Self {
            link: block.linktype.0,
            ticks: base.checked_pow(exponent).unwrap_or(0),
            offset_s: block.if_tsoffset,
        }
    }

    fn time(&self, block: &EnhancedPacketBlock<'_>) -> Option<Timestamp> {
        let ticks = (u128::from(block.ts_high) << 32) | u128::from(block.ts_low);
        // 2^64 ticks times 10^9 fit in 128 bits.
        let nanos = (ticks * NANOS_PER_SECOND.unsigned_abs()).checked_div(self.ticks)?;
        let offset = i128::from(self.offset_s) * NANOS_PER_SECOND;
        plausible(i128::try_from(nanos).ok()?.checked_add(offset)?)
    }
}

fn plausible(nanos: i128) -> Option<Timestamp> {
    const LATEST: i128 = 7_258_118_400 * NANOS_PER_SECOND;
    let nanos = i64::try_from(nanos).ok()?;
    (0..=LATEST)
        .contains(&i128::from(nanos))
        .then(|| Timestamp::from_unix_nanos(nanos))
}

/// All captures of one reading: a connection may begin in one file and end in the next.
#[derive(Debug)]
pub(crate) struct Captures {
    table: Table,
    fragments: Fragments,
    latest: Option<Timestamp>,
}

impl Captures {
    pub(crate) fn new(connections_max: usize) -> Self {
        Self {
            table: Table::new(connections_max),
            fragments: Fragments::default(),
            latest: None,
        }
    }

    /// Reads a capture to its end.
    pub(crate) fn read(
        &mut self,
        path: &Path,
        input: Box<dyn BufRead + Send>,
        joiner: &mut Joiner,
        report: &mut Report,
    ) -> Result<(), CaptureError> {
        let reader = create_reader(BUFFER_BYTES, Whole(input)).map_err(|error| of(&error, 0))?;
        let mut file = File {
            path,
            captures: self,
            joiner,
            report,
            interfaces: Vec::new(),
            packets: 0,
        };
        file.read(reader)
    }

    /// Ends what is still open.
    pub(crate) fn finish(&mut self, joiner: &mut Joiner) {
        self.table
            .finish(&mut |moment, connection| add(joiner, moment, connection));
        self.latest = None;
    }

    pub(crate) fn counters(&self) -> Counters {
        self.table.counters()
    }
}

fn add(joiner: &mut Joiner, moment: Moment, connection: &Connection) {
    if moment != Moment::Opened {
        joiner.add(&connection.record(moment));
    }
}

/// Why reading a capture ended before the file did.
#[derive(Debug, thiserror::Error)]
#[error("reading stopped after packet {after_packet}: {reason}")]
pub(crate) struct CaptureError {
    after_packet: u64,
    reason: &'static str,
}

fn of(error: &PcapError<&[u8]>, after_packet: u64) -> CaptureError {
    let reason = match error {
        PcapError::UnexpectedEof | PcapError::Eof | PcapError::Incomplete(_) => {
            "the file ends inside of a packet"
        }
        PcapError::BufferTooSmall => "a packet or block larger than 32 MiB",
        PcapError::ReadError => "it could not be read on",
        PcapError::HeaderNotRecognized => "neither pcap nor pcapng",
        PcapError::NomError(..) | PcapError::OwnedNomError(..) => "a block that cannot be read",
    };
    CaptureError {
        after_packet,
        reason,
    }
}

/// Reads as much as is asked for: the parser wants whole headers.
struct Whole<R>(R);

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.0.read(rest) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What came before the error is used first.
                Err(_) if filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }
}

struct File<'a> {
    path: &'a Path,
    captures: &'a mut Captures,
    joiner: &'a mut Joiner,
    report: &'a mut Report,
    interfaces: Vec<Interface>,
    packets: u64,
}

impl File<'_> {
    fn read(
        &mut self,
        mut reader: Box<dyn PcapReaderIterator + Send + '_>,
    ) -> Result<(), CaptureError> {
        let mut size = BUFFER_BYTES;
        let blocks = reader.data().starts_with(&SECTION);
        loop {
            if blocks && is_too_short(reader.data()) {
                return Err(CaptureError {
                    after_packet: self.packets,
                    reason: "a block shorter than its own frame",
                });
            }
            let used = match reader.next() {
                Ok((used, block)) => {
                    self.block(&block);
                    used
                }
                Err(PcapError::Eof) => return Ok(()),
                Err(PcapError::Incomplete(_)) => 0,
                Err(PcapError::BufferTooSmall) if size < BLOCK_BYTES_MAX => {
                    size *= 2;
                    reader.grow(size);
                    0
                }
                Err(error) => return Err(of(&error, self.packets)),
            };
            if used > 0 {
                reader.consume(used);
            } else {
                reader.refill().map_err(|error| of(&error, self.packets))?;
            }
        }
    }

    fn block(&mut self, block: &PcapBlockOwned<'_>) {
        match block {
            PcapBlockOwned::LegacyHeader(header) => {
                let nanoseconds = header.is_nanosecond_precision();
                self.interfaces = vec![Interface {
                    // The upper bits tell of a frame check sequence.
                    link: header.network.0 & 0xffff,
                    ticks: if nanoseconds {
                        1_000_000_000
                    } else {
                        1_000_000
                    },
                    offset_s: 0,
                }];
            }
            PcapBlockOwned::Legacy(packet) => {
                let interface = self.interfaces.first().copied();
                let time = interface.and_then(|interface| {
                    let parts = i128::from(packet.ts_usec) * NANOS_PER_SECOND
                        / i128::try_from(interface.ticks).ok()?;
                    plausible(i128::from(packet.ts_sec) * NANOS_PER_SECOND + parts)
                });
                self.packet(interface, time, packet.data);
            }
            PcapBlockOwned::NG(Block::SectionHeader(_)) => self.interfaces.clear(),
            PcapBlockOwned::NG(Block::InterfaceDescription(block)) => {
                if self.interfaces.len() < INTERFACES_MAX {
                    self.interfaces.push(Interface::of(block));
                }
            }
            PcapBlockOwned::NG(Block::EnhancedPacket(block)) => {
                let interface = usize::try_from(block.if_id)
                    .ok()
                    .and_then(|index| self.interfaces.get(index).copied());
                let time = interface.and_then(|it| it.time(block));
                let captured = usize::try_from(block.caplen).unwrap_or(usize::MAX);
                let data = block.data.get(..captured).unwrap_or(block.data);
                self.packet(interface, time, data);
            }
            PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                self.packet(self.interfaces.first().copied(), None, &[]);
            }
            PcapBlockOwned::NG(_) => {}
        }
    }

    fn packet(&mut self, interface: Option<Interface>, time: Option<Timestamp>, frame: &[u8]) {
        self.packets += 1;
        self.report.lines += 1;
        let Some(interface) = interface else {
            return self.skip("interface", "one that was described before", "another");
        };
        let Some(time) = time else {
            return self.skip("time", "a time from 1970 to 2200", "none or another");
        };
        self.begin(time);
        match link::read(interface.link, time, frame, &mut self.captures.fragments) {
            Frame::Packet(packet) => {
                self.report.records += 1;
                let joiner = &mut *self.joiner;
                self.captures
                    .table
                    .take(&packet, &mut |moment, connection| {
                        add(joiner, moment, connection);
                    });
            }
            Frame::Other => self.report.other_records += 1,
            Frame::Broken(what) => self.skip("packet", "whole headers", what),
            Frame::UnknownLink => {
                let got = format!("link type {}", interface.link);
                self.skip("link type", "Ethernet, Linux cooked, loopback or IP", &got);
            }
        }
    }

    /// A file that is older than the one before, or the same once more, continues nothing.
    fn begin(&mut self, time: Timestamp) {
        if self.packets == 1 && self.captures.latest.is_some_and(|latest| time < latest) {
            self.captures.finish(self.joiner);
        }
        self.captures.latest = self.captures.latest.max(Some(time));
    }

    fn skip(&mut self, field: &str, expected: &str, got: &str) {
        let problem = Problem {
            reason: Reason::UnusablePacket,
            field: Some(field.to_owned()),
            expected: expected.to_owned(),
            got: got.to_owned(),
        };
        self.report.skip(self.path, self.packets, problem);
    }
}
