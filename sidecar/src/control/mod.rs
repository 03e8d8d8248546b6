//! Changing a running sidecar: by its API and by reading its configuration again.
//!
//! # Contract
//! - The configuration in force is the *base* (file, environment, flags, as they were read) with the
//!   *overrides* over it (what the API was told). Overrides are in the store: they survive a restart, and
//!   a reload of the base leaves them above it.
//! - A change is checked as a whole, then written to the store together with its entry of the audit, then
//!   applied; what fails before that changes nothing. Changes come one after the other.
//! - What the API may change and what a reload may change are lists in [`tree`]. The rest waits for a
//!   restart and is said so. Addresses, paths and secrets are not in the API's list.
//! - Overrides that do not fit the base at the start (a destination that is gone) are set aside with
//!   an error in the log, and stay in the store.

mod change;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod tree;

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use beaconwatch_destinations::SettingError;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::sync::{Mutex, watch};
use utoipa::ToSchema;

use crate::api::{Access, AccessError};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, ContextError, RiskError};
use crate::deliver::{Deliveries, DestinationError};
use crate::input::Inputs;
use crate::observe::Observer;
use crate::receive::Senders;
use crate::risk::RiskModel;
use crate::sigma::RulesError;
use crate::store::StoreError;
use crate::token::TokenError;

pub(crate) use change::effective;

/// Reads all layers of the configuration again; the error says which file, which field and what was
/// expected.
pub type Reread = Arc<dyn Fn() -> Result<Config, String> + Send + Sync>;

/// Name of the overrides among the store's settings.
pub(crate) const OVERRIDES: &str = "overrides";

/// Why a running sidecar was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// A value that cannot be, or a setting that cannot be changed this way.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The configuration cannot be read again.
    #[error("{0}")]
    Reread(String),
    /// There is no configuration to read again.
    #[error("this instance was started without a configuration that can be read again")]
    NothingToReread,
    /// The API's tokens cannot be had.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The receivers' tokens cannot be had.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// What is known beside the flows cannot be read.
    #[error("context: {0}")]
    Context(#[from] ContextError),
    /// The model cannot be read.
    #[error("risk.model: {0}")]
    Risk(#[from] RiskError),
    /// Sigma rules cannot be read.
    #[error("rules: {0}")]
    Rules(#[from] RulesError),
    /// A destination cannot be made.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The store or the scoring thread could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SettingError> for ControlError {
    fn from(error: SettingError) -> Self {
        Self::Config(error.into())
    }
}

/// The configuration in force, as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct View {
    /// What can be changed at runtime, as it is.
    #[schema(value_type = Object)]
    pub effective: Value,
    /// Of that, what the API has set.
    #[schema(value_type = Object)]
    pub overrides: Value,
    /// Dotted keys of what can be changed at runtime.
    pub changeable: Vec<String>,
    /// Dotted keys that the configuration says otherwise since the start and that wait for a restart.
    pub restart_needed: Vec<String>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReloadReport {
    /// Dotted keys that have changed and are in force.
    pub applied: Vec<String>,
    /// Dotted keys that have changed and wait for a restart.
    pub needs_restart: Vec<String>,
}

/// The parts of a sidecar that can be changed.
pub(crate) struct Parts {
    pub(crate) clock: Clock,
    pub(crate) observer: Observer,
    pub(crate) deliveries: Deliveries,
    pub(crate) access: Access,
    pub(crate) senders: Senders,
    pub(crate) inputs: Inputs,
    /// Time between two analyses.
    pub(crate) analysis_interval: watch::Sender<Duration>,
    /// What gives series their risk.
    pub(crate) risk: RiskModel,
}

/// What is in force.
#[derive(Clone)]
struct State {
    base: Config,
    overrides: Value,
    /// Base and overrides together.
    effective: Config,
    restart_needed: Vec<String>,
}

struct Inner {
    parts: Parts,
    /// Held while something changes.
    state: Mutex<State>,
    shown: RwLock<Arc<View>>,
    reread: OnceLock<Reread>,
}

/// Handle to what can be changed.
#[derive(Clone)]
pub(crate) struct Control {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// With what [`effective`] made of base and overrides.
    pub(crate) fn new(
        parts: Parts,
        base: Config,
        overrides: Value,
        effective: Config,
    ) -> Result<Self, ConfigError> {
        let state = State {
            base,
            overrides,
            effective,
            restart_needed: Vec::new(),
        };
        let shown = RwLock::new(Arc::new(state.view()?));
        let state = Mutex::new(state);
        let inner = Inner {
            parts,
            state,
            shown,
            reread: OnceLock::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What is in force.
    pub(crate) fn view(&self) -> Arc<View> {
        let shown = self.inner.shown.read();
        Arc::clone(&shown.unwrap_or_else(PoisonError::into_inner))
    }

    /// Says how the configuration is read again. Only the first call counts.
    pub(crate) fn reread_with(&self, reread: Reread) {
        self.inner.reread.get_or_init(|| reread);
    }

    fn show(&self, state: &State) -> Result<Arc<View>, ConfigError> {
        let view = Arc::new(state.view()?);
        let mut shown = self
            .inner
            .shown
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *shown = Arc::clone(&view);
        Ok(view)
    }
}

impl State {
    fn view(&self) -> Result<View, ConfigError> {
        let tree = tree::of(&self.effective)?;
        Ok(View {
            effective: tree::changeable_part(&tree),
            overrides: self.overrides.clone(),
            changeable: tree::changeable_keys(&tree),
            restart_needed: self.restart_needed.clone(),
        })
    }
}

/// No overrides.
fn none() -> Value {
    Value::Object(Map::new())
}
