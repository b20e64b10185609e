//! System calls that a record tells apart.

/// Carried out without a look: they work on what is open already, or ask for what everybody may know. A compiler makes
/// nine of ten calls of these.
pub(super) const COMMON: &str = "read write readv writev pread64 pwrite64 close close_range fstat newfstatat stat lstat \
    fstat64 stat64 lstat64 fstatat64 statx lseek _llseek mmap mmap2 munmap mprotect mremap madvise brk rt_sigaction \
    rt_sigprocmask rt_sigreturn sigreturn sigaltstack access faccessat faccessat2 readlink readlinkat getcwd getdents \
    getdents64 fcntl fcntl64 ioctl dup dup2 dup3 pipe pipe2 poll ppoll select pselect6 epoll_wait epoll_pwait \
    epoll_ctl futex sched_yield clock_gettime clock_gettime64 gettimeofday time clock_nanosleep nanosleep getpid gettid getppid \
    getuid geteuid getgid getegid getuid32 geteuid32 getgid32 getegid32 getpgrp umask wait4 waitid exit exit_group \
    set_robust_list set_tid_address set_thread_area arch_prctl rseq prlimit64 getrlimit ugetrlimit getrandom uname sysinfo \
    clone clone3 fork vfork restart_syscall sched_getaffinity recvmsg recvfrom membarrier";

/// Whether a call is one of those.
pub(super) fn is_common(name: &str) -> bool {
    COMMON.split_whitespace().any(|common| common == name)
}

/// What a call says of files and addresses; the numbers are those of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Says {
    /// It opens a path, with flags of open(2).
    Opens { dir: Option<usize>, path: usize, flags: usize },
    /// It opens a path, with the flags in a structure (openat2(2)).
    OpensBy { dir: usize, path: usize, how: usize },
    /// It makes, changes or removes what is at a path.
    Changes { dir: Option<usize>, path: usize },
    /// The same of two.
    ChangesBoth { one: (Option<usize>, usize), other: (Option<usize>, usize) },
    /// It runs a program.
    Runs { dir: Option<usize>, path: usize },
    /// It speaks to an address.
    SpeaksTo { address: usize, length: usize },
    /// It speaks to the addresses in one message, or in as many as this argument says (sendmmsg(2)).
    SpeaksIn { messages: usize, count: Option<usize> },
    /// It listens at one.
    ListensAt { address: usize, length: usize },
    /// Nothing but its name.
    Nothing,
}

/// By name (the manual pages of section 2).
pub(super) fn says(name: &str) -> Says {
    let changes = |dir, path| Says::Changes { dir, path };
    match name {
        "open" => Says::Opens { dir: None, path: 0, flags: 1 },
        "openat" => Says::Opens { dir: Some(0), path: 1, flags: 2 },
        "openat2" => Says::OpensBy { dir: 0, path: 1, how: 2 },
        "creat" | "unlink" | "rmdir" | "mkdir" | "mknod" | "truncate" | "truncate64" | "chmod" | "chown"
        | "lchown" | "chown32" | "utime" | "utimes" | "setxattr" | "lsetxattr" | "removexattr"
        | "lremovexattr" => changes(None, 0),
        "unlinkat" | "mkdirat" | "mknodat" | "fchmodat" | "fchmodat2" | "fchownat" | "utimensat"
        | "utimensat_time64" | "futimesat" => changes(Some(0), 1),
        "symlink" => changes(None, 1),
        "symlinkat" => changes(Some(1), 2),
        "rename" => Says::ChangesBoth { one: (None, 0), other: (None, 1) },
        "renameat" | "renameat2" => Says::ChangesBoth { one: (Some(0), 1), other: (Some(2), 3) },
        "link" => changes(None, 1),
        "linkat" => changes(Some(2), 3),
        "execve" => Says::Runs { dir: None, path: 0 },
        "execveat" => Says::Runs { dir: Some(0), path: 1 },
        "connect" => Says::SpeaksTo { address: 1, length: 2 },
        "sendto" => Says::SpeaksTo { address: 4, length: 5 },
        "sendmsg" => Says::SpeaksIn { messages: 1, count: None },
        "sendmmsg" => Says::SpeaksIn { messages: 1, count: Some(2) },
        "bind" => Says::ListensAt { address: 1, length: 2 },
        _ => Says::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_calls_exist_and_say_nothing() {
        for name in COMMON.split_whitespace() {
            assert!(boxr_seccomp::names().any(|known| known == name), "{name}");
            assert_eq!(says(name), Says::Nothing, "{name}");
        }
        assert!(is_common("write") && !is_common("openat") && !is_common(""));
    }
}
