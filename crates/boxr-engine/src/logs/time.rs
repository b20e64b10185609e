//! Points in time as logs show them and people type them. UTC only: no time zone is looked up.

pub use boxr_runtime::timestamp::{LENGTH, format, now};
use boxr_runtime::timestamp::{date_of, days_of};

/// Nanoseconds of a second.
const SECOND: i64 = 1_000_000_000;

/// Not a point in time.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no point in time: give one such as 2026-11-24T03:29:41Z or 2026-11-24 (UTC), \
     seconds since 1970, or how long ago: 90s, 10m, 1h30m"
)]
pub struct NotATime(pub String);

/// What `--since` and `--until` take, as nanoseconds since 1970 UTC: RFC 3339, also without zone or time
/// of day; seconds since 1970; a duration before `now` in Go's form.
pub fn parse(text: &str, now: i64) -> Result<i64, NotATime> {
    let found = rfc3339(text)
        .or_else(|| unix_seconds(text))
        .or_else(|| boxr_runtime::units::duration(text).and_then(|ago| now.checked_sub(ago)));
    found.ok_or_else(|| NotATime(text.to_owned()))
}

/// Nanoseconds since 1970 of an RFC 3339 time; `None` when `text` is none.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_at_checked(10)?;
    let mut parts = date.splitn(3, '-');
    let (year, month, day) =
        (number(parts.next()?, 4)?, number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let days = days_of(year, month, day);
    if date_of(days) != (year, month, day) {
        return None;
    }
    let of_day = if rest.is_empty() { 0 } else { time_of_day(rest)? };
    days.checked_mul(86_400 * SECOND)?.checked_add(of_day)
}

/// `T03:29:41.123Z`, `T03:29:41+01:00`, ` 03:29`.
fn time_of_day(text: &str) -> Option<i64> {
    let text = text.strip_prefix(['T', 't', ' '])?;
    let zone_at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at(zone_at);
    let (time, fraction) = match time.split_once('.') {
        Some((time, digits)) => (time, fraction(digits)?),
        None => (time, 0),
    };
    let mut parts = time.split(':');
    let hours = number(parts.next()?, 2)?;
    let minutes = number(parts.next()?, 2)?;
    let seconds = parts.next().map_or(Some(0), |part| number(part, 2))?;
    if hours > 23 || minutes > 59 || seconds > 60 || parts.next().is_some() {
        return None;
    }
    let offset = match zone {
        "" | "Z" | "z" => 0,
        zone => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
            if zone.starts_with('+') { minutes } else { -minutes }
        }
    };
    Some(((hours * 60 + minutes - offset) * 60 + seconds) * SECOND + fraction)
}

fn unix_seconds(text: &str) -> Option<i64> {
    let (seconds, part) = text.split_once('.').map_or((text, None), |(s, f)| (s, Some(f)));
    let fraction = part.map_or(Some(0), fraction)?;
    number(seconds, 0)?.checked_mul(SECOND)?.checked_add(fraction)
}

/// A decimal number with exactly `length` digits, or any from 1 on when that is 0.
fn number(text: &str, length: usize) -> Option<i64> {
    let right = if length == 0 { !text.is_empty() } else { text.len() == length };
    (right && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Digits after the point, as nanoseconds.
fn fraction(digits: &str) -> Option<i64> {
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    (all && (1..=9).contains(&digits.len()))
        .then(|| Some(digits.parse::<i64>().ok()? * 10i64.pow(9 - digits.len() as u32)))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(nanoseconds: i64) -> String {
        String::from_utf8(format(nanoseconds).to_vec()).unwrap()
    }

    #[test]
    fn known_times() {
        assert_eq!(text(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(text(1_709_210_096_000_000_007), "2024-02-29T12:34:56.000000007Z");
        assert_eq!(text(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(parse("2024-02-29T12:34:56Z", 0), Ok(1_709_210_096 * SECOND));
        assert_eq!(parse("2024-02-29T13:34:56.5+01:00", 0), Ok(1_709_210_096 * SECOND + SECOND / 2));
        assert_eq!(parse("2024-02-29 12:34", 0), Ok(1_709_210_040 * SECOND));
        assert_eq!(parse("1970-01-02", 0), Ok(86_400 * SECOND));
        assert_eq!(parse("1709210096.25", 0), Ok(1_709_210_096 * SECOND + SECOND / 4));
    }

    #[test]
    fn durations_count_back_from_now() {
        let now = 1_000_000 * SECOND;
        for (given, ago) in [
            ("10m", 600 * SECOND),
            ("1h30m", 5400 * SECOND),
            ("1.5h", 5400 * SECOND),
            ("300ms", 300_000_000),
            ("0s", 0),
            ("-1s", -SECOND),
        ] {
            assert_eq!(parse(given, now), Ok(now - ago), "{given}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "x",
            "10x",
            "m",
            "1h30",
            "2024-02-30",
            "2024-13-01",
            "2024-02-29T25:00:00Z",
            "2024-02-29T12:34:56+1",
            "1.",
            "99999999999999999999",
            "9999999999h",
            "1..5s",
            "ü",
        ] {
            assert!(parse(bad, 0).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_formatted_is_parsed_back(nanoseconds in 0i64..9_000_000_000_000_000_000) {
            prop_assert_eq!(rfc3339(&text(nanoseconds)), Some(nanoseconds));
        }

        #[test]
        fn anything_is_answered(text in ".{0,40}", now: i64) {
            parse(&text, now).ok();
        }
    }
}
