//! Takes documents from the outbox to their destinations: at least once, with the same id each time.
//!
//! One task per destination: take the oldest documents that wait, make one attempt, record what became of
//! each, and go on; after a failure wait ([`RetryPolicy`]) and take what is left. A destination that does
//! not answer keeps nobody else waiting.

mod deliveries;
mod flight;
mod operations;
mod pace;
mod progress;
mod retry;
mod router;
mod worker;

pub use deliveries::DestinationError;
pub(crate) use deliveries::{Deliveries, Prepared};
pub use operations::{Delivered, Delivery, OperationError, test_configured};
pub use progress::DestinationStatus;
pub(crate) use progress::Progress;
pub use retry::RetryPolicy;
pub(crate) use router::Router;
use worker::{Worker, WorkerSettings};
