//! The changes: a patch of the overrides, another base.

use std::sync::Arc;
use std::time::Duration;

use beaconwatch_destinations::SettingError;
use serde_json::Value;

use super::{Control, ControlError, OVERRIDES, ReloadReport, State, View, none, tree};
use crate::alert::{Actor, AuditEntry};
use crate::config::{Config, ConfigError};
use crate::context;
use crate::deliver::Prepared;
use crate::observe::Record;
use crate::receive::Senders;
use crate::risk;

/// The configuration in force at a start, and the overrides that it holds: those of the store, or none
/// when they do not fit.
pub(crate) fn effective(base: &Config, stored: Option<&[u8]>) -> (Config, Value) {
    let Some(stored) = stored else {
        return (base.clone(), none());
    };
    let fitting = serde_json::from_slice::<Value>(stored)
        .map_err(|error| error.to_string())
        .and_then(|overrides| {
            let config = combine(base, &overrides).map_err(|error| error.to_string())?;
            Ok((config, overrides))
        });
    fitting.unwrap_or_else(|error| {
        tracing::error!(
            error,
            "what was set by the API does not fit the configuration and is set aside: set it anew"
        );
        (base.clone(), none())
    })
}

/// Base and overrides together, checked as a whole.
fn combine(base: &Config, overrides: &Value) -> Result<Config, ConfigError> {
    let below = tree::of(base)?;
    tree::check_patch(overrides, &below)?;
    let combined = tree::with(&below, overrides);
    let config = tree::read(combined).map_err(|error| unreadable(&below, overrides, &error))?;
    config.validate()?;
    Ok(config)
}

/// Names the value that cannot be read: the first one that cannot be read alone.
fn unreadable(base: &Value, overrides: &Value, error: &serde_json::Error) -> ConfigError {
    for (path, value) in tree::leaves(overrides) {
        let mut alone = base.clone();
        tree::put(&mut alone, &path, value.clone());
        if let Err(error) = tree::read(alone) {
            return ConfigError::Unreadable {
                field: path.join("."),
                value: value.to_string(),
                problem: error.to_string(),
            };
        }
    }
    SettingError::value(
        "configuration",
        error.to_string(),
        "values that fit together",
    )
    .into()
}

/// What a reload of `config` comes to: what can be changed is changed, the rest stays as it was.
fn reloaded(state: &State, config: &Config) -> Result<(State, ReloadReport), ConfigError> {
    let (old, new) = (tree::of(&state.base)?, tree::of(config)?);
    let (mut base, mut report) = (old.clone(), ReloadReport::default());
    for path in tree::differences(&old, &new) {
        if !tree::is_reloadable(&path) {
            report.needs_restart.push(path.join("."));
            continue;
        }
        tree::copy(&mut base, &path, &new);
        report.applied.push(path.join("."));
    }
    let base = tree::read(base).map_err(|error| {
        SettingError::value(
            "configuration",
            error.to_string(),
            "values that fit together",
        )
    })?;
    let next = State {
        effective: combine(&base, &state.overrides)?,
        base,
        overrides: state.overrides.clone(),
        restart_needed: report.needs_restart.clone(),
    };
    Ok((next, report))
}

impl Control {
    /// Changes overrides by a merge patch (RFC 7396): `null` removes one.
    pub(crate) async fn change(
        &self,
        patch: &Value,
        actor: &Actor,
    ) -> Result<Arc<View>, ControlError> {
        let mut state = self.inner.state.lock().await;
        tree::check_patch(patch, &tree::of(&state.base)?)?;
        let mut overrides = state.overrides.clone();
        tree::merge_patch(&mut overrides, patch);
        let next = State {
            effective: combine(&state.base, &overrides)?,
            overrides,
            ..state.clone()
        };
        let keys: Vec<String> = tree::leaves(patch)
            .into_iter()
            .map(|(path, value)| format!("{} = {value}", path.join(".")))
            .collect();
        tracing::info!(
            actor = actor.name,
            changes = keys.join(", "),
            "the configuration was changed"
        );
        let setting = Some((OVERRIDES, next.overrides.to_string()));
        let entry = self.entry(actor, "config.change", &patch.to_string());
        let record = Some(Record { setting, entry });
        self.apply(&mut state, next, record).await
    }

