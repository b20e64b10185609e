//! Extended attributes of files in a try: those of the command, and those of overlayfs (the kernel's
//! `overlayfs.rst`).
//!
//! As overlayfs keeps its own in the same place, one that the command has given such a name has `overlay.` twice
//! in the changes.

use std::collections::BTreeMap;
use std::os::fd::BorrowedFd;

use rustix::fs::{
    XattrFlags, fgetxattr, flistxattr, fremovexattr, getxattr, lgetxattr, listxattr, llistxattr,
    lremovexattr, lsetxattr, removexattr, setxattr,
};
use rustix::io::Errno;

use super::entry::by_number;

const OWN: [&[u8]; 2] = [b"trusted.overlay.", b"user.overlay."];
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// Labels that the host's security module gives.
const OF_MODULES: [&[u8]; 3] = [b"security.selinux", b"security.ima", b"security.evm"];

type Attributes = BTreeMap<Vec<u8>, Vec<u8>>;

/// By which names overlayfs keeps its own in a part of a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Those that need privilege: root's command can give its files the others.
    Trusted,
    /// Not known, or those of an ordinary user, for whom overlayfs hides its own.
    Either,
}

impl Own {
    /// As the topmost directory of the changes has them: no ordinary user's command could have made that up.
    pub fn of(top: BorrowedFd<'_>) -> Result<Self, Errno> {
        let keys = keys_by(|buffer| flistxattr(top, buffer))?;
        Ok(if keys.iter().any(|key| key.starts_with(OWN[0])) { Self::Trusted } else { Self::Either })
    }

    fn prefixes(self) -> impl Iterator<Item = &'static [u8]> {
        OWN.into_iter().take(if self == Self::Trusted { 1 } else { 2 })
    }

    fn opaque(self) -> impl Iterator<Item = &'static str> {
        OPAQUE.into_iter().take(if self == Self::Trusted { 1 } else { 2 })
    }

    /// The name that the command has given an attribute; `None` where it is overlayfs' own.
    fn of_command(self, key: &[u8]) -> Option<Vec<u8>> {
        let Some(own) = self.prefixes().find(|own| key.starts_with(own)) else { return as_is(key) };
        key[own.len()..].strip_prefix(b"overlay.").map(|rest| [own, rest].concat())
    }
}

/// Whether a directory of the changes hides all that the host has beneath it.
pub(super) fn is_opaque(dir: BorrowedFd<'_>, own: Own) -> bool {
    own.opaque().any(|name| {
        let mut value = [0u8; 2];
        matches!(fgetxattr(dir, name, &mut value[..]), Ok(1)) && value[0] == b'y'
    })
}

/// Lets what the host has be seen through a directory.
pub(super) fn clear_opaque(dir: BorrowedFd<'_>, own: Own) -> Result<(), Errno> {
    for name in own.opaque() {
        match fremovexattr(dir, name) {
            Ok(()) | Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Whether the attributes of a file of the host's and of the same one in the changes differ, as far as they may be read.
pub(super) fn differ(host: BorrowedFd<'_>, upper: BorrowedFd<'_>, name: &[u8], own: Own) -> bool {
    of_host(host, name).unwrap_or_default() != of_upper(upper, name, own).unwrap_or_default()
}

/// Whether a program of the changes gives who runs it rights (capabilities(7)).
pub(super) fn gives_rights(upper: BorrowedFd<'_>, name: &[u8]) -> bool {
    let mut value = [0u8; 64];
    lgetxattr(by_number(upper, name), "security.capability", &mut value[..]).is_ok()
}

/// Attributes of a file in the changes, by the names that the command has given them.
pub(super) fn of_upper(dir: BorrowedFd<'_>, name: &[u8], own: Own) -> Result<Attributes, Errno> {
    all(dir, name, |key| own.of_command(key))
}

/// Attributes of a file of the host's.
pub(super) fn of_host(dir: BorrowedFd<'_>, name: &[u8]) -> Result<Attributes, Errno> {
    all(dir, name, as_is)
}

/// Gives the file that a path leads to what `wanted` has, and takes away what it has not.
pub(super) fn put(path: &str, wanted: &Attributes) -> Result<(), Errno> {
    let mut present = BTreeMap::new();
    for key in keys_by(|buffer| listxattr(path, buffer))? {
        if as_is(&key).is_some() {
            let value = value_by(|buffer| getxattr(path, &key[..], buffer))?;
            present.insert(key, value);
        }
    }
    for (key, value) in wanted {
        if present.get(key) != Some(value) {
            setxattr(path, &key[..], value, XattrFlags::empty())?;
        }
    }
    present.keys().filter(|key| !wanted.contains_key(*key)).try_for_each(|key| removexattr(path, &key[..]))
}

/// Takes overlayfs' own attributes from a file that leaves the changes.
pub(super) fn leave_overlay(dir: BorrowedFd<'_>, name: &[u8], own: Own) -> Result<(), Errno> {
    let path = by_number(dir, name);
    for key in keys(&path)? {
        if !own.prefixes().any(|own| key.starts_with(own)) {
            continue;
        }
        if let Some(commands) = own.of_command(&key) {
            lsetxattr(&path, &commands, &value(&path, &key)?, XattrFlags::empty())?;
        }
        match lremovexattr(&path, &key) {
            Ok(()) | Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn as_is(key: &[u8]) -> Option<Vec<u8>> {
    (!OF_MODULES.contains(&key)).then(|| key.to_vec())
}

fn all(
    dir: BorrowedFd<'_>,
    name: &[u8],
    called: impl Fn(&[u8]) -> Option<Vec<u8>>,
) -> Result<Attributes, Errno> {
    let path = by_number(dir, name);
    let mut found = BTreeMap::new();
    for key in keys(&path)? {
        if let Some(called) = called(&key) {
            found.insert(called, value(&path, &key)?);
        }
    }
    Ok(found)
}

fn keys(path: &[u8]) -> Result<Vec<Vec<u8>>, Errno> {
    keys_by(|buffer| llistxattr(path, buffer))
}

fn value(path: &[u8], key: &[u8]) -> Result<Vec<u8>, Errno> {
    value_by(|buffer| lgetxattr(path, key, buffer))
}

fn keys_by(list: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<Vec<u8>>, Errno> {
    match value_by(list) {
        Ok(names) => {
            let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
            Ok(names.map(<[u8]>::to_vec).collect())
        }
        Err(Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}

/// Reads with a buffer that grows to what the kernel allows (64 KiB, xattr(7)).
fn value_by(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    let mut buffer = vec![0u8; 1024];
    loop {
        match read(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(errno) => return Err(errno),
        }
    }
}
