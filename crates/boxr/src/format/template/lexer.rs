//! A template cut into text and actions, and an action into tokens (Go's text/template).

use super::error::{Located, Reason};

/// A part of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Copied as it is.
    Text(String),
    /// What is between `{{` and `}}`, and where it begins.
    Action(usize, Vec<(usize, Token)>),
}

/// A token of an action.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    /// `if`, `json`, `true`…
    Word(String),
    /// `.Name`: a field of what is before it without a blank, or of dot.
    Field {
        /// Without the dot.
        name: String,
        /// Whether it follows the token before it without a blank.
        chained: bool,
    },
    /// `.` alone.
    Dot,
    /// `$name`, or `$` as the empty name.
    Variable(String),
    /// A quoted string or a character.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Another number.
    Float(f64),
    /// `|`
    Pipe,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// `:=`
    Declare,
    /// `=`
    Assign,
}

/// Cuts a template into parts. `\t` and `\n` outside actions stand for a tab and a newline.
pub(super) fn split(template: &str) -> Result<Vec<Part>, Located> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut trim_left = false;
    loop {
        let open = template[at..].find("{{").map(|offset| at + offset);
        let mut text = &template[at..open.unwrap_or(template.len())];
        if trim_left {
            text = text.trim_start();
        }
        let Some(open) = open else {
            push_text(&mut parts, text);
            return Ok(parts);
        };
        let inside = open + 2;
        let trim_right = is_left_trim(&template[inside..]);
        push_text(&mut parts, if trim_right { text.trim_end() } else { text });
        let start = if trim_right { inside + 1 } else { inside };
        let (action, end) = read_action(template, open, start)?;
        parts.extend(action.map(|tokens| Part::Action(open, tokens)));
        at = end;
        trim_left = template[..end].ends_with("-}}");
    }
}

/// `{{- `: the marker needs a blank, so that `{{-3}}` is a number.
fn is_left_trim(inside: &str) -> bool {
    let mut chars = inside.chars();
    chars.next() == Some('-') && chars.next().is_some_and(char::is_whitespace)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.replace("\\t", "\t").replace("\\n", "\n")));
    }
}

/// Tokens of the action whose inside begins at `start`, and where the text after it begins;
/// no tokens for a comment.
#[allow(clippy::type_complexity)]
fn read_action(
    template: &str,
    open: usize,
    start: usize,
) -> Result<(Option<Vec<(usize, Token)>>, usize), Located> {
    let inside = template[start..].trim_start();
    if inside.starts_with("/*") {
        let from = template.len() - inside.len();
        let end = template[from..].find("*/").ok_or((from, Reason::Unterminated("a comment")))? + from + 2;
        let rest = template[end..].trim_start();
        let rest = rest.strip_prefix("-").filter(|rest| rest.starts_with("}}")).unwrap_or(rest);
        let after = rest.strip_prefix("}}").ok_or((open, Reason::Unclosed))?;
        return Ok((None, template.len() - after.len()));
    }
    let mut reader = Reader { template, at: start };
    let mut tokens = Vec::new();
    loop {
        let blank = reader.skip_blanks();
        let rest = &template[reader.at..];
        if let Some(after) = rest.strip_prefix("}}") {
            return Ok((Some(tokens), template.len() - after.len()));
        }
        if let Some(after) = rest.strip_prefix("-}}").filter(|_| blank) {
            return Ok((Some(tokens), template.len() - after.len()));
        }
        if rest.is_empty() {
            return Err((open, Reason::Unclosed));
        }
        let at = reader.at;
        tokens.push((at, reader.token(blank || tokens.is_empty())?));
    }
}

struct Reader<'a> {
    template: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.template[self.at..]
    }

    /// Whether there were any.
    fn skip_blanks(&mut self) -> bool {
        let rest = self.rest();
        let skipped = rest.len() - rest.trim_start().len();
        self.at += skipped;
        skipped > 0
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn token(&mut self, after_blank: bool) -> Result<Token, Located> {
        let start = self.at;
        let rest = self.rest();
        let mut chars = rest.chars();
        let (first, second) = (chars.next().unwrap_or(' '), chars.next());
        let fixed = match (first, second) {
            (':', Some('=')) => Some((Token::Declare, 2)),
            ('=', _) => Some((Token::Assign, 1)),
            ('|', _) => Some((Token::Pipe, 1)),
            ('(', _) => Some((Token::Open, 1)),
            (')', _) => Some((Token::Close, 1)),
            (',', _) => Some((Token::Comma, 1)),
            _ => None,
        };
        if let Some((token, length)) = fixed {
            self.at += length;
            return Ok(token);
        }
        match first {
            '.' if second.is_some_and(is_word) && !second.is_some_and(|c| c.is_ascii_digit()) => {
                self.at += 1;
                Ok(Token::Field { name: self.take_while(is_word).to_owned(), chained: !after_blank })
            }
            '.' if !second.is_some_and(|c| c.is_ascii_digit()) => {
                self.at += 1;
                Ok(Token::Dot)
            }
            '$' => {
                self.at += 1;
                Ok(Token::Variable(self.take_while(is_word).to_owned()))
            }
            '"' => self.quoted('"').map(Token::Text),
            '`' => self.raw().map(Token::Text),
            '\'' => self.character(start),
            '0'..='9' | '.' | '+' | '-' => self.number(start),
            c if is_word(c) => Ok(Token::Word(self.take_while(is_word).to_owned())),
            c => Err((start, Reason::Unexpected(format!("{c:?}")))),
        }
    }

    fn raw(&mut self) -> Result<String, Located> {
        let body = &self.rest()[1..];
        let end = body.find('`').ok_or((self.at, Reason::Unterminated("a string")))?;
        self.at += end + 2;
        Ok(body[..end].to_owned())
    }

    fn character(&mut self, start: usize) -> Result<Token, Located> {
        let text = self.quoted('\'')?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(only), None) => Ok(Token::Integer(i64::from(u32::from(only)))),
            _ => Err((start, Reason::Unexpected(format!("'{text}': a string has double quotes")))),
        }
    }

    /// A quoted string with Go's escapes; an unknown escape is kept as it is.
    fn quoted(&mut self, quote: char) -> Result<String, Located> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.template[start..].char_indices().skip(1);
        while let Some((offset, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.at = start + offset + 1;
                    return Ok(text);
                }
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(c @ ('\\' | '"' | '\'')) => text.push(c),
                    Some(c) => text.extend(['\\', c]),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err((start, Reason::Unterminated("a string")))
    }

    fn number(&mut self, start: usize) -> Result<Token, Located> {
        if self.rest().starts_with(['+', '-']) {
            self.at += 1;
        }
        self.take_while(|c| c.is_alphanumeric() || c == '.' || c == '_');
        let text = &self.template[start..self.at];
        let bad = || (start, Reason::Number(text.to_owned()));
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        if let Some(hex) = digits.strip_prefix("0x") {
            let value = i64::from_str_radix(hex, 16).map_err(|_| bad())?;
            return Ok(Token::Integer(if negative { -value } else { value }));
        }
        if let Ok(value) = text.parse() {
            return Ok(Token::Integer(value));
        }
        // `inf` and `nan` would parse, and are words.
        if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
            return Err(bad());
        }
        text.parse().ok().filter(|value: &f64| value.is_finite()).map(Token::Float).ok_or_else(bad)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
