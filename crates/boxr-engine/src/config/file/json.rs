//! JSON as a tree with lines. serde_json does the reading; the place of a value is that of its
//! text in the whole.

use std::borrow::Cow;
use std::fmt;
use std::path::Path;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::line_of;
use crate::config::error::ConfigError;
use crate::config::value::{Node, Value};

/// How deep tables and lists may lie in each other; a configuration has three.
const DEEPEST: usize = 16;

/// Reads `text`.
pub(super) fn parse(text: &str, file: &Path) -> Result<Node, ConfigError> {
    let syntax =
        |line, column, message: String| ConfigError::Syntax { file: file.to_owned(), line, column, message };
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what);
        syntax(error.line(), error.column(), message.to_owned())
    })?;
    node(text, raw, 0).map_err(|Bad { offset, message }| {
        syntax(line_of(text, offset), super::column_of(text, offset), message)
    })
}

/// What serde_json's first look did not refuse.
struct Bad {
    offset: usize,
    message: String,
}

/// The value whose text is `raw`, which is a part of `text`.
fn node(text: &str, raw: &RawValue, depth: usize) -> Result<Node, Bad> {
    let part = raw.get();
    let offset = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let bad = |message: String| Bad { offset, message };
    if depth > DEEPEST {
        return Err(bad("lists and tables lie too deep in each other".to_owned()));
    }
    let failed = |error: serde_json::Error| bad(error.to_string());
    let value = match part.as_bytes().first() {
        Some(b'{') => {
            let entries: Entries = serde_json::from_str(part).map_err(failed)?;
            let read =
                |(key, raw): (Cow<str>, &RawValue)| Ok((key.into_owned(), node(text, raw, depth + 1)?));
            Value::Table(entries.0.into_iter().map(read).collect::<Result<_, Bad>>()?)
        }
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(part).map_err(failed)?;
            let read = |raw| node(text, raw, depth + 1);
            Value::List(elements.into_iter().map(read).collect::<Result<_, Bad>>()?)
        }
        Some(b'"') => Value::Text(serde_json::from_str(part).map_err(failed)?),
        _ => match serde_json::from_str(part).map_err(failed)? {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(on) => Value::Bool(on),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(whole) => Value::Integer(whole),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            _ => return Err(bad("not a value".to_owned())),
        },
    };
    Ok(Node { value, line: line_of(text, offset) })
}

/// An object's keys and values in order, repeated keys too.
struct Entries<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    entries.push((Cow::Owned(key), map.next_value()?));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
