//! Limits of cgroups: sizes, processors, sets of processors.

use boxr_runtime::units::{self, decimal};

use crate::config::value::Invalid;

/// Bytes, as [`units::size`] reads them.
pub fn size(text: &str) -> Result<u64, Invalid> {
    units::size(text).map_err(|bad| Invalid::new(text, bad.to_string()))
}

/// Thousandths of a processor: `1.5` is 1500.
pub fn milli_cpus(text: &str) -> Result<u64, Invalid> {
    let milli = decimal(text, 1000).ok_or_else(|| Invalid::new(text, "not a number of processors"))?;
    match u64::try_from(milli) {
        Ok(0) => Err(Invalid::new(text, "less than a thousandth of a processor")),
        Ok(milli) if milli <= 1_000_000_000 => Ok(milli),
        _ => Err(Invalid::new(text, "too many")),
    }
}

/// A list of processors or memory nodes as cpuset(7) writes it: `0-2,5`.
pub fn cpuset(text: &str) -> Result<String, Invalid> {
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |digits: &str| {
            let digits = digits.trim();
            if digits.starts_with('+') { None } else { digits.parse::<u16>().ok() }
        };
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => {}
            (Some(_), Some(_)) => return Err(Invalid::new(text, format!("{part} ends before it begins"))),
            _ => return Err(Invalid::new(text, format!("{part:?} is not a number or a range"))),
        }
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn processors_in_thousandths() {
        assert_eq!(milli_cpus("1.5"), Ok(1500));
        assert_eq!(milli_cpus("0.001"), Ok(1));
        assert_eq!(milli_cpus("2"), Ok(2000));
        for text in ["0", "0.0001", "-1", "", "x", "1e3", "9999999999"] {
            assert!(milli_cpus(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sets_of_processors() {
        for text in ["0", "0-2", "0-2,5", "0,2,4"] {
            assert_eq!(cpuset(text).as_deref(), Ok(text));
        }
        for text in ["", "a", "2-0", "0-", "-1", "0,,1", "0-1-2", "99999"] {
            assert!(cpuset(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_sizes_are_exact(number in 0u64..1 << 22, unit in 0usize..5) {
            let (letter, shift) = [("", 0), ("k", 10), ("m", 20), ("g", 30), ("t", 40)][unit];
            prop_assert_eq!(size(&format!("{number}{letter}")), Ok(number << shift));
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            drop((size(&text), milli_cpus(&text), cpuset(&text)));
        }
    }
}
