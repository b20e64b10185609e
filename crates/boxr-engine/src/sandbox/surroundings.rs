//! Where the caller is: directories that the preset begins from, resolved.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2, readlinkat};
use rustix::io::Errno;

use super::SandboxError;
use super::view::{Sight, View};
use crate::config::Caller;

/// Directories that nobody means to hand over as a whole.
const SYSTEM: [&str; 24] = [
    "/",
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/media",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/local",
    "/var",
    "/var/lib",
    "/var/tmp",
];

/// Whether nobody means to hand over all of a directory.
pub fn is_wide(directory: &Path, home: &Path) -> bool {
    SYSTEM.iter().any(|system| Path::new(system) == directory) || home.starts_with(directory)
}

/// A path as it is without symbolic links.
///
/// # Errors
/// It is not there, or is not to be had; or a link is on the way in a directory that `view` lets sandboxes write: who
/// runs in one has perhaps put it there, and may swap it at any time.
pub(super) fn resolved(what: &str, path: &Path, view: &View) -> Result<PathBuf, SandboxError> {
    let refused = |why: String, remedy: &str| {
        Err(SandboxError::refused(format!("{what} {}", path.display()), why, remedy))
    };
    let real = match follow(path, view) {
        Ok(real) => real,
        Err(Errno::LOOP) => {
            let why = "a symbolic link in a directory that the command may write is on the way".to_owned();
            return refused(why, "the path that it leads to");
        }
        Err(errno) => return refused(boxr_runtime::error::describe(errno), "a path that is there"),
    };
    // Mount options and records are text.
    match real.to_str() {
        Some(_) => Ok(real),
        None => refused("its name is not UTF-8".to_owned(), ""),
    }
}

/// Follows links one by one, as long as nobody in a sandbox can change them.
///
/// # Errors
/// As [`resolved`].
pub(super) fn follow(path: &Path, view: &View) -> Result<PathBuf, Errno> {
    let (mut real, mut rest) = (PathBuf::from("/"), path.to_owned());
    // As many links as the kernel follows (path_resolution(7)).
    for _ in 0..=40 {
        let link = loop {
            let mut parts = rest.components();
            let name = match parts.next() {
                None => return Ok(real),
                Some(Component::Normal(name)) => name.to_owned(),
                Some(Component::ParentDir) => {
                    real.pop();
                    rest = parts.as_path().to_owned();
                    continue;
                }
                Some(_) => {
                    rest = parts.as_path().to_owned();
                    continue;
                }
            };
            let after = parts.as_path().to_owned();
            if view.sight(&real) == Sight::Writable {
                return without_links(real.join(&rest));
            }
            match readlinkat(CWD, real.join(&name), Vec::new()) {
                Ok(target) => break Path::new(OsStr::from_bytes(target.as_bytes())).join(after),
                Err(Errno::INVAL) => real.push(name),
                Err(errno) => return Err(errno),
            }
            rest = after;
        };
        if link.is_absolute() {
            real = PathBuf::from("/");
        }
        rest = link;
    }
    Err(Errno::LOOP)
}

fn without_links(path: PathBuf) -> Result<PathBuf, Errno> {
    openat2(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        // Without what stands twice or at the end: paths are compared by their letters.
        .map(|_| path.components().collect())
}

/// The caller's home directory, resolved.
///
/// # Errors
/// It is not known: then it could not be covered.
pub(super) fn home(caller: &Caller) -> Result<PathBuf, SandboxError> {
    let said = caller.env.iter().find(|(name, _)| name == "HOME").map(|(_, value)| PathBuf::from(value));
    match said {
        Some(home) if home.is_absolute() && home.parent().is_some() => {
            Ok(super::present::real(&home).unwrap_or_else(|| crate::config::clean_path(&home)))
        }
        Some(home) => Err(SandboxError::refused(
            "HOME",
            format!("{:?} is no home directory that could be covered", home.display().to_string()),
            "HOME=/home/NAME boxr run --sandbox ...",
        )),
        None => Err(SandboxError::refused(
            "HOME",
            "it is not set, so that it is not known what to keep from the command",
            "HOME=/home/NAME boxr run --sandbox ...",
        )),
    }
}

/// The directory that the command starts in and may write, resolved.
///
/// # Errors
/// It is one of the system's, or holds the home directory.
pub(super) fn directory(directory: &Path, home: &Path, keeps_home: bool) -> Result<PathBuf, SandboxError> {
    let real = resolved("the current directory", directory, &View::default())?;
    let refused = |why: &str| {
        let remedy = "cd to the directory that the command is to work in, or -w DIR";
        Err(SandboxError::refused(format!("the current directory {}", real.display()), why, remedy))
    };
    if SYSTEM.iter().any(|system| Path::new(system) == real) && real != home {
        return refused("the command could write all of it");
    }
    if real == home && !keeps_home {
        return refused("it is the home directory, which the command is not to see; --home keep shows it");
    }
    if home.starts_with(&real) && real != home {
        return refused("the home directory is in it");
    }
    Ok(real)
}

/// `$XDG_CONFIG_HOME`, or `~/.config`.
pub(super) fn configuration(caller: &Caller, home: &Path) -> PathBuf {
    let said =
        caller.env.iter().find(|(name, _)| name == "XDG_CONFIG_HOME").map(|(_, value)| PathBuf::from(value));
    said.filter(|dir| dir.is_absolute()).unwrap_or_else(|| home.join(".config"))
}

/// Where the caller's profiles are.
///
/// # Errors
/// The home directory is not known.
pub fn places(caller: &Caller) -> Result<super::profile::Places, SandboxError> {
    let home = home(caller)?;
    Ok(super::profile::Places { config: configuration(caller, &home), home })
}
