//! What is mounted in a box while it runs, for who copies when it does not.
//!
//! Volumes and directories of the host are bound where the box has them. Filesystems that live and end with it cannot be.

use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use boxr_image::copy::Base;
use boxr_runtime::rootfs::Binds;
use oci_spec::runtime::Mount;
use rustix::io::Errno;

use crate::image::spec::keep_owners;
use crate::options::{BoxOptions, MountOption};
use crate::outcome::EngineError;
use crate::spec::asked_mount;
use crate::store::BoxDir;
use crate::volume::{self, Places};

/// Mounts of a box of the kernel's views and devices, below which nothing is bound when it does not run.
const OF_THE_KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

#[derive(Debug)]
pub(super) struct Mounts {
    all: Vec<(PathBuf, Kind)>,
    binds: Vec<Mount>,
}

/// What there is of a mount while the box does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nothing,
    Bound,
}

/// Which way files go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Out,
    /// Into it; whether its own root is read-only.
    In {
        root_is_read_only: bool,
    },
}

impl Mounts {
    /// Of the box in `dir`; `shifted` where its ids are others than the caller's.
    pub(super) fn of(dir: &BoxDir, options: &BoxOptions, shifted: bool) -> Result<Self, EngineError> {
        let places = volume::find(options, dir.paths())?;
        let keeps_owners = shifted && options.container.is_some() && rustix::process::geteuid().is_root();
        let mut found = Self { all: Vec::new(), binds: Vec::new() };
        for option in &options.mounts {
            let bind = bind(option, options, &places, shifted);
            let kind = if bind.is_some() { Kind::Bound } else { Kind::Nothing };
            found.all.push((option.destination.clone(), kind));
            found.binds.extend(bind.map(|mut bind| {
                if keeps_owners {
                    keep_owners(&mut bind);
                }
                bind
            }));
        }
        Ok(found)
    }

    /// Clones what is bound, with the caller's right; `None` where nothing is.
    pub(super) fn open(&self, users: Option<BorrowedFd<'_>>) -> Result<Option<Binds>, String> {
        if self.binds.is_empty() {
            return Ok(None);
        }
        Binds::open(&self.binds, users).map(Some).map_err(|error| error.to_string())
    }

    /// Why there is nothing at `path`, if that is so; links are not looked at.
    pub(super) fn hidden(&self, path: &[u8]) -> Option<String> {
        let path = [b"/", path].concat();
        let path = names(&path);
        let above = self.all.iter().filter(|(at, _)| path.starts_with(&names(at.as_os_str().as_bytes())));
        let (at, kind) = above.max_by_key(|(at, _)| at.components().count())?;
        (*kind == Kind::Nothing).then(|| only_while_it_runs(at))
    }

    /// The same for a directory that a path has led to, through links perhaps; and whether it may be written to.
    pub(super) fn check(&self, base: &Base, directory: BorrowedFd<'_>, way: Way) -> Result<(), String> {
        let paths: Vec<_> = self.all.iter().map(|(at, _)| at.as_os_str().as_bytes().to_vec()).collect();
        let found = base.is_below(directory, &paths).map_err(looked)?.and_then(|at| self.all.get(at));
        match (found, way) {
            (Some((at, Kind::Nothing)), _) => Err(only_while_it_runs(at)),
            // The kernel's word: one directory may be bound at two places, at one of them read-only.
            (Some((_, Kind::Bound)), Way::In { .. }) => {
                let flags = rustix::fs::fstatvfs(directory).map_err(looked)?.f_flag;
                let is_read_only = flags.contains(rustix::fs::StatVfsMountFlags::RDONLY);
                if is_read_only { Err("mounted volume is marked read-only".to_owned()) } else { Ok(()) }
            }
            (None, Way::In { root_is_read_only: true }) => Err("its root filesystem is read-only".to_owned()),
            _ => Ok(()),
        }
    }
}

/// The bind that a mount is, if it can be had now.
fn bind(option: &MountOption, options: &BoxOptions, places: &Places, shifted: bool) -> Option<Mount> {
    let has = |word: &str| option.options.iter().any(|said| said == word);
    let is_bound = option.kind == volume::KIND || option.kind == "bind" || has("bind") || has("rbind");
    let is_kernels = OF_THE_KERNEL.iter().any(|path| option.destination.starts_with(path));
    // Maps of its own are made for a start alone.
    let has_own_ids = option.options.iter().any(|word| word.starts_with("idmap="));
    let lacks_ids = has_own_ids || !shifted && (has("idmap") || has("ridmap"));
    if !is_bound || is_kernels || lacks_ids {
        return None;
    }
    let mount = asked_mount(option, options, places);
    // A box whose directory of the host is gone still gives its other files.
    let is_there = mount.source().as_ref().is_some_and(|source| source.exists());
    is_there.then_some(mount)
}

fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect()
}

fn looked(errno: Errno) -> String {
    format!("cannot look around in it: {}", boxr_runtime::error::describe(errno))
}

fn only_while_it_runs(mount: &Path) -> String {
    format!("{} is mounted in it only while it runs", mount.display())
}
