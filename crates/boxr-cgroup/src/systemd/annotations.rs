//! Annotations `org.systemd.property.NAME`, by which an OCI configuration sets properties of its scope
//! (runc's documentation of its systemd driver, crun(1)).

use super::properties::Property;
use crate::dbus::{Value, text};
use crate::error::{Error, Result};

const PREFIX: &str = "org.systemd.property.";

/// The properties that `annotations` ask for; others are passed over.
pub(super) fn properties<'a>(
    annotations: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Vec<Property>> {
    let mut list = Vec::new();
    for (key, value) in annotations {
        if let Some(name) = key.strip_prefix(PREFIX) {
            list.push(property(name, value).map_err(|reason| Error::BadAnnotation {
                name: key.to_owned(),
                value: value.to_owned(),
                reason,
            })?);
        }
    }
    list.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(list)
}

fn property(name: &str, value: &str) -> std::result::Result<Property, &'static str> {
    let is_name = name.len() >= 3 && name.starts_with(|c: char| c.is_ascii_uppercase());
    if !is_name || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err("is not for a name of a property");
    }
    let value = text::parse(value)?;
    // Unit files have seconds; the bus has microseconds, by another name.
    match name.strip_suffix("Sec").filter(|stem| !stem.is_empty() && !stem.ends_with('U')) {
        Some(stem) => Ok(Property::new(&format!("{stem}USec"), Value::U64(microseconds(&value)?))),
        None => Ok(Property::new(name, value)),
    }
}

fn microseconds(value: &Value) -> std::result::Result<u64, &'static str> {
    const PER_SECOND: u64 = 1_000_000;
    const BAD: &str = "is not a number of seconds";
    let whole = match value {
        Value::Byte(value) => Some(u64::from(*value)),
        Value::U16(value) => Some(u64::from(*value)),
        Value::U32(value) => Some(u64::from(*value)),
        Value::U64(value) => Some(*value),
        Value::I16(value) => u64::try_from(*value).ok(),
        Value::I32(value) => u64::try_from(*value).ok(),
        Value::I64(value) => u64::try_from(*value).ok(),
        Value::Double(value) if value.is_finite() && *value >= 0.0 => {
            return Ok((value * PER_SECOND as f64) as u64);
        }
        _ => None,
    };
    whole.and_then(|whole| whole.checked_mul(PER_SECOND)).ok_or(BAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_of_annotations() {
        let list = properties([
            ("other", "x"),
            ("org.systemd.property.TimeoutStopUSec", "uint64 5"),
            ("org.systemd.property.CollectMode", "'inactive-or-failed'"),
            ("org.systemd.property.RuntimeMaxSec", "1.5"),
        ])
        .unwrap();
        let expected = [
            Property::new("CollectMode", Value::text("inactive-or-failed")),
            Property::new("RuntimeMaxUSec", Value::U64(1_500_000)),
            Property::new("TimeoutStopUSec", Value::U64(5)),
        ];
        assert_eq!(list, expected);
    }

    #[test]
    fn refusals_name_the_annotation() {
        for (key, value) in
            [("x", "1"), ("Lower Case", "1"), ("CollectMode", "plain"), ("TimeoutStopSec", "-1")]
        {
            let key = format!("{PREFIX}{key}");
            let error = properties([(&*key, value)]).unwrap_err().to_string();
            assert!(error.contains(&key), "{error}");
        }
    }
}
