//! What the first process had as standard descriptors, which come from outside of the container, kept
//! beside the images:
//!
//! - `descriptors.json`: the links of /proc/PID/fd. A pipe among them is replaced by what `restore` itself
//!   was given. The file is runc's, so that either restores what the other has checkpointed.
//! - `outside.json`: files that the container itself cannot reach, the host's /dev/null above all. criu finds
//!   them by a key (criu(8), `--external file`), and the restore opens them by their path.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use serde::{Deserialize, Serialize};

use super::options::Inherited;
use crate::error::Error;

const LINKS: &str = "descriptors.json";
const OUTSIDE: &str = "outside.json";

/// A file that the container cannot reach.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Outside {
    /// `file[MOUNT:INODE]`, both in hexadecimal.
    key: String,
    path: PathBuf,
}

/// Writes down the standard descriptors of process `pid`; what a dump is told of them.
///
/// # Errors
/// The disk; /proc.
pub fn save(images: &Path, pid: i32) -> Result<Vec<String>, Error> {
    let links: Vec<String> = (0..3).map(|number| link(pid, number)).collect();
    let mounts = mount_ids(pid)?;
    let mut outside: Vec<Outside> = Vec::new();
    for (number, link) in links.iter().enumerate().filter(|(_, link)| link.starts_with('/')) {
        let key = outside_key(pid, number, &mounts)?;
        if let Some(key) = key.filter(|key| outside.iter().all(|known| known.key != *key)) {
            outside.push(Outside { key, path: link.into() });
        }
    }
    write(images, LINKS, &links)?;
    write(images, OUTSIDE, &outside)?;
    Ok(outside.into_iter().map(|file| file.key).collect())
}

fn write(images: &Path, name: &str, value: &impl Serialize) -> Result<(), Error> {
    let path = images.join(name);
    let text = serde_json::to_vec(value)
        .map_err(|error| Error::Config { path: path.clone(), why: error.to_string() })?;
    crate::container::write_private(&path, &text)
}

/// What a descriptor is; nothing for one that is closed.
fn link(pid: i32, number: i32) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/fd/{number}"));
    link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default()
}

/// criu's key of a file on a mount that is none of `mounts`.
fn outside_key(pid: i32, number: usize, mounts: &BTreeSet<u64>) -> Result<Option<String>, Error> {
    let path = format!("/proc/{pid}/fdinfo/{number}");
    let text = std::fs::read_to_string(&path).map_err(|error| Error::io("read", &path, error))?;
    let mount =
        text.lines().find_map(|line| line.strip_prefix("mnt_id:")).and_then(|id| id.trim().parse().ok());
    let Some(mount) = mount.filter(|mount| !mounts.contains(mount)) else { return Ok(None) };
    let path = format!("/proc/{pid}/fd/{number}");
    let found = std::fs::metadata(&path).map_err(|error| Error::io("look at", path, error))?;
    Ok(Some(format!("file[{mount:x}:{:x}]", found.ino())))
}

/// The first field of /proc/PID/mountinfo (proc_pid_mountinfo(5)).
fn mount_ids(pid: i32) -> Result<BTreeSet<u64>, Error> {
    let path = format!("/proc/{pid}/mountinfo");
    let text = std::fs::read(&path).map_err(|error| Error::io("read", path, error))?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
}

/// What takes the place of standard descriptors at a restore, and the files among it.
#[derive(Debug, Default)]
pub struct Restored {
    /// What each replaces.
    pub inherited: Vec<Inherited>,
    /// Open files, which `inherited` names by number.
    pub open: Vec<OwnedFd>,
}

/// Finds what was written down.
///
/// # Errors
/// There is no such file: these are no images of a container. It is damaged. A file of the host's is not
/// there any more.
pub fn load(images: &Path) -> Result<Restored, Error> {
    let path = images.join(LINKS);
    let text = std::fs::read(&path).map_err(|error| Error::io("read", &path, error))?;
    let links: Vec<String> = parse(&path, &text)?;
    let numbered = (0..3 as RawFd).zip(links);
    let pipes = numbered.filter(|(_, link)| link.starts_with("pipe:["));
    let inherited = pipes.map(|(fd, key)| Inherited { key, fd }).collect();
    let mut restored = Restored { inherited, open: Vec::new() };
    for Outside { key, path } in outside(images)? {
        let fd = openat(CWD, &path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Error::at("open what the container had open", &path, errno))?;
        restored.inherited.push(Inherited { key, fd: fd.as_raw_fd() });
        restored.open.push(fd);
    }
    Ok(restored)
}

fn outside(images: &Path) -> Result<Vec<Outside>, Error> {
    let path = images.join(OUTSIDE);
    match std::fs::read(&path) {
        // runc writes none.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        text => parse(&path, &text.map_err(|error| Error::io("read", &path, error))?),
    }
}

fn parse<'t, T: Deserialize<'t>>(path: &Path, text: &'t [u8]) -> Result<T, Error> {
    serde_json::from_slice(text)
        .map_err(|error| Error::Config { path: path.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_replaced_and_files_of_the_host_opened() {
        let images = tempfile::tempdir().unwrap();
        std::fs::write(images.path().join(LINKS), r#"["/dev/null","pipe:[12]","/x/pipe:[9]","pipe:[13]"]"#)
            .unwrap();
        let pipe = Inherited { key: "pipe:[12]".into(), fd: 1 };
        assert_eq!(load(images.path()).unwrap().inherited, std::slice::from_ref(&pipe));
        let outside = r#"[{"key":"file[1a:3]","path":"/dev/null"}]"#;
        std::fs::write(images.path().join(OUTSIDE), outside).unwrap();
        let restored = load(images.path()).unwrap();
        let null = Inherited { key: "file[1a:3]".into(), fd: restored.open[0].as_raw_fd() };
        assert_eq!(restored.inherited, [pipe, null]);
    }

    #[test]
    fn a_directory_without_images_is_named() {
        let images = tempfile::tempdir().unwrap();
        let said = load(images.path()).unwrap_err().to_string();
        assert!(said.contains("descriptors.json: No such file or directory"), "{said}");
        for damaged in ["", "[1", "{}", "[7]"] {
            std::fs::write(images.path().join(LINKS), damaged).unwrap();
            let said = load(images.path()).unwrap_err().to_string();
            assert!(said.contains("descriptors.json: "), "{said}");
        }
        std::fs::write(images.path().join(LINKS), "[]").unwrap();
        std::fs::write(images.path().join(OUTSIDE), r#"[{"key":"x","path":"/no/such"}]"#).unwrap();
        let said = load(images.path()).unwrap_err().to_string();
        assert!(said.contains("/no/such: No such file or directory"), "{said}");
    }

    #[test]
    fn own_files_are_not_outside() {
        let images = tempfile::tempdir().unwrap();
        let pid = std::process::id().cast_signed();
        // What this process has open, it reaches.
        assert!(save(images.path(), pid).unwrap().is_empty());
        let links: Vec<String> =
            serde_json::from_slice(&std::fs::read(images.path().join(LINKS)).unwrap()).unwrap();
        assert_eq!(links.len(), 3);
        let none = BTreeSet::new();
        let file = tempfile::tempfile().unwrap();
        let key = outside_key(pid, file.as_raw_fd() as usize, &none).unwrap().unwrap();
        assert!(key.ends_with(&format!(":{:x}]", file.metadata().unwrap().ino())), "{key}");
    }
}
