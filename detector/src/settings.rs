//! What a detector can be told, with defaults that need no change.
//!
//! Contract: [`Settings::validate`] accepts a value by its range, so that NaN and infinities are refused;
//! [`crate::Detector::new`] calls it. Unknown keys are refused when settings are deserialised.

use serde::{Deserialize, Serialize};

/// Longest duration that a setting may state: longer than the 585 years that a `Timestamp` spans.
const MAXIMUM_DURATION_S: f64 = 2e10;

/// Which scoring method answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Profile {
    /// Calibrated evidence: see [`crate::evidence`].
    #[default]
    Evidence,
    /// The published seed score: see [`crate::seed`].
    Seed,
}

impl Profile {
    /// Name in configuration and in [`crate::Assessment::method`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evidence => crate::evidence::METHOD,
            Self::Seed => crate::seed::METHOD,
        }
    }
}

/// Settings of a [`crate::Detector`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Which scoring method answers.
    pub profile: Profile,
    /// Most series to keep; when full, the least suspicious and oldest goes. 1..=100 000 000.
    ///
    /// One series takes about 480 bytes with its place in the table, and 8 to 16 bytes for each kept start.
    pub max_series: usize,
    /// Most connection starts to keep of one series: the newest. 4..=65 536.
    pub max_starts_per_series: usize,
    /// Observations older than this before `now` are ignored. 0..=2e10 s.
    ///
    /// Whatever arrives within it, in whatever order, gives the same assessment.
    pub max_lateness_s: f64,
    /// Observations further than this after `now` are ignored (a clock that is ahead). 0..=2e10 s.
    pub max_clock_skew_s: f64,
    /// Settings of the evidence.
    pub evidence: EvidenceSettings,
    /// Settings of the seed score.
    pub seed: SeedSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: Profile::Evidence,
            max_series: 1_000_000,
            max_starts_per_series: 512,
            max_lateness_s: 30.0 * 86_400.0,
            max_clock_skew_s: 60.0,
            evidence: EvidenceSettings::default(),
            seed: SeedSettings::default(),
        }
    }
}

/// When evidence is a detection (formulas: [`crate::evidence`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EvidenceSettings {
    /// Expected false alerts a day among series that do not beat, over all series together. 1e-6..=1e6.
    ///
    /// Benign series that do beat carry no such promise.
    pub false_alerts_per_day: f64,
    /// Score from which a series is a detection. 0..=1.
    pub alert_threshold: f64,
}

impl Default for EvidenceSettings {
    fn default() -> Self {
        Self {
            false_alerts_per_day: 0.5,
            alert_threshold: 0.5,
        }
    }
}

/// Gates and thresholds of the seed score (formulas: [`crate::seed`]).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "json-schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SeedSettings {
    /// Fewest connections that are scored. 2..=65 536.
    pub min_connections: usize,
    /// Shortest time from the first to the last scored connection. 0..=2e10 s.
    pub min_duration_s: f64,
    /// Shortest median interval that is scored. 0..=2e10 s.
    pub min_interval_s: f64,
    /// Longest median interval that is scored. `min_interval_s`..=2e10 s.
    pub max_interval_s: f64,
    /// Coefficient of variation at which its signal is 0.5. 1e-6..=1e3.
    pub cv_threshold: f64,
    /// Deviation from the median interval that is tolerated. 1e-6..=1e6 s.
    pub jitter_threshold_s: f64,
    /// Score from which a series is a detection. 0..=1.
    pub alert_threshold: f64,
}

impl Default for SeedSettings {
    fn default() -> Self {
        Self {
            min_connections: 10,
            min_duration_s: 300.0,
            min_interval_s: 10.0,
            max_interval_s: 3600.0,
            cv_threshold: 0.15,
            jitter_threshold_s: 5.0,
            alert_threshold: 0.7,
        }
    }
}

/// A setting outside its range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsError {
    /// A value outside its range, or not a number.
    #[error("{name} is {value}, expected {minimum} to {maximum}")]
    OutOfRange {
        /// Dotted name of the setting.
        name: &'static str,
        /// What it was.
        value: f64,
        /// Smallest value that is accepted.
        minimum: f64,
        /// Largest value that is accepted.
        maximum: f64,
    },
}

