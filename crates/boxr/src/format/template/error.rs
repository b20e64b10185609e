//! What can be wrong with a template, and where.

use crate::report::{Explain, Report};

/// A template cannot be read, or does not fit the data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template, column {column}: {reason}")]
pub struct TemplateError {
    /// The template as it was given.
    pub template: String,
    /// Where, in characters, counted from 1.
    pub column: usize,
    /// What is wrong there.
    pub reason: Reason,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// `{{` without `}}`.
    #[error("this {{{{ has no }}}}")]
    Unclosed,
    /// A string or a comment without its end.
    #[error("{0} without its end")]
    Unterminated(&'static str),
    /// Characters that mean nothing here.
    #[error("unexpected {0}")]
    Unexpected(String),
    /// Something must follow.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// An `if`, `range` or `with` without `end`.
    #[error("this {0} has no {{{{end}}}}")]
    NoEnd(&'static str),
    /// A number that is none.
    #[error("bad number {0}")]
    Number(String),
    /// Go's template language has it, and this does not.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// Deeper than anybody writes.
    #[error("nested too deeply")]
    TooDeep,
    /// No such function.
    #[error("unknown function {name:?}{}", hint(.nearest.as_deref()))]
    UnknownFunction {
        /// As written.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// No such variable.
    #[error("unknown variable ${0}")]
    UnknownVariable(String),
    /// The data has no such field.
    #[error("there is no field .{name}{}", hint(.nearest.as_deref()))]
    UnknownField {
        /// As written.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
    },
    /// A field of something that has none.
    #[error("{kind} has no field .{name}")]
    NotAnObject {
        /// What it is: "a string".
        kind: &'static str,
        /// The field.
        name: String,
    },
    /// Arguments after something that takes none.
    #[error("{0} takes no arguments")]
    NotAFunction(String),
    /// A function with too few or too many arguments.
    #[error("{function} takes {wanted}, and got {got}")]
    ArgumentCount {
        /// Its name.
        function: &'static str,
        /// "2 arguments".
        wanted: &'static str,
        /// How many it got.
        got: usize,
    },
    /// An argument of the wrong type.
    #[error("{function} needs {wanted}, and got {got}")]
    ArgumentType {
        /// Its name.
        function: &'static str,
        /// "a string".
        wanted: &'static str,
        /// "a number".
        got: &'static str,
    },
    /// `index` or `slice` beyond the end.
    #[error("index {index} is out of range: there are {length}")]
    OutOfRange {
        /// What was asked for.
        index: i64,
        /// How many there are.
        length: usize,
    },
    /// Two values that cannot be compared.
    #[error("cannot compare {0} with {1}")]
    Incomparable(&'static str, &'static str),
    /// `range` over something else than a list or a map.
    #[error("range cannot go over {0}")]
    NotIterable(&'static str),
}

fn hint(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!("; the nearest is {nearest}"))
}

/// A reason with the byte offset it was found at; becomes a [`TemplateError`] at the border.
pub(super) type Located = (usize, Reason);

impl TemplateError {
    pub(super) fn new(template: &str, (offset, reason): Located) -> Self {
        let before = template.get(..offset).unwrap_or(template);
        Self { template: template.to_owned(), column: before.chars().count() + 1, reason }
    }
}

impl Explain for TemplateError {
    fn report(&self) -> Report {
        let report = Report::new(format!("--format: column {}: {}", self.column, self.reason));
        // A template of several lines, or with tabs, cannot be pointed into by a caret below it.
        if self.template.contains(|c: char| c.is_control()) {
            return report;
        }
        report.detail(self.template.clone()).detail(format!("{}^", " ".repeat(self.column - 1)))
    }
}
