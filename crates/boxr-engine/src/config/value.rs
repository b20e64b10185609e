//! A value as it was written, in a file or behind a flag, with the line it stands in.

use std::path::{Path, PathBuf};

/// Why a value cannot be used. The caller knows which flag or key it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// As it was written; shortened when it is long.
    pub value: String,
    /// What is wrong with it.
    pub why: String,
    /// Its line, when it is one of several in a list of a file.
    pub line: Option<usize>,
}

impl Invalid {
    /// `value` cannot be used because `why`.
    pub fn new(value: impl Into<String>, why: impl Into<String>) -> Self {
        let mut value = value.into();
        if value.chars().count() > 120 {
            value = value.chars().take(117).chain("...".chars()).collect();
        }
        Self { value, why: why.into(), line: None }
    }
}

/// What was written.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// JSON's null: nothing was said.
    Null,
    /// `true` or `false`, or a switch.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// A string of a file.
    Text(String),
    /// What followed a flag, whose type is not known yet.
    Word(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values, in order.
    Table(Vec<(String, Node)>),
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its line in the file, from 1; 0 behind a flag.
    pub line: usize,
}

/// Where relative paths begin: the caller's directory, or that of the file.
#[derive(Clone, Debug)]
pub struct Base(pub PathBuf);

impl Base {
    /// `path` made absolute, without `.` and `..`.
    pub fn absolute(&self, path: &str) -> Result<PathBuf, Invalid> {
        if path.is_empty() {
            return Err(Invalid::new(path, "an empty path"));
        }
        Ok(clean(&self.0.join(path)))
    }
}

/// A path without `.`, and with each `..` taken back by name, as a shell's `cd` does.
pub fn clean(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                cleaned.pop();
            }
            other => cleaned.push(other),
        }
    }
    cleaned
}

impl Node {
    /// What followed a flag.
    pub fn word(text: impl Into<String>) -> Self {
        Self { value: Value::Word(text.into()), line: 0 }
    }

    /// A switch.
    pub fn switch(on: bool) -> Self {
        Self { value: Value::Bool(on), line: 0 }
    }

    /// A string.
    pub fn text(&self) -> Result<&str, Invalid> {
        match &self.value {
            Value::Text(text) | Value::Word(text) if text.contains('\0') => {
                Err(self.invalid("a NUL character, which no argument of a program can hold"))
            }
            Value::Text(text) | Value::Word(text) => Ok(text),
            _ => Err(self.wrong_type("a string")),
        }
    }

    /// True or false.
    pub fn boolean(&self) -> Result<bool, Invalid> {
        match &self.value {
            Value::Bool(on) => Ok(*on),
            Value::Word(word) if word == "true" => Ok(true),
            Value::Word(word) if word == "false" => Ok(false),
            _ => Err(self.wrong_type("true or false")),
        }
    }

    /// A whole number between `least` and `most`.
    pub fn integer(&self, least: i64, most: i64) -> Result<i64, Invalid> {
        let number = match &self.value {
            Value::Integer(number) => *number,
            Value::Word(word) => word.parse().map_err(|_| self.invalid("not a whole number"))?,
            _ => return Err(self.wrong_type("a whole number")),
        };
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        Err(self.invalid(format!("not between {least} and {most}")))
    }

    /// A number or a string, as text: for values such as `512m` that may be a bare number.
    pub fn text_or_number(&self) -> Result<String, Invalid> {
        match &self.value {
            Value::Integer(number) => Ok(number.to_string()),
            Value::Float(number) => Ok(number.to_string()),
            _ => self.text().map(str::to_owned).map_err(|_| self.wrong_type("a number or a string")),
        }
    }

    /// The elements of a list; one word behind a flag, or one string, is a list of one.
    pub fn elements(&self) -> Result<&[Node], Invalid> {
        match &self.value {
            Value::List(nodes) => Ok(nodes),
            Value::Word(_) | Value::Text(_) => Ok(std::slice::from_ref(self)),
            _ => Err(self.wrong_type("a list")),
        }
    }

    /// Reads each element of a list.
    pub fn each<T>(&self, read: impl Fn(&Node) -> Result<T, Invalid>) -> Result<Vec<T>, Invalid> {
        self.elements()?.iter().map(|node| read(node).map_err(|error| node.at(error))).collect()
    }

    /// Puts this node's line to an error of it.
    pub fn at(&self, mut error: Invalid) -> Invalid {
        if self.line > 0 && error.line.is_none() {
            error.line = Some(self.line);
        }
        error
    }

    /// An error about this value.
    pub fn invalid(&self, why: impl Into<String>) -> Invalid {
        Invalid::new(self.shown(), why)
    }

    /// An error about this value's type.
    pub fn wrong_type(&self, expected: &str) -> Invalid {
        self.invalid(format!("{} where {expected} is expected", self.kind()))
    }

    /// What kind of value it is, in words.
    fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Text(_) | Value::Word(_) => "a string",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }

    /// As an error shows it.
    fn shown(&self) -> String {
        match &self.value {
            Value::Null => "null".to_owned(),
            Value::Bool(on) => on.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) => format!("{text:?}"),
            Value::Word(text) => text.clone(),
            Value::List(_) => "[...]".to_owned(),
            Value::Table(_) => "{...}".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_made_absolute_by_name() {
        let base = Base(PathBuf::from("/home/me"));
        assert_eq!(base.absolute("x/./y/../z").unwrap(), PathBuf::from("/home/me/x/z"));
        assert_eq!(base.absolute("../../../etc").unwrap(), PathBuf::from("/etc"));
        assert_eq!(base.absolute("/a/b/").unwrap(), PathBuf::from("/a/b"));
        assert!(base.absolute("").is_err());
    }

    #[test]
    fn types_of_files_are_strict_and_words_are_not() {
        let text = Node { value: Value::Text("5".into()), line: 3 };
        assert!(text.integer(0, 9).is_err());
        assert_eq!(Node::word("5").integer(0, 9), Ok(5));
        assert!(Node::word("50").integer(0, 9).is_err());
        assert!(text.boolean().unwrap_err().why.contains("a string where true or false"));
    }
}