impl Settings {
    /// Score from which a series can be a detection with the method that answers.
    #[must_use]
    pub fn alert_threshold(&self) -> f64 {
        match self.profile {
            Profile::Evidence => self.evidence.alert_threshold,
            Profile::Seed => self.seed.alert_threshold,
        }
    }

    /// Checks every value against its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        in_range("max_series", count(self.max_series), 1.0, 1e8)?;
        let starts = count(self.max_starts_per_series);
        in_range("max_starts_per_series", starts, 4.0, 65_536.0)?;
        in_range(
            "max_lateness_s",
            self.max_lateness_s,
            0.0,
            MAXIMUM_DURATION_S,
        )?;
        in_range(
            "max_clock_skew_s",
            self.max_clock_skew_s,
            0.0,
            MAXIMUM_DURATION_S,
        )?;
        self.seed.validate(starts)?;
        self.evidence.validate()
    }
}

impl EvidenceSettings {
    fn validate(&self) -> Result<(), SettingsError> {
        in_range(
            "evidence.false_alerts_per_day",
            self.false_alerts_per_day,
            1e-6,
            1e6,
        )?;
        in_range("evidence.alert_threshold", self.alert_threshold, 0.0, 1.0)
    }
}

impl SeedSettings {
    /// Checks every value against its range; more connections than are kept could never be reached.
    fn validate(&self, max_starts: f64) -> Result<(), SettingsError> {
        in_range(
            "seed.min_connections",
            count(self.min_connections),
            2.0,
            max_starts,
        )?;
        in_range(
            "seed.min_duration_s",
            self.min_duration_s,
            0.0,
            MAXIMUM_DURATION_S,
        )?;
        in_range(
            "seed.min_interval_s",
            self.min_interval_s,
            0.0,
            MAXIMUM_DURATION_S,
        )?;
        in_range(
            "seed.max_interval_s",
            self.max_interval_s,
            self.min_interval_s,
            MAXIMUM_DURATION_S,
        )?;
        in_range("seed.cv_threshold", self.cv_threshold, 1e-6, 1e3)?;
        in_range(
            "seed.jitter_threshold_s",
            self.jitter_threshold_s,
            1e-6,
            1e6,
        )?;
        in_range("seed.alert_threshold", self.alert_threshold, 0.0, 1.0)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "compared with bounds far below 2^53"
)]
fn count(value: usize) -> f64 {
    value as f64
}

fn in_range(
    name: &'static str,
    value: f64,
    minimum: f64,
    maximum: f64,
) -> Result<(), SettingsError> {
    if (minimum..=maximum).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::OutOfRange {
        name,
        value,
        minimum,
        maximum,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_are_the_published_ones() {
        let settings = Settings::default();
        assert_eq!(settings.validate(), Ok(()));
        assert_eq!(settings.seed.min_connections, 10);
        assert!((settings.seed.cv_threshold - 0.15).abs() < f64::EPSILON);
    }

    #[test]
    fn nan_and_infinity_are_refused_by_name() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
            let mut settings = Settings::default();
            settings.seed.cv_threshold = value;
            let error = settings.validate().unwrap_err().to_string();
            assert!(error.starts_with("seed.cv_threshold is "), "{error}");
            let settings = Settings {
                max_lateness_s: value,
                ..Settings::default()
            };
            assert!(settings.validate().is_err());
        }
    }

    #[test]
    fn a_gate_that_could_never_be_passed_is_refused() {
        let mut settings = Settings {
            max_starts_per_series: 8,
            ..Settings::default()
        };
        settings.seed.min_connections = 10;
        assert!(settings.validate().is_err());
        settings.seed.min_connections = 8;
        assert!(settings.validate().is_ok());
        settings.seed.max_interval_s = 9.0;
        assert!(
            settings.validate().is_err(),
            "the longest interval is below the shortest"
        );
    }

    #[test]
    fn unknown_keys_are_refused_with_their_name() {
        let error =
            serde_json::from_str::<Settings>(r#"{"seed":{"cv_treshold":0.2}}"#).unwrap_err();
        assert!(error.to_string().contains("cv_treshold"), "{error}");
    }
}
