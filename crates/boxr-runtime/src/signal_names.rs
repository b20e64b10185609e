//! Signals by name or number (signal(7)).

/// The names of signals 1 to 31, on every architecture this runs on.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// The number of a signal: `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `RTMAX-1`; `None` for what
/// is none.
pub fn number(text: &str) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u8>().ok().filter(|number| (1..=RTMAX).contains(number));
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    match NAMES.iter().position(|known| *known == name) {
        Some(index) => u8::try_from(index + 1).ok(),
        None => real_time(name),
    }
}

fn real_time(name: &str) -> Option<u8> {
    let distance = |rest: &str, sign: char| match rest {
        "" => Some(0),
        _ => rest.strip_prefix(sign)?.parse::<u8>().ok(),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => RTMIN.checked_add(distance(rest, '+')?)?,
        (_, Some(rest)) => RTMAX.checked_sub(distance(rest, '-')?)?,
        _ => match name {
            "IOT" => 6,
            "CLD" => 17,
            "POLL" => 29,
            _ => return None,
        },
    };
    (number < RTMIN && !name.starts_with("RT") || (RTMIN..=RTMAX).contains(&number)).then_some(number)
}

/// The name of a signal, without `SIG`: `TERM`, `RTMIN+3`; the number where there is no name.
pub fn name(number: u8) -> String {
    match number {
        1..=31 => NAMES[usize::from(number) - 1].to_owned(),
        RTMIN => "RTMIN".to_owned(),
        35..=RTMAX => format!("RTMIN+{}", number - RTMIN),
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_numbers() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("15", 15),
            ("KILL", 9),
            ("SYS", 31),
            ("RTMIN", 34),
            ("SIGRTMIN+3", 37),
            ("RTMAX", 64),
            ("RTMAX-1", 63),
            ("IOT", 6),
        ] {
            assert_eq!(super::number(text), Some(number), "{text}");
        }
        for text in ["", "0", "65", "-9", "TERMINATE", "SIG", "RTMIN+40", "RTMAX-40", "RTMIN-1", "SIGSIGTERM"]
        {
            assert!(number(text).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn each_number_has_a_name_that_is_read_back(number in 1u8..=64) {
            prop_assert_eq!(super::number(&name(number)), Some(number));
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            number(&text);
        }
    }
}
