//! The filter of system calls of a sandbox: that of a container without capabilities, and stricter still.
//!
//! Such a container can already make no namespace (unshare(2), clone(2) with their flags, setns(2)), mount nothing, and
//! use no keyring, bpf(2), io_uring(7), perf or userfaultfd(2). What is refused here besides is what reaches into other
//! processes, and into the terminal.

use std::path::Path;

use boxr_seccomp::{Filter, cache};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompOperator,
    LinuxSyscall,
};

use super::{Metadata, Sockets};

/// Calls that change metadata of a file, which they name or have open.
pub(crate) const OF_METADATA: [&str; 22] = [
    "chmod",
    "chown",
    "chown32",
    "fchmod",
    "fchmodat",
    "fchmodat2",
    "fchown",
    "fchown32",
    "fchownat",
    "fremovexattr",
    "fsetxattr",
    "futimesat",
    "lchown",
    "lchown32",
    "lremovexattr",
    "lsetxattr",
    "removexattr",
    "setxattr",
    "utime",
    "utimensat",
    "utimensat_time64",
    "utimes",
];
/// The same, which are so new that programs do without: not there either where metadata is kept.
const NEW_OF_METADATA: [&str; 3] = ["file_setattr", "removexattrat", "setxattrat"];
/// ioctl(2) requests that change a file which need not be open for writing: `FS_IOC_SETFLAGS`, `FS_IOC32_SETFLAGS`,
/// `FS_IOC_FSSETXATTR`, `FS_IOC_SETVERSION`, `FS_IOC32_SETVERSION` (ioctl_iflags(2)).
const OF_FILES: [u64; 5] = [0x4008_6602, 0x4004_6602, 0x401c_5820, 0x4008_7602, 0x4004_7602];
/// Those of btrfs, by the byte of their kind: subvolumes and snapshots in a directory that is open.
const OF_BTRFS: (u64, u64) = (0xff00, 0x9400);
const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const EOPNOTSUPP: u32 = 95;

/// Not there in a sandbox.
const REFUSED: [&str; 6] =
    ["process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise", "userfaultfd"];
/// Those that are allowed with some arguments only.
const COMPARED: [&str; 5] = ["ioctl", "prctl", "ptrace", "socket", "socketcall"];
/// `SYS_SOCKET` of socketcall(2), by which old programs of 32 bits make sockets: a filter cannot see which.
const UNSEEN: [u64; 1] = [1];
/// ioctl(2) requests that write into a terminal what its reader has not typed: `TIOCSTI`, `TIOCLINUX`.
const TERMINAL: [u64; 2] = [0x5412, 0x541c];
/// ptrace(2) requests that begin to trace a process which has not asked for it: `PTRACE_ATTACH`, `PTRACE_SEIZE`.
/// Whoever is asked by its own child (`PTRACE_TRACEME`), as by a debugger, may go on.
const TRACING: [u64; 2] = [16, 0x4206];
/// `PR_SET_PDEATHSIG` of prctl(2). The command itself could take back that it ends with boxr. For others it is a
/// convenience, as all end with the sandbox: they are told that it was done.
const PARENT_DEATH: [u64; 1] = [1];
const DONE: u32 = 0;
/// The kernel looks at 32 bits of all of them.
const LOW_HALF: u64 = 0xffff_ffff;
/// What the kernel itself answers where `dev.tty.legacy_tiocsti` is off. Not the filter's default: refusals that
/// repeat it are no entries of their own, and could not come before the entry that allows the rest.
const EIO: u32 = 5;
const EACCES: u32 = 13;

/// What makes the profile, hashed: another build that makes it otherwise does not take this one's programs.
const SOURCES: u64 = {
    let hash = crate::image::seccomp::SOURCES;
    boxr_seccomp::hash_of(include_bytes!("seccomp.rs")).rotate_left(1) ^ hash
};

/// The filter, compiled, from the directory `dir` where it is there.
///
/// # Errors
/// As [`profile`].
pub(super) fn compiled(sockets: Sockets, metadata: Metadata, dir: &Path) -> Result<Filter, String> {
    let (major, minor) = crate::image::seccomp::kernel();
    let name = format!("sandbox {sockets:?} {metadata:?} {major}.{minor} {SOURCES:x}");
    let make = || profile(sockets, metadata).map_err(Unmade::Profile);
    cache::compile_named(dir, &name, make).map(|(filter, _)| filter).map_err(|error| error.to_string())
}

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
enum Unmade {
    #[error("{0}")]
    Profile(String),
    #[error(transparent)]
    Filter(#[from] boxr_seccomp::Error),
}

/// The filter.
///
/// # Errors
/// Never, unless boxr's own profile is wrong.
pub(super) fn profile(sockets: Sockets, metadata: Metadata) -> Result<LinuxSeccomp, String> {
    let mut calls = if metadata == Metadata::OfWritable { of_metadata()? } else { Vec::new() };
    let refusals: [(&str, usize, &[u64], u32); 4] = [
        ("ioctl", 1, &TERMINAL, EIO),
        ("ptrace", 0, &TRACING, EACCES),
        ("prctl", 0, &PARENT_DEATH, DONE),
        ("socketcall", 0, &UNSEEN, EACCES),
    ];
    for (name, argument, values, errno) in refusals {
        calls.extend(all_but(name, argument, values, errno)?);
    }
    for domain in domains(sockets) {
        let same = compared(0, LinuxSeccompOperator::ScmpCmpMaskedEq, LOW_HALF, *domain)?;
        calls.push(entry("socket", same, LinuxSeccompAction::ScmpActAllow, None));
    }
    let keeps = metadata == Metadata::OfWritable;
    let is_kept = |name: &str| OF_METADATA.contains(&name) || NEW_OF_METADATA.contains(&name);
    let is_left_out =
        |name: &str| REFUSED.contains(&name) || COMPARED.contains(&name) || keeps && is_kept(name);
    Ok(crate::image::seccomp::stricter(is_left_out, calls))
}

/// Changes of metadata are refused, unless somebody makes them for the command.
fn of_metadata() -> Result<Vec<LinuxSyscall>, String> {
    let refused = |names: &[&str], errno| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut call = LinuxSyscall::default();
        call.set_names(names).set_action(LinuxSeccompAction::ScmpActErrno).set_errno_ret(Some(errno));
        call
    };
    let mut calls = vec![refused(&OF_METADATA, EPERM), refused(&NEW_OF_METADATA, ENOSYS)];
    let requests = OF_FILES.into_iter().map(|request| (LOW_HALF, request)).chain([OF_BTRFS]);
    for (mask, request) in requests {
        let same = compared(1, LinuxSeccompOperator::ScmpCmpMaskedEq, mask, request)?;
        calls.push(entry("ioctl", same, LinuxSeccompAction::ScmpActErrno, Some(EOPNOTSUPP)));
    }
    Ok(calls)
}

