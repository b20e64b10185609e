//! Single words: hostnames, variables, labels, capabilities, limits of setrlimit(2), umask.

use crate::config::value::Invalid;
use crate::options::{Restart, Ulimit};

/// A host name or NIS domain name: what sethostname(2) takes.
pub fn hostname(text: &str) -> Result<String, Invalid> {
    if text.is_empty() || text.len() > 64 {
        return Err(Invalid::new(text, "1 to 64 characters, as sethostname(2) takes them"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    if text.starts_with('-') || !text.bytes().all(allowed) {
        return Err(Invalid::new(text, "only letters, digits, -, . and _, and no - in front"));
    }
    Ok(text.to_owned())
}

/// `KEY=VALUE`, or `KEY` alone (`None`).
pub fn environment(text: &str) -> Result<(String, Option<String>), Invalid> {
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Some(value.to_owned())),
        None => (text, None),
    };
    if key.is_empty() {
        return Err(Invalid::new(text, "the variable's name is missing"));
    }
    Ok((key.to_owned(), value))
}

/// `KEY[=VALUE]`; the value is empty when it is not said.
pub fn label(text: &str) -> Result<(String, String), Invalid> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(Invalid::new(text, "the label's key is missing"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// A capability, or `ALL`: in capitals, without `CAP_`.
pub fn capability(text: &str) -> Result<String, Invalid> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("CAP_").unwrap_or(&upper);
    if name == "ALL" || boxr_runtime::capabilities::NAMES.contains(&name) {
        return Ok(name.to_owned());
    }
    match crate::config::nearest(name, boxr_runtime::capabilities::NAMES.iter().copied()) {
        Some(near) => Err(Invalid::new(text, format!("no such capability; the nearest is {near}"))),
        None => Err(Invalid::new(text, "no such capability")),
    }
}

/// Limits of setrlimit(2), in docker's words.
const LIMITS: [&str; 16] = [
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// `NAME=SOFT[:HARD]`, each a number, `unlimited` or -1.
pub fn ulimit(text: &str) -> Result<Ulimit, Invalid> {
    let (name, values) =
        text.split_once('=').ok_or_else(|| Invalid::new(text, "not NAME=SOFT or NAME=SOFT:HARD"))?;
    let name = name.to_ascii_lowercase();
    let name = name.strip_prefix("rlimit_").unwrap_or(&name);
    if !LIMITS.contains(&name) {
        return Err(Invalid::new(text, format!("{name:?} is not a limit")));
    }
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let number = |part: &str| match part {
        "unlimited" | "infinity" | "-1" => Ok(u64::MAX),
        _ if part.starts_with('+') => Err(Invalid::new(text, format!("{part:?} is not a number"))),
        _ => part.parse::<u64>().map_err(|_| Invalid::new(text, format!("{part:?} is not a number"))),
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err(Invalid::new(text, "the soft limit is above the hard one"));
    }
    Ok(Ulimit { kind: format!("RLIMIT_{}", name.to_ascii_uppercase()), soft, hard })
}

/// What is done about the end of a box: `no`, `on-failure[:N]`, `always`, `unless-stopped`.
pub fn restart(text: &str) -> Result<Restart, Invalid> {
    match text.split_once(':').unwrap_or((text, "")) {
        ("no", "") => Ok(Restart::No),
        ("always", "") => Ok(Restart::Always),
        ("unless-stopped", "") => Ok(Restart::UnlessStopped),
        ("on-failure", "") => Ok(Restart::OnFailure { most: None }),
        ("on-failure", number) => match number.parse() {
            Ok(0) => Ok(Restart::OnFailure { most: None }),
            Ok(most) => Ok(Restart::OnFailure { most: Some(most) }),
            Err(_) => Err(Invalid::new(text, format!("{number:?} is not a number"))),
        },
        _ => Err(Invalid::new(text, "no such policy")),
    }
}

/// A file mode creation mask in octal: `022`.
pub fn umask(text: &str) -> Result<u32, Invalid> {
    let digits = !text.is_empty() && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mask = if digits { u32::from_str_radix(text, 8).ok() } else { None };
    mask.filter(|mask| *mask <= 0o777).ok_or_else(|| Invalid::new(text, "not an octal number up to 0777"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostnames() {
        assert!(hostname("blue-1.example_x").is_ok());
        for text in ["", "-x", "a b", "é", &"x".repeat(65)] {
            assert!(hostname(text).is_err(), "{text}");
        }
    }

    #[test]
    fn variables_and_labels() {
        assert_eq!(environment("A=b=c"), Ok(("A".into(), Some("b=c".into()))));
        assert_eq!(environment("A="), Ok(("A".into(), Some(String::new()))));
        assert_eq!(environment("A"), Ok(("A".into(), None)));
        assert!(environment("=x").is_err());
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=x").is_err());
    }

    #[test]
    fn capabilities() {
        assert_eq!(capability("net_admin").as_deref(), Ok("NET_ADMIN"));
        assert_eq!(capability("CAP_SYS_ADMIN").as_deref(), Ok("SYS_ADMIN"));
        assert_eq!(capability("all").as_deref(), Ok("ALL"));
        assert!(capability("NET_ADMN").unwrap_err().why.contains("NET_ADMIN"));
    }

    #[test]
    fn limits() {
        let limit = |soft, hard| Ok(Ulimit { kind: "RLIMIT_NOFILE".into(), soft, hard });
        assert_eq!(ulimit("nofile=1024"), limit(1024, 1024));
        assert_eq!(ulimit("nofile=1024:2048"), limit(1024, 2048));
        assert_eq!(ulimit("nofile=1024:unlimited"), limit(1024, u64::MAX));
        assert_eq!(ulimit("RLIMIT_NOFILE=-1"), limit(u64::MAX, u64::MAX));
        for text in ["nofile", "nofile=", "nofile=2:1", "files=1", "nofile=1:2:3", "nofile=x"] {
            assert!(ulimit(text).is_err(), "{text}");
        }
    }

    #[test]
    fn policies() {
        assert_eq!(restart("on-failure:3"), Ok(Restart::OnFailure { most: Some(3) }));
        assert_eq!(restart("on-failure"), Ok(Restart::OnFailure { most: None }));
        assert_eq!(restart("unless-stopped"), Ok(Restart::UnlessStopped));
        for text in ["", "never", "always:3", "on-failure:x", "on-failure:-1"] {
            assert!(restart(text).is_err(), "{text}");
        }
    }

    #[test]
    fn masks() {
        assert_eq!(umask("022"), Ok(0o22));
        assert_eq!(umask("0777"), Ok(0o777));
        for text in ["", "8", "1777", "-1", "0o22"] {
            assert!(umask(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".*") {
            drop((hostname(&text), environment(&text), label(&text)));
            drop((capability(&text), ulimit(&text), umask(&text)));
        }
    }
}
