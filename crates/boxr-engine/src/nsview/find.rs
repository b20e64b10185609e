//! Finding a namespace by the number that `lsns` and `readlink /proc/N/ns/net` print.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use boxr_sys::namespace::NamespaceKind;
use boxr_sys::nsfs;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;

use super::mounts::{errno_of, namespace_mounts, parse_link};

/// A namespace cannot be found or opened by its number.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No process, mount or descriptor that can be read has it: it is gone, or it never was.
    #[error("no {kind} namespace has the id {inode}")]
    NotFound {
        /// What was looked for.
        kind: NamespaceKind,
        /// Its number.
        inode: u64,
    },
    /// Nothing that can be read has it, and there are processes that cannot be read.
    #[error(
        "no {kind} namespace has the id {inode} among those that you may see; processes that cannot be looked at: {unreadable}"
    )]
    Hidden {
        /// What was looked for.
        kind: NamespaceKind,
        /// Its number.
        inode: u64,
        /// How many processes may have it.
        unreadable: usize,
    },
    /// The number is that of a namespace of another kind.
    #[error("{inode} is the id of a {found} namespace, not of a {kind} namespace")]
    WrongKind {
        /// What was looked for.
        kind: NamespaceKind,
        /// Its number.
        inode: u64,
        /// What it is.
        found: NamespaceKind,
    },
    /// It is there, and the system does not let the caller open it.
    #[error("cannot open the {kind} namespace {inode}: {errno}")]
    Refused {
        /// What was looked for.
        kind: NamespaceKind,
        /// Its number.
        inode: u64,
        /// The system's reason.
        errno: Errno,
    },
    /// The list of processes cannot be read.
    #[error("cannot read /proc: {errno}")]
    Proc {
        /// The system's reason.
        errno: Errno,
    },
}

/// Opens the namespace of `kind` that has the number `inode`, for setns(2); close-on-exec.
///
/// Looks at the processes first, then at the files that namespaces are mounted on, then at the
/// descriptors of processes.
///
/// # Errors
/// [`FindError`].
pub fn find_namespace(kind: NamespaceKind, inode: u64) -> Result<OwnedFd, FindError> {
    let mut search = Search { kind, inode, found: None, refused: None };
    let (pids, unreadable) = search.processes()?;
    if search.found.is_none() {
        search.mounts();
    }
    if search.found.is_none() {
        pids.iter().for_each(|&pid| search.descriptors(pid));
    }
    if let Some(found) = search.found {
        return Ok(found);
    }
    if let Some(errno) = search.refused {
        return Err(FindError::Refused { kind, inode, errno });
    }
    if let Some(found) = other_kind(&pids, kind, inode) {
        return Err(FindError::WrongKind { kind, inode, found });
    }
    match unreadable {
        0 => Err(FindError::NotFound { kind, inode }),
        unreadable => Err(FindError::Hidden { kind, inode, unreadable }),
    }
}

struct Search {
    kind: NamespaceKind,
    inode: u64,
    found: Option<OwnedFd>,
    refused: Option<Errno>,
}

impl Search {
    /// Looks at the namespaces processes are in. Returns the pids it could read when it found
    /// nothing, and how many it could not read.
    fn processes(&mut self) -> Result<(Vec<i32>, usize), FindError> {
        let mut readable = Vec::new();
        let mut unreadable = 0;
        for pid in pids().map_err(|errno| FindError::Proc { errno })? {
            match self.process(pid) {
                Ok(()) if self.found.is_some() => break,
                Ok(()) => readable.push(pid),
                Err(Errno::ACCESS | Errno::PERM) => unreadable += 1,
                // It ended meanwhile, or is a zombie, which has no namespaces.
                Err(_) => {}
            }
        }
        Ok((readable, unreadable))
    }

