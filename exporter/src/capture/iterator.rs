//! Reads the live flows: opens the kernel's iterators over socket storage and further UDP peers.

use std::{
    io::Read,
    os::fd::{AsFd, OwnedFd},
};

use beaconwatch_records::{FLOW_RECORD_BYTES, FlowRecord, Protocol, RecordKind};

use super::{
    CaptureError,
    attach::{Attached, ITERATORS},
    syscall,
};

/// The kernel hands out at most eight pages at a time.
const CHUNK_BYTES: usize = 32 << 10;

/// Links of the iterator programs to their maps.
#[derive(Debug)]
pub(super) struct LiveFlows {
    links: Vec<OwnedFd>,
    malformed: u64,
}

impl LiveFlows {
    pub(super) fn new(attached: &Attached) -> Result<Self, CaptureError> {
        let links = ITERATORS
            .into_iter()
            .map(|name| {
                let (program, map) = attached.iterator(name)?;
                syscall::link_iterator(program.as_fd(), Some(map))
                    .map_err(CaptureError::system("bpf link of an iterator"))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            links,
            malformed: 0,
        })
    }

    /// Appends a record for each live flow, of UDP only if it began at or before `newest_ns`, and for each end.
    pub(super) fn read(
        &mut self,
        out: &mut Vec<FlowRecord>,
        newest_ns: u64,
    ) -> Result<(), CaptureError> {
        for link in &self.links {
            let file = syscall::open_iterator(link.as_fd())
                .map_err(CaptureError::system("opening an iterator"))?;
            self.malformed += read_records(file, out, newest_ns)
                .map_err(CaptureError::system("reading an iterator"))?;
        }
        Ok(())
    }

    pub(super) const fn malformed(&self) -> u64 {
        self.malformed
    }
}

/// Reads records to the end of `source`; returns how many were malformed. A record may be split
/// between two reads.
fn read_records(
    mut source: impl Read,
    out: &mut Vec<FlowRecord>,
    newest_ns: u64,
) -> std::io::Result<u64> {
    let mut malformed = 0;
    let mut bytes = Vec::with_capacity(CHUNK_BYTES + FLOW_RECORD_BYTES);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = match source.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        bytes.extend_from_slice(chunk.get(..length).unwrap_or_default());
        let mut records = bytes.chunks_exact(FLOW_RECORD_BYTES);
        for record in records.by_ref() {
            match FlowRecord::from_bytes(record) {
                Ok(record) if is_wanted(&record, newest_ns) => out.push(record),
                Ok(_young) => {}
                Err(error) => {
                    malformed += 1;
                    tracing::error!(%error, "record from an iterator refused");
                }
            }
        }
        bytes = records.remainder().to_vec();
    }
    if !bytes.is_empty() {
        malformed += 1;
        tracing::error!(bytes = bytes.len(), "an iterator ended within a record");
    }
    Ok(malformed)
}

fn is_wanted(record: &FlowRecord, newest_ns: u64) -> bool {
    record.start_ns <= newest_ns
        || record.protocol == Protocol::Tcp as u8
        || record.kind == RecordKind::Close as u8
}

#[cfg(test)]
mod tests {
    use beaconwatch_records::Role;

    use super::*;

    fn record(start_ns: u64) -> FlowRecord {
        FlowRecord {
            start_ns,
            kind: RecordKind::Update as u8,
            role: Role::Client as u8,
            protocol: Protocol::Tcp as u8,
            ..FlowRecord::ZERO
        }
    }

    /// Hands out a few bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let length = self.0.len().min(self.1).min(buffer.len());
            let (now, later) = self.0.split_at(length);
            buffer[..length].copy_from_slice(now);
            self.0 = later;
            Ok(length)
        }
    }

    #[test]
    fn records_split_between_reads_are_put_together() {
        let records: Vec<FlowRecord> = (0..50).map(record).collect();
        let bytes: Vec<u8> = records.iter().flat_map(FlowRecord::to_bytes).collect();
        for step in [
            1,
            7,
            FLOW_RECORD_BYTES - 1,
            FLOW_RECORD_BYTES,
            1000,
            100_000,
        ] {
            let mut found = Vec::new();
            let malformed = read_records(Dribble(&bytes, step), &mut found, u64::MAX).unwrap();
            assert_eq!(found, records, "in steps of {step}");
            assert_eq!(malformed, 0);
        }
    }

    #[test]
    fn a_bad_or_cut_record_is_counted_and_its_neighbours_stay() {
        let mut bytes = [record(1), record(2), record(3)]
            .map(|record| record.to_bytes())
            .concat();
        bytes[FLOW_RECORD_BYTES + std::mem::offset_of!(FlowRecord, kind)] = 9;
        bytes.extend([1, 2, 3]);
        let mut found = Vec::new();
        let malformed = read_records(bytes.as_slice(), &mut found, u64::MAX).unwrap();
        assert_eq!(found, [record(1), record(3)]);
        assert_eq!(malformed, 2);
    }

    #[test]
    fn young_udp_flows_are_left_out_but_their_ends_and_tcp_are_not() {
        let udp = |start_ns| FlowRecord {
            protocol: Protocol::Udp as u8,
            ..record(start_ns)
        };
        let end = FlowRecord {
            kind: RecordKind::Close as u8,
            ..udp(9)
        };
        let bytes = [udp(4), udp(5), udp(6), end, record(7)]
            .map(|record| record.to_bytes())
            .concat();
        let mut found = Vec::new();
        read_records(bytes.as_slice(), &mut found, 5).unwrap();
        assert_eq!(found, [udp(4), udp(5), end, record(7)]);
    }
}
