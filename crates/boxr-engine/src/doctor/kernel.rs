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
    let mut findings = vec![Finding::new(AREA, "version", Verdict::Ok, format!("Linux {release}"))];
    findings.extend(SINCE.iter().map(|(feature, since)| {
        let verdict = if version >= *since { Verdict::Ok } else { Verdict::Limited };
        Finding::new(AREA, feature, verdict, format!("Linux {}.{} and later have it", since.0, since.1))
    }));
    findings.extend([clone_and_pidfd(), exit_information(), seccomp()]);
    findings.extend(["overlay", "erofs"].map(|name| filesystem(name, &release)));
    findings.extend(["veth", "bridge", "nf_tables"].map(|name| module(name, &release)));
    findings
}

/// Major and minor number; 0.0 for a release that begins otherwise.
fn parse_version(release: &str) -> (u32, u32) {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn clone_and_pidfd() -> Finding {
    match super::trial::in_child(0, || Ok(())) {
        Ok(()) => Finding::new(AREA, "clone3-pidfd", Verdict::Ok, "clone3 with a pidfd works"),
        Err(errno) => Finding::new(AREA, "clone3-pidfd", Verdict::Missing, format!("clone3 fails: {errno}")),
    }
}

fn exit_information() -> Finding {
    let found = match ended_status() {
        Ok(()) => {
            return Finding::new(
                AREA,
                "pidfd-exit",
                Verdict::Ok,
                "the exit status of any process can be read",
            );
        }
        Err(errno) => errno,
    };
    let detail = format!(
        "PIDFD_GET_INFO tells no exit status ({found}): a status nobody saw stays unknown; Linux 6.15 has it"
    );
    Finding::new(AREA, "pidfd-exit", Verdict::Limited, detail)
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
            Finding::new(AREA, "seccomp", Verdict::Ok, "filters and notifications")
        }
        Some(_) => Finding::new(AREA, "seccomp", Verdict::Limited, "filters, no notifications"),
        None => Finding::new(AREA, "seccomp", Verdict::Limited, "no sign of seccomp filters in /proc/sys"),
    }
}

fn filesystem(name: &str, release: &str) -> Finding {
    let known = text("/proc/filesystems").unwrap_or_default();
    match known.lines().any(|line| line.split_whitespace().last() == Some(name)) {
        true => Finding::new(AREA, name, Verdict::Ok, "in the kernel"),
        false => module(name, release),
    }
}

/// Whether a module is loaded, or can be.
fn module(name: &str, release: &str) -> Finding {
    let listed =
        |file: &str| text(&format!("/lib/modules/{release}/{file}")).is_some_and(|list| lists(&list, name));
    if std::path::Path::new("/sys/module").join(name).exists() || listed("modules.builtin") {
        Finding::new(AREA, name, Verdict::Ok, "in the kernel")
    } else if listed("modules.dep") {
        Finding::new(AREA, name, Verdict::Limited, "not loaded").remedy(format!("sudo modprobe {name}"))
    } else if text(&format!("/lib/modules/{release}/modules.dep")).is_none() {
        // A part that is built in need not show under /sys/module.
        let detail = format!(
            "not loaded as a module; without /lib/modules/{release} it cannot be said whether it is built in"
        );
        Finding::new(AREA, name, Verdict::Limited, detail)
    } else {
        Finding::new(AREA, name, Verdict::Limited, "neither loaded nor among the modules of this kernel")
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