/// `AF_UNIX`, `AF_INET`, `AF_INET6`, and what tells of the network (`AF_NETLINK`). Of others some are in no network
/// namespace (`AF_VSOCK`, `AF_QIPCRTR`), and all are code of the kernel's that few have looked at.
fn domains(sockets: Sockets) -> &'static [u64] {
    match sockets {
        Sockets::None => &[],
        Sockets::Unix => &[1],
        Sockets::Internet => &[2, 10, 16],
        Sockets::Any | Sockets::Both => &[1, 2, 10, 16],
    }
}

/// Of several entries with comparisons the first that fits decides: the refusals, then one that fits always.
fn all_but(name: &str, argument: usize, values: &[u64], errno: u32) -> Result<Vec<LinuxSyscall>, String> {
    let mut calls = Vec::with_capacity(values.len() + 1);
    for value in values {
        let same = compared(argument, LinuxSeccompOperator::ScmpCmpMaskedEq, LOW_HALF, *value)?;
        calls.push(entry(name, same, LinuxSeccompAction::ScmpActErrno, Some(errno)));
    }
    let any = compared(argument, LinuxSeccompOperator::ScmpCmpGe, 0, 0)?;
    calls.push(entry(name, any, LinuxSeccompAction::ScmpActAllow, None));
    Ok(calls)
}

fn entry(name: &str, arg: LinuxSeccompArg, action: LinuxSeccompAction, errno: Option<u32>) -> LinuxSyscall {
    let mut call = LinuxSyscall::default();
    call.set_names(vec![name.to_owned()]).set_args(Some(vec![arg])).set_action(action).set_errno_ret(errno);
    call
}

fn compared(index: usize, op: LinuxSeccompOperator, value: u64, two: u64) -> Result<LinuxSeccompArg, String> {
    LinuxSeccompArgBuilder::default()
        .index(index)
        .value(value)
        .value_two(two)
        .op(op)
        .build()
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_choice_has_a_program_of_its_own() {
        let dir = tempfile::tempdir().unwrap();
        for sockets in [Sockets::Any, Sockets::None, Sockets::Unix, Sockets::Internet, Sockets::Any] {
            for metadata in [Metadata::OfAny, Metadata::OfWritable] {
                let expected = boxr_seccomp::compile(&profile(sockets, metadata).unwrap()).unwrap();
                assert_eq!(compiled(sockets, metadata, dir.path()), Ok(expected));
            }
        }
        assert_eq!(dir.path().read_dir().unwrap().count(), 8);
    }

    #[test]
    fn nothing_that_reaches_out_is_allowed() {
        let profile = profile(Sockets::Any, Metadata::OfAny).unwrap();
        let allowed = |name: &str| {
            profile.syscalls().iter().flatten().any(|call| {
                call.action() == LinuxSeccompAction::ScmpActAllow
                    && call.args().is_none()
                    && call.names().iter().any(|known| known == name)
            })
        };
        for name in [
            "unshare",
            "setns",
            "clone",
            "clone3",
            "mount",
            "move_mount",
            "open_tree",
            "fsopen",
            "pivot_root",
            "chroot",
            "umount2",
            "keyctl",
            "add_key",
            "request_key",
            "bpf",
            "io_uring_setup",
            "io_uring_enter",
            "io_uring_register",
            "ptrace",
            "ioctl",
            "prctl",
            "socket",
            "socketcall",
            "process_vm_readv",
            "process_vm_writev",
            "pidfd_getfd",
            "perf_event_open",
            "userfaultfd",
            "kexec_load",
            "init_module",
            "open_by_handle_at",
            "reboot",
            "swapon",
            "acct",
            "quotactl",
            "syslog",
        ] {
            assert!(!allowed(name), "{name}");
        }
        for name in ["read", "openat", "execve", "landlock_create_ruleset", "seccomp", "kill"] {
            assert!(allowed(name), "{name}");
        }
    }
}
