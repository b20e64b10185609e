//! The functions of templates: Go's, and those that docker adds.

use std::cmp::Ordering;

use serde_json::Value;

use super::error::Reason;
use super::printf;
use super::value::{kind, truth, write_value};

/// The longest padding that `pad` makes.
const MAX_PAD: i64 = 10_000;

macro_rules! functions {
    ($($name:ident $($word:literal)+)*) => {
        /// A function by name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Function { $(#[doc = concat!($("`", $word, "` ",)+)] $name,)* }

        /// The function a word calls.
        pub(super) fn find(word: &str) -> Option<Function> {
            match word { $($($word)|+ => Some(Function::$name),)* _ => None }
        }

        /// All words.
        pub(super) fn names() -> impl Iterator<Item = &'static str> {
            [$($($word,)+)*].into_iter()
        }

        impl Function {
            /// Its first word.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$name => functions!(@first $($word)+),)* }
            }
        }
    };
    (@first $word:literal $($rest:literal)*) => { $word };
}

functions! {
    And "and" Or "or" Not "not" Len "len" Index "index" Slice "slice"
    Eq "eq" Ne "ne" Lt "lt" Le "le" Gt "gt" Ge "ge"
    Print "print" Println "println" Printf "printf"
    Json "json" Split "split" Join "join" Title "title" Lower "lower" Upper "upper"
    Pad "pad" Truncate "truncate" "trunc"
}

/// Arguments of a call, with what an error about them says.
struct Arguments<'a> {
    function: &'static str,
    values: &'a [Value],
}

impl<'a> Arguments<'a> {
    fn exactly(&self, count: usize, wanted: &'static str) -> Result<(), Reason> {
        if self.values.len() == count { Ok(()) } else { Err(self.count_error(wanted)) }
    }

    fn at_least(&self, count: usize, wanted: &'static str) -> Result<(), Reason> {
        if self.values.len() >= count { Ok(()) } else { Err(self.count_error(wanted)) }
    }

    fn count_error(&self, wanted: &'static str) -> Reason {
        Reason::ArgumentCount { function: self.function, wanted, got: self.values.len() }
    }

    fn get(&self, index: usize) -> &'a Value {
        self.values.get(index).unwrap_or(&Value::Null)
    }

    fn type_error(&self, wanted: &'static str, got: &Value) -> Reason {
        Reason::ArgumentType { function: self.function, wanted, got: kind(got) }
    }

    fn text(&self, index: usize) -> Result<&'a str, Reason> {
        let value = self.get(index);
        value.as_str().ok_or_else(|| self.type_error("a string", value))
    }

    fn integer(&self, index: usize) -> Result<i64, Reason> {
        let value = self.get(index);
        value.as_i64().ok_or_else(|| self.type_error("a whole number", value))
    }
}

/// Calls a function. `and` and `or` get here with their deciding argument only.
pub(super) fn call(function: Function, values: &[Value]) -> Result<Value, Reason> {
    let arguments = Arguments { function: function.name(), values };
    match function {
        Function::And | Function::Or => {
            arguments.at_least(1, "at least 1 argument")?;
            Ok(values.last().cloned().unwrap_or_default())
        }
        Function::Not => {
            arguments.exactly(1, "1 argument")?;
            Ok(Value::Bool(!truth(arguments.get(0))))
        }
        Function::Len => length(&arguments),
        Function::Index => index(&arguments),
        Function::Slice => slice(&arguments),
        Function::Eq => equal(&arguments),
        Function::Ne | Function::Lt | Function::Le | Function::Gt | Function::Ge => {
            arguments.exactly(2, "2 arguments")?;
            let order = compare(arguments.get(0), arguments.get(1), function)?;
            Ok(Value::Bool(match function {
                Function::Ne => order != Some(Ordering::Equal),
                Function::Lt => order == Some(Ordering::Less),
                Function::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
                Function::Gt => order == Some(Ordering::Greater),
                _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            }))
        }
        Function::Print => Ok(Value::String(printf::print(values))),
        Function::Println => Ok(Value::String(printf::println(values))),
        Function::Printf => {
            let format = arguments.text(0)?;
            Ok(Value::String(printf::printf(format, &values[1..])))
        }
        _ => text_function(function, &arguments),
    }
}

/// The same for the heading of a table, in which the data is header words: they stay as they are.
pub(super) fn call_for_header(function: Function, values: &[Value]) -> Result<Value, Reason> {
    use Function::{Join, Json, Lower, Pad, Split, Title, Truncate, Upper};
    match function {
        Json | Split | Join | Title | Lower | Upper | Pad | Truncate => {
            Ok(values.first().cloned().unwrap_or_default())
        }
        function => call(function, values),
    }
}

