//! Amounts as people write them: decimal numbers with a unit.

/// `text` times `unit`, for a decimal number without sign; rounded down.
pub fn decimal(text: &str, unit: u128) -> Option<u128> {
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

/// What is wrong with a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSize {
    /// The number is none.
    #[error("not a size")]
    Number,
    /// The unit is not known.
    #[error("the unit is none of b, k, m, g, t, p")]
    Unit,
    /// More than the kernel counts.
    #[error("too large")]
    TooLarge,
}

/// Bytes: `512m`, `1.5g`, `100k`, `4096`, `2GiB`. All units are powers of 1024, as docker reads them.
///
/// # Errors
/// What is wrong with it.
pub fn size(text: &str) -> Result<u64, BadSize> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        "p" | "pb" | "pib" => 50,
        _ => return Err(BadSize::Unit),
    };
    let whole = decimal(number, 1u128 << shift).ok_or(BadSize::Number)?;
    i64::try_from(whole).map(i64::unsigned_abs).map_err(|_| BadSize::TooLarge)
}

/// A duration as Go writes them, in nanoseconds: `1h30m`, `1.5s`, `300ms`, `-1m`. `None` for anything else.
pub fn duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut sum = 0i64;
    loop {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let part = decimal(number, nanoseconds(unit)?)?;
        sum = sum.checked_add(i64::try_from(part).ok()?)?;
        if tail.is_empty() {
            return Some(sign * sum);
        }
        rest = tail;
    }
}

fn nanoseconds(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
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
    fn durations_as_go_reads_them() {
        const SECOND: i64 = 1_000_000_000;
        for (text, expected) in [
            ("1h30m", 5400 * SECOND),
            ("1.5h", 5400 * SECOND),
            ("300ms", 300_000_000),
            ("0s", 0),
            ("-1s", -SECOND),
            ("+1.5s", SECOND * 3 / 2),
            ("7µs", 7000),
            ("1ns", 1),
        ] {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in ["", "x", "10x", "m", "1h30", "-", "9999999999h", "1..5s", "s", ".s", "ü", "1 s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9a-zµ.+ -]{0,20}") {
            size(&text).map(drop).unwrap_or_default();
            duration(&text).map(drop).unwrap_or_default();
        }
    }
}
