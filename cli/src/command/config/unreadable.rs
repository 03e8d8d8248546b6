//! Files and variables that the configuration names and that cannot be read: an instance could not start with
//! them. They are warnings, because who checks may not be who runs.

use std::fs::File;
use std::io;

use serde_json::Value;

use crate::config::{self, Loaded};

/// What cannot be read, each with its place in the configuration. Nothing of a secret is read.
pub(super) fn of(loaded: &Loaded) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    for setting in config::settings(loaded).map_err(io::Error::from)? {
        let mut path = setting.path;
        let origin = setting.origin.as_deref().unwrap_or("configuration");
        look(&setting.value, &mut path, &mut |path, problem| {
            found.push(format!("{origin}: {}: {problem}", path.join(".")));
        });
    }
    Ok(found)
}

/// Looks at a value and what is in it, lists too.
fn look(value: &Value, path: &mut Vec<String>, found: &mut dyn FnMut(&[String], &str)) {
    match value {
        Value::String(text) => {
            let name = path.last().map_or("", String::as_str);
            if let Some(problem) = problem(name, text) {
                found(path, &problem);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                look(item, path, found);
                path.pop();
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                path.push(name.clone());
                look(field, path, found);
                path.pop();
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn problem(name: &str, value: &str) -> Option<String> {
    if name == "env" {
        let unset = std::env::var_os(value).is_none();
        return unset.then(|| format!("the environment variable {value} is not set here"));
    }
    if name != "file" && !name.ends_with("_file") {
        return None;
    }
    let error = File::open(value).err()?;
    Some(format!("cannot read {value}: {error}"))
}
