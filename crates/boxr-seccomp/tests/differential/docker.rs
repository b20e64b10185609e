//! Docker's default profile, and the one that Debian's podman installs.

use std::collections::BTreeSet;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSyscall, LinuxSyscallBuilder};

use crate::calls;
use crate::interpreter::{Call, Program};
use crate::libseccomp::{self, Optimize};
use crate::machine::{HOSTS, Host, audit, common_hosts};
use crate::meaning::{Meaning, Meanings};

/// What docker 28 makes of its default for a container with the usual capabilities.
fn docker(host: Host) -> LinuxSeccomp {
    let mut profile: LinuxSeccomp = serde_json::from_str(include_str!("../data/docker.json")).unwrap();
    profile.set_architectures(Some([&[host.arch], host.others].concat()));
    if host.arch == Arch::ScmpArchAarch64 {
        let own = "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls";
        let mut entries = profile.syscalls().clone().unwrap();
        entries.push(allow(own.split_whitespace()));
        profile.set_syscalls(Some(entries));
    }
    profile
}

fn allow<'n>(names: impl Iterator<Item = &'n str>) -> LinuxSyscall {
    let names: Vec<_> = names.map(str::to_owned).collect();
    LinuxSyscallBuilder::default().names(names).build().unwrap()
}

/// The profile without names that libseccomp does not know on every architecture that has them.
pub fn known_to_libseccomp(profile: &LinuxSeccomp) -> LinuxSeccomp {
    let names: Vec<_> = boxr_seccomp::names().collect();
    let tables = libseccomp::numbers(&names);
    let known = |name: &String| {
        let index = names.iter().position(|known| known == name);
        index.is_some_and(|index| {
            tables.iter().all(|(arch, numbers)| match boxr_seccomp::number(*arch, name) {
                Some(number) => numbers[index] == i64::from(number),
                // -1: not even a placeholder for a call of other architectures. One placeholder stands for two
                // names, of which libseccomp then means the other.
                None => {
                    numbers[index] != -1 && numbers.iter().filter(|all| **all == numbers[index]).count() == 1
                }
            })
        })
    };
    let mut profile = profile.clone();
    let mut entries = profile.syscalls().clone().unwrap_or_default();
    for entry in &mut entries {
        entry.set_names(entry.names().iter().filter(|name| known(name)).cloned().collect());
    }
    profile.set_syscalls(Some(entries));
    profile
}

/// Compares both programs for all calls that are worth it; the profile has only names that libseccomp
/// knows.
pub fn compare(host: Host, profile: &LinuxSeccomp, optimize: Optimize) {
    let ours = boxr_seccomp::compile_for(host.arch, profile).unwrap();
    let ours = Program::native(&ours.program);
    let theirs = match libseccomp::compile(host, profile, optimize) {
        Ok(theirs) => theirs,
        // It cannot hold two entries, one of which compares more than the other, with different actions.
        Err(error) if error.ends_with("File exists") => return,
        Err(error) => panic!("libseccomp: {error}"),
    };
    let arches = std::iter::once(&host.arch).chain(profile.architectures().iter().flatten());
    let arches: BTreeSet<u32> = arches.map(|arch| audit(*arch)).collect();
    if theirs.number_loads() < arches.len() {
        // libseccomp 2.5 loses the load of the number when the first entry has no call on an architecture,
        // and compares the architecture with numbers of calls. There is nothing to learn from that.
        return;
    }
    let meanings = Meanings::new(host, profile);
    for call in calls::of(host, profile) {
        let our = ours.run(&call, host.order).action;
        match meanings.of(&call) {
            newer @ Meaning::Newer => assert_eq!(our, newer.action(), "{host:?} {call:x?}"),
            Meaning::Said(_) => {
                let their = theirs.run(&call, host.order).action;
                assert_eq!(our, their, "{host:?} {call:x?}: ours is left");
            }
        }
    }
}

/// Compares the program with the profile's meaning.
pub fn check(host: Host, profile: &LinuxSeccomp) {
    let ours = boxr_seccomp::compile_for(host.arch, profile).unwrap();
    let ours = Program::native(&ours.program);
    let meanings = Meanings::new(host, profile);
    for call in calls::of(host, profile) {
        let meant = meanings.of(&call).action();
        assert_eq!(ours.run(&call, host.order).action, meant, "{host:?} {call:x?}: ours is left");
    }
}

pub fn matches_libseccomp() {
    for host in HOSTS {
        let profile = known_to_libseccomp(&docker(*host));
        compare(*host, &profile, Optimize::BinaryTree);
        compare(*host, &profile, Optimize::List);
    }
}

