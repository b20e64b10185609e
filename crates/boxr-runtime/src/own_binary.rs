//! The runtime's own program cannot be written from a container (CVE-2019-5736).
//!
//! A process that enters a container is, for a moment, this program, and `/proc/PID/exe` leads to its
//! file: for whoever may trace the process, for an image whose entrypoint is `#!/proc/self/exe`, and for a
//! descriptor that is kept and reopened after this program has ended. A container whose root owns
//! the file would write to it. So the program starts itself once more, from a copy that cannot be
//! written, before it starts or enters such a container.
//!
//! The copy is a mount of the one file, read-only and attached nowhere: three system calls and no
//! memory. When its last descriptor is closed, by execve(2), it belongs to no mount namespace, and the
//! kernel refuses everybody to change or clone it (mount_setattr(2), open_tree(2): `EINVAL`). Where
//! that cannot be had – without `CAP_SYS_ADMIN`, before Linux 5.12 – it is a sealed memfd (ARCHITECTURE.md, "Security rules",
//! has the measurements).
//!
//! Whether this process is such a copy is asked of the kernel, not of a variable or an argument, which
//! a caller could give and a container would inherit.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use boxr_sys::exec::{CVector, execute_file};
use boxr_sys::mount::{self, Change, attr};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, SealFlags, StatVfsMountFlags};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};
use thiserror::Error;

/// The program of the calling process (proc_pid_exe(5)).
const EXE: &str = "/proc/self/exe";

/// The seals of the copy in memory: neither contents nor size change, for good.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::WRITE).union(SealFlags::GROW).union(SealFlags::SHRINK);

/// Why this program cannot be kept from being written: the container is not to be started.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot keep the container from this program's own file: {doing}: {}", crate::error::describe(*errno))]
pub struct Error {
    /// The step that failed.
    pub doing: &'static str,
    /// The kernel's reason.
    pub errno: Errno,
}

/// Makes sure that this process runs from a copy of its program that nobody can write.
///
/// Returns when it does; otherwise starts the program once more with the same arguments and
/// environment, from the beginning. So it is called before anything is changed, before input is
/// read, and with one thread. Descriptors that are not close-on-exec stay open, with their numbers.
///
/// # Errors
/// No copy could be made, or executed.
pub fn protect() -> Result<(), Error> {
    if is_protected() {
        return name_after_program();
    }
    let copy = read_only_mount().or_else(|_| sealed_memory())?;
    let argv = boxr_sys::entry::words()
        .into_iter()
        .map(|word| CString::new(word.into_vec()))
        .collect::<Result<_, _>>();
    // The kernel ended each of them with a zero byte.
    let argv = argv.map_err(|_| at("read its arguments", Errno::INVAL))?;
    Err(at("start the copy", execute_file(copy.as_fd(), &CVector::new(argv))))
}

/// Before Linux 6.14 a program that was started by descriptor is called by its number in `ps`.
fn name_after_program() -> Result<(), Error> {
    let path = boxr_sys::entry::words().into_iter().next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default().as_bytes();
    let name = CString::new(name).unwrap_or_default();
    rustix::thread::set_name(&name).map_err(|errno| at("name it", errno))
}

/// Whether the container's processes could write to this program's file, if they reached it: they can be its
/// owner, or its group or anybody where those may write. Asked by ids on the host.
///
/// # Errors
/// The file cannot be looked at.
pub fn is_exposed_to(
    can_be_user: impl Fn(u32) -> bool,
    can_be_group: impl Fn(u32) -> bool,
) -> Result<bool, Error> {
    let found = rustix::fs::stat(EXE).map_err(|errno| at("look at it", errno))?;
    let mode = Mode::from_raw_mode(found.st_mode);
    Ok(can_be_user(found.st_uid)
        || mode.contains(Mode::WGRP) && can_be_group(found.st_gid)
        || mode.contains(Mode::WOTH))
}

