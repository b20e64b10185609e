//! Go's `print`, `println` and `printf` on JSON values.

use serde_json::Value;

use super::value::{to_text, write_value};

/// The greatest width and precision; greater ones are cut.
const MAX_WIDTH: usize = 10_000;

/// A blank between two arguments of which neither is a string.
pub(super) fn print(values: &[Value]) -> String {
    let mut text = String::new();
    let mut before: Option<&Value> = None;
    for value in values {
        if before.is_some_and(|before| !before.is_string() && !value.is_string()) {
            text.push(' ');
        }
        write_value(value, &mut text);
        before = Some(value);
    }
    text
}

/// A blank between all, and a newline.
pub(super) fn println(values: &[Value]) -> String {
    let words: Vec<String> = values.iter().map(to_text).collect();
    format!("{}\n", words.join(" "))
}

/// A conversion: `%-10.3s`.
#[derive(Default)]
struct Conversion {
    left: bool,
    zero: bool,
    plus: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Go's formatted printing; a wrong argument is shown in the output as Go does, not an error.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut text = String::new();
    let mut arguments = values.iter();
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let conversion = read_conversion(&mut chars);
        match chars.next() {
            None => text.push_str("%!(NOVERB)"),
            Some('%') => text.push('%'),
            Some(verb) => match arguments.next() {
                None => text.extend(["%!", verb.encode_utf8(&mut [0; 4]), "(MISSING)"]),
                Some(value) => conversion.write(verb, value, &mut text),
            },
        }
    }
    let extra: Vec<String> =
        arguments.map(|value| format!("{}={}", go_type(value), to_text(value))).collect();
    if !extra.is_empty() {
        text.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    text
}

fn read_conversion(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Conversion {
    let mut conversion = Conversion::default();
    while let Some(flag) = chars.next_if(|c| "-0+# ".contains(*c)) {
        match flag {
            '-' => conversion.left = true,
            '0' => conversion.zero = true,
            '+' => conversion.plus = true,
            '#' => conversion.sharp = true,
            _ => {}
        }
    }
    conversion.width = read_number(chars);
    if chars.next_if_eq(&'.').is_some() {
        conversion.precision = Some(read_number(chars));
    }
    conversion
}

fn read_number(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut number = 0usize;
    while let Some(digit) = chars.peek().and_then(|c| c.to_digit(10)) {
        chars.next();
        number = (number * 10 + digit as usize).min(MAX_WIDTH);
    }
    number
}

impl Conversion {
    fn write(&self, verb: char, value: &Value, out: &mut String) {
        let text = match self.convert(verb, value) {
            Some(text) => text,
            None => format!("%!{verb}({}={})", go_type(value), to_text(value)),
        };
        let missing = self.width.saturating_sub(text.chars().count());
        let (sign, digits) = match text.strip_prefix(['-', '+']) {
            Some(digits) if value.is_number() => text.split_at(text.len() - digits.len()),
            _ => ("", text.as_str()),
        };
        match (self.left, self.zero && value.is_number()) {
            (true, _) => out.extend([text.as_str(), &" ".repeat(missing)]),
            (false, true) => out.extend([sign, &"0".repeat(missing), digits]),
            (false, false) => out.extend([" ".repeat(missing).as_str(), &text]),
        }
    }

    /// `None` where the verb does not fit the value.
    fn convert(&self, verb: char, value: &Value) -> Option<String> {
        match (verb, value) {
            ('v', Value::String(text)) if self.sharp => Some(quote(text)),
            ('v', value) => Some(self.signed(value, to_text(value))),
            ('s', Value::String(text)) => Some(self.cut(text)),
            ('s', Value::Array(_) | Value::Object(_)) => Some(to_text(value)),
            ('q', Value::String(text)) => Some(quote(&self.cut(text))),
            ('q', Value::Array(list)) => {
                let quoted: Option<Vec<String>> = list.iter().map(|item| self.convert('q', item)).collect();
                Some(format!("[{}]", quoted?.join(" ")))
            }
            ('x', Value::String(text)) => Some(text.bytes().map(|byte| format!("{byte:02x}")).collect()),
            ('X', Value::String(text)) => Some(text.bytes().map(|byte| format!("{byte:02X}")).collect()),
            ('t', Value::Bool(_)) => Some(to_text(value)),
            ('T', value) => Some(go_type(value).to_owned()),
            (verb, Value::Number(number)) => match number.as_i64() {
                Some(integer) => self.convert_integer(verb, integer).map(|text| self.signed(value, text)),
                None => {
                    let float = number.as_f64()?;
                    self.convert_float(verb, float).map(|text| self.signed(value, text))
                }
            },
            _ => None,
        }
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    fn signed(&self, value: &Value, text: String) -> String {
        if self.plus && value.is_number() && !text.starts_with('-') { format!("+{text}") } else { text }
    }

    fn convert_integer(&self, verb: char, integer: i64) -> Option<String> {
        let sign = if integer < 0 { "-" } else { "" };
        let size = integer.unsigned_abs();
        let prefix = |prefix: &'static str| if self.sharp { prefix } else { "" };
        Some(match verb {
            'd' => integer.to_string(),
            'x' => format!("{sign}{}{size:x}", prefix("0x")),
            'X' => format!("{sign}{}{size:X}", prefix("0X")),
            'o' => format!("{sign}{}{size:o}", prefix("0")),
            'b' => format!("{sign}{size:b}"),
            'c' => char::from_u32(u32::try_from(integer).ok()?)?.to_string(),
            _ => return None,
        })
    }

    fn convert_float(&self, verb: char, float: f64) -> Option<String> {
        match verb {
            'f' | 'F' => Some(format!("{float:.*}", self.precision.unwrap_or(6))),
            'e' => {
                let text = format!("{float:.*e}", self.precision.unwrap_or(6));
                let (mantissa, exponent) = text.split_once('e')?;
                let exponent: i32 = exponent.parse().ok()?;
                Some(format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()))
            }
            'g' => Some(match self.precision {
                Some(digits) => crate::format::size::significant(float, digits.max(1)),
                None => float.to_string(),
            }),
            _ => None,
        }
    }
}

/// As Go's strconv.Quote: printable characters as they are, the others escaped.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
