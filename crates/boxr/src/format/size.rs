//! Sizes and shares as docker writes them (go-units).

const DECIMAL: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY: [&str; 9] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];

/// Powers of 1000 with three digits, as the sizes of `ps` and the traffic of `stats`: `1.09kB`.
pub fn decimal(bytes: u64) -> String {
    scaled(bytes, 1000.0, 3, &DECIMAL)
}

/// Powers of 1000 with four digits, as docker's reports of reclaimed space: `1.093kB`.
pub fn decimal_precise(bytes: u64) -> String {
    scaled(bytes, 1000.0, 4, &DECIMAL)
}

/// Powers of 1024 with four digits, as memory in `stats`: `1.945GiB`.
pub fn binary(bytes: u64) -> String {
    scaled(bytes, 1024.0, 4, &BINARY)
}

/// `12.34%`
pub fn percent(value: f64) -> String {
    format!("{value:.2}%")
}

fn scaled(bytes: u64, base: f64, digits: usize, units: &[&str]) -> String {
    #[allow(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        // Rounded up to 1000 it would be shown as 1e+03 by Go; the next unit says it better.
        let rounded: f64 = significant(value, digits).parse().unwrap_or(value);
        if rounded < base || units.peek().is_none() {
            return format!("{}{unit}", significant(value, digits));
        }
        value /= base;
    }
    String::new()
}

/// `value` with so many significant digits, without zeros at the end (C's and Go's `%.3g`), never
/// with an exponent.
pub fn significant(value: f64, digits: usize) -> String {
    let rounded = format!("{value:.*e}", digits.saturating_sub(1));
    rounded.parse::<f64>().map_or(rounded, |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_units_writes_them() {
        for (bytes, expected) in [
            (0, "0B"),
            (1, "1B"),
            (999, "999B"),
            (1000, "1kB"),
            (1093, "1.09kB"),
            (1024, "1.02kB"),
            (15_300, "15.3kB"),
            (133_000_000, "133MB"),
            (2_500_000_000, "2.5GB"),
            (u64::MAX, "18.4EB"),
        ] {
            assert_eq!(decimal(bytes), expected);
        }
        assert_eq!(decimal_precise(1093), "1.093kB");
        for (bytes, expected) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (442_368, "432KiB"),
            (1_048_576, "1MiB"),
            (2_088_763_392, "1.945GiB"),
            (8_318_124_032, "7.747GiB"),
        ] {
            assert_eq!(binary(bytes), expected);
        }
    }

    #[test]
    fn rounding_goes_to_the_next_unit_rather_than_to_an_exponent() {
        assert_eq!(decimal(999_999), "1MB");
        assert_eq!(decimal(999_400), "999kB");
    }

    #[test]
    fn percentages_have_two_places() {
        assert_eq!(
            (percent(0.0), percent(12.345), percent(200.0)),
            ("0.00%".into(), "12.35%".into(), "200.00%".into())
        );
    }
}
