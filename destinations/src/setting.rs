//! A setting that cannot be, named by its dotted field.

/// Why a value of the configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// A number outside its range.
    #[error("{field} is {value}, expected {minimum} to {maximum}")]
    OutOfRange {
        /// Dotted name.
        field: String,
        /// What it was.
        value: u64,
        /// Smallest that is accepted.
        minimum: u64,
        /// Largest that is accepted.
        maximum: u64,
    },
    /// A value that cannot be.
    #[error("{field} is {value:?}, expected {expected}")]
    Value {
        /// Dotted name.
        field: String,
        /// What it was.
        value: String,
        /// What it should have been.
        expected: &'static str,
    },
}

impl SettingError {
    /// Dotted name of the field.
    #[must_use]
    pub fn field(&self) -> &str {
        match self {
            Self::OutOfRange { field, .. } | Self::Value { field, .. } => field,
        }
    }

    /// A value of `field` that is not what was expected.
    pub fn value(
        field: impl Into<String>,
        value: impl Into<String>,
        expected: &'static str,
    ) -> Self {
        Self::Value {
            field: field.into(),
            value: value.into(),
            expected,
        }
    }
}

/// Checks that a number lies in its range; `field` is its dotted name.
pub fn in_range(field: &str, value: u64, minimum: u64, maximum: u64) -> Result<(), SettingError> {
    if (minimum..=maximum).contains(&value) {
        return Ok(());
    }
    Err(SettingError::OutOfRange {
        field: field.to_owned(),
        value,
        minimum,
        maximum,
    })
}
