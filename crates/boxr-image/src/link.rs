//! Targets of symbolic links that stand for an id or a digest, short enough to lie in the link's inode.
//!
//! ext4 keeps up to 59 bytes of a target there. A longer one takes a block of the disk, which must be found, and be
//! discarded when the link goes: 64 hexadecimal digits are 5 bytes too many for what is made and removed with each
//! container. In base64 (RFC 4648, section 5) they are 43 characters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// In front of the digits that were written shorter; neither ids nor digests have it.
const MARK: char = '~';
/// Hexadecimal digits of an id, or of a SHA-256.
const DIGITS: usize = 64;

/// The target for `text`: the 64 hexadecimal digits at its end, if it has them, in base64.
pub fn shortened(text: &str) -> String {
    let digits = text.len().checked_sub(DIGITS).and_then(|at| text.split_at_checked(at));
    match digits.and_then(|(before, digits)| Some((before, bytes_of(digits)?))) {
        Some((before, bytes)) => format!("{before}{MARK}{}", BASE64.encode(bytes)),
        None => text.to_owned(),
    }
}

/// What [`shortened`] was given; any other target is as it is, such as one of an earlier boxr.
pub fn whole(target: &str) -> String {
    let found =
        target.split_once(MARK).and_then(|(before, short)| Some((before, BASE64.decode(short).ok()?)));
    match found {
        Some((before, bytes)) => {
            bytes.iter().fold(before.to_owned(), |text, byte| format!("{text}{byte:02x}"))
        }
        None => target.to_owned(),
    }
}

/// Only small letters, as only those come back.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    digits.as_bytes().chunks_exact(2).map(|pair| Some(value(pair[0])? << 4 | value(pair[1])?)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_and_a_digest_fit_into_an_inode() {
        for text in [format!("{:064x}", 7), format!("sha256:{}", "0f".repeat(32))] {
            assert!(shortened(&text).len() <= 59);
            assert_eq!(whole(&shortened(&text)), text);
            assert_eq!(whole(&text), text, "of an earlier boxr");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(text in "[a-fA-F0-9:é]{0,80}") {
            prop_assert_eq!(whole(&shortened(&text)), text);
        }
    }
}
