//! Names of boxes: which are allowed, and which are made up.

use crate::id;

/// Bytes of the longest name.
pub const MAX_LENGTH: usize = 200;

/// Attempts after which a made-up name gets a number.
const PLAIN_ATTEMPTS: u32 = 4;

/// Why something cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("it is empty")]
    Empty,
    /// It is longer than [`MAX_LENGTH`] bytes.
    #[error("it has {0} bytes, and {MAX_LENGTH} is the most")]
    TooLong(usize),
    /// It begins with something else than a letter or a digit.
    #[error("it begins with {0:?}; a name begins with a letter or a digit (a-z A-Z 0-9)")]
    Start(char),
    /// It has a character that is not allowed.
    #[error("it has {0:?} in it; letters, digits and . _ - are allowed")]
    Character(char),
    /// It has the shape of a full id, and would hide the box with that id.
    #[error("it looks like a full id")]
    LooksLikeId,
}

/// Checks a name: docker's rule, `[a-zA-Z0-9][a-zA-Z0-9_.-]*`.
pub fn check(name: &str) -> Result<(), NameError> {
    let first = name.chars().next().ok_or(NameError::Empty)?;
    if name.len() > MAX_LENGTH {
        return Err(NameError::TooLong(name.len()));
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_alphanumeric() || "._-".contains(*c))) {
        return Err(NameError::Character(bad));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::Start(first));
    }
    if id::Id::parse(name).is_some() {
        return Err(NameError::LooksLikeId);
    }
    Ok(())
}