pub fn does_what_it_says() {
    for host in HOSTS {
        check(*host, &docker(*host));
    }
    // Newer than libseccomp 2.5, and allowed.
    let host = HOSTS[0];
    let program = Program::native(&boxr_seccomp::compile_for(host.arch, &docker(host)).unwrap().program);
    let mseal = Call { number: 462, arch: audit(host.arch), arguments: [0; 6] };
    assert_eq!(program.run(&mseal, host.order).action, 0x7fff_0000);
    let unheard_of = Call { number: 4000, ..mseal };
    assert_eq!(program.run(&unheard_of, host.order).action, 0x5_0026, "ENOSYS");
    let bpf = Call { number: 321, ..mseal };
    assert_eq!(program.run(&bpf, host.order).action, 0x5_0001, "EPERM");
}

/// From Debian's golang-github-containers-common.
const INSTALLED: &str = "/usr/share/containers/seccomp.json";

pub fn missing_installed() -> Option<String> {
    (!std::path::Path::new(INSTALLED).exists()).then(|| format!("{INSTALLED} is not there"))
}

/// The installed file, with the entries that hold without capabilities.
pub fn installed_matches_libseccomp() {
    let text = std::fs::read_to_string(INSTALLED).unwrap();
    let file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let entries: Vec<LinuxSyscall> = file["syscalls"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["includes"]["caps"].is_null() && entry["includes"]["arches"].is_null())
        .map(|entry| serde_json::from_value(entry.clone()).unwrap())
        .collect();
    assert!(entries.len() > 10);
    for host in common_hosts() {
        let mut profile = docker(*host);
        profile.set_default_errno_ret(Some(38)).set_syscalls(Some(entries.clone()));
        check(*host, &profile);
        let profile = known_to_libseccomp(&profile);
        compare(*host, &profile, Optimize::BinaryTree);
    }
}

/// Calls that programs make all the time.
const COMMON: &str = "read write open openat close stat fstat newfstatat lseek mmap munmap mprotect brk ioctl \
    pread64 pwrite64 readv writev access pipe2 select poll ppoll epoll_wait epoll_pwait epoll_ctl sched_yield \
    madvise dup dup3 nanosleep clock_nanosleep clock_gettime gettimeofday getpid gettid getuid geteuid socket \
    connect accept4 sendto recvfrom sendmsg recvmsg shutdown bind listen getsockopt setsockopt clone vfork \
    execve exit exit_group wait4 kill tgkill uname fcntl flock fsync ftruncate getdents64 getcwd chdir \
    rename mkdir unlink unlinkat readlink chmod fchown umask prctl arch_prctl futex set_robust_list rseq \
    rt_sigaction rt_sigprocmask rt_sigreturn getrandom statx eventfd2 timerfd_settime signalfd4 inotify_add_watch \
    personality mremap splice sendfile copy_file_range fallocate utimensat faccessat2 openat2 close_range";

/// Usual first arguments, where arguments decide.
fn usual(name: &str) -> &'static [u64] {
    match name {
        "socket" => &[1, 2, 10, 16],
        "clone" => &[0x3d_0f00, 0x0120_0011, 0x4111],
        // All that are allowed: either program happens to try one of them first.
        "personality" => &[0, 8, 0x2_0000, 0x2_0008, 0xffff_ffff],
        _ => &[0],
    }
}

/// Neither for any common call nor for all together.
pub fn costs_no_more() {
    for host in common_hosts() {
        let profile = known_to_libseccomp(&docker(*host));
        let ours = boxr_seccomp::compile_for(host.arch, &profile).unwrap();
        let ours = Program::native(&ours.program);
        let theirs = libseccomp::compile(*host, &profile, Optimize::BinaryTree).unwrap();
        println!("{}: {} instructions, libseccomp {}", host.arch, ours.len(), theirs.len());
        for arch in std::iter::once(&host.arch).chain(host.others) {
            let (mut our_sum, mut their_sum, mut count) = (0.0, 0.0, 0.0);
            for name in COMMON.split_whitespace() {
                let Some(number) = boxr_seccomp::number(*arch, name) else { continue };
                let cost = |program: &Program| {
                    let usual = usual(name).iter();
                    let calls = usual.clone().map(|first| [*first, 0, 0, 0, 0, 0]).map(|arguments| {
                        program.run(&Call { number, arch: audit(*arch), arguments }, host.order)
                    });
                    calls.map(|verdict| f64::from(verdict.steps)).sum::<f64>() / usual.len() as f64
                };
                let (our, their) = (cost(&ours), cost(&theirs));
                assert!(our <= their, "{name} on {arch}: {our}, libseccomp {their}");
                our_sum += our;
                their_sum += their;
                count += 1.0;
            }
            println!("{arch}: {:.1} a call, libseccomp {:.1}", our_sum / count, their_sum / count);
        }
    }
}
