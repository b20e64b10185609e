//! Profiles that allow what a record has, and no more.

use std::collections::BTreeSet;
use std::net::SocketAddr;
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

/// Directories that a sandbox shows anyway.
const SHOWN: [&str; 11] =
    ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/opt", "/proc", "/sys", "/dev"];

/// What is at a path of the host now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: it was removed again.
    Nothing,
    /// A directory.
    Directory,
    /// A directory that nobody means to open as a whole: the home directory, one of the system's.
    Wide,
    /// Anything else.
    File,
}

/// A profile of a sandbox with the paths and hosts of a record, in TOML. `found` says what is there now, as a sandbox can
/// be opened for nothing else.
pub fn sandbox(record: &Record, found: &dyn Fn(&Path) -> Found) -> String {
    let is_in = |path: &Path, dirs: &[&str]| dirs.iter().any(|dir| path.starts_with(dir));
    let written = record.written.iter().map(|path| Path::new(path.as_str()));
    let written = written.filter(|path| !is_in(path, &["/proc", "/dev", "/sys"]));
    let written: BTreeSet<&Path> = written.filter_map(|path| opening(path, found)).collect();
    let tops: BTreeSet<&Path> = written
        .iter()
        .copied()
        .filter(|dir| !written.iter().any(|other| other != dir && dir.starts_with(other)))
        .collect();
    let read = record.read.iter().chain(&record.run).map(|path| Path::new(path.as_str()));
    let read: BTreeSet<&Path> = read
        .filter(|path| !is_in(path, &SHOWN) && !tops.iter().any(|dir| path.starts_with(dir)))
        .filter(|path| matches!(found(path), Found::File | Found::Directory))
        .collect();
    let read: Vec<&Path> = read
        .iter()
        .copied()
        .filter(|path| !read.iter().any(|other| other != path && path.starts_with(other)))
        .collect();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let allow = tops.iter().map(|dir| text(dir)).chain(read.iter().map(|path| format!("{}:ro", text(path))));
    let sockets = record.contacted.iter().filter(|address| address.starts_with('/')).cloned();
    let wide = record.read.iter().filter(|path| found(Path::new(path.as_str())) == Found::Wide);
    let wide: String = wide.map(|path| format!("# Read, and not opened as a whole: {path}\n")).collect();
    format!(
        "# Of: {}\n{wide}allow = {}\nallow-net = {}\nallow-socket = {}\n",
        record.command.join(" ").replace(char::is_control, " "),
        list(allow),
        list(hosts(record).into_iter()),
        list(sockets.filter(|path| found(Path::new(path)) == Found::File)),
    )
}

/// What has to be opened so that `path` can be written: the directory that it is in, or as much of it as there is; where
/// that is a wide one, the file itself.
fn opening<'p>(path: &'p Path, found: &dyn Fn(&Path) -> Found) -> Option<&'p Path> {
    let directory = path.ancestors().skip(1).find(|dir| found(dir) != Found::Nothing)?;
    match (found(path), found(directory)) {
        (Found::Directory, _) => Some(path),
        (Found::File, Found::Wide) => Some(path),
        (_, Found::Directory) => Some(directory),
        _ => None,
    }
}

/// Addresses, but for those of name servers; the names that were asked for, with the ports that were contacted.
fn hosts(record: &Record) -> BTreeSet<String> {
    let addresses = record.contacted.iter().filter_map(|address| address.parse::<SocketAddr>().ok());
    let addresses: Vec<SocketAddr> = addresses.filter(|address| address.port() != 53).collect();
    let ports: BTreeSet<u16> = addresses.iter().map(SocketAddr::port).collect();
    let names = record.asked.iter().flat_map(|name| ports.iter().map(move |port| format!("{name}:{port}")));
    names.chain(addresses.iter().map(ToString::to_string)).collect()
}

fn list(words: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("\n    {},", json!(word))).collect();
    if quoted.is_empty() { "[]".to_owned() } else { format!("[{}\n]", quoted.concat()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_anyway_needs_no_opening() {
        let set = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let record = Record {
            command: vec!["make".into()],
            read: set(&[
                "/usr/include/stdio.h",
                "/home/u/.config/tool",
                "/srv/p/src/a.c",
                "/srv/p/src/b.c",
                "/home/u",
                "/tmp/cc1.s",
                "/tmp/given",
            ]),
            written: set(&[
                "/srv/p/out/a.o",
                "/srv/p/out/gone/b.o",
                "/tmp/cc1.s",
                "/dev/null",
                "/home/u/.toolrc",
                "/home/u/new",
            ]),
            contacted: set(&["192.0.2.1:443", "10.0.0.1:53", "/run/dbus/socket", "@abstract"]),
            asked: set(&["example.org"]),
            ..Record::default()
        };
        let found = |path: &Path| match path.to_str().unwrap() {
            "/" | "/tmp" | "/home/u" => Found::Wide,
            "/srv/p/out" | "/home/u/new" => Found::Directory,
            "/srv/p/out/gone" | "/tmp/cc1.s" => Found::Nothing,
            _ => Found::File,
        };
        let expected = "# Of: make\n# Read, and not opened as a whole: /home/u\nallow = [\n    \"/home/u/.toolrc\",\n    \"/home/u/new\",\n    \"/srv/p/out\",\n    \
                        \"/home/u/.config/tool:ro\",\n    \"/srv/p/src/a.c:ro\",\n    \"/srv/p/src/b.c:ro\",\n    \"/tmp/given:ro\",\n]\n\
                        allow-net = [\n    \"192.0.2.1:443\",\n    \"example.org:443\",\n]\nallow-socket = [\n    \"/run/dbus/socket\",\n]\n";
        assert_eq!(sandbox(&record, &found), expected);
    }
}
