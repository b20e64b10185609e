//! Protocol buffers as they lie in memory (protobuf.dev, "Encoding"): what criu's messages need of them.
//!
//! Written here rather than taken from a crate: criu's messages have three shapes of field – numbers,
//! texts and messages in messages – and this program starts in a millisecond for its size.

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl Writer {
    /// The message.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    /// A number, also of an enumeration.
    pub fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3 | VARINT);
        self.varint(value);
    }

    /// A signed number (`int32`): a negative one is extended to 64 bits.
    pub fn signed(&mut self, field: u32, value: i32) {
        self.number(field, i64::from(value).cast_unsigned());
    }

    /// `bool`
    pub fn flag(&mut self, field: u32, value: bool) {
        self.number(field, value.into());
    }

    /// `string`, `bytes`, and messages.
    pub fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | BYTES);
        // A length in memory fits.
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    /// A message in this one.
    pub fn message(&mut self, field: u32, fill: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        fill(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'m> {
    /// A number.
    Number(u64),
    /// Text, or a message.
    Bytes(&'m [u8]),
}

impl<'m> Value<'m> {
    /// As `int32`; `None` for one that is none.
    pub fn signed(self) -> Option<i32> {
        match self {
            // The upper half of a negative one is its sign.
            Self::Number(value) => Some(value as i32),
            Self::Bytes(_) => None,
        }
    }

    /// As `bool`.
    pub fn flag(self) -> Option<bool> {
        match self {
            Self::Number(value) => Some(value != 0),
            Self::Bytes(_) => None,
        }
    }

    /// As `bytes`.
    pub fn bytes(self) -> Option<&'m [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Number(_) => None,
        }
    }

    /// As `string`.
    pub fn text(self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }
}

/// A message that ends in the middle of a field, or has one of a kind that is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// The fields of a message, in its order. Numbers of a fixed size, which criu does not use, are left out.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'m>(&'m [u8]);

impl<'m> Fields<'m> {
    /// Of a message.
    pub fn of(message: &'m [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Result<Option<(u32, Value<'m>)>, Malformed> {
        while !self.0.is_empty() {
            let key = self.varint()?;
            let field = u32::try_from(key >> 3).map_err(|_| Malformed)?;
            match key & 7 {
                VARINT => return Ok(Some((field, Value::Number(self.varint()?)))),
                BYTES => {
                    let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                    return Ok(Some((field, Value::Bytes(self.take(length)?))));
                }
                FIXED64 => self.take(8).map(|_| ())?,
                FIXED32 => self.take(4).map(|_| ())?,
                _ => return Err(Malformed),
            }
        }
        Ok(None)
    }

    fn take(&mut self, length: usize) -> Result<&'m [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u32, Value<'m>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = self.read();
        if read.is_err() {
            // Nothing after the damage can be understood.
            self.0 = &[];
        }
        read.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_encoding() {
        // protobuf.dev, "Encoding": 150 in field 1, "testing" in field 2, -2 in field 1.
        let mut message = Writer::default();
        message.number(1, 150);
        message.bytes(2, b"testing");
        assert_eq!(message.finish(), b"\x08\x96\x01\x12\x07testing");
        let mut negative = Writer::default();
        negative.signed(1, -2);
        assert_eq!(negative.finish(), b"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01");
    }

    #[test]
    fn what_is_written_is_read() {
        let mut message = Writer::default();
        message.signed(1, i32::MIN);
        message.flag(2, true);
        message.message(1000, |inner| inner.bytes(3, "ä".as_bytes()));
        message.number(4, u64::MAX);
        let bytes = message.finish();
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        let numbers: Vec<_> = fields.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 1000, 4]);
        assert_eq!(fields[0].1.signed(), Some(i32::MIN));
        assert_eq!(fields[1].1.flag(), Some(true));
        let inner = Fields::of(fields[2].1.bytes().unwrap()).next().unwrap().unwrap();
        assert_eq!((inner.0, inner.1.text().unwrap().as_str()), (3, "ä"));
        assert_eq!(fields[3].1, Value::Number(u64::MAX));
    }

    #[test]
    fn every_cut_is_an_end_or_an_error() {
        let mut message = Writer::default();
        message.number(300, 1 << 40);
        message.bytes(2, &[7; 200]);
        let bytes = message.finish();
        for length in 0..bytes.len() {
            let read: Vec<_> = Fields::of(&bytes[..length]).collect();
            let whole = read.iter().filter(|field| field.is_ok()).count();
            assert_eq!(read.len() - whole, usize::from(length != 0 && length != 8), "cut at {length}");
        }
    }

    #[test]
    fn numbers_of_a_fixed_size_are_passed_over() {
        let fields: Vec<_> = Fields::of(b"\x09abcdefgh\x15abcd\x08\x05").collect();
        assert_eq!(fields, [Ok((1, Value::Number(5)))]);
        for damaged in [&b"\x0b"[..], b"\x09abc", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(Fields::of(damaged).collect::<Vec<_>>(), [Err(Malformed)]);
        }
    }
}
