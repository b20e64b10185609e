//! Times and durations as docker writes and reads them.

use std::time::{SystemTime, UNIX_EPOCH};

const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400;

/// What docker shows for a time that has not come.
pub const NEVER: &str = "0001-01-01T00:00:00Z";

/// Nanoseconds since 1970 UTC.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// A duration in words, as go-units' HumanDuration: `About a minute`, `3 weeks`.
pub fn human_duration(nanoseconds: i64) -> String {
    let seconds = nanoseconds / SECOND;
    let minutes = seconds / 60;
    // Hours are rounded, all else is cut.
    let hours = (seconds + 1800) / 3600;
    match () {
        () if seconds < 1 => "Less than a second".to_owned(),
        () if seconds == 1 => "1 second".to_owned(),
        () if seconds < 60 => format!("{seconds} seconds"),
        () if minutes == 1 => "About a minute".to_owned(),
        () if minutes < 60 => format!("{minutes} minutes"),
        () if hours == 1 => "About an hour".to_owned(),
        () if hours < 48 => format!("{hours} hours"),
        () if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        () if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        () if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        () => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// A duration as Go prints them: `1h2m3.5s`, `938.5ms`, `0s`.
pub fn go_duration(nanoseconds: u64) -> String {
    let fraction = |amount: u64, unit: u64, name: &str| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", amount / unit, amount % unit);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    let second = SECOND.unsigned_abs();
    match nanoseconds {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanoseconds}ns"),
        1_000..1_000_000 => fraction(nanoseconds, 1_000, "µs"),
        _ if nanoseconds < second => fraction(nanoseconds, 1_000_000, "ms"),
        _ if nanoseconds < 60 * second => fraction(nanoseconds, second, "s"),
        _ => {
            let minutes = nanoseconds / second / 60;
            let rest = fraction(nanoseconds % (60 * second), second, "s");
            let hours = if minutes < 60 { String::new() } else { format!("{}h", minutes / 60) };
            format!("{hours}{}m{rest}", minutes % 60)
        }
    }
}

/// A calendar time in UTC.
struct Calendar {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    nanosecond: i64,
}

/// The proleptic Gregorian calendar, counted in eras of 400 years that begin on a first of March.
fn calendar(nanoseconds: i64) -> Calendar {
    let seconds = nanoseconds.div_euclid(SECOND);
    let (days, time) = (seconds.div_euclid(DAY) + 719_468, seconds.rem_euclid(DAY));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (day, month) =
        (day_of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    Calendar {
        year: year_of_era + era * 400 + i64::from(month <= 2),
        month,
        day,
        hour: time / 3600,
        minute: time / 60 % 60,
        second: time % 60,
        nanosecond: nanoseconds.rem_euclid(SECOND),
    }
}

/// Days from 1970-01-01 to a date; the inverse of [`calendar`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + (153 * month + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - 719_468
}

/// RFC 3339 in UTC with as many digits as are needed, as `inspect` has: `2026-01-02T03:04:05.6Z`.
pub fn rfc3339(nanoseconds: i64) -> String {
    let Calendar { year, month, day, hour, minute, second, nanosecond } = calendar(nanoseconds);
    let fraction = format!(".{nanosecond:09}");
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// RFC 3339 in UTC with nine digits, as `logs -t` has.
pub fn rfc3339_nano(nanoseconds: i64) -> String {
    let Calendar { year, month, day, hour, minute, second, nanosecond } = calendar(nanoseconds);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}Z")
}

/// As `ps` has in CREATED AT, in UTC: `2026-01-02 03:04:05 +0000 UTC`.
pub fn go_time(nanoseconds: i64) -> String {
    let Calendar { year, month, day, hour, minute, second, .. } = calendar(nanoseconds);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} +0000 UTC")
}

/// As ps(1) shows start times: `12:34` today, `Jan02` this year, `2025` before that; in UTC.
pub fn start_time(nanoseconds: i64, now: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (then, today) = (calendar(nanoseconds), calendar(now));
    if then.year != today.year {
        return then.year.to_string();
    }
    if (then.month, then.day) == (today.month, today.day) {
        return format!("{:02}:{:02}", then.hour, then.minute);
    }
    let month = usize::try_from(then.month - 1).ok().and_then(|index| MONTHS.get(index)).unwrap_or(&"");
    format!("{month}{:02}", then.day)
}

/// What [`parse`] takes, for messages.
pub const ACCEPTED: &str =
    "a time such as 2026-01-02T03:04:05Z, seconds since 1970, or a duration such as 1h30m for that long ago";

/// Reads a point in time as docker's `--since` and `--until`: RFC 3339 or a beginning of it (UTC where
/// it has no offset), seconds since 1970 with a fraction, or a duration before `now`. Nanoseconds
/// since 1970 UTC; `None` for anything else.
pub fn parse(text: &str, now: i64) -> Option<i64> {
    if let Some(duration) = boxr_runtime::units::duration(text) {
        return now.checked_sub(duration);
    }
    parse_unix(text).or_else(|| parse_calendar(text))
}

