//! What the API changes, for the fuzz targets.

use serde_json::{Map, Value};

use super::tree;
use crate::config::Config;

/// The default configuration as a tree, and the same under a patch; the reason when the patch is refused.
pub fn patched(patch: &Value) -> Result<(Value, Value), String> {
    let base = tree::of(&Config::default()).map_err(|error| error.to_string())?;
    tree::check_patch(patch, &base).map_err(|error| error.to_string())?;
    let mut overrides = Value::Object(Map::new());
    tree::merge_patch(&mut overrides, patch);
    let combined = tree::with(&base, &overrides);
    Ok((base, combined))
}
