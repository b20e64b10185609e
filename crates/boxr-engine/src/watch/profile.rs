//! Profiles that allow what a record has, and no more.

use std::collections::BTreeSet;
use std::path::Path;

use oci_spec::runtime::Arch;
use serde_json::{Value, json};

use super::calls::COMMON;
use super::sight::Record;

/// What programs of this machine may be: those of the machine and of its 32-bit mode.
pub(super) fn architectures() -> Vec<Arch> {
    match boxr_seccomp::native() {
        Some(Arch::ScmpArchX86_64) => vec![Arch::ScmpArchX86_64, Arch::ScmpArchX86, Arch::ScmpArchX32],
        Some(Arch::ScmpArchAarch64) => vec![Arch::ScmpArchAarch64, Arch::ScmpArchArm],
        Some(other) => vec![other],
        None => Vec::new(),
    }
}

/// Calls that a runtime makes between its filter and the command: other engines read these profiles too.
const OF_RUNTIMES: [&str; 4] = ["capset", "execve", "prctl", "seccomp"];

/// The least profile of system calls, in the OCI's format: what was seen, and what is never looked at. Everything else
/// fails with `EPERM`.
pub fn seccomp(record: &Record) -> Value {
    let mut names: BTreeSet<&str> = record.calls.iter().map(String::as_str).collect();
    names.extend(COMMON.split_whitespace());
    names.extend(OF_RUNTIMES);
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": architectures(),
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    })
}

/// Directories that a sandbox has of its own, or shows anyway.
const SHOWN: [&str; 12] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/proc", "/sys", "/dev", "/tmp"];

/// Flags of a sandbox with the paths and hosts of a record, as a table in TOML.
pub fn sandbox(record: &Record) -> String {
    let shown = |path: &&String| SHOWN.iter().any(|shown| Path::new(path.as_str()).starts_with(shown));
    let written: BTreeSet<&str> = record
        .written
        .iter()
        .filter(|path| {
            !["/proc", "/dev", "/sys", "/tmp"].iter().any(|own| Path::new(path.as_str()).starts_with(own))
        })
        .filter_map(|path| Path::new(path).parent()?.to_str())
        .collect();
    let is_in = |path: &str, dirs: &BTreeSet<&str>| dirs.iter().any(|dir| Path::new(path).starts_with(dir));
    let tops: BTreeSet<&str> = written
        .iter()
        .copied()
        .filter(|dir| !written.iter().any(|other| other != dir && Path::new(dir).starts_with(other)))
        .collect();
    let read = record.read.iter().chain(&record.run);
    let read: BTreeSet<&str> =
        read.filter(|path| !shown(path) && !is_in(path, &tops)).map(String::as_str).collect();
    let (sockets, hosts): (Vec<&String>, Vec<&String>) =
        record.contacted.iter().partition(|address| address.starts_with('/') || address.starts_with('@'));
    let allow: Vec<String> = tops
        .iter()
        .map(|dir| (*dir).to_owned())
        .chain(read.iter().map(|path| format!("{path}:ro")))
        .collect();
    let list = |words: &[String]| {
        let quoted: Vec<String> = words.iter().map(|word| format!("\n    {},", json!(word))).collect();
        if quoted.is_empty() { "[]".to_owned() } else { format!("[{}\n]", quoted.concat()) }
    };
    let own = |words: Vec<&String>| words.into_iter().cloned().collect::<Vec<String>>();
    let paths: Vec<String> = own(sockets).into_iter().filter(|socket| socket.starts_with('/')).collect();
    format!(
        "# Of: {}\nallow = {}\nallow-net = {}\nallow-socket = {}\n",
        record.command.join(" ").replace('\n', " "),
        list(&allow),
        list(&own(hosts)),
        list(&paths),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_anyway_needs_no_opening() {
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let record = Record {
            command: vec!["make".into()],
            read: set(&["/usr/include/stdio.h", "/home/u/.config/tool", "/srv/p/src/a.c", "/srv/p/src/b.c"]),
            written: set(&["/srv/p/out/a.o", "/srv/p/out/deep/b.o", "/tmp/cc1.s", "/dev/null"]),
            contacted: set(&["192.0.2.1:443", "/run/dbus/socket", "@abstract"]),
            ..Record::default()
        };
        let expected = "# Of: make\nallow = [\n    \"/srv/p/out\",\n    \"/home/u/.config/tool:ro\",\n    \"/srv/p/src/a.c:ro\",\n    \
                        \"/srv/p/src/b.c:ro\",\n]\nallow-net = [\n    \"192.0.2.1:443\",\n]\nallow-socket = [\n    \"/run/dbus/socket\",\n]\n";
        assert_eq!(sandbox(&record), expected);
    }
}
