//! Whose the directory of a volume is from the beginning, and its mode (`--opt o=uid=,gid=,mode=`;
//! podman-volume-create(1)).

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use boxr_runtime::idmap::{Extent, subordinate_ranges, with_ranges};
use rustix::fs::{AtFlags, Gid, Mode, Uid, chmodat, chownat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};

use crate::own_ids;

/// What was said of it, in ids of containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    mode: Option<u32>,
}

impl Given {
    /// What the options of a volume say, which is a directory of boxr's own; `None` where they say nothing.
    pub fn of(options: &BTreeMap<String, String>) -> Option<Self> {
        let given = Self::parse(options.get("o")?).ok()?;
        (given != Self::default()).then_some(given)
    }

    /// Reads `uid=N,gid=N,mode=OCTAL`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(words: &str) -> Result<Self, String> {
        let mut given = Self::default();
        for word in words.split(',').filter(|word| !["", "rw"].contains(word)) {
            let number = |text: &str| match text.parse() {
                Ok(u32::MAX) | Err(_) => Err(format!("{text:?} is no id")),
                Ok(id) => Ok(Some(id)),
            };
            match word.split_once('=') {
                Some(("uid", text)) => given.uid = number(text)?,
                Some(("gid", text)) => given.gid = number(text)?,
                Some(("mode", text)) => {
                    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
                    given.mode = Some(mode.ok_or_else(|| format!("{text:?} is no mode, such as 0750"))?);
                }
                _ => {
                    let possible = "uid=, gid= and mode= of a new directory, or bind with ro, nosuid, nodev, noexec and \
                        the like, are possible here";
                    return Err(format!("{word}: {possible}"));
                }
            }
        }
        Ok(given)
    }

    /// Looks that the caller has the ids.
    ///
    /// # Errors
    /// Which he has not, in words.
    pub fn check(&self) -> Result<(), String> {
        if geteuid().is_root() {
            return Ok(());
        }
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let (uids, gids) = subordinate_ranges(uid).unwrap_or_default();
        let lacks = |id: &u32, map: &[Extent]| {
            !map.iter().any(|one| id.checked_sub(one.container).is_some_and(|offset| offset < one.size))
        };
        let user = self.uid.filter(|id| lacks(id, &with_ranges(uid, &uids)));
        let group = self.gid.filter(|id| lacks(id, &with_ranges(gid, &gids)));
        match user.or(group) {
            Some(id) => Err(format!(
                "{id} is none of your ids in containers, which are those of /etc/subuid and /etc/subgid"
            )),
            None => Ok(()),
        }
    }

    /// Gives the directory `name` in `dir`, which is the caller's, what was said.
    ///
    /// # Errors
    /// The system's.
    pub fn apply(&self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        let owner = (self.uid.map(Uid::from_raw), self.gid.map(Gid::from_raw));
        let give = || chownat(dir, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW);
        // The mode last: another owner takes bits of it away.
        let all = || give().and_then(|()| self.set_mode(dir, name));
        match subordinate_ranges(geteuid().as_raw()) {
            _ if geteuid().is_root() => all(),
            Some(_) => own_ids::with_all(all),
            // Root of his containers is he himself.
            None => self.set_mode(dir, name),
        }
    }

    fn set_mode(&self, dir: &OwnedFd, name: &str) -> Result<(), Errno> {
        let Some(mode) = self.mode else { return Ok(()) };
        chmodat(dir, name, Mode::from_raw_mode(mode), AtFlags::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_mode_are_read_or_refused_by_word() {
        let given = Given::parse("uid=5,mode=2750,rw").unwrap();
        assert_eq!(given, Given { uid: Some(5), gid: None, mode: Some(0o2750) });
        for (words, blamed) in [
            ("uid=x", "\"x\" is no id"),
            ("gid=", "\"\" is no id"),
            ("uid=4294967295", "no id"),
            ("mode=9", "no mode"),
            ("mode=17777", "no mode"),
            ("uid=1,size=5", "size=5: "),
        ] {
            assert!(Given::parse(words).unwrap_err().contains(blamed), "{words}");
        }
    }
}