    fn entry(&self, actor: &Actor, action: &str, detail: &str) -> AuditEntry {
        let now = self.inner.parts.clock.now();
        AuditEntry::new(now, actor, action, "configuration", detail)
    }

    async fn record(&self, record: Option<Record>) -> Result<(), ControlError> {
        match record {
            Some(record) => Ok(self.inner.parts.observer.record(record).await?),
            None => Ok(()),
        }
    }

    /// Reads all layers of the configuration again and reloads; an actor is noted in the audit.
    pub(crate) async fn reread(&self, actor: Option<&Actor>) -> Result<ReloadReport, ControlError> {
        let reread = self.inner.reread.get().cloned();
        let reread = reread.ok_or(ControlError::NothingToReread)?;
        let read = tokio::task::spawn_blocking(move || reread()).await;
        let config = read
            .map_err(|error| ControlError::Reread(error.to_string()))?
            .map_err(ControlError::Reread)?;
        self.reload(config, actor).await
    }

    /// Takes another base: what a reload can change is applied, the rest stays as it was.
    pub(crate) async fn reload(
        &self,
        config: Config,
        actor: Option<&Actor>,
    ) -> Result<ReloadReport, ControlError> {
        config.validate()?;
        // The files of tokens may have changed although their places are the same.
        let access = &self.inner.parts.access;
        let tokens = access.read(config.api.clone()).await?;
        let receive = config.receive.clone();
        let sender_tokens = tokio::task::spawn_blocking(move || Senders::read(&receive)).await;
        let sender_tokens =
            sender_tokens.map_err(|error| ControlError::Reread(error.to_string()))??;
        // So may the lists of the context, and the model.
        let context = context::open(&config, &self.inner.parts.clock).await?;
        let model = risk::open(&config).await?;
        let rules = config.rules.read().await?;
        let mut state = self.inner.state.lock().await;
        let (next, report) = reloaded(&state, &config)?;
        let record = actor.map(|actor| Record {
            setting: None,
            entry: self.entry(actor, "config.reload", &report.applied.join(", ")),
        });
        if report.applied.is_empty() {
            self.record(record).await?;
            *state = next;
            self.show(&state)?;
        } else {
            self.apply(&mut state, next, record).await?;
        }
        // Every series is looked at again: not without need.
        if config.context.has_files() || report.applied.iter().any(|key| key.starts_with("context"))
        {
            self.inner.parts.observer.know(context).await?;
        }
        if config.rules.folder.is_some()
            || report.applied.iter().any(|key| key.starts_with("rules."))
        {
            self.inner.parts.observer.put_rules(rules).await?;
        }
        self.inner.parts.risk.replace(model);
        access.replace(tokens);
        self.inner.parts.senders.replace(sender_tokens);
        Ok(report)
    }

    /// Writes what is kept of a change, then puts it in force.
    async fn apply(
        &self,
        state: &mut State,
        next: State,
        record: Option<Record>,
    ) -> Result<Arc<View>, ControlError> {
        let parts = &self.inner.parts;
        let (old, new) = (&state.effective, &next.effective);
        let prepared = Prepared::between(old, new)?;
        self.record(record).await?;
        let scored = parts.observer.configure(next.effective.scoring()).await?;
        scored.map_err(ConfigError::from)?;
        let interval = Duration::from_secs(next.effective.analysis_interval_s);
        parts.analysis_interval.send_replace(interval);
        let exchanged = parts.deliveries.apply(prepared, &next.effective).await;
        exchanged.map_err(ConfigError::from)?;
        parts.inputs.apply(&next.effective.inputs).await;
        *state = next;
        Ok(self.show(state)?)
    }
}
