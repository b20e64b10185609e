//! Privileges, limits, directories, terminals and helper programs.

use rustix::process::{Resource, getrlimit};

use super::{Finding, Verdict, program, text};
use crate::paths::Paths;

const AREA: &str = "host";
const LOW_SPACE: u64 = 100 << 20;

pub(super) fn probe() -> Vec<Finding> {
    let mut findings = vec![
        capabilities(),
        limit("open-files", Resource::Nofile, 1024),
        limit("processes", Resource::Nproc, 1024),
        runtime_directory(),
        terminals(),
    ];
    for (subject, file) in [
        ("pid-max", "kernel/pid_max"),
        ("threads-max", "kernel/threads-max"),
        ("inotify-instances", "fs/inotify/max_user_instances"),
    ] {
        findings.extend(text(&format!("/proc/sys/{file}")).map(|value| Finding::ok(AREA, subject, value)));
    }
    if let Ok(paths) = Paths::find(None, None) {
        findings.extend([space("space-state", &paths.state), space("space-data", &paths.data)]);
    }
    findings.extend(["pasta", "slirp4netns"].map(helper));
    findings
}

fn limited(subject: &str, detail: impl Into<String>, remedy: impl Into<String>) -> Finding {
    Finding::lacking(AREA, subject, Verdict::Limited, detail, remedy)
}

fn capabilities() -> Finding {
    let held = text("/proc/self/status").unwrap_or_default();
    let held = held.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap_or("").trim().to_owned();
    let held = u64::from_str_radix(&held, 16).unwrap_or(0);
    // CAP_SYS_ADMIN
    let detail = match (held, held & (1 << 21) != 0) {
        (0, _) => "none: a box gets a user namespace of its own".to_owned(),
        (_, true) => format!("{} held, CAP_SYS_ADMIN among them", held.count_ones()),
        (_, false) => format!("{} held, not CAP_SYS_ADMIN", held.count_ones()),
    };
    Finding::ok(AREA, "capabilities", detail)
}

fn limit(subject: &str, resource: Resource, least: u64) -> Finding {
    let found = getrlimit(resource);
    let shown = |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    let detail = format!(
        "{} now, at most {} (more takes CAP_SYS_RESOURCE)",
        shown(found.current),
        shown(found.maximum)
    );
    let low = found.maximum.is_some_and(|value| value < least);
    if low {
        return limited(subject, detail, "raise it in /etc/security/limits.conf, and log in again");
    }
    Finding::ok(AREA, subject, detail)
}

fn runtime_directory() -> Finding {
    if rustix::process::geteuid().is_root() {
        return Finding::ok(AREA, "runtime-directory", "/run");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(path) if std::path::Path::new(&path).is_dir() => {
            Finding::ok(AREA, "runtime-directory", path.to_string_lossy())
        }
        _ => {
            let detail =
                "XDG_RUNTIME_DIR names no directory: boxes are kept elsewhere, and may not survive a logout";
            limited("runtime-directory", detail, "loginctl enable-linger")
        }
    }
}

fn terminals() -> Finding {
    use rustix::pty::{OpenptFlags, openpt};
    match openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC) {
        Ok(_) => Finding::ok(AREA, "terminals", "/dev/ptmx gives pseudo-terminals"),
        Err(errno) => {
            let remedy =
                "sudo mount -t devpts -o ptmxmode=666 devpts /dev/pts; sudo ln -s pts/ptmx /dev/ptmx";
            limited("terminals", format!("/dev/ptmx: {errno}: no --tty"), remedy)
        }
    }
}

/// Free bytes where a directory is, or will be.
fn space(subject: &str, directory: &std::path::Path) -> Finding {
    let existing = directory.ancestors().find(|path| path.exists()).unwrap_or(directory);
    match rustix::fs::statvfs(existing) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let detail = format!("{} MiB free in {}", free >> 20, existing.display());
            if free < LOW_SPACE {
                return limited(subject, detail, "boxr prune");
            }
            Finding::ok(AREA, subject, detail)
        }
        Err(errno) => {
            limited(subject, format!("{}: {errno}", existing.display()), "boxr --state DIR --root DIR ...")
        }
    }
}

fn helper(name: &'static str) -> Finding {
    let package = if name == "pasta" { "passt" } else { name };
    match program(name) {
        Some(path) => Finding::ok(AREA, name, path.display().to_string()),
        None => {
            let detail = "not installed; for networks of unprivileged boxes";
            limited(name, detail, format!("sudo apt-get install {package}"))
        }
    }
}
