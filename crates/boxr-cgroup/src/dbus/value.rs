//! Values of D-Bus and their types (D-Bus specification, "Type System").

/// One value. Of the specification's types it lacks file descriptors and dictionaries, which
/// nothing that is said here has.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    I16(i16),
    U16(u16),
    I32(i32),
    U32(u32),
    I64(i64),
    U64(u64),
    Double(f64),
    Text(String),
    Path(String),
    Signature(String),
    /// The signature of an element, and the elements.
    Array(String, Vec<Value>),
    Struct(Vec<Value>),
    Variant(Box<Value>),
}

impl Value {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A value that carries its own type.
    pub fn variant(self) -> Self {
        Self::Variant(Box::new(self))
    }

    /// Its type in the letters of D-Bus.
    pub fn signature(&self) -> String {
        let letter = match self {
            Self::Byte(_) => "y",
            Self::Bool(_) => "b",
            Self::I16(_) => "n",
            Self::U16(_) => "q",
            Self::I32(_) => "i",
            Self::U32(_) => "u",
            Self::I64(_) => "x",
            Self::U64(_) => "t",
            Self::Double(_) => "d",
            Self::Text(_) => "s",
            Self::Path(_) => "o",
            Self::Signature(_) => "g",
            Self::Variant(_) => "v",
            Self::Array(element, _) => return format!("a{element}"),
            Self::Struct(fields) => {
                return format!("({})", fields.iter().map(Self::signature).collect::<String>());
            }
        };
        letter.to_owned()
    }

    /// The text of a string or path.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Path(text) => Some(text),
            _ => None,
        }
    }
}

/// Splits the first complete type off a signature; `None` where there is none.
pub(crate) fn split_type(signature: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (index, letter) in signature.char_indices() {
        match letter {
            '(' | '{' => depth += 1,
            ')' | '}' => depth = depth.checked_sub(1)?,
            'a' => continue,
            _ => {}
        }
        if depth == 0 {
            return Some(signature.split_at(index + letter.len_utf8()));
        }
    }
    None
}

/// To what a value of this type is aligned on the wire.
pub(crate) fn alignment(signature: &str) -> usize {
    match signature.as_bytes().first() {
        Some(b'n' | b'q') => 2,
        Some(b'b' | b'i' | b'u' | b's' | b'o' | b'a') => 4,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures() {
        let property = Value::Struct(vec![Value::text("a"), Value::Bool(true).variant()]);
        assert_eq!(Value::Array(property.signature(), vec![property]).signature(), "a(sv)");
        assert_eq!(split_type("a(sv)us"), Some(("a(sv)", "us")));
        assert_eq!(split_type("aau"), Some(("aau", "")));
        assert_eq!(split_type(""), None);
        assert_eq!(split_type("(u"), None);
        assert_eq!(split_type(")"), None);
        assert_eq!(split_type("a"), None);
    }
}
