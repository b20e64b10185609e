//! Messages of D-Bus as bytes (D-Bus specification, "Message Protocol").
//!
//! Everything is in the byte order of this machine: whoever is at the other end runs on it too.

use super::value::{Value, alignment, split_type};

/// The letter that names this machine's byte order.
const ORDER: u8 = if cfg!(target_endian = "little") { b'l' } else { b'B' };
/// The version of the protocol.
const VERSION: u8 = 1;
/// The greatest message that the specification allows, bytes.
const GREATEST: usize = 1 << 27;
/// Deeper nesting is refused by the specification.
const DEEPEST: usize = 64;
/// Bytes of a header up to its list of fields.
pub(crate) const START: usize = 16;

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call = 1,
    Return = 2,
    Error = 3,
    Signal = 4,
}

/// A message; fields that do not apply are empty.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub kind: Kind,
    pub serial: u32,
    pub reply_to: u32,
    pub destination: String,
    pub path: String,
    pub interface: String,
    pub member: String,
    pub error: String,
    pub body: Vec<Value>,
}

impl Message {
    /// A call of `member`.
    pub fn call(destination: &str, path: &str, interface: &str, member: &str, body: Vec<Value>) -> Self {
        Self {
            kind: Kind::Call,
            serial: 0,
            reply_to: 0,
            destination: destination.into(),
            path: path.into(),
            interface: interface.into(),
            member: member.into(),
            error: String::new(),
            body,
        }
    }

    /// Its bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut body = Vec::new();
        self.body.iter().for_each(|value| write(value, &mut body));
        let signature: String = self.body.iter().map(Value::signature).collect();
        let fields = [
            (1, Value::Path(self.path.clone())),
            (2, Value::text(&*self.interface)),
            (3, Value::text(&*self.member)),
            (6, Value::text(&*self.destination)),
            (8, Value::Signature(signature)),
        ];
        let is_set = |value: &Value| !matches!(value, Value::Path(text) | Value::Text(text) | Value::Signature(text) if text.is_empty());
        let fields = fields.into_iter().filter(|(_, value)| is_set(value));
        let fields = fields.map(|(code, value)| Value::Struct(vec![Value::Byte(code), value.variant()]));
        let mut bytes = vec![ORDER, self.kind as u8, 0, VERSION];
        bytes.extend((body.len() as u32).to_ne_bytes());
        bytes.extend(self.serial.to_ne_bytes());
        write(&Value::Array("(yv)".into(), fields.collect()), &mut bytes);
        pad(&mut bytes, 8);
        bytes.extend(body);
        bytes
    }

    /// How long the message is that begins with `start` ([`START`] bytes), with them.
    pub fn length(start: &[u8]) -> Option<usize> {
        if start.first() != Some(&ORDER) || start.get(3) != Some(&VERSION) {
            return None;
        }
        let body = number(start, 4)? as usize;
        let fields = number(start, 12)? as usize;
        let length = (START.checked_add(fields)?).checked_next_multiple_of(8)?.checked_add(body)?;
        (length <= GREATEST).then_some(length)
    }

    /// The message in `bytes`, which are [`Message::length`] long; `None` where it is malformed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let kind = match bytes.get(1)? {
            1 => Kind::Call,
            2 => Kind::Return,
            3 => Kind::Error,
            4 => Kind::Signal,
            _ => return None,
        };
        let mut message = Self::call("", "", "", "", Vec::new());
        (message.kind, message.serial) = (kind, number(bytes, 8)?);
        let mut reader = Reader { bytes, at: 12 };
        let Value::Array(_, fields) = reader.value("a(yv)", 0)? else { return None };
        let mut signature = String::new();
        for field in fields {
            let Value::Struct(pair) = field else { return None };
            let [Value::Byte(code), Value::Variant(value)] = &pair[..] else { return None };
            match (code, &**value) {
                (1, Value::Path(text)) => message.path.clone_from(text),
                (2, Value::Text(text)) => message.interface.clone_from(text),
                (3, Value::Text(text)) => message.member.clone_from(text),
                (4, Value::Text(text)) => message.error.clone_from(text),
                (5, Value::U32(serial)) => message.reply_to = *serial,
                (8, Value::Signature(text)) => signature.clone_from(text),
                _ => {}
            }
        }
        reader.align(8)?;
        message.body = reader.values(&signature)?;
        Some(message)
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn pad(bytes: &mut Vec<u8>, alignment: usize) {
    bytes.resize(bytes.len().next_multiple_of(alignment), 0);
}

