//! Capture files: pcap in both byte orders, with micro- and nanoseconds, and pcapng with several
//! interfaces and sections.
//!
//! # Limits
//! A packet or block is at most 32 MiB long, a section has at most 4096 interfaces. What a file tells before it
//! breaks off is told.

use std::io::{self, Read};
use std::ops::ControlFlow;

use pcap_parser::pcapng::{EnhancedPacketBlock, InterfaceDescriptionBlock};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, PcapBlockOwned, PcapError, create_reader};

/// First size of the buffer, and the largest packet or block that is read.
const BUFFER_BYTES: usize = 1 << 16;
const BLOCK_BYTES_MAX: usize = 1 << 25;
/// Interfaces of one section.
const INTERFACES_MAX: usize = 4096;
const NANOS_PER_SECOND: i128 = 1_000_000_000;

/// Whether a file that begins so is a capture.
#[must_use]
pub fn is_capture(beginning: &[u8]) -> bool {
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

    fn time_ns(&self, block: &EnhancedPacketBlock<'_>) -> Option<i64> {
        let ticks = (u128::from(block.ts_high) << 32) | u128::from(block.ts_low);
        // 2^64 ticks times 10^9 fit in 128 bits.
        let nanos = (ticks * NANOS_PER_SECOND.unsigned_abs()).checked_div(self.ticks)?;
        let offset = i128::from(self.offset_s) * NANOS_PER_SECOND;
        plausible(i128::try_from(nanos).ok()?.checked_add(offset)?)
    }
}

fn plausible(nanos: i128) -> Option<i64> {
    const LATEST: i128 = 7_258_118_400 * NANOS_PER_SECOND;
    (0..=LATEST)
        .contains(&nanos)
        .then(|| i64::try_from(nanos).ok())?
}

/// One packet of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// Its number in the file, from 1.
    pub number: u64,
    /// Link layer, by the numbers of <https://www.tcpdump.org/linktypes.html>; `None` when its interface was
    /// not described before.
    pub link: Option<i32>,
    /// When it was captured, in nanoseconds since 1970; `None` when that is not told, or not from 1970 to 2200.
    pub time_ns: Option<i64>,
    /// What of it was captured.
    pub frame: &'a [u8],
}

/// Reads a capture to its end, or until `take` breaks off; gives the number of packets.
///
/// ```
/// use std::ops::ControlFlow;
///
/// // A pcap file of Ethernet with no packet in it.
/// let file = b"\xd4\xc3\xb2\xa1\x02\0\x04\0\0\0\0\0\0\0\0\0\xff\xff\0\0\x01\0\0\0";
/// let packets = beaconwatch_packets::capture::read(&file[..], |captured| {
///     println!("{:?}: {} bytes", captured.time_ns, captured.frame.len());
///     ControlFlow::Continue(())
/// })?;
/// assert_eq!(packets, 0);
/// # Ok::<(), beaconwatch_packets::capture::CaptureError>(())
/// ```
pub fn read(
    input: impl Read + Send,
    mut take: impl FnMut(Captured<'_>) -> ControlFlow<()>,
) -> Result<u64, CaptureError> {
    let mut reader = Reader::new(input)?;
    while let Some(flow) = reader.next(&mut take)? {
        if flow.is_break() {
            break;
        }
    }
    Ok(reader.packets())
}

/// Why reading a capture ended before the file did.
#[derive(Debug, thiserror::Error)]
#[error("reading stopped after packet {after_packet}: {reason}")]
pub struct CaptureError {
    /// Packets that were read before.
    pub after_packet: u64,
    /// Why.
    pub reason: &'static str,
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

/// A capture that is read packet by packet, at the caller's pace.
pub struct Reader<'r> {
    parser: Box<dyn PcapReaderIterator + Send + 'r>,
    /// Size of the parser's buffer.
    size: usize,
    /// Whether it is pcapng.
    blocks: bool,
    sections: Sections,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut told = formatter.debug_struct("Reader");
        told.field("packets", &self.packets())
            .finish_non_exhaustive()
    }
}

impl<'r> Reader<'r> {
    /// Reads the beginning of a capture.
    pub fn new(input: impl Read + Send + 'r) -> Result<Self, CaptureError> {
        let parser = create_reader(BUFFER_BYTES, Whole(input)).map_err(|error| of(&error, 0))?;
        Ok(Self {
            blocks: parser.data().starts_with(&SECTION),
            parser,
            size: BUFFER_BYTES,
            sections: Sections::default(),
        })
    }

    /// Packets read so far.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.sections.packets
    }

    /// Shows the next packet to `take` and returns its answer; `None` at the end of the capture.
    pub fn next<T>(
        &mut self,
        take: impl FnOnce(Captured<'_>) -> T,
    ) -> Result<Option<T>, CaptureError> {
        loop {
            if self.blocks && is_too_short(self.parser.data()) {
                return Err(CaptureError {
                    after_packet: self.packets(),
                    reason: "a block shorter than its own frame",
                });
            }
            let used = match self.parser.next() {
                Ok((used, block)) => {
                    if let Some(captured) = self.sections.block(&block) {
                        let answer = take(captured);
                        self.parser.consume(used);
                        return Ok(Some(answer));
                    }
                    used
                }
                Err(PcapError::Eof) => return Ok(None),
                Err(PcapError::Incomplete(_)) => 0,
                Err(PcapError::BufferTooSmall) if self.size < BLOCK_BYTES_MAX => {
                    self.size *= 2;
                    self.parser.grow(self.size);
                    0
                }
                Err(error) => return Err(of(&error, self.sections.packets)),
            };
            if used > 0 {
                self.parser.consume(used);
            } else {
                let packets = self.sections.packets;
                self.parser.refill().map_err(|error| of(&error, packets))?;
            }
        }
    }
}

/// What the blocks before a packet say of it.
#[derive(Debug, Default)]
struct Sections {
    interfaces: Vec<Interface>,
    packets: u64,
}

impl Sections {
    /// The packet in a block, when there is one.
    fn block<'a>(&mut self, block: &PcapBlockOwned<'a>) -> Option<Captured<'a>> {
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
                return Some(self.packet(interface, time, packet.data));
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
                let time = interface.and_then(|it| it.time_ns(block));
                let captured = usize::try_from(block.caplen).unwrap_or(usize::MAX);
                let data = block.data.get(..captured).unwrap_or(block.data);
                return Some(self.packet(interface, time, data));
            }
            PcapBlockOwned::NG(Block::SimplePacket(_)) => {
                return Some(self.packet(self.interfaces.first().copied(), None, &[]));
            }
            PcapBlockOwned::NG(_) => {}
        }
        None
    }

    fn packet<'a>(
        &mut self,
        interface: Option<Interface>,
        time_ns: Option<i64>,
        frame: &'a [u8],
    ) -> Captured<'a> {
        self.packets += 1;
        Captured {
            number: self.packets,
            link: interface.map(|it| it.link),
            time_ns,
            frame,
        }
    }
}