/// Makes up a name. Different attempts with one seed give different names, later ones with a number.
pub fn generate(seed: u64, attempt: u32) -> String {
    let bits = scramble(seed.wrapping_add(u64::from(attempt)));
    let pick = |bits: u64, words: &[&'static str]| words[(bits % words.len() as u64) as usize];
    let adjective = pick(bits & 0xffff, &ADJECTIVES);
    let noun = pick(bits >> 16 & 0xffff, &NOUNS);
    if attempt < PLAIN_ATTEMPTS {
        format!("{adjective}_{noun}")
    } else {
        format!("{adjective}_{noun}_{}", bits >> 32 & 0xf_ffff)
    }
}

/// A bijection which spreads neighbouring numbers apart (the finalizer of splitmix64).
fn scramble(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

#[rustfmt::skip]
const ADJECTIVES: [&str; 159] = [
    "able", "agile", "airy", "alert", "amber", "ample", "apt", "arctic", "autumn", "azure", "balmy", "bold",
    "brave", "breezy", "bright", "brisk", "bronze", "calm", "candid", "careful", "cheery", "civil",
    "classic", "clean", "clear", "clever", "cloudy", "cobalt", "cool", "coral", "cosy", "crisp", "curious",
    "daily", "dapper", "daring", "deft", "dewy", "eager", "early", "earnest", "easy", "elder", "electric",
    "fair", "fancy", "fast", "fearless", "festive", "fine", "firm", "fleet", "fluent", "fond", "frank",
    "free", "fresh", "frosty", "gentle", "glad", "gleaming", "golden", "graceful", "grand", "green",
    "handy", "happy", "hardy", "hearty", "honest", "humble", "idle", "ivory", "jaunty", "jolly", "jovial",
    "keen", "kind", "lasting", "leafy", "light", "lilac", "lively", "lofty", "loyal", "lucid", "lucky",
    "lunar", "mellow", "merry", "mighty", "mild", "mindful", "misty", "modest", "neat", "nimble", "noble",
    "northern", "novel", "olive", "open", "patient", "placid", "plain", "playful", "polite", "proud",
    "quick", "quiet", "rapid", "ready", "robust", "rosy", "royal", "rustic", "sandy", "serene", "sharp",
    "silent", "silver", "simple", "sincere", "sleek", "smooth", "snowy", "solar", "solid", "southern",
    "spry", "stable", "starry", "steady", "still", "stout", "sunny", "supple", "sure", "swift", "tall",
    "tidy", "timely", "tranquil", "trim", "trusty", "upbeat", "urban", "valiant", "vast", "velvet",
    "verdant", "vivid", "warm", "wide", "wise", "witty", "woven", "young", "zesty",
];

#[rustfmt::skip]
const NOUNS: [&str; 182] = [
    "acorn", "alder", "almond", "anchor", "anvil", "apple", "arch", "aspen", "atlas", "badger", "bamboo",
    "banjo", "barley", "basil", "basket", "bay", "beacon", "beaver", "bell", "birch", "bison", "bramble",
    "breeze", "bridge", "brook", "cabin", "canoe", "canyon", "carrot", "castle", "cedar", "cello", "chart",
    "cherry", "cliff", "clover", "comet", "compass", "condor", "coral", "cork", "cove", "crane", "crate",
    "creek", "cricket", "crystal", "daisy", "delta", "dolphin", "dune", "eagle", "echo", "elm", "ember",
    "falcon", "fern", "ferry", "fiddle", "field", "finch", "fjord", "flute", "forest", "fox", "garden",
    "glacier", "grove", "gull", "hamlet", "harbor", "harp", "hawk", "hazel", "heron", "hill", "holly",
    "horizon", "iris", "island", "ivy", "jasper", "juniper", "kayak", "kestrel", "kettle", "kite", "lagoon",
    "lake", "lantern", "lark", "laurel", "lemon", "lichen", "linden", "lotus", "lynx", "magnet", "maple",
    "marble", "marlin", "meadow", "melon", "mesa", "meteor", "mill", "mint", "moose", "mosaic", "moss",
    "oak", "oasis", "ocean", "opal", "orbit", "orchard", "orchid", "osprey", "otter", "owl", "paddle",
    "panda", "pebble", "pepper", "petrel", "pillar", "pine", "planet", "plateau", "plum", "pond", "poplar",
    "prairie", "prism", "puffin", "quartz", "quill", "raft", "raven", "reed", "reef", "ridge", "river",
    "robin", "rocket", "rudder", "saddle", "sage", "sail", "salmon", "satin", "sequoia", "shore", "sparrow",
    "spring", "spruce", "squirrel", "star", "stone", "summit", "swallow", "swan", "teapot", "tern",
    "thistle", "tiger", "timber", "topaz", "tower", "trail", "tulip", "tundra", "valley", "violin",
    "walnut", "walrus", "willow", "windmill", "wren", "yarrow", "zebra", "zephyr",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bad_names_are_refused_with_the_reason() {
        assert_eq!(check(""), Err(NameError::Empty));
        assert_eq!(check(&"a".repeat(300)), Err(NameError::TooLong(300)));
        assert_eq!(check("-a"), Err(NameError::Start('-')));
        assert_eq!(check("."), Err(NameError::Start('.')));
        assert_eq!(check(".."), Err(NameError::Start('.')));
        assert_eq!(check("a/b"), Err(NameError::Character('/')));
        assert_eq!(check("a\0"), Err(NameError::Character('\0')));
        assert_eq!(check("k\u{e4}se"), Err(NameError::Character('\u{e4}')));
        assert_eq!(check(&"0".repeat(64)), Err(NameError::LooksLikeId));
        for good in ["a", "web-1", "a.b_c", "0", &"a".repeat(MAX_LENGTH)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn words_differ_and_are_plain() {
        assert!(ADJECTIVES.len() >= 100 && NOUNS.len() >= 100);
        let all: Vec<_> = ADJECTIVES.iter().chain(&NOUNS).collect();
        assert!(all.iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase())));
        assert_eq!(ADJECTIVES.iter().collect::<HashSet<_>>().len(), ADJECTIVES.len());
        assert_eq!(NOUNS.iter().collect::<HashSet<_>>().len(), NOUNS.len());
    }

    proptest! {
        #[test]
        fn made_up_names_are_names(seed: u64, attempt in 0u32..100) {
            prop_assert_eq!(check(&generate(seed, attempt)), Ok(()));
        }
    }

    #[test]
    fn attempts_spread() {
        let names: HashSet<_> = (0..1000).map(|attempt| generate(1, attempt)).collect();
        assert!(names.len() > 990);
    }
}
