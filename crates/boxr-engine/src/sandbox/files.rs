//! The file tree of a sandbox: the host's, read-only, with layers upon it from the root downwards.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use boxr_runtime::plan::{INODE, NO_LINKS, POOLED, SHARED};
use rustix::io::Errno;

use super::error::SandboxError;
use super::preset::{lies_in, text};
use super::said::{Home, Said};
use super::secrets::Secrets;
use super::surroundings::resolved;
use super::view::{Sight, View};
use super::{aliases, present, repository, sockets};
use crate::options::MountOption;

/// What lies at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    /// An empty directory of the sandbox's own, with this mode.
    Empty(u32),
    /// What the host has there, which can be written.
    Writable,
    /// What the host has there, read-only.
    ReadOnly,
    /// A directory above something protected: as it is, but it cannot be renamed.
    Pinned,
    /// A directory without what is in it; whether something of it is allowed all the same.
    NoDirectory { has_parts: bool },
    /// A file or socket that cannot be opened.
    NoFile,
}

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// By the letters of their paths, which are compared faster than paths.
    layers: BTreeMap<OsString, Layer>,
    view: View,
    /// Device and number of what is hidden, as it was found.
    identities: BTreeMap<OsString, (u64, u64)>,
    /// Home directories that are another directory of the host's.
    homes: Vec<(PathBuf, PathBuf)>,
    /// Protected paths that are not there.
    pub watched: Vec<PathBuf>,
    /// Whether there may be repositories that were not found, so that nothing of them is protected.
    pub hides_repositories: bool,
}

/// Where programs leave files for others; most sockets of the session are here as well.
const SCRATCH: [(&str, u32); 6] = [
    ("/tmp", 0o1777),
    ("/var/tmp", 0o1777),
    ("/run", 0o755),
    ("/var/run", 0o755),
    ("/home", 0o755),
    ("/root", 0o700),
];

/// In /run, and all of a system without which nothing works (NixOS).
const OF_SYSTEM: [&str; 3] = ["/run/current-system", "/run/booted-system", "/run/opengl-driver"];

/// Device nodes that every program may expect.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

impl Files {
    /// Decides what lies where.
    ///
    /// # Errors
    /// A path that is not there, or an opening that contradicts another.
    pub fn of(
        said: &Said,
        secrets: &Secrets,
        home: &Path,
        directory: &Path,
        has_network: bool,
    ) -> Result<Self, SandboxError> {
        let mut files = Self::default();
        files.cover();
        files.put(directory, Layer::Writable);
        files.put_home(said.home.as_ref().unwrap_or(&Home::Empty), home)?;
        if has_network {
            files.show_resolver();
        }
        let allowed = files.allow(said)?;
        files.protect(secrets, &allowed);
        files.hide(said, secrets, (home, directory), &allowed)?;
        Ok(files)
    }

    fn put(&mut self, path: &Path, layer: Layer) {
        let sight = match layer {
            Layer::Writable | Layer::Pinned => Sight::Writable,
            Layer::ReadOnly => Sight::ReadOnly,
            _ => Sight::Covered,
        };
        self.view.set(path, sight);
        self.layers.insert(path.into(), layer);
    }

    fn cover(&mut self) {
        self.view.set(Path::new("/proc"), Sight::Covered);
        self.view.set(Path::new("/dev"), Sight::Covered);
        for (path, mode) in SCRATCH {
            if let Some(real) = present::real(Path::new(path)) {
                self.put(&real, Layer::Empty(mode));
            }
        }
        for path in OF_SYSTEM {
            if let Some(real) = present::real(Path::new(path)).filter(|real| *real == Path::new(path)) {
                self.put(&real, Layer::ReadOnly);
            }
        }
    }

    fn put_home(&mut self, said: &Home, home: &Path) -> Result<(), SandboxError> {
        match said {
            Home::Empty if home.is_dir() => self.put(home, Layer::Empty(0o700)),
            Home::Empty => {}
            Home::Keep => self.put(&resolved("--home keep", home, &self.view)?, Layer::ReadOnly),
            Home::Directory(dir) => {
                let real = resolved("--home", dir, &self.view)?;
                if home.starts_with(&real) {
                    let what = format!("--home {}", dir.display());
                    return Err(SandboxError::refused(
                        what,
                        "the real home directory is in it",
                        "--home keep",
                    ));
                }
                self.put(home, Layer::Writable);
                // What the host has there is not seen.
                self.view.set(home, Sight::Covered);
                self.homes.push((home.to_owned(), real));
            }
        }
        Ok(())
    }

