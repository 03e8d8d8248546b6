//! Flows: what user space knows of one connection, made from the kernel's records.
//!
//! - [`key`]: identity of a flow
//! - [`event`]: what the table yields
//! - [`table`]: [`FlowTable`], records in, events out
//! - `expiry`: flows that ended for user space while the kernel may still speak of them
//!
//! Pure: no I/O and no clock. Every method that needs the time takes a [`Moment`].

pub mod event;
mod expiry;
pub mod key;
pub mod table;

pub use event::{FlowEvent, FlowEventKind, Moment};
pub use expiry::Told;
pub use key::{BootId, FlowId};
pub use table::{FlowTable, TableCounters, TableSettings};