fn text_function(function: Function, arguments: &Arguments<'_>) -> Result<Value, Reason> {
    let text = match function {
        Function::Json => {
            arguments.exactly(1, "1 argument")?;
            arguments.get(0).to_string()
        }
        Function::Split => {
            arguments.exactly(2, "2 arguments")?;
            let (text, separator) = (arguments.text(0)?, arguments.text(1)?);
            let parts: Vec<Value> = if separator.is_empty() {
                text.chars().map(|c| c.to_string().into()).collect()
            } else {
                text.split(separator).map(Value::from).collect()
            };
            return Ok(Value::Array(parts));
        }
        Function::Join => join(arguments)?,
        Function::Title => {
            arguments.exactly(1, "1 argument")?;
            title(arguments.text(0)?)
        }
        Function::Lower => {
            arguments.exactly(1, "1 argument")?;
            arguments.text(0)?.to_lowercase()
        }
        Function::Upper => {
            arguments.exactly(1, "1 argument")?;
            arguments.text(0)?.to_uppercase()
        }
        Function::Pad => {
            arguments.exactly(3, "3 arguments")?;
            let text = arguments.text(0)?;
            let blanks = |count: i64| " ".repeat(usize::try_from(count.clamp(0, MAX_PAD)).unwrap_or(0));
            let (left, right) = (blanks(arguments.integer(1)?), blanks(arguments.integer(2)?));
            if text.is_empty() { String::new() } else { format!("{left}{text}{right}") }
        }
        _ => {
            arguments.exactly(2, "2 arguments")?;
            let (text, length) = (arguments.text(0)?, arguments.integer(1)?);
            text.chars().take(usize::try_from(length).unwrap_or(0)).collect()
        }
    };
    Ok(Value::String(text))
}

fn join(arguments: &Arguments<'_>) -> Result<String, Reason> {
    arguments.exactly(2, "2 arguments")?;
    let separator = arguments.text(1)?;
    let list = match arguments.get(0) {
        Value::Array(list) => list.as_slice(),
        Value::Null => &[],
        other => return Err(arguments.type_error("a list", other)),
    };
    let mut joined = String::new();
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        write_value(value, &mut joined);
    }
    Ok(joined)
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut titled = String::with_capacity(text.len());
    let mut begins = true;
    for c in text.chars() {
        if begins && c.is_alphabetic() {
            titled.extend(c.to_uppercase())
        } else {
            titled.push(c)
        }
        begins = !(c.is_alphanumeric() || c == '_' || c == '\'');
    }
    titled
}

fn length(arguments: &Arguments<'_>) -> Result<Value, Reason> {
    arguments.exactly(1, "1 argument")?;
    let length = match arguments.get(0) {
        Value::String(text) => text.len(),
        Value::Array(list) => list.len(),
        Value::Object(map) => map.len(),
        Value::Null => 0,
        other => return Err(arguments.type_error("a string, a list or a map", other)),
    };
    Ok(Value::from(length))
}

/// `index X 1 "key"` is `X[1]["key"]`. A key that is missing gives nothing.
fn index(arguments: &Arguments<'_>) -> Result<Value, Reason> {
    arguments.at_least(1, "at least 1 argument")?;
    let mut value = arguments.get(0);
    for (position, key) in arguments.values.iter().enumerate().skip(1) {
        value = match value {
            Value::Array(list) => {
                let index = arguments.integer(position)?;
                let found = usize::try_from(index).ok().and_then(|index| list.get(index));
                found.ok_or(Reason::OutOfRange { index, length: list.len() })?
            }
            Value::Object(map) => {
                let key =
                    key.as_str().ok_or_else(|| arguments.type_error("a string as key of a map", key))?;
                // Go gives the zero value of the map's type; all maps one indexes here are of strings.
                map.get(key).unwrap_or(const { &Value::String(String::new()) })
            }
            Value::Null => &Value::Null,
            other => return Err(arguments.type_error("a list or a map", other)),
        };
    }
    Ok(value.clone())
}

/// `slice X 1 2` is `X[1:2]`, in characters of a string.
fn slice(arguments: &Arguments<'_>) -> Result<Value, Reason> {
    if !(1..=3).contains(&arguments.values.len()) {
        return Err(arguments.count_error("1 to 3 arguments"));
    }
    let length = match arguments.get(0) {
        Value::String(text) => text.chars().count(),
        Value::Array(list) => list.len(),
        other => return Err(arguments.type_error("a string or a list", other)),
    };
    let bound = |position: usize, default: usize| -> Result<usize, Reason> {
        if arguments.values.len() <= position {
            return Ok(default);
        }
        let index = arguments.integer(position)?;
        usize::try_from(index)
            .ok()
            .filter(|index| *index <= length)
            .ok_or(Reason::OutOfRange { index, length })
    };
    let (from, to) = (bound(1, 0)?, bound(2, length)?);
    if from > to {
        return Err(Reason::OutOfRange { index: i64::try_from(from).unwrap_or(i64::MAX), length: to });
    }
    Ok(match arguments.get(0) {
        Value::String(text) => Value::String(text.chars().skip(from).take(to - from).collect()),
        Value::Array(list) => Value::Array(list[from..to].to_vec()),
        _ => Value::Null,
    })
}

/// `eq X A B` is true when X equals A or B.
fn equal(arguments: &Arguments<'_>) -> Result<Value, Reason> {
    arguments.at_least(2, "at least 2 arguments")?;
    let first = arguments.get(0);
    for other in &arguments.values[1..] {
        if compare(first, other, Function::Eq)? == Some(Ordering::Equal) {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn compare(a: &Value, b: &Value, function: Function) -> Result<Option<Ordering>, Reason> {
    let only_equality = matches!(function, Function::Eq | Function::Ne);
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => Ok(match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64().partial_cmp(&b.as_f64()),
        }),
        (Value::String(a), Value::String(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) if only_equality => Ok(Some(a.cmp(b))),
        (Value::Null, Value::Null) if only_equality => Ok(Some(Ordering::Equal)),
        (Value::Null, _) | (_, Value::Null) if only_equality => Ok(None),
        _ => Err(Reason::Incomparable(kind(a), kind(b))),
    }
}
