//! Section `delivery`: what is the same for all destinations.

use beaconwatch_destinations::in_range;
use serde::{Deserialize, Serialize};

use super::{ConfigError, count};

/// Delivering, the same for all destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Most documents in one attempt, 1..=10000.
    pub max_batch_documents: usize,
    /// Most bytes of documents in one attempt (a larger document goes alone), 1024..=33554432.
    pub max_batch_bytes: usize,
    /// Milliseconds to wait after the first failure; each further one doubles it, 1..=60000.
    pub initial_backoff_ms: u64,
    /// Seconds that a wait may grow to, 1..=3600.
    pub max_backoff_s: u64,
    /// Documents that may wait for a destination; past that no new ones are made until it catches up,
    /// 1..=10000000.
    pub max_pending_documents: u64,
    /// Dead letters to keep per destination, 0..=1000000; past that the oldest go.
    pub max_dead_letters: u64,
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            max_batch_documents: 500,
            max_batch_bytes: 5 << 20,
            initial_backoff_ms: 500,
            max_backoff_s: 60,
            max_pending_documents: 100_000,
            max_dead_letters: 10_000,
        }
    }
}

impl DeliveryConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let batch = count(self.max_batch_documents);
        in_range("delivery.max_batch_documents", batch, 1, 10_000)?;
        in_range(
            "delivery.max_batch_bytes",
            count(self.max_batch_bytes),
            1024,
            32 << 20,
        )?;
        in_range(
            "delivery.initial_backoff_ms",
            self.initial_backoff_ms,
            1,
            60_000,
        )?;
        in_range("delivery.max_backoff_s", self.max_backoff_s, 1, 3600)?;
        in_range(
            "delivery.max_pending_documents",
            self.max_pending_documents,
            1,
            10_000_000,
        )?;
        Ok(in_range(
            "delivery.max_dead_letters",
            self.max_dead_letters,
            0,
            1_000_000,
        )?)
    }
}
