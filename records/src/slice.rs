//! [`SliceHeader`]: a bounded beginning of what a packet carries, for whoever looks for names in it.
//!
//! The kernel part chooses what is worth a look (a TLS `ClientHello`, an HTTP request, DNS messages, QUIC
//! Initial packets) and stops once a connection is classified. The bytes follow the header. TCP bytes come in
//! the order of transmission, which is not the order of the stream: `sequence` tells.

use crate::{Protocol, RecordError, Role, decode::Reader};

/// Which way a packet goes, seen from the local socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// It leaves the socket.
    Sent = 1,
    /// It comes to the socket.
    Received = 2,
}

/// What a slice belongs to and how it lies in the stream.
///
/// (`cookie`, `start_ns`, remote address and port) are the identity of the flow, as in
/// [`FlowRecord`](crate::FlowRecord).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SliceHeader {
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub cookie: u64,
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub netns_cookie: u64,
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub start_ns: u64,
    /// When the packet passed.
    pub time_ns: u64,
    /// Start of the process that owns the socket; 0 when unknown.
    pub process_start_ns: u64,
    /// Its process id; 0 when unknown.
    pub pid: u32,
    /// TCP sequence number of the first byte; 0 for UDP.
    pub sequence: u32,
    /// Bytes that the packet carries.
    pub length: u32,
    /// Bytes of them that follow this header.
    pub captured: u32,
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub local_address: [u8; 16],
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub remote_address: [u8; 16],
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub local_port: u16,
    /// As in [`FlowRecord`](crate::FlowRecord).
    pub remote_port: u16,
    /// A [`Direction`].
    pub direction: u8,
    /// A [`Protocol`].
    pub protocol: u8,
    /// A [`Role`].
    pub role: u8,
    /// Zero.
    pub padding: u8,
}

impl SliceHeader {
    /// Fields in the order of the layout; struct expressions evaluate in the order written.
    fn read(bytes: &[u8]) -> Self {
        let mut reader = Reader { rest: bytes };
        Self {
            cookie: reader.u64(),
            netns_cookie: reader.u64(),
            start_ns: reader.u64(),
            time_ns: reader.u64(),
            process_start_ns: reader.u64(),
            pid: reader.u32(),
            sequence: reader.u32(),
            length: reader.u32(),
            captured: reader.u32(),
            local_address: reader.take(),
            remote_address: reader.take(),
            local_port: reader.u16(),
            remote_port: reader.u16(),
            direction: reader.u8(),
            protocol: reader.u8(),
            role: reader.u8(),
            padding: reader.u8(),
        }
    }

    fn check(&self) -> Result<(), SliceError> {
        let fields = || {
            Direction::try_from(self.direction)?;
            Protocol::try_from(self.protocol)?;
            Role::try_from(self.role)?;
            Ok(())
        };
        fields().map_err(SliceError::Field)
    }
}

/// Size of a [`SliceHeader`].
pub const SLICE_HEADER_BYTES: usize = size_of::<SliceHeader>();

/// Most bytes of one packet that are handed out.
pub const MOST_SLICE_BYTES: usize = 4096 - SLICE_HEADER_BYTES;

const _: () = assert!(SLICE_HEADER_BYTES == 96);
const _: () = assert!(align_of::<SliceHeader>() == 8);

/// Why bytes are not a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SliceError {
    /// Shorter than the header says.
    Length {
        /// Bytes given.
        found: usize,
    },
    /// A field holds a value that it does not have.
    Field(RecordError),
}

impl core::fmt::Display for SliceError {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Length { found } => write!(
                formatter,
                "slice of {found} bytes, shorter than its header says"
            ),
            Self::Field(error) => write!(formatter, "slice: {error}"),
        }
    }
}

impl core::error::Error for SliceError {}

/// A slice as it lies in the ring buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slice<'a> {
    /// What it belongs to.
    pub header: SliceHeader,
    /// The beginning of what the packet carries.
    pub bytes: &'a [u8],
}

impl<'a> Slice<'a> {
    /// Reads a slice from the memory of the kernel part; what lies behind it is ignored.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, SliceError> {
        let wrong_length = SliceError::Length { found: bytes.len() };
        let (head, rest) = bytes
            .split_at_checked(SLICE_HEADER_BYTES)
            .ok_or(wrong_length)?;
        let header = SliceHeader::read(head);
        header.check()?;
        let captured = usize::try_from(header.captured).map_err(|_larger| wrong_length)?;
        let bytes = rest.get(..captured).ok_or(wrong_length)?;
        Ok(Self { header, bytes })
    }
}
