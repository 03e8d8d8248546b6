//! [`ProcessRecord`]: a process begins to execute a program, or is born of another that goes on as the same.

use crate::decode::Reader;

/// Bytes of a path, the zero at its end included; a longer one is not told.
pub const PATH_BYTES: usize = 232;

/// What a process executes. Times are nanoseconds of `CLOCK_BOOTTIME`; a process is (`pid`, `start_ns`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ProcessRecord {
    /// Start of the process.
    pub start_ns: u64,
    /// Start of its parent, if it was born of it; 0 when it executes `path`.
    pub parent_start_ns: u64,
    /// Process id.
    pub pid: u32,
    /// Process id of its parent, if it was born of it; else 0.
    pub parent_pid: u32,
    /// Path of the program as it was executed, NUL padded.
    pub path: [u8; PATH_BYTES],
}

/// Size of a [`ProcessRecord`].
pub const PROCESS_RECORD_BYTES: usize = size_of::<ProcessRecord>();

const _: () = assert!(PROCESS_RECORD_BYTES == 256);

impl ProcessRecord {
    /// Reads a record from the memory of the kernel part; `None` when it is not as long as one.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != PROCESS_RECORD_BYTES {
            return None;
        }
        let mut reader = Reader { rest: bytes };
        Some(Self {
            start_ns: reader.u64(),
            parent_start_ns: reader.u64(),
            pid: reader.u32(),
            parent_pid: reader.u32(),
            path: reader.take(),
        })
    }

    /// The path up to its end; empty when it was not told.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.path
            .split(|&byte| byte == 0)
            .next()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_lies_in_memory() {
        let mut bytes = [7_u64.to_ne_bytes(), 0_u64.to_ne_bytes()].concat();
        bytes.extend(42_u32.to_ne_bytes());
        bytes.extend(0_u32.to_ne_bytes());
        bytes.extend(b"/usr/bin/curl\0rest of an older one");
        bytes.resize(PROCESS_RECORD_BYTES, 0);
        let record = ProcessRecord::from_bytes(&bytes).unwrap();
        assert_eq!((record.pid, record.start_ns, record.parent_pid), (42, 7, 0));
        assert_eq!(record.path(), b"/usr/bin/curl");
        assert_eq!(ProcessRecord::from_bytes(&bytes[1..]), None);
    }
}
