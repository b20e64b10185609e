//! Containers whose first process is systemd (podman's `--systemd`, systemd's CONTAINER_INTERFACE).

use std::path::Path;

use super::raw::RawRun;
use super::resolve::scratch;
use crate::image::{ContainerOptions, Image, SystemdMode};

/// What systemd wants to be a tmpfs.
const TMPFS: [&str; 4] = ["/run", "/run/lock", "/tmp", "/var/log/journal"];
/// What asks it to end.
const STOP: &str = "RTMIN+3";

/// Gives a container what systemd looks for, where it is to run: a tmpfs in some places, a cgroup that it may divide,
/// a word about who started it, and its own signal to end.
pub(super) fn prepare(raw: &mut RawRun, image: &Image, args: &[String], container: &mut ContainerOptions) {
    let wanted = match raw.systemd.unwrap_or_default() {
        SystemdMode::Always => true,
        SystemdMode::Never => false,
        SystemdMode::Detected => args.first().is_some_and(|word| is_init(word)),
    };
    if !wanted {
        return;
    }
    container.systemd = true;
    for place in TMPFS {
        if !raw.mounts.iter().any(|mount| mount.destination == Path::new(place)) {
            raw.mounts.push(scratch(place.into()));
        }
    }
    if raw.stop_signal.is_none() && image.config.stop_signal.as_deref().is_none_or(str::is_empty) {
        raw.stop_signal = Some(STOP.to_owned());
    }
    if !raw.env.iter().any(|(key, _)| key == "container") {
        raw.env.insert(0, ("container".to_owned(), Some("oci".to_owned())));
    }
}

/// Names by which systemd is called as first process.
fn is_init(word: &str) -> bool {
    const PATHS: [&str; 3] = ["/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init"];
    PATHS.contains(&word) || word.rsplit('/').next() == Some("systemd")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_is_known_by_its_names() {
        for word in ["/sbin/init", "/usr/lib/systemd/systemd", "systemd"] {
            assert!(is_init(word), "{word}");
        }
        for word in ["init", "/bin/init", "/bin/sh", "systemd-run"] {
            assert!(!is_init(word), "{word}");
        }
    }
}
