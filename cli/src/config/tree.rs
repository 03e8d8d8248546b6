//! Every setting of a configuration, with what it is and where it came from.

use serde_json::Value as Json;

use super::{Config, Loaded, Origin};

/// One setting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// Parts of its dotted key.
    pub(crate) path: Vec<String>,
    pub(crate) value: Json,
    /// Where it came from, when it is not as the default is.
    pub(crate) origin: Option<String>,
}

/// Every setting that has a value, in the order of the sections.
pub(crate) fn settings(loaded: &Loaded) -> Result<Vec<Setting>, serde_json::Error> {
    let shown = serde_json::to_value(&loaded.config)?;
    let defaults = serde_json::to_value(Config::default())?;
    let mut all = Vec::new();
    collect(&shown, &mut Vec::new(), &mut |path, value| {
        let default = path.iter().try_fold(&defaults, |at, name| at.get(name));
        let origin = match loaded.layers.origin(path) {
            Origin::Layer(name) if default != Some(value) => Some(name),
            _ => None,
        };
        all.push(Setting {
            path: path.to_vec(),
            value: value.clone(),
            origin,
        });
    });
    Ok(all)
}

fn collect(value: &Json, path: &mut Vec<String>, found: &mut dyn FnMut(&[String], &Json)) {
    match value {
        Json::Null => {}
        Json::Object(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                path.push(name.clone());
                collect(value, path, found);
                path.pop();
            }
        }
        _ => found(path, value),
    }
}
