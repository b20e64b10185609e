//! Flags that `checkpoint` and `restore` have in common.

use oci_spec::runtime::Spec;

use super::images::Directories;
use super::options::{CgroupMode, Options};
use crate::cli::words::Words;
use crate::creation::annotation;
use crate::error::Error;

/// Settings that beat those of boxr: runc's, whose place boxr-oci takes.
const CONFIG: &str = "/etc/criu/runc.conf";

/// `CLONE_NEWNET` of clone(2).
pub const NETWORK: u32 = 0x4000_0000;

/// What both commands are told alike.
///
/// # Errors
/// A value that there is not.
pub fn read(words: &Words, spec: &Spec, directories: &Directories) -> Result<Options, Error> {
    Ok(Options {
        images_dir_fd: directories.images_fd(),
        work_dir_fd: directories.work_fd(),
        ext_unix_sk: words.on("ext-unix-sk"),
        tcp_established: words.on("tcp-established"),
        shell_job: words.on("shell-job"),
        file_locks: words.on("file-locks"),
        auto_dedup: words.on("auto-dedup"),
        lazy_pages: words.on("lazy-pages"),
        orphan_pts_master: true,
        cgroup_mode: cgroup_mode(words)?,
        empty_ns: empty_namespaces(words)?,
        config_file: config_file(spec),
        ..Options::default()
    })
}

fn cgroup_mode(words: &Words) -> Result<CgroupMode, Error> {
    Ok(match words.text("manage-cgroups-mode")?.unwrap_or_default() {
        "" => CgroupMode::Default,
        "soft" => CgroupMode::Soft,
        "full" => CgroupMode::Full,
        "strict" => CgroupMode::Strict,
        "ignore" => CgroupMode::Ignore,
        other => {
            let why = format!("invalid manage-cgroups-mode value {other}: soft, full, strict or ignore");
            return Err(Error::Usage(why));
        }
    })
}

fn empty_namespaces(words: &Words) -> Result<u32, Error> {
    let mut bits = 0;
    for namespace in words.values("empty-ns") {
        if namespace != "network" {
            return Err(Error::Usage(format!("namespace {} is not supported", namespace.display())));
        }
        bits |= NETWORK;
    }
    Ok(bits)
}

/// The annotation `org.criu.config` names another file, or none.
fn config_file(spec: &Spec) -> Option<String> {
    match annotation(spec, "org.criu.config") {
        None => Some(CONFIG.to_owned()),
        Some("") => None,
        Some(path) => Some(path.to_owned()),
    }
}