fn write(value: &Value, bytes: &mut Vec<u8>) {
    pad(bytes, alignment(&value.signature()));
    match value {
        Value::Byte(value) => bytes.push(*value),
        Value::Bool(value) => bytes.extend(u32::from(*value).to_ne_bytes()),
        Value::I16(value) => bytes.extend(value.to_ne_bytes()),
        Value::U16(value) => bytes.extend(value.to_ne_bytes()),
        Value::I32(value) => bytes.extend(value.to_ne_bytes()),
        Value::U32(value) => bytes.extend(value.to_ne_bytes()),
        Value::I64(value) => bytes.extend(value.to_ne_bytes()),
        Value::U64(value) => bytes.extend(value.to_ne_bytes()),
        Value::Double(value) => bytes.extend(value.to_ne_bytes()),
        Value::Text(text) | Value::Path(text) => {
            bytes.extend((text.len() as u32).to_ne_bytes());
            bytes.extend(text.as_bytes());
            bytes.push(0);
        }
        Value::Signature(text) => write_signature(text, bytes),
        Value::Array(element, items) => {
            let length_at = bytes.len();
            bytes.extend([0; 4]);
            pad(bytes, alignment(element));
            let start = bytes.len();
            items.iter().for_each(|item| write(item, bytes));
            let length = (bytes.len() - start) as u32;
            bytes[length_at..length_at + 4].copy_from_slice(&length.to_ne_bytes());
        }
        Value::Struct(fields) => fields.iter().for_each(|field| write(field, bytes)),
        Value::Variant(inner) => {
            write_signature(&inner.signature(), bytes);
            write(inner, bytes);
        }
    }
}

