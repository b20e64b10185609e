//! Podman's fields have one name in templates and another in JSON.

use serde_json::{Map, Value};

/// The same under both names.
pub(super) struct Pair {
    /// As templates have it: `.Host.CPUs`.
    pub go: Value,
    /// As JSON has it: `host.cpus`.
    pub json: Value,
}

impl Pair {
    /// A map, of names for templates, names for JSON, and what is under them.
    pub fn map(entries: Vec<(&'static str, &'static str, Pair)>) -> Self {
        let (mut go, mut json) = (Map::new(), Map::new());
        for (name, key, pair) in entries {
            go.insert(name.to_owned(), pair.go);
            json.insert(key.to_owned(), pair.json);
        }
        Self { go: Value::Object(go), json: Value::Object(json) }
    }
}

impl<T: Into<Value>> From<T> for Pair {
    fn from(value: T) -> Self {
        let value = value.into();
        Self { go: value.clone(), json: value }
    }
}
