//! Mounts whose content is the host's: criu names them rather than keeping them (criu(8), `--external`).
//!
//! At a dump `mnt[PLACE]:NAME` gives the mount at PLACE a name; at a restore `mnt[NAME]:SOURCE` says what is
//! mounted there. The name is the mount's destination in the specification, as runc has it.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use boxr_cgroup::{Host, Layout, Location};
use boxr_runtime::rootfs::beneath::{self, Shape};
use oci_spec::runtime::{LinuxNamespaceType, Mount, Spec};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::creation::has_namespace;
use crate::error::Error;

/// The name of what covers masked files.
const NULL: &str = "/dev/null";

/// Devices that a container in a user namespace has from the host, since it cannot make them.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// What a dump of process `pid`, the first of the container of `spec`, is told.
///
/// # Errors
/// Its mounts cannot be looked at.
pub fn of_process(pid: i32, spec: &Spec) -> Result<Vec<String>, Error> {
    let path = PathBuf::from(format!("/proc/{pid}/root"));
    let root = open_directory(&path)?;
    let table = Table::of_process(pid)?;
    let mut named = Vec::new();
    for destination in spec.mounts().iter().flatten().filter(|mount| is_bind(mount)).map(destination) {
        named.extend(table.place(root.as_fd(), &destination).map(|place| (place, destination)));
    }
    for device in devices(spec) {
        named.extend(table.place(root.as_fd(), &device).map(|place| (place, device)));
    }
    if shows_cgroups_of_host(spec)? {
        named.extend(table.cgroups.iter().map(|place| (place.clone(), place.clone())));
    }
    for masked in spec.linux().iter().flat_map(|linux| linux.masked_paths().iter().flatten()) {
        let place = table.place(root.as_fd(), Path::new(masked));
        named.extend(
            place.filter(|place| !is_directory(root.as_fd(), place)).map(|place| (place, NULL.into())),
        );
    }
    Ok(named.iter().map(|(place, name)| external(place, name)).collect())
}

/// What a restore of the container of `spec` is told, whose cgroup is at `location`.
///
/// # Errors
/// The cgroups of the host cannot be told.
pub fn for_restore(spec: &Spec, location: Option<&Location>) -> Result<Vec<String>, Error> {
    let mut sources = Vec::new();
    for mount in spec.mounts().iter().flatten().filter(|mount| is_bind(mount)) {
        sources.push((destination(mount), source(mount)?));
    }
    if shows_cgroups_of_host(spec)? {
        sources.extend(cgroups(spec, location)?);
    }
    sources.extend(devices(spec).into_iter().map(|device| (device.clone(), device)));
    sources.push((NULL.into(), NULL.into()));
    let mut told = BTreeSet::new();
    sources.retain(|(name, _)| told.insert(name.clone()));
    Ok(sources.iter().map(|(name, source)| external(name, source)).collect())
}

fn external(place: &Path, name: &Path) -> String {
    format!("mnt[{}]:{}", place.display(), name.display())
}

/// Makes the places beneath `rootfs` that mounts of `spec` go to, as the start of a new container would;
/// criu makes none. What is mounted to get at them must vanish: to be done in a mount namespace
/// of its own.
///
/// # Errors
/// The place that cannot be made, the source that is not there.
pub fn make_places(rootfs: &Path, spec: &Spec) -> Result<(), Error> {
    let root = open_directory(rootfs)?;
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    // What lies in a tmpfs is in the images.
    let restored: Vec<_> =
        mounts.iter().filter(|mount| mount.typ().as_deref() == Some("tmpfs")).map(destination).collect();
    for mount in mounts {
        let place = destination(mount);
        let is_restored = restored.iter().any(|above| place != *above && place.starts_with(above));
        // Those of cgroups are in a tmpfs, or appear with sysfs.
        if is_restored || mount.typ().as_deref() == Some("cgroup") {
            continue;
        }
        if is_bind(mount) {
            bind(root.as_fd(), &place, &source(mount)?)?;
        } else {
            make(root.as_fd(), &place, Shape::Directory)?;
        }
    }
    Ok(())
}

