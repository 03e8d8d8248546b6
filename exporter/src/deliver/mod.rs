//! Delivery: from numbered events to requests that a receiver took.
//!
//! - [`queue`]: bounded, drops the oldest when full
//! - [`disk`]: what waits on disk, over outages and restarts
//! - [`retry`]: how long to wait before the next attempt
//! - [`sampling`]: which flows are reported when not all are
//! - [`sender`]: makes requests and sends them, one after the other
//!
//! The SDK's batch processor drops what does not fit without a number that a receiver could miss; here
//! every event is numbered before it is queued, so that a loss shows as a gap in the sequence.

mod backlog;
pub mod disk;
pub mod queue;
pub mod retry;
pub mod sampling;
pub mod sender;

pub use disk::{DiskError, DiskQueue, DiskSettings};
pub use queue::Queue;
pub use retry::RetryPolicy;
pub use sampling::Sampling;
pub use sender::{BatchLimits, Sender};
