//! Fixed-size events that the kernel part hands to user space.
//!
//! One definition for both sides: `#[repr(C)]`, integers only, padding explicit, sizes asserted at
//! compile time. A layout change is a change of [`LAYOUT_VERSION`], which the loader compares with the
//! version that the compiled object carries.
//!
//! Limits: `no_std`, no allocation, nothing that the BPF target lacks.
#![cfg_attr(not(test), no_std)]

mod decode;
mod flow;
mod layout;
mod process;
mod slice;
mod transit;

pub use decode::{FLOW_RECORD_BYTES, RecordError};
pub use flow::{
    CloseReason, CounterSet, FLAG_OWN, FLAG_START_INFERRED, FLAG_TCP_TOTALS, FlowRecord, Owner,
    Protocol, RecordKind, Role,
};
pub use layout::{
    LAYOUT_VERSION, LOSS_COUNTERS, LossCounter, ProgramSettings, SETTINGS_SYMBOL, STORAGE_VERSION,
    SocketOffsets, TaskOffsets,
};
pub use process::{PATH_BYTES, PROCESS_RECORD_BYTES, ProcessRecord};
pub use slice::{Direction, MOST_SLICE_BYTES, SLICE_HEADER_BYTES, Slice, SliceError, SliceHeader};
pub use transit::{InterfaceUse, interface_of, point};
