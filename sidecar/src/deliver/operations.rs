//! What an operator can see of deliveries and do with them.
//!
//! Dead letters are listed, sent again and dropped; what is left of a destination that is no longer
//! configured is purged, never silently; a marked document tests a destination.

use std::time::Duration;

use beaconwatch_destinations::{BuildError, Surroundings, TestReport, test_destination};
use serde::Serialize;

use super::deliveries::Deliveries;
use super::progress::DestinationStatus;
use crate::config::Config;
use crate::store::{DeadLetter, DeadLetterPage, DeliveryState, Purged, Selection, StoreError};

/// Time for the test of a destination.
const TEST_LIMIT: Duration = Duration::from_secs(15);

/// Why an operation was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// No destination has that name.
    #[error("destination {0:?} is neither configured nor in the store")]
    Unknown(String),
    /// Only for configured destinations.
    #[error("destination {0:?} is not configured: nothing can be sent there")]
    NotConfigured(String),
    /// Only for destinations that are not configured.
    #[error(
        "destination {0:?} is configured: remove it from the configuration before it is purged"
    )]
    Configured(String),
    /// It cannot be made.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of one document at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Delivery {
    /// Name of the destination.
    pub destination: String,
    /// Identity of the document.
    pub event_id: String,
    /// How far it is.
    pub state: Delivered,
    /// Why it is dead.
    pub reason: Option<String>,
}

/// How far a document is on its way to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Delivered {
    /// It waits.
    Pending,
    /// The destination has taken it and not confirmed it yet.
    Awaiting,
    /// The destination has it.
    Delivered,
    /// It was sent to where nothing answers.
    Unconfirmed,
    /// It was refused for good.
    Dead,
}

/// Tests a destination of a configuration that need not run: sends a marked document with the real client,
/// or shows it (`dry_run`).
pub async fn test_configured(
    config: &Config,
    destination: &str,
    dry_run: bool,
) -> Result<TestReport, OperationError> {
    let configured = config.destinations.get(destination);
    let configured =
        configured.ok_or_else(|| OperationError::NotConfigured(destination.to_owned()))?;
    let surroundings = Surroundings {
        data_directory: &config.data_directory,
        namespace: &config.namespace,
        observer_name: config.observer_name.as_deref(),
    };
    Ok(test_destination(&configured.kind, &surroundings, TEST_LIMIT, dry_run).await?)
}

impl Deliveries {
    /// Configured destinations, then those that are in the store only.
    pub(crate) async fn statuses(&self) -> Result<Vec<DestinationStatus>, StoreError> {
        let mut stored = self.store.accounts().await?;
        let mut all = Vec::new();
        for progress in self.progress() {
            let account = stored.remove(progress.name()).unwrap_or_default();
            let route = self.router().route_of(progress.name());
            all.push(DestinationStatus {
                filtered: self.router().filtered(progress.name()),
                minimum_severity: route.map(|route| route.config().minimum_severity.name()),
                ..progress.status(account)
            });
        }
        let rest = stored.into_iter();
        all.extend(rest.map(|(name, account)| DestinationStatus::stored(&name, account)));
        Ok(all)
    }

    fn is_configured(&self, destination: &str) -> bool {
        self.router().route_of(destination).is_some()
    }

    async fn known(&self, destination: &str) -> Result<(), OperationError> {
        let known = self.is_configured(destination)
            || self.store.accounts().await?.contains_key(destination);
        known
            .then_some(())
            .ok_or_else(|| OperationError::Unknown(destination.to_owned()))
    }

    /// A page of a destination's dead letters, oldest first, and how many there are in all.
    pub(crate) async fn dead_letters(
        &self,
        page: DeadLetterPage,
    ) -> Result<(u64, Vec<(u64, DeadLetter)>), OperationError> {
        self.known(&page.destination).await?;
        let accounts = self.store.accounts().await?;
        let account = accounts.get(&page.destination).copied();
        let total = account.unwrap_or_default().backlog.dead_letters;
        Ok((total, self.store.dead_letters(page).await?))
    }

    /// Lets dead letters wait again, under their old numbers and ids; how many.
    pub(crate) async fn replay(&self, selection: Selection) -> Result<u64, OperationError> {
        self.known(&selection.destination).await?;
        if !self.is_configured(&selection.destination) {
            return Err(OperationError::NotConfigured(selection.destination));
        }
        Ok(self.store.replay(selection).await?)
    }

    /// Removes dead letters; how many.
    pub(crate) async fn drop_letters(&self, selection: Selection) -> Result<u64, OperationError> {
        self.known(&selection.destination).await?;
        Ok(self.store.drop_letters(selection).await?)
    }

    /// Removes what the store has of a destination that is no longer configured.
    pub(crate) async fn purge(&self, destination: &str) -> Result<Purged, OperationError> {
        if self.is_configured(destination) {
            return Err(OperationError::Configured(destination.to_owned()));
        }
        self.known(destination).await?;
        let purged = self.store.purge(destination.to_owned()).await?;
        tracing::warn!(
            destination,
            pending = purged.pending,
            dead_letters = purged.dead_letters,
            "what was left of a destination was purged"
        );
        Ok(purged)
    }

    /// What became of the newest documents of an alert, oldest first.
    pub(crate) async fn of_alert(&self, alert: &str) -> Result<Vec<Delivery>, StoreError> {
        let progress = self.progress();
        let awaiting = |destination: &str, number| {
            let mut workers = progress.iter();
            workers.any(|it| it.name() == destination && it.is_awaited(number))
        };
        let mut all = Vec::new();
        for (number, record) in self.store.deliveries_of(alert.to_owned()).await? {
            for (destination, state) in record.deliveries {
                let (state, reason) = match state {
                    DeliveryState::Pending if awaiting(&destination, number) => {
                        (Delivered::Awaiting, None)
                    }
                    DeliveryState::Pending => (Delivered::Pending, None),
                    DeliveryState::Delivered => (Delivered::Delivered, None),
                    DeliveryState::Unconfirmed => (Delivered::Unconfirmed, None),
                    DeliveryState::Dead { reason } => (Delivered::Dead, Some(reason)),
                };
                all.push(Delivery {
                    destination,
                    event_id: record.event_id.clone(),
                    state,
                    reason,
                });
            }
        }
        Ok(all)
    }

    /// Sends a marked document to a destination, or shows it (`dry_run`).
    pub(crate) async fn test(
        &self,
        destination: &str,
        dry_run: bool,
    ) -> Result<TestReport, OperationError> {
        let config = self.config();
        let config = config.ok_or_else(|| OperationError::NotConfigured(destination.to_owned()))?;
        test_configured(&config, destination, dry_run).await
    }
}
