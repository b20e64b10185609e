//! The part of Go's templates that users of docker's `--format` know.
//!
//! Fields (`.State.Pid`), pipes, parentheses, variables, `if`/`else`/`range`/`with`, trim markers,
//! comments, docker's functions (`json join split lower upper title pad truncate println`) and Go's
//! (`and or not len index slice print printf eq ne lt le gt ge`). Own rather than the gtmpl crate,
//! whose last release is years old, which has no lazily made fields, and whose errors name no place.

mod error;
mod eval;
mod functions;
mod lexer;
mod parser;
mod printf;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Cow;

use serde_json::Value;

pub use error::{Reason, TemplateError};
pub use printf::quote;

/// What a template is carried out on.
pub trait Object {
    /// A field; `None` when there is no such field.
    fn field(&self, name: &str) -> Option<Cow<'_, Value>>;

    /// A function of the object, such as `Label`; `None` when there is none.
    fn method(&self, _name: &str, _arguments: &[Value]) -> Option<Value> {
        None
    }

    /// All fields, as `json .` prints them.
    fn all(&self) -> Value;

    /// Names of fields, for hints.
    fn names(&self) -> Vec<&str>;
}

/// A JSON object: its members.
impl Object for Value {
    fn field(&self, name: &str) -> Option<Cow<'_, Value>> {
        eval::member(self, name).ok().flatten().map(Cow::Borrowed)
    }

    fn all(&self) -> Value {
        self.clone()
    }

    fn names(&self) -> Vec<&str> {
        self.as_object().map(|map| map.keys().map(String::as_str).collect()).unwrap_or_default()
    }
}

/// A template, understood.
#[derive(Debug)]
pub struct Template {
    source: String,
    nodes: Vec<parser::Node>,
}

impl Template {
    /// Understands a template.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let nodes = lexer::split(source)
            .and_then(parser::parse)
            .map_err(|error| TemplateError::new(source, error))?;
        Ok(Self { source: source.to_owned(), nodes })
    }

    /// Appends what it makes of `data`; on an error, `out` has what came before it.
    ///
    /// # Errors
    /// When it asks for what the data does not have.
    pub fn render(&self, data: &dyn Object, out: &mut String) -> Result<(), TemplateError> {
        self.evaluate(data, false, out)
    }

    /// The same for the heading of a table: `data` has header words, which functions leave alone.
    ///
    /// # Errors
    /// As [`Template::render`].
    pub fn render_header(&self, data: &dyn Object, out: &mut String) -> Result<(), TemplateError> {
        self.evaluate(data, true, out)
    }

    /// Whether the data's field `name` is mentioned: whether a costly one is worth making.
    pub fn mentions(&self, name: &str) -> bool {
        let field = format!(".{name}");
        self.source.match_indices(&field).any(|(at, _)| {
            !self.source[at + field.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
        })
    }

    fn evaluate(&self, data: &dyn Object, header: bool, out: &mut String) -> Result<(), TemplateError> {
        eval::Evaluation::new(data, header)
            .run(&self.nodes, out)
            .map_err(|error| TemplateError::new(&self.source, error))
    }
}
