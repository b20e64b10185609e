//! GVariant text (GLib reference, "GVariant Text Format"), in which annotations of an OCI
//! configuration write properties of systemd units: `uint64 5000`, `'inactive-or-failed'`, `['a', 'b']`.
//!
//! Numbers without a type are `int32`, or `double` where they have a point. Dictionaries, maybes and byte
//! strings are not read: no property of a scope has such a type.

use super::Value;

/// The value that `text` writes; `Err` is what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Value, &'static str> {
    let mut rest = text;
    let value = value(&mut rest, 0)?;
    if rest.trim_start().is_empty() { Ok(value) } else { Err("has something after its value") }
}

/// Deeper nesting is no property's.
const DEEPEST: usize = 16;

fn value(rest: &mut &str, depth: usize) -> Result<Value, &'static str> {
    if depth > DEEPEST {
        return Err("is nested too deeply");
    }
    *rest = rest.trim_start();
    match rest.chars().next() {
        None => Err("is empty"),
        Some('\'' | '"') => Ok(Value::Text(quoted(rest)?)),
        Some('[') => {
            let items = list(rest, ']', depth)?;
            array(items)
        }
        Some('(') => {
            let fields = list(rest, ')', depth)?;
            if fields.is_empty() { Err("has an empty tuple") } else { Ok(Value::Struct(fields)) }
        }
        Some('<') => {
            *rest = &rest[1..];
            let inner = value(rest, depth + 1)?;
            expect(rest, '>')?;
            Ok(inner.variant())
        }
        Some('@') => Err("has a type annotation, which is not read: write the type's name, as in uint64 5"),
        Some(_) => word(rest, depth),
    }
}

fn expect(rest: &mut &str, wanted: char) -> Result<(), &'static str> {
    *rest = rest.trim_start().strip_prefix(wanted).ok_or("has a bracket that is not closed")?;
    Ok(())
}

fn list(rest: &mut &str, close: char, depth: usize) -> Result<Vec<Value>, &'static str> {
    *rest = &rest[1..];
    let mut items = Vec::new();
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return Ok(items);
        }
        items.push(value(rest, depth + 1)?);
        *rest = rest.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None if rest.starts_with(close) => {}
            None => return Err("has a bracket that is not closed"),
        }
    }
}

/// The first element decides the type, strings where there is none.
fn array(items: Vec<Value>) -> Result<Value, &'static str> {
    let element = items.first().map_or_else(|| "s".to_owned(), Value::signature);
    if items.iter().any(|item| item.signature() != element) {
        return Err("has a list of several types");
    }
    Ok(Value::Array(element, items))
}

fn quoted(rest: &mut &str) -> Result<String, &'static str> {
    let mut text = String::new();
    let mut letters = rest.char_indices();
    let Some((_, quote)) = letters.next() else { return Err("is empty") };
    while let Some((index, letter)) = letters.next() {
        match letter {
            '\\' => match letters.next().map(|(_, letter)| letter) {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some(letter @ ('\\' | '\'' | '"')) => text.push(letter),
                _ => return Err("has an escape that is not known"),
            },
            letter if letter == quote => {
                *rest = &rest[index + letter.len_utf8()..];
                return Ok(text);
            }
            letter => text.push(letter),
        }
    }
    Err("has a quote that is not closed")
}

fn word(rest: &mut &str, depth: usize) -> Result<Value, &'static str> {
    let end = rest.find(|c: char| c.is_whitespace() || ",)]>".contains(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    match word {
        "true" => return Ok(Value::Bool(true)),
        "false" => return Ok(Value::Bool(false)),
        "boolean" | "string" => return value(rest, depth + 1),
        "objectpath" | "signature" => return object(word, value(rest, depth + 1)?),
        _ => {}
    }
    if ["byte", "int16", "uint16", "int32", "uint32", "int64", "uint64", "double", "handle"].contains(&word) {
        *rest = rest.trim_start();
        let end = rest.find(|c: char| c.is_whitespace() || ",)]>".contains(c)).unwrap_or(rest.len());
        let (digits, after) = rest.split_at(end);
        *rest = after;
        return number(word, digits);
    }
    number(if word.contains(['.', 'e']) && !word.starts_with("0x") { "double" } else { "int32" }, word)
}

fn object(kind: &str, value: Value) -> Result<Value, &'static str> {
    match (kind, value) {
        ("objectpath", Value::Text(text)) => Ok(Value::Path(text)),
        ("signature", Value::Text(text)) => Ok(Value::Signature(text)),
        _ => Err("has a path or signature that is not a string"),
    }
}

fn number(kind: &str, digits: &str) -> Result<Value, &'static str> {
    const BAD: &str = "is not a value such as uint64 5, true, 'text' or ['a', 'b']";
    if kind == "double" {
        return digits.parse().map(Value::Double).map_err(|_| BAD);
    }
    let (sign, plain) = digits.strip_prefix('-').map_or((1, digits), |plain| (-1, plain));
    let magnitude = match plain.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => plain.parse(),
    };
    let value = sign * magnitude.ok().filter(|_| !plain.starts_with(['-', '+'])).ok_or(BAD)?;
    let value = match kind {
        "byte" => value.try_into().map(Value::Byte),
        "int16" => value.try_into().map(Value::I16),
        "uint16" => value.try_into().map(Value::U16),
        "uint32" => value.try_into().map(Value::U32),
        "int64" => value.try_into().map(Value::I64),
        "uint64" => value.try_into().map(Value::U64),
        _ => value.try_into().map(Value::I32),
    };
    value.map_err(|_| "has a number that does not fit its type")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let texts =
            |list: &[&str]| Value::Array("s".into(), list.iter().map(|text| Value::text(*text)).collect());
        for (text, expected) in [
            ("uint64 123456789", Value::U64(123_456_789)),
            ("'inactive-or-failed'", Value::text("inactive-or-failed")),
            ("\"it's\"", Value::text("it's")),
            (" true ", Value::Bool(true)),
            ("5", Value::I32(5)),
            ("-0x10", Value::I32(-16)),
            ("1.5", Value::Double(1.5)),
            ("byte 0xff", Value::Byte(255)),
            ("['a', 'b']", texts(&["a", "b"])),
            ("[]", texts(&[])),
            ("[uint64 1, uint64 2]", Value::Array("t".into(), vec![Value::U64(1), Value::U64(2)])),
            ("('a', uint32 3)", Value::Struct(vec![Value::text("a"), Value::U32(3)])),
            ("<true>", Value::Bool(true).variant()),
            ("objectpath '/a'", Value::Path("/a".into())),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "",
            "hello",
            "'a",
            "['a'",
            "[1, 'a']",
            "uint64 -1",
            "byte 256",
            "5 6",
            "()",
            "@as []",
            "+5",
            "1-2",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(100_000)).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_parsed_or_refused(text in "[\\[\\]()<>'\",a-z0-9 .x-]{0,24}") {
            parse(&text).map(drop).unwrap_or_default();
        }
    }
}