    /// /etc/resolv.conf often leads into /run.
    fn show_resolver(&mut self) {
        if let Some(real) = present::real(Path::new("/etc/resolv.conf"))
            && !self.view.shows(&real)
        {
            self.put(&real, Layer::ReadOnly);
        }
    }

    /// What a person has opened by name: it beats what boxr hides and protects by itself.
    fn allow(&mut self, said: &Said) -> Result<Vec<PathBuf>, SandboxError> {
        let mut allowed = Vec::new();
        for allow in &said.allow {
            let real = resolved("--allow", &allow.path, &self.view)?;
            if real.parent().is_none() || real.starts_with("/proc") || real.starts_with("/dev") {
                let (what, why) = (format!("--allow {}", real.display()), "no sandbox would be left");
                return Err(SandboxError::refused(what, why, "--allow of a directory below it"));
            }
            let is_socket = std::os::unix::fs::FileTypeExt::is_socket;
            if std::fs::symlink_metadata(&real).is_ok_and(|found| is_socket(&found.file_type())) {
                let (what, why) = (format!("--allow {}", real.display()), "it is a socket, and a way out");
                return Err(SandboxError::refused(what, why, format!("--allow-socket {}", real.display())));
            }
            self.put(&real, if allow.writable { Layer::Writable } else { Layer::ReadOnly });
            allowed.push(real);
        }
        for path in &said.allow_socket {
            let real = resolved("--allow-socket", path, &self.view)?;
            self.put(&real, Layer::Writable);
            allowed.push(real);
        }
        Ok(allowed)
    }

    /// What the host would run later stays as it is in directories that can be written.
    fn protect(&mut self, secrets: &Secrets, allowed: &[PathBuf]) {
        let roots: Vec<PathBuf> = self.view.writable().map(Path::to_owned).collect();
        let mut search = repository::Search::default();
        for root in roots.iter().filter(|root| root.is_dir()) {
            let below = search.below(root);
            let of_git = || secrets.protected().filter(|path| path.starts_with(".git/"));
            let known = secrets.protected().map(|path| root.join(path));
            let known: Vec<PathBuf> =
                known.chain(below.iter().flat_map(|dir| of_git().map(|path| dir.join(path)))).collect();
            let there = present::of(&known);
            let repositories = std::iter::once(root).chain(&below);
            let of_repository =
                repositories.flat_map(|dir| repository::runs_from(dir)).map(|path| (path, true));
            for (path, is_there) in known.into_iter().zip(there).chain(of_repository) {
                if allowed.contains(&path) || lies_in(&path, allowed.iter().filter(|dir| *dir != root)) {
                    continue;
                }
                match is_there.then(|| present::real(&path)).flatten() {
                    Some(real) if self.view.sight(&real) == Sight::Writable => {
                        self.protect_one(root, &path, &real)
                    }
                    Some(_) => {}
                    None => self.watched.push(path),
                }
            }
        }
        self.hides_repositories = search.is_cut_short;
    }

    fn protect_one(&mut self, root: &Path, path: &Path, real: &Path) {
        self.put(real, Layer::ReadOnly);
        if path != real {
            return;
        }
        // A directory above could be renamed, and another put in its place.
        let above = path.ancestors().skip(1).take_while(|dir| *dir != root);
        for dir in above.map(Path::to_owned).collect::<Vec<_>>() {
            if !self.layers.contains_key(dir.as_os_str()) {
                self.put(&dir, Layer::Pinned);
            }
        }
    }

    /// Secrets, sockets, and what a person hides.
    fn hide(
        &mut self,
        said: &Said,
        secrets: &Secrets,
        (home, directory): (&Path, &Path),
        allowed: &[PathBuf],
    ) -> Result<(), SandboxError> {
        let home_is_seen = self.view.shows_of(home);
        let whole = secrets.hidden().filter_map(|path| match path.strip_prefix("~/") {
            Some(below) => home_is_seen.then(|| home.join(below)),
            None => Some(PathBuf::from(path)),
        });
        let candidates: Vec<PathBuf> = whole.filter(|path| self.view.shows(path)).collect();
        let found = candidates.iter().zip(present::of(&candidates)).filter(|(_, there)| *there);
        let mut hidden: Vec<PathBuf> = found.filter_map(|(path, _)| present::real(path)).collect();
        hidden.extend(self.by_other_names(&hidden, directory)?);
        hidden
            .extend(sockets::shown(&self.view).map_err(|errno| unread("sockets", "/proc/net/unix", errno))?);
        hidden.sort_unstable_by(|one, other| one.as_os_str().cmp(other.as_os_str()));
        hidden.dedup_by(|one, other| one.as_os_str() == other.as_os_str());
        hidden.retain(|path| !allowed.contains(path) && self.view.shows(path) && is_within_reach(path));
        for path in &said.hide {
            let real = resolved("--hide", path, &self.view)?;
            if allowed.contains(&real) {
                let what = format!("--hide {}", real.display());
                return Err(SandboxError::refused(what, "it is allowed as well", "one of the two"));
            }
            hidden.push(real);
        }
        let sysfs = std::cell::LazyCell::new(of_sysfs);
        for path in hidden {
            let has_parts =
                allowed.iter().any(|part| part.starts_with(&path)) || directory.starts_with(&path);
            let found = std::fs::symlink_metadata(&path).ok();
            if path.starts_with(SYSFS) && found.as_ref().map(MetadataExt::dev) == *sysfs {
                // A place for a mount that is not there.
                continue;
            }
            if let Some(found) = &found {
                self.identities.insert(path.as_os_str().to_owned(), (found.dev(), found.ino()));
            }
            match found.is_some_and(|found| found.is_dir()) {
                true => self.put(&path, Layer::NoDirectory { has_parts }),
                false => self.put(&path, Layer::NoFile),
            }
        }
        Ok(())
    }

