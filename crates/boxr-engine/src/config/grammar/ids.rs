//! Users, groups and id maps.

use crate::config::value::Invalid;
use crate::options::IdExtent;

/// A user as it was written: a number or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// A number.
    Number(u32),
    /// To be looked up.
    Name(String),
}

/// `--user`, before names are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserSpec {
    /// User.
    pub user: Id,
    /// Group, when said.
    pub group: Option<Id>,
}

/// `UID[:GID]`, each a number or a name.
pub fn user(text: &str) -> Result<UserSpec, Invalid> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let read =
        |part: &str| id(part).ok_or_else(|| Invalid::new(text, format!("{part:?} is not a user or group")));
    Ok(UserSpec { user: read(user)?, group: group.map(read).transpose()? })
}

/// A group: a number or a name.
pub fn group(text: &str) -> Result<Id, Invalid> {
    id(text).ok_or_else(|| Invalid::new(text, "not a group"))
}

/// The highest id is the kernel's word for "unchanged".
fn id(text: &str) -> Option<Id> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().filter(|id| *id != u32::MAX).map(Id::Number);
    }
    let letter = |c: char| c.is_alphanumeric() || "_.-$@\\".contains(c);
    let plausible =
        !text.starts_with('-') && !text.is_empty() && text.len() <= 256 && text.chars().all(letter);
    plausible.then(|| Id::Name(text.to_owned()))
}

/// `BOX:HOST[:SIZE]`, where HOST may have podman's `@` before it: the numbers are the host's either way.
pub fn extent(text: &str) -> Result<IdExtent, Invalid> {
    let parts: Vec<&str> = text.split(':').collect();
    let (container, host, size) = match parts[..] {
        [container, host] => (container, host, "1"),
        [container, host, size] => (container, host, size),
        _ => return Err(Invalid::new(text, "not two or three numbers with colons between")),
    };
    let host = host.strip_prefix('@').unwrap_or(host);
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let read = if digits { part.parse::<u32>().ok() } else { None };
        read.ok_or_else(|| Invalid::new(text, format!("{part:?} is not an id")))
    };
    let extent = IdExtent { container: number(container)?, host: number(host)?, size: number(size)? };
    if extent.size == 0 {
        return Err(Invalid::new(text, "it maps no id"));
    }
    if extent.container.checked_add(extent.size).is_none() || extent.host.checked_add(extent.size).is_none() {
        return Err(Invalid::new(text, "it goes beyond the highest id, 4294967294"));
    }
    Ok(extent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn users() {
        let spec = |user, group| Ok(UserSpec { user, group });
        assert_eq!(user("0"), spec(Id::Number(0), None));
        assert_eq!(user("1000:100"), spec(Id::Number(1000), Some(Id::Number(100))));
        assert_eq!(user("nobody:nogroup"), spec(Id::Name("nobody".into()), Some(Id::Name("nogroup".into()))));
        for text in ["", ":", "1:", ":1", "4294967295", "99999999999", "-1", "a b", "1:2:3"] {
            assert!(user(text).is_err(), "{text}");
        }
    }

    #[test]
    fn extents_stay_in_range() {
        assert_eq!(extent("0:1000:1"), Ok(IdExtent { container: 0, host: 1000, size: 1 }));
        assert_eq!(extent("5:@1000"), Ok(IdExtent { container: 5, host: 1000, size: 1 }));
        for text in ["", "0", "0:0:0", "0:0:1:1", "x:0:1", "0:4294967295:2", "+1:0:1", "0:-1:1"] {
            assert!(extent(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn extents_are_read_back(container in 0u32..1 << 30, host in 0u32..1 << 30, size in 1u32..1 << 30) {
            prop_assert_eq!(extent(&format!("{container}:{host}:{size}")), Ok(IdExtent { container, host, size }));
        }

        #[test]
        fn no_text_is_too_strange(text in ".*") {
            drop((user(&text), group(&text), extent(&text)));
        }
    }
}
