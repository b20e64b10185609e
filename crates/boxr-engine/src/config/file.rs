//! Configuration files: TOML or JSON, with the same keys and the same checks.

mod json;
mod toml_tree;

use std::path::Path;

use super::error::{ConfigError, Origin};
use super::raw::RawRun;
use super::settings::{Setting, settings};
use super::value::{Base, Node, Value};
use super::{nearest, text_file};

/// The language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// toml.io
    Toml,
    /// RFC 8259
    Json,
}

impl Format {
    /// By the name's extension; `None` for another or none.
    pub fn of_name(file: &Path) -> Option<Self> {
        let extension = file.extension()?.to_str()?;
        match extension.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// By the text: a JSON object begins with a brace, which TOML cannot.
    fn of_text(text: &str) -> Self {
        if text.trim_start().starts_with('{') { Self::Json } else { Self::Toml }
    }
}

/// Reads a file; `-` is stdin. Relative paths in it begin at its directory, or at `directory` for stdin.
///
/// # Errors
/// A file that cannot be read, is neither language, or holds a key or value that cannot be used.
pub fn read(file: &Path, directory: &Path) -> Result<RawRun, ConfigError> {
    let text = text_file::read(file)?;
    if file == Path::new("-") {
        return parse(&text, Path::new("stdin"), None, &Base(directory.to_owned()));
    }
    let whole = directory.join(file);
    let base = Base(whole.parent().unwrap_or(directory).to_owned());
    parse(&text, file, Format::of_name(file), &base)
}

/// Reads the text of a file; without a format, that which it looks like.
///
/// # Errors
/// As [`read`].
pub fn parse(text: &str, file: &Path, format: Option<Format>, base: &Base) -> Result<RawRun, ConfigError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let tree = match format.unwrap_or_else(|| Format::of_text(text)) {
        Format::Toml => toml_tree::parse(text, file)?,
        Format::Json => json::parse(text, file)?,
    };
    let mut reader = Reader { file, base, raw: RawRun::default() };
    reader.table("", &tree)?;
    Ok(reader.raw)
}

struct Reader<'a> {
    file: &'a Path,
    base: &'a Base,
    raw: RawRun,
}

impl Reader<'_> {
    /// Reads the keys of a table; `prefix` is empty or ends with a dot.
    fn table(&mut self, prefix: &str, node: &Node) -> Result<(), ConfigError> {
        let Value::Table(entries) = &node.value else {
            let key = if prefix.is_empty() { "the file" } else { prefix.trim_end_matches('.') };
            return Err(self.value_error(key, node.line, node.wrong_type("a table"), "a table of keys"));
        };
        for (index, (name, value)) in entries.iter().enumerate() {
            let key = format!("{prefix}{name}");
            if entries[..index].iter().any(|(other, _)| other == name) {
                return Err(ConfigError::RepeatedKey { file: self.file.to_owned(), line: value.line, key });
            }
            self.entry(&key, value)?;
        }
        Ok(())
    }

    fn entry(&mut self, key: &str, node: &Node) -> Result<(), ConfigError> {
        if let Some(setting) = settings().find(|setting| setting.key == Some(key)) {
            if node.value == Value::Null {
                return Ok(());
            }
            return (setting.set)(&mut self.raw, node, self.base).map_err(|error| {
                let line = error.line.unwrap_or(node.line);
                self.value_error(key, line, error, setting.accepts)
            });
        }
        let inner = format!("{key}.");
        if settings().filter_map(|setting| setting.key).any(|known| known.starts_with(&inner)) {
            return if node.value == Value::Null { Ok(()) } else { self.table(&inner, node) };
        }
        let file = self.file.to_owned();
        Err(ConfigError::UnknownKey { file, line: node.line, key: key.to_owned(), nearest: nearest_key(key) })
    }

    fn value_error(
        &self,
        key: &str,
        line: usize,
        error: super::Invalid,
        accepts: &'static str,
    ) -> ConfigError {
        let origin = Origin::Key { key: key.to_owned(), file: self.file.to_owned(), line };
        ConfigError::Value { origin, value: error.value, why: error.why, accepts }
    }
}

/// The key that `key` was meant to be: one that looks like it, one that is called so in another
/// table, or the key of the flag that is called so.
fn nearest_key(key: &str) -> Option<&'static str> {
    let dashed = key.replace('_', "-");
    let last = dashed.rsplit('.').next().unwrap_or(&dashed);
    let keys = || settings().filter_map(|setting| setting.key);
    // In a table that exists only its own keys are near.
    if let Some((table, _)) = dashed.split_once('.') {
        let tails = || keys().filter_map(|known| known.strip_prefix(table)?.strip_prefix('.'));
        let near = nearest(last, tails());
        return keys().find(|known| near.is_some_and(|near| *known == format!("{table}.{near}")));
    }
    let exact = |setting: &&Setting| {
        let tail = setting.key.and_then(|known| known.rsplit('.').next());
        setting.key.is_some() && (setting.flag == Some(last) || tail == Some(last))
    };
    keys()
        .find(|known| *known == dashed)
        .or_else(|| settings().find(exact).and_then(|setting| setting.key))
        .or_else(|| nearest(&dashed, ["namespaces", "limits", "capabilities", "log"].into_iter()))
        .or_else(|| nearest(&dashed, keys()))
}

/// The line, from 1, of a byte of `text`.
fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The column, from 1 and in characters, of a byte of `text`.
fn column_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    1 + before.rsplit('\n').next().unwrap_or("").chars().count()
}

#[cfg(test)]
mod tests;