    /// Where else what is covered or hidden can be seen: its filesystem may be mounted in other places as well.
    fn by_other_names(&self, hidden: &[PathBuf], directory: &Path) -> Result<Vec<PathBuf>, SandboxError> {
        let table =
            aliases::Table::read().map_err(|errno| unread("mounts", "/proc/self/mountinfo", errno))?;
        let aliases = table.mounts();
        let covered = self.layers.iter().filter(|(_, layer)| matches!(layer, Layer::Empty(_)));
        let covered = covered.map(|(path, _)| Path::new(path));
        let homes = self.homes.iter().map(|(home, _)| home.as_path());
        let hidden = hidden.iter().map(PathBuf::as_path);
        let found: Vec<PathBuf> =
            covered.chain(homes).chain(hidden).flat_map(|path| aliases.of(path)).collect();
        match found.iter().any(|path| path == directory) {
            true => Err(SandboxError::refused(
                format!("the current directory {}", directory.display()),
                "it is, by another name, one that the command is not to see",
                "cd to the directory that the command is to work in",
            )),
            false => Ok(found),
        }
    }

    /// What Landlock lets the command read, and write besides. It gives rights to whole trees: around what is hidden,
    /// the rest is listed one by one.
    ///
    /// # Errors
    /// Something in a directory that can be written is to be read-only or hidden, and nobody has said that it need not.
    pub fn into_rights(self, gives_up_hooks: bool) -> Result<(Vec<PathBuf>, Vec<PathBuf>), SandboxError> {
        let mut rights =
            Rights { files: &self, gives_up_hooks, reads: vec!["/proc".into()], writes: Vec::new() };
        rights.grant(Path::new("/"))?;
        rights.writes.extend(self.homes.iter().map(|(_, real)| real.clone()));
        Ok((rights.reads, rights.writes))
    }

    /// The mounts, in order.
    pub fn into_mounts(self) -> Vec<MountOption> {
        let mut mounts = vec![
            mount("none", None, Path::new("/"), &["bind", "remount", "rro", "rnosuid", "rnodev"]),
            mount("proc", Some("proc"), Path::new("/proc"), &["nosuid", "nodev", "noexec"]),
        ];
        devices(&mut mounts);
        let is_hidden = |path: &Path| {
            let mut above = path.ancestors().skip(1);
            let nearest = above.find_map(|dir| self.layers.get(dir.as_os_str()));
            matches!(nearest, Some(Layer::NoDirectory { has_parts: false }))
        };
        // In the order of a BTreeMap a directory comes before what is in it.
        let layers = self.layers.iter().map(|(path, layer)| (Path::new(path), layer));
        for (path, layer) in layers.filter(|(path, _)| !is_hidden(path)) {
            let source = self.homes.iter().find(|(home, _)| home == path).map_or(path, |(_, real)| real);
            let mut mount = layer.mount(path, source);
            if let (Some((device, number)), true) = (self.identities.get(path.as_os_str()), layer.hides()) {
                // An error where something else has come to that place.
                mount.options.push(format!("{INODE}{device}:{number}"));
            }
            mounts.push(mount);
        }
        mounts
    }
}

fn unread(what: &str, table: &str, errno: Errno) -> SandboxError {
    let why = format!("{table} cannot be read: {}", boxr_runtime::error::describe(errno));
    SandboxError::refused(what, why, "")
}

const SYSFS: &str = "/sys";

