//! The kernel's version and the features that boxr uses.

use std::os::fd::AsFd;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd;
use rustix::io::Errno;

use super::{Finding, Verdict, text};

const AREA: &str = "kernel";

/// Feature, and the first version that has it: what cannot be tried without changing something.
const SINCE: [(&str, (u32, u32)); 5] = [
    ("clone-into-cgroup", (5, 7)),
    ("userxattr-overlay", (5, 11)),
    ("close-range-cloexec", (5, 11)),
    ("mount-setattr-idmap", (5, 12)),
    ("cgroup-kill", (5, 14)),
];

pub(super) fn probe() -> Vec<Finding> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let version = parse_version(&release);
    let mut findings = vec![Finding::ok(AREA, "version", format!("Linux {release}"))];
    findings.extend(SINCE.iter().map(|(feature, since)| {
        let detail = format!("Linux {}.{} and later have it", since.0, since.1);
        match version >= *since {
            true => Finding::ok(AREA, feature, detail),
            false => limited(feature, detail, newer(*since)),
        }
    }));
    findings.extend([clone_and_pidfd(), exit_information(), seccomp(), landlock()]);
    findings.extend(["overlay", "erofs"].map(|name| filesystem(name, &release)));
    findings.extend(["veth", "bridge", "nf_tables"].map(|name| module(name, &release)));
    findings
}

fn limited(subject: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::lacking(AREA, subject, Verdict::Limited, detail, remedy)
}

fn newer((major, minor): (u32, u32)) -> String {
    format!("boot Linux {major}.{minor} or later")
}

/// Major and minor number; 0.0 for a release that begins otherwise.
fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// What sandboxes use where there are no user namespaces, and for what a shared network has of the session.
fn landlock() -> Finding {
    match boxr_sys::landlock::version() {
        Ok(version) if version >= 6 => Finding::ok(AREA, "landlock", format!("version {version}")),
        Ok(version) => limited("landlock", format!("version {version}, without scopes"), newer((6, 12))),
        Err(errno) => {
            let detail = format!("no Landlock ({errno}): boxr run --sandbox needs user namespaces");
            limited("landlock", detail, "boot with lsm=landlock,...")
        }
    }
}

fn clone_and_pidfd() -> Finding {
    match super::trial::in_child(0, || Ok(())) {
        Ok(()) => Finding::ok(AREA, "clone3-pidfd", "clone3 with a pidfd works"),
        Err(errno) => Finding::lacking(
            AREA,
            "clone3-pidfd",
            Verdict::Missing,
            format!("clone3 fails: {errno}"),
            format!("{}, and take away a seccomp filter that refuses it", newer((5, 3))),
        ),
    }
}

fn exit_information() -> Finding {
    let found = match ended_status() {
        Ok(()) => {
            return Finding::ok(AREA, "pidfd-exit", "the exit status of any process can be read");
        }
        Err(errno) => errno,
    };
    let detail = format!("PIDFD_GET_INFO tells no exit status ({found}): a status nobody saw stays unknown");
    limited("pidfd-exit", detail, newer((6, 15)))
}

fn ended_status() -> Result<(), Errno> {
    match clone3(0, None, Parent::Caller)? {
        Cloned::Child => exit_now(0),
        Cloned::Parent { pidfd, .. } => {
            pidfd::reap(pidfd.as_fd(), true)?;
            pidfd::exit_status(pidfd.as_fd())?.map(drop).ok_or(Errno::NOSYS)
        }
    }
}

fn seccomp() -> Finding {
    match text("/proc/sys/kernel/seccomp/actions_avail") {
        Some(actions) if actions.contains("user_notif") => {
            Finding::ok(AREA, "seccomp", "filters and notifications")
        }
        Some(_) => limited("seccomp", "filters, no notifications", newer((5, 0))),
        None => limited(
            "seccomp",
            "no sign of seccomp filters in /proc/sys",
            "boot a kernel built with CONFIG_SECCOMP_FILTER",
        ),
    }
}

fn filesystem(name: &str, release: &str) -> Finding {
    let known = text("/proc/filesystems").unwrap_or_default();
    match known.lines().any(|line| line.split_whitespace().last() == Some(name)) {
        true => Finding::ok(AREA, name, "in the kernel"),
        false => module(name, release),
    }
}

/// Whether a module is loaded, or can be.
fn module(name: &str, release: &str) -> Finding {
    let listed =
        |file: &str| text(&format!("/lib/modules/{release}/{file}")).is_some_and(|list| lists(&list, name));
    let load = format!("sudo modprobe {name}");
    if std::path::Path::new("/sys/module").join(name).exists() || listed("modules.builtin") {
        Finding::ok(AREA, name, "in the kernel")
    } else if listed("modules.dep") {
        limited(name, "not loaded", load)
    } else if text(&format!("/lib/modules/{release}/modules.dep")).is_none() {
        // A part that is built in need not show under /sys/module.
        let detail = format!(
            "not loaded as a module; without /lib/modules/{release} it cannot be said whether it is built in"
        );
        limited(name, detail, load)
    } else {
        let remedy = format!("boot a kernel built with CONFIG_{}", name.to_uppercase());
        limited(name, "neither loaded nor among the modules of this kernel", remedy)
    }
}

/// Whether a line of modules.dep or modules.builtin is about `name`, compressed or not.
fn lists(list: &str, name: &str) -> bool {
    list.lines()
        .filter_map(|line| line.split(':').next()?.rsplit('/').next())
        .any(|file| file.strip_prefix(name).is_some_and(|rest| rest.starts_with(".ko")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_modules_are_read() {
        assert_eq!(parse_version("6.18.44-fc-v669"), (6, 18));
        assert_eq!(parse_version("x"), (0, 0));
        assert!(lists("kernel/drivers/net/veth.ko.xz: a.ko\n", "veth"));
        assert!(!lists("kernel/net/bridge/bridge_x.ko:\n", "bridge"));
    }
}
