//! Lists of numbers as the kernel writes them: `0-3,7`.

use std::collections::BTreeSet;

use crate::error::Error;

/// The numbers of a list, each below `limit`. Blanks around a part are allowed; an empty list is
/// no number.
pub(super) fn list(field: &str, text: &str, limit: u32) -> Result<BTreeSet<u32>, Error> {
    let mut numbers = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |word: &str| word.trim().parse::<u32>().ok().filter(|number| *number < limit);
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => numbers.extend(first..=last),
            _ => return Err(Error::field(field, format!("{part}: not a number or range below {limit}"))),
        }
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read() {
        assert_eq!(list("x", "0-2, 7", 64).unwrap().into_iter().collect::<Vec<_>>(), [0, 1, 2, 7]);
        for wrong in ["a", "3-1", "64", "1-", "-1"] {
            let error = list("cpus", wrong, 64).unwrap_err().to_string();
            assert!(error.starts_with("cpus: "), "{error}");
        }
    }
}