fn bind(root: BorrowedFd<'_>, place: &Path, source: &Path) -> Result<(), Error> {
    let shape = if source.is_dir() { Shape::Directory } else { Shape::File };
    let target = make(root, place, shape)?;
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, source, flags)
        .map_err(|errno| Error::at("open the source of a mount", source, errno))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(&tree, c"", &target, c"", flags).map_err(|errno| Error::at("mount on", place, errno))
}

fn make(root: BorrowedFd<'_>, place: &Path, shape: Shape) -> Result<OwnedFd, Error> {
    beneath::open_or_create(root, place, shape)
        .map_err(|errno| Error::at("make the place of a mount", place, errno))
}

/// Mount points of a process, as its own root has them.
#[derive(Debug, Default)]
struct Table {
    places: BTreeSet<PathBuf>,
    cgroups: Vec<PathBuf>,
}

impl Table {
    fn of_process(pid: i32) -> Result<Self, Error> {
        let path = format!("/proc/{pid}/mountinfo");
        let text = std::fs::read(&path).map_err(|error| Error::io("read", path, error))?;
        Ok(Self::parse(&text))
    }

    /// Of proc_pid_mountinfo(5).
    fn parse(text: &[u8]) -> Self {
        let mut table = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ');
            let Some(place) = words.nth(4).map(unescape) else { continue };
            let kind = words.skip_while(|word| *word != b"-").nth(1).unwrap_or_default();
            if kind == b"cgroup" || kind == b"cgroup2" {
                table.cgroups.push(place.clone());
            }
            table.places.insert(place);
        }
        table
    }

    /// Where `destination` leads to beneath `root`, if something is mounted there.
    fn place(&self, root: BorrowedFd<'_>, destination: &Path) -> Option<PathBuf> {
        let place = match resolve(root, destination) {
            Ok(place) => place,
            Err(_) => return None,
        };
        self.places.contains(&place).then_some(place)
    }
}

/// `\040` for a space…
fn unescape(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| *first == b'\\');
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// The kernel's own name of what `path` leads to, which is one beneath the root of the mount namespace.
fn resolve(root: BorrowedFd<'_>, path: &Path) -> Result<PathBuf, Errno> {
    use std::os::fd::AsRawFd;
    let found = beneath::open(root, path, OFlags::PATH)?;
    let link = format!("/proc/self/fd/{}", found.as_raw_fd());
    std::fs::read_link(link).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

fn is_directory(root: BorrowedFd<'_>, path: &Path) -> bool {
    beneath::open(root, path, OFlags::PATH | OFlags::DIRECTORY).is_ok()
}

fn open_directory(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    openat(CWD, path, flags, Mode::empty()).map_err(|errno| Error::at("open", path, errno))
}

fn is_bind(mount: &Mount) -> bool {
    mount.typ().as_deref() == Some("bind")
        || mount.options().iter().flatten().any(|option| option == "bind" || option == "rbind")
}

/// From the root on, without `.` and `..`.
fn destination(mount: &Mount) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for part in mount.destination().components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => drop(clean.pop()),
            _ => {}
        }
    }
    clean
}

/// Absolute; relative ones are the bundle's, in which boxr is.
fn source(mount: &Mount) -> Result<PathBuf, Error> {
    let given = mount.source().clone().unwrap_or_default();
    std::path::absolute(&given).map_err(|error| Error::io("use", given, error))
}

/// Devices that may be mounts: those of a user namespace.
fn devices(spec: &Spec) -> Vec<PathBuf> {
    if !has_namespace(spec, LinuxNamespaceType::User) {
        return Vec::new();
    }
    let listed = spec.linux().iter().flat_map(|linux| linux.devices().iter().flatten());
    DEVICES.into_iter().map(PathBuf::from).chain(listed.map(|device| device.path().clone())).collect()
}

/// Of version 1 and without a cgroup namespace, directories of the host's are bound; otherwise the mounts
/// are the container's own.
fn shows_cgroups_of_host(spec: &Spec) -> Result<bool, Error> {
    let has_mount = spec.mounts().iter().flatten().any(|mount| mount.typ().as_deref() == Some("cgroup"));
    if !has_mount || has_namespace(spec, LinuxNamespaceType::Cgroup) {
        return Ok(false);
    }
    Ok(Host::detect()?.layout() != Layout::Unified)
}

