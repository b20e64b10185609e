//! The key sequence that detaches a terminal.

use crate::config::value::Invalid;

/// The bytes of a sequence such as `ctrl-p,ctrl-q` or `a,b`; an empty text is no sequence.
pub fn detach_keys(text: &str) -> Result<Vec<u8>, Invalid> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    text.split(',')
        .map(|key| match (key.as_bytes(), key.strip_prefix("ctrl-").map(str::as_bytes)) {
            ([byte], _) if byte.is_ascii() => Some(*byte),
            (_, Some([letter])) if letter.is_ascii_alphabetic() => {
                Some(letter.to_ascii_lowercase() - b'a' + 1)
            }
            // ^@ ^[ ^\ ^] ^^ ^_: the control characters beside the letters.
            (_, Some([sign @ (b'@' | b'[' | b'\\' | b']' | b'^' | b'_')])) => Some(sign & 0x1f),
            _ => None,
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| Invalid::new(text, "not single characters or ctrl-X with commas between"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        assert_eq!(detach_keys("ctrl-p,ctrl-q"), Ok(vec![16, 17]));
        assert_eq!(detach_keys("a,ctrl-@,ctrl-\\,ctrl-_"), Ok(vec![b'a', 0, 28, 31]));
        assert_eq!(detach_keys(""), Ok(Vec::new()));
        for text in ["ctrl-", "ctrl-1", "ab", "a,,b", "é", "ctrl-é"] {
            assert!(detach_keys(text).is_err(), "{text}");
        }
    }
}