/// `0.FRACTION` of `unit`; digits beyond the ninth do not count.
fn fraction_of(fraction: &str, unit: i64) -> Option<i64> {
    if fraction.is_empty() {
        return Some(0);
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    i64::try_from(i128::from(digits) * i128::from(unit) / i128::from(SECOND)).ok()
}

fn parse_unix(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !whole.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    whole.parse::<i64>().ok()?.checked_mul(SECOND)?.checked_add(fraction_of(fraction, SECOND)?)
}

fn parse_calendar(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, ""));
    let mut date = date.splitn(3, '-').map(|part| number(part, if part.len() > 2 { 4 } else { 2 }));
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || !(1970..=2261).contains(&year) {
        return None;
    }
    let (time, offset) = split_offset(time)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut seconds = 0;
    if !clock.is_empty() {
        let mut parts = clock.splitn(3, ':').map(|part| number(part, 2));
        let (hour, minute, second) =
            (parts.next()??, parts.next().unwrap_or(Some(0))?, parts.next().unwrap_or(Some(0))?);
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        seconds = hour * 3600 + minute * 60 + second;
    }
    let seconds = days(year, month, day) * DAY + seconds - offset;
    seconds.checked_mul(SECOND)?.checked_add(fraction_of(fraction, SECOND)?)
}

fn number(text: &str, digits: usize) -> Option<i64> {
    (text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Cuts `Z` or `+01:00` off; its seconds east of UTC.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = time.rfind(['+', '-']) else { return Some((time, 0)) };
    let (time, offset) = time.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':').unwrap_or_else(|| {
        let digits = &offset[1..];
        digits.split_at_checked(2).unwrap_or((digits, ""))
    });
    let seconds = number(hours, 2)? * 3600 + number(minutes, 2)? * 60;
    Some((time, if offset.starts_with('-') { -seconds } else { seconds }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_in_gos_words() {
        for (nanoseconds, expected) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (938_546_323, "938.546323ms"),
            (20_386_825_206, "20.386825206s"),
            (60_000_000_000, "1m0s"),
            (3_732_050_000_000, "1h2m12.05s"),
            (90_000_500_000_000, "25h0m0.5s"),
        ] {
            assert_eq!(go_duration(nanoseconds), expected);
        }
    }

    #[test]
    fn durations_in_dockers_words() {
        const MINUTE: i64 = 60;
        const HOUR: i64 = 3600;
        for (seconds, expected) in [
            (0, "Less than a second"),
            (1, "1 second"),
            (45, "45 seconds"),
            (59, "59 seconds"),
            (60, "About a minute"),
            (119, "About a minute"),
            (2 * MINUTE, "2 minutes"),
            (59 * MINUTE + 59, "59 minutes"),
            (60 * MINUTE, "About an hour"),
            (89 * MINUTE, "About an hour"),
            (90 * MINUTE, "2 hours"),
            (47 * HOUR, "47 hours"),
            (47 * HOUR + 1800, "2 days"),
            (13 * DAY, "13 days"),
            (14 * DAY, "2 weeks"),
            (59 * DAY, "8 weeks"),
            (60 * DAY, "2 months"),
            (729 * DAY, "24 months"),
            (730 * DAY, "2 years"),
            (1100 * DAY, "3 years"),
        ] {
            assert_eq!(human_duration(seconds * SECOND), expected, "{seconds} s");
        }
        assert_eq!(human_duration(-5 * SECOND), "Less than a second", "a clock that was set back");
    }

    #[test]
    fn times_are_written() {
        let time = 1_767_323_045 * SECOND;
        assert_eq!(rfc3339(time), "2026-01-02T03:04:05Z");
        assert_eq!(rfc3339(time + 120_000_000), "2026-01-02T03:04:05.12Z");
        assert_eq!(rfc3339_nano(time + 12), "2026-01-02T03:04:05.000000012Z");
        assert_eq!(go_time(time), "2026-01-02 03:04:05 +0000 UTC");
        assert_eq!(rfc3339(951_782_400 * SECOND), "2000-02-29T00:00:00Z");
        assert_eq!(start_time(time, time), "03:04");
        assert_eq!(start_time(time, time + 40 * DAY * SECOND), "Jan02");
        assert_eq!(start_time(time, time + 400 * DAY * SECOND), "2026");
    }

    #[test]
    fn times_are_read() {
        let time = 1_767_323_045 * SECOND;
        for (text, expected) in [
            ("2026-01-02T03:04:05Z", Some(time)),
            ("2026-01-02T03:04:05.5Z", Some(time + SECOND / 2)),
            ("2026-01-02T04:04:05+01:00", Some(time)),
            ("2026-01-02T02:04:05-0100", Some(time)),
            ("2026-01-02T03:04:05", Some(time)),
            ("2026-01-02 03:04", Some(time - 5 * SECOND)),
            ("2026-01-02", Some(time - (3 * 3600 + 245) * SECOND)),
            ("1767323045", Some(time)),
            ("1767323045.000000012", Some(time + 12)),
            ("10m", Some(time - 600 * SECOND)),
            ("1h30m", Some(time - 5400 * SECOND)),
            ("1.5h", Some(time - 5400 * SECOND)),
            ("300ms", Some(time - 300_000_000)),
            ("", None),
            ("yesterday", None),
            ("10", Some(10 * SECOND)),
            ("10x", None),
            ("2026-13-01", None),
            ("2026-1-1", None),
            ("2026-01-02T25:00:00Z", None),
            (".", None),
            ("h", None),
        ] {
            assert_eq!(parse(text, time), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(time in 0i64..9_000_000_000_000_000_000) {
            prop_assert_eq!(parse(&rfc3339(time), 0), Some(time));
            prop_assert_eq!(parse(&rfc3339_nano(time), 0), Some(time));
        }

        #[test]
        fn any_text_is_answered(text in "[-+.:0-9TZ hmsnu]{0,24}|\\PC*") {
            parse(&text, 0);
        }
    }
}