    fn process(&mut self, pid: i32) -> Result<(), Errno> {
        let name = self.kind.proc_name();
        self.link(&format!("/proc/{pid}/ns/{name}"))?;
        if self.found.is_none() && matches!(self.kind, NamespaceKind::Pid | NamespaceKind::Time) {
            // ENOENT: nobody is in it yet.
            match self.link(&format!("/proc/{pid}/ns/{name}_for_children")) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Opens what a link of procfs leads to, if its text is the namespace that is wanted.
    fn link(&mut self, path: &str) -> Result<(), Errno> {
        if read_link(path)? == Some((self.kind, self.inode)) {
            self.open(Path::new(path));
        }
        Ok(())
    }

    fn mounts(&mut self) {
        // Without mountinfo there are only the processes to look at.
        for mount in namespace_mounts().unwrap_or_default() {
            if (mount.kind, mount.inode) == (self.kind, self.inode) && self.found.is_none() {
                self.open(&mount.path);
            }
        }
    }

    fn descriptors(&mut self, pid: i32) {
        // A process whose descriptors cannot be listed has been counted already, or has ended.
        let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return };
        for entry in entries.flatten() {
            if self.found.is_some() {
                return;
            }
            let Some(path) = entry.path().to_str().map(str::to_owned) else { continue };
            // A descriptor that is closed meanwhile is not there to be found.
            let (Ok(()) | Err(_)) = self.link(&path);
        }
    }

    /// Opens a file without ever waiting on it, and keeps it if it still is the namespace wanted:
    /// processes move, and another mount may cover the file.
    fn open(&mut self, path: &Path) {
        match open_namespace(path) {
            Ok((fd, kind, inode)) if (kind, inode) == (self.kind, self.inode) => self.found = Some(fd),
            Ok(_) | Err(Errno::NOENT | Errno::SRCH | Errno::NOTTY) => {}
            Err(errno) => self.refused = Some(errno),
        }
    }
}

/// Opens a file that is a namespace; `ENOTTY` for any other file, which is not opened for reading.
pub(super) fn open_namespace(path: &Path) -> Result<(OwnedFd, NamespaceKind, u64), Errno> {
    let handle = rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if !nsfs::is_namespace(handle.as_fd())? {
        return Err(Errno::NOTTY);
    }
    let again = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let fd = rustix::fs::openat(CWD, again.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let inode = rustix::fs::fstat(&fd)?.st_ino;
    let kind = nsfs::kind(&fd)?;
    Ok((fd, kind, inode))
}

/// Whether a namespace of another kind has the number.
fn other_kind(pids: &[i32], wanted: NamespaceKind, inode: u64) -> Option<NamespaceKind> {
    let of_processes = || {
        pids.iter().find_map(|pid| {
            let mut kinds = NamespaceKind::ALL.into_iter().filter(|kind| *kind != wanted);
            kinds.find(|kind| {
                let path = format!("/proc/{pid}/ns/{}", kind.proc_name());
                matches!(read_link(&path), Ok(Some((_, number))) if number == inode)
            })
        })
    };
    let mounts = namespace_mounts().unwrap_or_default();
    let of_mounts = mounts.iter().find(|mount| mount.inode == inode && mount.kind != wanted);
    of_mounts.map(|mount| mount.kind).or_else(of_processes)
}

/// Kind and number that a link of procfs says; `None` for a link to anything else.
pub(crate) fn read_link(path: &str) -> Result<Option<(NamespaceKind, u64)>, Errno> {
    let mut buffer = [std::mem::MaybeUninit::<u8>::uninit(); 64];
    let (text, _) = rustix::fs::readlinkat_raw(CWD, path, &mut buffer)?;
    Ok(std::str::from_utf8(text).ok().and_then(parse_link))
}

/// The pids that /proc shows, ascending.
pub(crate) fn pids() -> Result<Vec<i32>, Errno> {
    let entries = std::fs::read_dir("/proc").map_err(|error| errno_of(&error))?;
    let mut pids: Vec<i32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(kind: NamespaceKind) -> u64 {
        read_link(&format!("/proc/self/ns/{}", kind.proc_name())).unwrap().unwrap().1
    }

    #[test]
    fn own_namespaces_are_found() {
        for kind in NamespaceKind::ALL {
            let found = find_namespace(kind, own(kind)).unwrap();
            assert_eq!(rustix::fs::fstat(&found).unwrap().st_ino, own(kind));
            assert!(rustix::io::fcntl_getfd(&found).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn another_kind_is_told() {
        let error = find_namespace(NamespaceKind::Uts, own(NamespaceKind::Network)).unwrap_err();
        assert!(matches!(error, FindError::WrongKind { found: NamespaceKind::Network, .. }), "{error}");
    }

    #[test]
    fn what_does_not_exist_is_told() {
        let error = find_namespace(NamespaceKind::Uts, 1).unwrap_err();
        assert!(matches!(error, FindError::NotFound { .. } | FindError::Hidden { .. }), "{error}");
    }

    #[test]
    fn files_that_are_no_namespace_are_not_opened_for_reading() {
        // Reading from a FIFO without a writer would wait for ever.
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(open_namespace(&fifo), Err(Errno::NOTTY)));
    }
}
