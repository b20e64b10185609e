//! TOML as a tree with lines.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{column_of, line_of};
use crate::config::error::ConfigError;
use crate::config::value::{Node, Value};

/// Reads `text`.
pub(super) fn parse(text: &str, file: &Path) -> Result<Node, ConfigError> {
    let table = DeTable::parse(text).map_err(|error| {
        let offset = error.span().map_or(text.len(), |span| span.start);
        ConfigError::Syntax {
            file: file.to_owned(),
            line: line_of(text, offset),
            column: column_of(text, offset),
            message: error.message().replace('\n', ", "),
        }
    })?;
    Ok(Node { value: entries(text, table.get_ref()), line: 1 })
}

/// The entries of a table, in the order in which they stand in the file.
fn entries(text: &str, table: &DeTable<'_>) -> Value {
    let mut found: Vec<(usize, String, Node)> = table
        .iter()
        .map(|(key, value)| {
            let start = key.span().start;
            let mut node = node(text, value);
            // A table's own place may be its header's or its first key's; the key's is the one to show.
            node.line = line_of(text, start);
            (start, key.get_ref().to_string(), node)
        })
        .collect();
    found.sort_by_key(|(start, ..)| *start);
    Value::Table(found.into_iter().map(|(_, key, node)| (key, node)).collect())
}

fn node(text: &str, value: &Spanned<DeValue<'_>>) -> Node {
    let line = line_of(text, value.span().start);
    let value = match value.get_ref() {
        DeValue::String(string) => Value::Text(string.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(whole) => Value::Integer(whole),
            Err(_) => Value::Text(number.to_string()),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => Value::Text(number.as_str().to_owned()),
        },
        DeValue::Boolean(on) => Value::Bool(*on),
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(elements) => Value::List(elements.iter().map(|element| node(text, element)).collect()),
        DeValue::Table(table) => entries(text, table),
    };
    Node { value, line }
}