/// The device of sysfs (stat(2)).
fn of_sysfs() -> Option<u64> {
    std::fs::metadata(SYSFS).ok().map(|found| found.dev())
}

/// Whether the caller can open it: who cannot need not be kept from it, as a sandbox has no more rights.
fn is_within_reach(path: &Path) -> bool {
    use rustix::fs::{Access, access};
    [Access::READ_OK, Access::WRITE_OK, Access::EXEC_OK].into_iter().any(|how| access(path, how).is_ok())
}

/// A walk through the tree, as far as layers make a difference.
struct Rights<'f> {
    files: &'f Files,
    gives_up_hooks: bool,
    reads: Vec<PathBuf>,
    writes: Vec<PathBuf>,
}

impl Rights<'_> {
    fn grant(&mut self, path: &Path) -> Result<(), SandboxError> {
        let layers = self.files.layers.keys().map(Path::new);
        let below: Vec<&Path> = layers.filter(|part| part.starts_with(path) && *part != path).collect();
        match self.files.view.sight(path) {
            Sight::Writable => {
                let kept = below.iter().find(|part| self.files.view.sight(part) != Sight::Writable);
                if let Some(part) = kept.filter(|_| !self.gives_up_hooks) {
                    return Err(SandboxError::refused(
                        part.display().to_string(),
                        format!("Landlock cannot keep it from a command that may write {}", path.display()),
                        "--allow-degraded=hooks",
                    ));
                }
                self.writes.push(path.to_owned());
            }
            Sight::ReadOnly if below.is_empty() && !path.starts_with("/dev") => {
                self.reads.push(path.to_owned())
            }
            Sight::ReadOnly => {
                // A directory that cannot be read gives nothing.
                for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
                    if !entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
                        self.grant(&entry.path())?;
                    }
                }
            }
            Sight::Covered => {
                let shown: Vec<PathBuf> = below
                    .iter()
                    .filter(|part| self.files.view.shows(part))
                    .map(|part| (*part).to_owned())
                    .collect();
                let outermost = shown
                    .iter()
                    .filter(|part| !shown.iter().any(|other| part.starts_with(other) && *part != other));
                outermost.cloned().collect::<Vec<_>>().iter().try_for_each(|part| self.grant(part))?;
            }
        }
        Ok(())
    }
}

impl Layer {
    fn hides(self) -> bool {
        matches!(self, Self::NoFile | Self::NoDirectory { .. })
    }

    fn mount(self, path: &Path, source: &Path) -> MountOption {
        let bind = |words: &[&str]| {
            let words = [&["rbind", "rnosuid", "rnodev", NO_LINKS], words].concat();
            mount("bind", Some(&text(source)), path, &words)
        };
        let mode = |mode: u32| format!("mode={mode:o}");
        let tmpfs = |mode: &str, words: &[&str]| {
            mount("tmpfs", Some("tmpfs"), path, &[&["nosuid", "nodev", NO_LINKS, mode], words].concat())
        };
        match self {
            Self::Empty(bits) => tmpfs(&mode(bits), &[POOLED]),
            Self::Writable | Self::Pinned => bind(&[]),
            Self::ReadOnly => bind(&["rro"]),
            Self::NoDirectory { has_parts: true } => tmpfs(&mode(0o555), &["size=64k"]),
            Self::NoDirectory { has_parts: false } => tmpfs(&mode(0), &["ro", SHARED, POOLED]),
            // Without devices the null device cannot be opened.
            Self::NoFile => {
                let words = ["bind", "ro", "nosuid", "nodev", "noexec", NO_LINKS, SHARED];
                mount("bind", Some("/dev/null"), path, &words)
            }
        }
    }
}

fn devices(mounts: &mut Vec<MountOption>) {
    let dev = |name: &str| Path::new("/dev").join(name);
    mounts.push(mount(
        "tmpfs",
        Some("tmpfs"),
        Path::new("/dev"),
        &["nosuid", "nodev", "noexec", "mode=755", POOLED],
    ));
    for name in NODES {
        let node = dev(name);
        mounts.push(mount("bind", Some(&text(&node)), &node, &["bind", "nosuid", "noexec"]));
    }
    let words = ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"];
    mounts.push(mount("devpts", Some("devpts"), &dev("pts"), &words));
    let words = ["nosuid", "nodev", "noexec", "mode=1777", POOLED];
    mounts.push(mount("tmpfs", Some("shm"), &dev("shm"), &words));
}

fn mount(kind: &str, source: Option<&str>, destination: &Path, words: &[&str]) -> MountOption {
    MountOption {
        kind: kind.to_owned(),
        source: source.map(str::to_owned),
        destination: destination.to_owned(),
        options: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}
