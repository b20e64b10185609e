//! Times: seconds with a unit, and offsets of clocks.

use crate::config::value::Invalid;
use boxr_runtime::units::decimal;

/// Seconds: `90`, `90s`, `5m`, `1h`, `2d`, as timeout(1) reads them, without fractions.
pub fn seconds(text: &str) -> Result<u64, Invalid> {
    let (number, unit) = match text.char_indices().last() {
        Some((at, 's')) => (&text[..at], 1),
        Some((at, 'm')) => (&text[..at], 60),
        Some((at, 'h')) => (&text[..at], 3600),
        Some((at, 'd')) => (&text[..at], 86_400),
        _ => (text, 1),
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Invalid::new(text, "not a time"));
    }
    // Bounded so that sums of times stay far from the end of 64 bits.
    let bounded = |seconds: &u64| *seconds <= u64::from(u32::MAX);
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(unit))
        .filter(bounded)
        .ok_or_else(|| Invalid::new(text, "too long"))
}

/// Milliseconds: seconds, or numbers with units such as `500ms`, `1m30s`.
pub fn millis(text: &str) -> Result<u64, Invalid> {
    let wrong = || Invalid::new(text, "not a time");
    let (mut total, mut rest) = (0u64, text);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end =
            rest[digits..].find(|letter: char| letter.is_ascii_digit()).map_or(rest.len(), |at| digits + at);
        let factor = match &rest[digits..unit_end] {
            "ms" => 1,
            "s" | "" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        let bounded = number.checked_mul(factor).and_then(|more| total.checked_add(more));
        total = bounded.filter(|sum| *sum <= u64::from(u32::MAX) * 1000).ok_or_else(wrong)?;
        rest = &rest[unit_end..];
    }
    if text.is_empty() { Err(wrong()) } else { Ok(total) }
}

/// Nanoseconds of a clock's offset: seconds with a sign and a fraction (time_namespaces(7)).
pub fn offset(text: &str) -> Result<i64, Invalid> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let nanoseconds =
        decimal(digits, 1_000_000_000).ok_or_else(|| Invalid::new(text, "not a number of seconds"))?;
    // The kernel takes offsets that keep the clock below half of its range.
    let nanoseconds = i64::try_from(nanoseconds)
        .ok()
        .filter(|nanoseconds| *nanoseconds <= i64::MAX / 2)
        .ok_or_else(|| Invalid::new(text, "too large"))?;
    Ok(if negative { -nanoseconds } else { nanoseconds })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times() {
        assert_eq!(seconds("0"), Ok(0));
        assert_eq!(seconds("90"), Ok(90));
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("1h"), Ok(3600));
        assert_eq!(seconds("2d"), Ok(172_800));
        for text in ["", "s", "-1", "1.5", "1w", "99999999999999999999", "99999999999d", "1é"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn offsets() {
        assert_eq!(offset("1"), Ok(1_000_000_000));
        assert_eq!(offset("-1.5"), Ok(-1_500_000_000));
        assert_eq!(offset("+0.000000001"), Ok(1));
        for text in ["", "-", "--1", "x", "1s", "99999999999999"] {
            assert!(offset(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn whole_offsets_are_exact(number in -4_000_000_000i64..4_000_000_000) {
            prop_assert_eq!(offset(&number.to_string()), Ok(number * 1_000_000_000));
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            drop((seconds(&text), offset(&text)));
        }
    }
}