/// Whether this process runs from a copy that nobody can write.
pub fn is_protected() -> bool {
    match rustix::fs::readlink(EXE, Vec::new()) {
        Ok(target) if target.as_bytes() == b"/" => is_read_only(EXE),
        // Only a file of memory has seals (fcntl(2)), and is called so (memfd_create(2)).
        Ok(target) if target.as_bytes().starts_with(b"/memfd:") => is_sealed_memory(),
        _ => false,
    }
}

/// Whether the link leads to a read-only mount that is attached nowhere: the path of its root is then
/// `/`, which is never that of a file elsewhere. Any other read-only mount is one that somebody can make
/// writable again, such as `/usr` of many systems.
fn is_read_only_mount(link: &str) -> bool {
    rustix::fs::readlink(link, Vec::new()).is_ok_and(|target| target.as_bytes() == b"/") && is_read_only(link)
}

fn is_read_only(link: &str) -> bool {
    rustix::fs::statvfs(link).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY))
}

fn is_sealed_memory() -> bool {
    // A program can be open for reading while it runs.
    rustix::fs::open(EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .and_then(|file| rustix::fs::fcntl_get_seals(&file))
        .is_ok_and(|seals| seals.contains(SEALS))
}

fn read_only_mount() -> Result<OwnedFd, Error> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = open_tree(CWD, EXE, flags).map_err(|errno| at("clone its mount", errno))?;
    let change = Change { set: attr::RDONLY, ..Change::default() };
    mount::set_attributes(tree.as_fd(), c"", false, &change)
        .map_err(|errno| at("make its mount read-only", errno))?;
    // What would not be recognised afterwards would be started again and again.
    let recognised = is_read_only_mount(&format!("/proc/self/fd/{}", tree.as_raw_fd()));
    if recognised { Ok(tree) } else { Err(at("recognise its mount", Errno::NOSYS)) }
}

fn sealed_memory() -> Result<OwnedFd, Error> {
    let program = rustix::fs::open(EXE, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| at("open it", errno))?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Where vm.memfd_noexec is set, only a file that is said to be a program is one; Linux 6.3.
    let memory = rustix::fs::memfd_create(c"boxr", flags | MemfdFlags::EXEC)
        .or_else(|_| rustix::fs::memfd_create(c"boxr", flags))
        .map_err(|errno| at("make a file in memory", errno))?;
    copy(&program, &memory).map_err(|errno| at("copy it to memory", errno))?;
    rustix::fs::fcntl_add_seals(&memory, SEALS).map_err(|errno| at("seal its copy in memory", errno))?;
    Ok(memory)
}

/// Copies all of `from` in the kernel.
fn copy(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let most = usize::try_from(rustix::fs::fstat(from)?.st_size).map_err(|_| Errno::FBIG)?;
    let mut copied = 0;
    while copied < most {
        match rustix::fs::sendfile(to, from, None, most - copied)? {
            0 => return Err(Errno::IO),
            count => copied += count,
        }
    }
    Ok(())
}

fn at(doing: &'static str, errno: Errno) -> Error {
    Error { doing, errno }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn a_program_from_a_disk_is_not_protected() {
        assert!(!is_protected());
    }

    #[test]
    fn a_copy_in_memory_is_whole_and_stays_as_it_is() {
        let copy = sealed_memory().unwrap();
        let size = |path: &str| std::fs::metadata(path).unwrap().len();
        assert_eq!(rustix::fs::fstat(&copy).unwrap().st_size as u64, size(EXE));
        assert_eq!(rustix::io::pwrite(&copy, b"x", 0), Err(Errno::PERM));
        assert_eq!(rustix::fs::ftruncate(&copy, 0), Err(Errno::PERM));
    }

    #[test]
    fn who_may_write_to_the_file_is_kept_from_it() {
        let mode = std::fs::metadata(EXE).unwrap().permissions().mode();
        let owner = std::fs::metadata(EXE).unwrap().uid();
        assert_eq!(is_exposed_to(|uid| uid == owner, |_| false), Ok(true));
        assert_eq!(is_exposed_to(|_| false, |_| true), Ok(mode & 0o022 != 0));
        assert_eq!(is_exposed_to(|_| false, |_| false), Ok(mode & 0o002 != 0));
    }
}
