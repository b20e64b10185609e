//! Files of binds and volumes that are given to a container's user (`:U`, `chown`; podman-run(1)).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use boxr_runtime::rootfs::beneath;
use rustix::fs::{AtFlags, CWD, FileType, Gid, OFlags, Uid, fchown, fstat, statat};
use rustix::io::Errno;

use super::places::subpath;
use super::{KIND, Places, VolumeError};
use crate::image::keep;
use crate::options::{BoxOptions, MountOption};
use crate::own_ids;
use crate::store::files;

/// Whether its files are to be the container's user's.
pub(crate) const GIVE: &str = "U";

/// Gives those that were asked for to the user of `options`, whom the container's own files have told. What is on other
/// filesystems below them stays as it is, and so does what is the user's already.
///
/// # Errors
/// A file cannot be given.
pub(crate) fn give(options: &BoxOptions, places: &Places) -> Result<(), VolumeError> {
    let asked = |mount: &&MountOption| mount.options.iter().any(|option| option == GIVE);
    let place = |mount| Some((place(mount, places)?, subpath(mount)));
    let dirs: Vec<(PathBuf, Option<&str>)> = options.mounts.iter().filter(asked).filter_map(place).collect();
    if dirs.is_empty() {
        return Ok(());
    }
    let user = options.user.as_ref().map_or((0, 0), |user| (user.uid, user.gid));
    // As they are on disk: binds show root's containers the same numbers, and an ordinary user's ids are laid out as
    // those of his layers.
    let (uid, gid) = keep::shift_of(options).map_or(user, |shift| shift.of(user.0, user.1).unwrap_or(user));
    let all = || dirs.iter().try_for_each(|(dir, below)| give_tree(dir, *below, uid, gid));
    let failed = |errno| VolumeError::System {
        action: "give to the container's user",
        path: dirs[0].0.clone(),
        errno,
    };
    if rustix::process::geteuid().is_root() {
        return all().map_err(failed);
    }
    own_ids::with_all(all).map_err(failed)
}

fn place(mount: &MountOption, places: &Places) -> Option<PathBuf> {
    let source = mount.source.as_deref()?;
    if mount.kind == KIND { places.get(source)?.directory().cloned() } else { Some(source.into()) }
}

fn give_tree(path: &Path, below: Option<&str>, uid: u32, gid: u32) -> Result<(), Errno> {
    let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let top = match below {
        None => rustix::fs::openat(CWD, path, flags, rustix::fs::Mode::empty())?,
        Some(below) => beneath::open(files::open_dir(CWD, path)?.as_fd(), Path::new(below), flags)?,
    };
    let stat = fstat(&top)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        within(top.as_fd(), stat.st_dev, owner)?;
    }
    if (stat.st_uid, stat.st_gid) == (uid, gid) { Ok(()) } else { fchown(&top, Some(owner.0), Some(owner.1)) }
}

/// By descriptors: a container may change what is there meanwhile.
fn within(dir: BorrowedFd<'_>, device: u64, owner: (Uid, Gid)) -> Result<(), Errno> {
    let mut names = Vec::new();
    files::each_entry(dir, |name| {
        names.push(name.to_owned());
        true
    })?;
    for name in names {
        let stat = match statat(dir, &name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        if stat.st_dev != device {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            within(files::open_dir(dir, name.as_c_str())?.as_fd(), device, owner)?;
        }
        if (stat.st_uid, stat.st_gid) != (owner.0.as_raw(), owner.1.as_raw()) {
            let given =
                rustix::fs::chownat(dir, &name, Some(owner.0), Some(owner.1), AtFlags::SYMLINK_NOFOLLOW);
            match given {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
    Ok(())
}