/// The directory of each hierarchy that the container has, by the place it is mounted at.
fn cgroups(spec: &Spec, location: Option<&Location>) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let host = Host::detect()?;
    let mut directories = Vec::new();
    for (controller, hierarchy) in &host.legacy {
        let own = location.and_then(|location| location.legacy.get(controller.legacy_name()));
        directories.push((hierarchy.mount.file_name(), own.unwrap_or(&hierarchy.own)));
    }
    directories.extend(host.named.values().map(|hierarchy| (hierarchy.mount.file_name(), &hierarchy.own)));
    if let Some(unified) = &host.unified {
        let own = location.and_then(|location| location.unified.as_ref());
        directories.push((Some("unified".as_ref()), own.unwrap_or(&unified.own)));
    }
    let mounts = spec.mounts().iter().flatten().filter(|mount| mount.typ().as_deref() == Some("cgroup"));
    let mut sources = Vec::new();
    for above in mounts.map(destination) {
        let named = directories.iter().filter_map(|(name, directory)| Some((name.as_ref()?, directory)));
        sources.extend(named.map(|(name, directory)| (above.join(name), (*directory).clone())));
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> Spec {
        serde_json::from_str(&format!(r#"{{"ociVersion":"1.0.0",{json}}}"#)).unwrap()
    }

    #[test]
    fn the_table_of_mounts_is_read() {
        let text = b"36 35 98:0 / /a\\040b\\134c rw,noatime master:1 - ext3 /dev/root rw\n\
                     40 36 0:30 /x /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\n";
        let table = Table::parse(text);
        assert!(table.places.contains(Path::new("/a b\\c")));
        assert_eq!(table.cgroups, [Path::new("/sys/fs/cgroup/cpu")]);
    }

    #[test]
    fn sources_are_named_by_destination_and_once() {
        let spec = spec(
            r#""mounts":[{"destination":"/a/../b/.","source":"/host","type":"bind"},
            {"destination":"/c","source":"/other","options":["rbind","ro"]},
            {"destination":"/b","source":"/shadow","type":"bind"},
            {"destination":"/proc","type":"proc","source":"proc"}]"#,
        );
        let told = for_restore(&spec, None).unwrap();
        assert_eq!(told, ["mnt[/b]:/host", "mnt[/c]:/other", "mnt[/dev/null]:/dev/null"]);
    }

    #[test]
    fn devices_of_a_user_namespace_are_the_hosts() {
        let spec = spec(
            r#""linux":{"namespaces":[{"type":"user"}],
            "devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229}]}"#,
        );
        let told = for_restore(&spec, None).unwrap();
        assert_eq!(told.len(), 7);
        assert!(told.contains(&"mnt[/dev/fuse]:/dev/fuse".to_owned()), "{told:?}");
    }

    #[test]
    fn only_mounts_that_are_there_are_named() {
        // Of this process: nothing of the specification is mounted in it but /proc.
        let spec = spec(
            r#""mounts":[{"destination":"/proc","source":"/proc","type":"bind"},
            {"destination":"/no/such","source":"/x","type":"bind"},
            {"destination":"/proc/self","source":"/x","type":"bind"}],
            "linux":{"maskedPaths":["/proc/version","/no/such"]}"#,
        );
        let told = of_process(std::process::id().cast_signed(), &spec).unwrap();
        assert_eq!(told, ["mnt[/proc]:/proc"]);
    }

    #[test]
    fn places_are_made_but_not_in_what_is_restored() {
        let root = tempfile::tempdir().unwrap();
        let spec = spec(
            r#""mounts":[{"destination":"/dev","type":"tmpfs"},{"destination":"/dev/shm","type":"tmpfs"},
            {"destination":"/a/b","type":"proc"},{"destination":"/sys/fs/cgroup","type":"cgroup"}]"#,
        );
        make_places(root.path(), &spec).unwrap();
        assert!(root.path().join("a/b").is_dir() && root.path().join("dev").is_dir());
        assert!(!root.path().join("dev/shm").exists() && !root.path().join("sys").exists());
    }
}
