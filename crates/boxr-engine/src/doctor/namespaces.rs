//! The eight namespaces, each really made; and what forbids user namespaces.

use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use super::trial::in_child;
use super::{Finding, Verdict, text};

const AREA: &str = "namespaces";

pub(super) fn probe() -> Vec<Finding> {
    let mut findings: Vec<Finding> = NamespaceKind::ALL.into_iter().map(one).collect();
    findings.push(proc_mount());
    findings
}

/// Bits to try a kind with: with a user namespace where this user needs one.
fn bits(kind: NamespaceKind) -> u64 {
    let root = rustix::process::geteuid().is_root();
    kind.clone_flag() | if root { 0 } else { NamespaceKind::User.clone_flag() }
}

fn one(kind: NamespaceKind) -> Finding {
    // AppArmor lets one be made, and takes the privileges in it away.
    if kind == NamespaceKind::User
        && let Some(finding) = why_user_namespace_refused()
    {
        return finding;
    }
    let result = in_child(bits(kind), || Ok(()));
    let Err(errno) = result else {
        let how = if bits(kind) == kind.clone_flag() {
            "can be made"
        } else {
            "can be made within a user namespace"
        };
        return Finding::ok(AREA, kind.word(), how);
    };
    // What a plain run makes; the user namespace only for those who need one.
    let needed = match kind {
        NamespaceKind::Pid | NamespaceKind::Uts | NamespaceKind::Mount => true,
        NamespaceKind::User => !rustix::process::geteuid().is_root(),
        _ => false,
    };
    let verdict = if needed { Verdict::Missing } else { Verdict::Limited };
    limit(kind, verdict).unwrap_or_else(|| {
        let remedy = match errno {
            Errno::INVAL => format!("boot a kernel that has {} namespaces", kind.word()),
            _ => "sudo boxr doctor namespaces, outside of any container".to_owned(),
        };
        Finding::lacking(AREA, kind.word(), verdict, format!("cannot be made: {errno}"), remedy)
    })
}

/// The sysctl user.max_*_namespaces, where it is 0.
fn limit(kind: NamespaceKind, verdict: Verdict) -> Option<Finding> {
    let key = format!("max_{}_namespaces", kind.proc_name());
    (text(&format!("/proc/sys/user/{key}"))? == "0").then(|| {
        let remedy = format!("sudo sysctl -w user.{key}=15000");
        Finding::lacking(AREA, kind.word(), verdict, format!("user.{key} is 0"), remedy)
    })
}

/// Why this user cannot make a user namespace; `None` when that works, privileges in it included.
/// Meant for after a failure: it makes a process.
pub fn why_user_namespace_refused() -> Option<Finding> {
    let bits = NamespaceKind::User.clone_flag() | NamespaceKind::Mount.clone_flag();
    // A mount context is refused to those who have no privilege in their new namespace.
    let errno = in_child(bits, || fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map(drop)).err()?;
    let root = rustix::process::geteuid().is_root();
    let verdict = if root { Verdict::Limited } else { Verdict::Missing };
    Some(sysctls(verdict).or_else(|| limit(NamespaceKind::User, verdict)).unwrap_or_else(|| {
        let (detail, remedy) = words(errno);
        Finding::lacking(AREA, "user", verdict, detail, remedy)
    }))
}

/// What refuses a user namespace where no switch is off, and what to do.
fn words(errno: Errno) -> (String, &'static str) {
    if is_chrooted() {
        let detail = "boxr runs in a chroot, where the kernel refuses user namespaces";
        (detail.to_owned(), "enter the directory by boxr run --rootfs DIR, not by chroot")
    } else if errno == Errno::NOSPC || errno == Errno::USERS {
        let detail = "a limit of namespaces is reached (user.max_user_namespaces, or 32 levels)";
        (detail.to_owned(), "sudo sysctl -w user.max_user_namespaces=65536")
    } else if errno == Errno::INVAL {
        let detail = "the kernel was built without user namespaces";
        (detail.to_owned(), "boot a kernel built with CONFIG_USER_NS")
    } else if is_filtered() {
        let detail = "a seccomp filter is on boxr itself, as in a container, and refuses it";
        (detail.to_owned(), "docker run --security-opt seccomp=unconfined, or run boxr outside")
    } else {
        (format!("cannot be made: {errno}{}", selinux()), "sudo boxr run ...")
    }
}

