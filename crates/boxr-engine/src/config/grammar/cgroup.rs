//! Limits of cgroups: sizes, processors, sets of processors.

use crate::config::value::Invalid;

/// Bytes: `512m`, `1.5g`, `100k`, `4096`, `2GiB`. All units are powers of 1024, as docker reads them.
pub fn size(text: &str) -> Result<u64, Invalid> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(Invalid::new(text, "the unit is none of b, k, m, g, t, p")),
    };
    let whole = decimal(number, 1u128 << shift).ok_or_else(|| Invalid::new(text, "not a size"))?;
    i64::try_from(whole).map(i64::unsigned_abs).map_err(|_| Invalid::new(text, "too large"))
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

/// `text` times `unit`, for a decimal number without sign; rounded down.
pub(super) fn decimal(text: &str, unit: u128) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if whole.len() > 20 || fraction.len() > 12 || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(unit)?.checked_add(fraction.checked_mul(unit)? / scale)
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
    fn sizes_as_docker_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("4096", 4096),
            ("4096b", 4096),
            ("100k", 102_400),
            ("512m", 512 << 20),
            ("512MiB", 512 << 20),
            ("1.5g", 3 << 29),
            ("2 GB", 2 << 30),
            (".5k", 512),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "-1", "1x", "1,5g", "1.2.3", "99999999999t", "1e6", "."] {
            assert!(size(text).is_err(), "{text}");
        }
    }

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
