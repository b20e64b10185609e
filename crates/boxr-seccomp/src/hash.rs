//! FNV-1a, 64 bits: for table slots and file names, not a proof of anything.

const START: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

pub(crate) const fn fnv1a(bytes: &[u8]) -> u64 {
    let (mut hash, mut rest) = (START, bytes);
    while let Some((byte, after)) = rest.split_first() {
        hash = (hash ^ *byte as u64).wrapping_mul(PRIME);
        rest = after;
    }
    hash
}

/// The same idea on words, for thousands of bytes: each step is reversible, so a change of one word is
/// always seen.
#[allow(dead_code, reason = "the build script has this module too, and no use for it")]
pub(crate) fn of_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from_ne_bytes(*word));
    let hash = words.fold(fnv1a(rest), |hash, word| (hash ^ word).wrapping_mul(PRIME).rotate_left(29));
    hash ^ bytes.len() as u64
}