fn write_signature(text: &str, bytes: &mut Vec<u8>) {
    // The specification's limit is 255; ours are a few letters.
    bytes.push(text.len() as u8);
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

/// Takes values off bytes; alignment counts from the first.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, alignment: usize) -> Option<()> {
        self.at = self.at.checked_next_multiple_of(alignment)?;
        (self.at <= self.bytes.len()).then_some(())
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N)?;
        self.take(N)?.try_into().ok()
    }

    fn values(&mut self, mut signature: &str) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !signature.is_empty() {
            let (first, rest) = split_type(signature)?;
            values.push(self.value(first, 0)?);
            signature = rest;
        }
        Some(values)
    }

    fn value(&mut self, signature: &str, depth: usize) -> Option<Value> {
        if depth > DEEPEST {
            return None;
        }
        Some(match signature.as_bytes().first()? {
            b'y' => Value::Byte(self.take(1)?[0]),
            b'b' => Value::Bool(u32::from_ne_bytes(self.fixed()?) != 0),
            b'n' => Value::I16(i16::from_ne_bytes(self.fixed()?)),
            b'q' => Value::U16(u16::from_ne_bytes(self.fixed()?)),
            b'i' => Value::I32(i32::from_ne_bytes(self.fixed()?)),
            b'u' => Value::U32(u32::from_ne_bytes(self.fixed()?)),
            b'x' => Value::I64(i64::from_ne_bytes(self.fixed()?)),
            b't' => Value::U64(u64::from_ne_bytes(self.fixed()?)),
            b'd' => Value::Double(f64::from_ne_bytes(self.fixed()?)),
            b's' => Value::Text(self.text()?),
            b'o' => Value::Path(self.text()?),
            b'g' => Value::Signature(self.signature()?),
            b'v' => {
                let inner = self.signature()?;
                let (first, "") = split_type(&inner)? else { return None };
                Value::Variant(Box::new(self.value(first, depth + 1)?))
            }
            b'a' => self.array(signature.get(1..)?, depth)?,
            b'(' | b'{' => self.fields(signature.get(1..signature.len() - 1)?, depth)?,
            _ => return None,
        })
    }

    fn text(&mut self) -> Option<String> {
        let length = u32::from_ne_bytes(self.fixed()?) as usize;
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).ok()
    }

    fn signature(&mut self) -> Option<String> {
        let length = usize::from(self.take(1)?[0]);
        let text = self.take(length)?.to_vec();
        self.take(1)?;
        String::from_utf8(text).ok()
    }

    fn array(&mut self, element: &str, depth: usize) -> Option<Value> {
        let length = u32::from_ne_bytes(self.fixed()?) as usize;
        self.align(alignment(element))?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
        let mut items = Vec::new();
        while self.at < end {
            items.push(self.value(element, depth + 1)?);
        }
        (self.at == end).then(|| Value::Array(element.to_owned(), items))
    }

    /// Of a structure, or of an entry of a dictionary, which looks the same.
    fn fields(&mut self, mut inner: &str, depth: usize) -> Option<Value> {
        self.align(8)?;
        // An empty structure does not exist, and an array of them would never end.
        if inner.is_empty() {
            return None;
        }
        let mut fields = Vec::new();
        while !inner.is_empty() {
            let (first, rest) = split_type(inner)?;
            fields.push(self.value(first, depth + 1)?);
            inner = rest;
        }
        Some(Value::Struct(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        let plain = prop_oneof![
            any::<u8>().prop_map(Value::Byte),
            any::<bool>().prop_map(Value::Bool),
            any::<i16>().prop_map(Value::I16),
            any::<u32>().prop_map(Value::U32),
            any::<u64>().prop_map(Value::U64),
            any::<i32>().prop_map(|value| Value::Double(f64::from(value))),
            "[a-z/]{0,9}".prop_map(Value::Text),
            proptest::collection::vec(any::<u8>(), 0..5)
                .prop_map(|bytes| Value::Array("y".into(), bytes.into_iter().map(Value::Byte).collect())),
            proptest::collection::vec(any::<u64>(), 0..5)
                .prop_map(|list| Value::Array("t".into(), list.into_iter().map(Value::U64).collect())),
        ];
        plain.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(Value::variant),
                proptest::collection::vec(inner, 1..4).prop_map(Value::Struct),
            ]
        })
    }

    proptest! {
        #[test]
        fn messages_come_back(body in proptest::collection::vec(value(), 0..5), serial in 1u32..) {
            let mut message = Message::call("a.b", "/c", "d.e", "F", body);
            message.serial = serial;
            let bytes = message.to_bytes();
            prop_assert_eq!(Message::length(&bytes[..START]), Some(bytes.len()));
            let mut back = Message::from_bytes(&bytes).unwrap();
            back.destination.clone_from(&message.destination);
            prop_assert_eq!(back, message);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0usize..60) {
            let mut whole = Message::call("a.b", "/c", "d.e", "F", vec![Value::text("x")]).to_bytes();
            whole.truncate(cut);
            whole.extend(bytes);
            Message::from_bytes(&whole);
        }
    }

    #[test]
    fn a_message_as_the_specification_lays_it_out() {
        let mut message = Message::call("", "/", "", "M", vec![Value::Byte(7), Value::U32(9)]);
        message.serial = 5;
        let bytes = message.to_bytes();
        assert_eq!((bytes[1], number(&bytes, 4), number(&bytes, 8)), (1, Some(8), Some(5)));
        // y, three bytes of padding, u.
        assert_eq!(bytes[bytes.len() - 8], 7);
        assert_eq!(number(&bytes, bytes.len() - 4), Some(9));
        assert_eq!(Message::length(b"x\x01\0\x01\0\0\0\0\x01\0\0\0\0\0\0\0"), None);
    }
}
