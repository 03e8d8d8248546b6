//! The model in force: read at the start and at each reload, asked by the API.
//!
//! Contract: a model is exchanged as a whole; who asks keeps the one that it began with. Nothing of a risk is stored
//! or delivered, so another model needs no migration.

use std::sync::{Arc, PoisonError, RwLock};

use beaconwatch_detector::{Assessment, Profile};
use beaconwatch_learning::{Model, Risk, RowError};

use crate::config::{Config, RiskError};

/// Reads the model of the section `risk`.
pub(crate) async fn open(config: &Config) -> Result<Option<Model>, RiskError> {
    let section = config.risk.clone();
    let opened = tokio::task::spawn_blocking(move || section.open()).await;
    opened.map_err(|error| RiskError::Interrupted(error.to_string()))?
}

/// Handle to the model in force.
#[derive(Clone, Debug)]
pub(crate) struct RiskModel(Arc<RwLock<Option<Arc<Model>>>>);

impl RiskModel {
    pub(crate) fn new(model: Option<Model>) -> Self {
        Self(Arc::new(RwLock::new(model.map(Arc::new))))
    }

    pub(crate) fn current(&self) -> Option<Arc<Model>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn replace(&self, model: Option<Model>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = model.map(Arc::new);
    }
}

/// The risk of a series. A model reads evidence: what another method scored has none.
pub(crate) fn of(model: &Model, assessment: &Assessment) -> Result<Option<Risk>, RowError> {
    let weighed = *assessment.method == *Profile::Evidence.name();
    weighed.then(|| model.assess_series(assessment)).transpose()
}
