//! Devices, and names of hosts.

use std::net::IpAddr;

use crate::config::value::{Base, Invalid, clean};
use crate::image::{Device, DeviceRule, Link};

/// `HOST[:CONTAINER][:ACCESS]`; access is made of `r`, `w` and `m`.
pub fn device(text: &str, base: &Base) -> Result<Device, Invalid> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_access =
        |word: &str| !word.is_empty() && word.len() <= 3 && word.chars().all(|letter| "rwm".contains(letter));
    let (host, container, access) = match parts[..] {
        [host] => (host, host, "rwm"),
        [host, access] if is_access(access) => (host, host, access),
        [host, container] => (host, container, "rwm"),
        [host, container, access] if is_access(access) => (host, container, access),
        [_, _, _] => return Err(Invalid::new(text, "the third part is made of r, w and m")),
        _ => return Err(Invalid::new(text, "more than three parts")),
    };
    if text.contains('=') && !text.starts_with('/') {
        return Err(Invalid::new(text, "neither a path nor VENDOR/CLASS=NAME (CDI)"));
    }
    if !container.starts_with('/') {
        return Err(Invalid::new(text, format!("{container:?} is not an absolute path")));
    }
    Ok(Device { host: base.absolute(host)?, container: clean(container.as_ref()), access: access.to_owned() })
}

/// `TYPE MAJOR:MINOR ACCESS`, as in `c 1:3 mr`; `*` is any number, and type `a` is all devices.
pub fn device_rule(text: &str) -> Result<DeviceRule, Invalid> {
    let wrong = |why: &str| Invalid::new(text, why);
    let words: Vec<&str> = text.split_whitespace().collect();
    let [kind @ ("a" | "b" | "c"), numbers, access] = words[..] else {
        return Err(wrong("not TYPE MAJOR:MINOR ACCESS, where TYPE is a, b or c"));
    };
    let (major, minor) = numbers.split_once(':').ok_or_else(|| wrong("not MAJOR:MINOR"))?;
    let number = |word: &str| match word {
        "*" => Ok(None),
        digits => digits.parse().map(Some).map_err(|_| wrong("MAJOR and MINOR are numbers, or *")),
    };
    if access.is_empty() || access.len() > 3 || !access.chars().all(|letter| "rwm".contains(letter)) {
        return Err(wrong("ACCESS is made of r, w and m"));
    }
    let kind = kind.chars().next().unwrap_or('a');
    Ok(DeviceRule { kind, major: number(major)?, minor: number(minor)?, access: access.to_owned() })
}

/// `NAME:ADDRESS` or `NAME=ADDRESS`; an IPv6 address may stand in brackets.
pub fn host(text: &str) -> Result<(String, String), Invalid> {
    let at = text.find(['=', ':']).ok_or_else(|| Invalid::new(text, "not NAME:ADDRESS"))?;
    let (name, address) = (&text[..at], text[at + 1..].trim_start_matches('[').trim_end_matches(']'));
    if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter == '#') {
        return Err(Invalid::new(text, "the name of the host is missing"));
    }
    // Docker's word for the host itself, seen from the container.
    if address != "host-gateway" {
        self::address(address).map_err(|error| Invalid::new(text, error.why))?;
    }
    Ok((name.to_owned(), address.to_owned()))
}

/// `NAME[:ALIAS]` of another container.
pub fn link(text: &str) -> Result<Link, Invalid> {
    let (container, alias) = text.split_once(':').unwrap_or((text, text));
    if container.is_empty() {
        return Err(Invalid::new(text, "the name of the container is missing"));
    }
    // A part that is missing or one too many is no host name either.
    let alias = super::hostname(alias).map_err(|error| Invalid::new(text, error.why))?;
    Ok(Link { container: container.to_owned(), alias })
}

/// An IPv4 or IPv6 address.
pub fn address(text: &str) -> Result<String, Invalid> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(Invalid::new(text, format!("{text:?} is not an address"))),
    }
}

/// One word of a line of resolv.conf(5).
pub fn resolver_word(text: &str) -> Result<String, Invalid> {
    if text.is_empty()
        || text.contains(|letter: char| letter.is_whitespace() || letter == '#' || letter == ';')
    {
        return Err(Invalid::new(text, "not one word"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn base() -> Base {
        Base("/here".into())
    }

    #[test]
    fn devices() {
        let made = |host: &str, container: &str, access: &str| {
            Ok(Device { host: host.into(), container: container.into(), access: access.into() })
        };
        assert_eq!(device("/dev/fuse", &base()), made("/dev/fuse", "/dev/fuse", "rwm"));
        assert_eq!(device("/dev/a:/dev/b", &base()), made("/dev/a", "/dev/b", "rwm"));
        assert_eq!(device("/dev/a:r", &base()), made("/dev/a", "/dev/a", "r"));
        assert_eq!(device("/dev/a:/dev/b:rw", &base()), made("/dev/a", "/dev/b", "rw"));
        for text in ["", "/a:b", "/a:/b:x", "/a:/b:rw:c", "vendor.com/gpu=all"] {
            assert!(device(text, &base()).is_err(), "{text}");
        }
    }

    #[test]
    fn rules_of_devices() {
        let rule = device_rule("c 10:* rw").unwrap();
        assert_eq!((rule.kind, rule.major, rule.minor, rule.access.as_str()), ('c', Some(10), None, "rw"));
        assert_eq!(device_rule("a *:* rwm").unwrap().major, None);
        for text in ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c 1:x r", "c 1:3 rx", "c -1:3 r", "c 1:3 rwmr"] {
            assert!(device_rule(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts() {
        assert_eq!(host("db:10.0.0.5"), Ok(("db".into(), "10.0.0.5".into())));
        assert_eq!(host("db=::1"), Ok(("db".into(), "::1".into())));
        assert_eq!(host("db:[::1]"), Ok(("db".into(), "::1".into())));
        assert_eq!(host("me:host-gateway"), Ok(("me".into(), "host-gateway".into())));
        for text in ["", "db", ":1.2.3.4", "a b:1.2.3.4", "db:1.2.3", "db:x"] {
            assert!(host(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".*") {
            drop((device(&text, &base()), device_rule(&text), host(&text), address(&text), resolver_word(&text)));
        }
    }
}