/// The switches of distributions.
fn sysctls(verdict: Verdict) -> Option<Finding> {
    let key = [
        ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
        ("kernel/unprivileged_userns_clone", "0", "1"),
    ]
    .into_iter()
    .find(|(file, bad, _)| {
        !rustix::process::geteuid().is_root() && text(&format!("/proc/sys/{file}")).as_deref() == Some(*bad)
    });
    key.map(|(file, bad, good)| {
        let name = file.replace('/', ".");
        let detail = format!("{name} is {bad}: the distribution forbids it to users");
        let all = format!("sudo sysctl -w {name}={good}");
        let remedy = match file.contains("apparmor") {
            // For boxr alone.
            true => format!("sudo apparmor_parser -r dist/apparmor/boxr (boxr's AppArmor profile), or {all}"),
            false => all,
        };
        Finding::lacking(AREA, "user", verdict, detail, remedy)
    })
}

fn selinux() -> &'static str {
    if text("/sys/fs/selinux/enforce").as_deref() == Some("1") { "; SELinux is enforcing" } else { "" }
}

/// Whether the root directory is not the root of a mount, the kernel's own test for a chroot.
/// Asked of statx(2), as a chroot often has no /proc; before Linux 5.8 it is not known.
fn is_chrooted() -> bool {
    let root = statx(CWD, c"/", AtFlags::empty(), StatxFlags::empty());
    root.is_ok_and(|root| {
        root.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
            && !root.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
    })
}

/// Whether a seccomp filter is on this process.
fn is_filtered() -> bool {
    text("/proc/self/status").is_some_and(|status| {
        status.lines().filter_map(|line| line.strip_prefix("Seccomp:")).any(|mode| mode.trim() == "2")
    })
}

/// Why a box cannot have its own /proc; `None` when it can. Meant for after a failure.
pub fn why_proc_mount_refused() -> Option<Finding> {
    let finding = proc_mount();
    (finding.verdict != Verdict::Ok).then_some(finding)
}

fn proc_mount() -> Finding {
    let bits = bits(NamespaceKind::Mount) | NamespaceKind::Pid.clone_flag();
    let mount = || {
        let context = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&context)?;
        // Not attached anywhere: the kernel's check of what it would reveal is made here.
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).map(drop)
    };
    let Err(errno) = in_child(bits, mount) else {
        return Finding::ok(AREA, "proc", "a box can have its own /proc");
    };
    let table = text("/proc/self/mountinfo").unwrap_or_default();
    let covered = covers_of_proc(&table);
    let detail = match covered.first() {
        Some(first) => format!(
            "a new /proc is refused ({errno}): {} parts of /proc are covered here, {first} for one, as in a container",
            covered.len()
        ),
        None => format!("a new /proc is refused: {errno}"),
    };
    Finding::lacking(AREA, "proc", Verdict::Missing, detail, "boxr run --pid host -- CMD")
}

/// Mount points below /proc that hide a part of it.
fn covers_of_proc(mountinfo: &str) -> Vec<&str> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    // Mounted over a directory that is empty by design, which the kernel allows.
    points.filter(|point| point.starts_with("/proc/") && *point != "/proc/sys/fs/binfmt_misc").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_a_container_are_seen() {
        let table = "22 1 0:20 / /proc rw - proc proc rw\n23 22 0:5 /null /proc/kcore rw - tmpfs x rw\n\
                     24 22 0:30 / /proc/sys/fs/binfmt_misc rw - binfmt_misc x rw\n";
        assert_eq!(covers_of_proc(table), ["/proc/kcore"]);
    }

    #[test]
    fn a_child_tells_its_error() {
        assert_eq!(in_child(0, || Ok(())), Ok(()));
        assert_eq!(in_child(0, || Err(Errno::BUSY)), Err(Errno::BUSY));
    }
}
