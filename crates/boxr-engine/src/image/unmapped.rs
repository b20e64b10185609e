//! Containers of an ordinary user in which he himself has no id (`--userns nomap`, and maps by hand that leave him out).
//!
//! All that such a container is made of is the caller's, and closed to everybody in it. So its user namespace is made
//! below one that has all of the caller's ids ([`crate::own_ids`]), and the process between them, root of the upper one,
//! mounts the layers and opens what is bound ([`TreeMaker::Above`](boxr_runtime::plan::TreeMaker)).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_image::shift::Shift;
use boxr_runtime::process::holder;
use oci_spec::runtime::Spec;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Uid, chmodat, chownat};
use rustix::io::Errno;

use super::{ContainerFiles, ImageError, keep};
use crate::options::BoxOptions;
use crate::own_ids;
use crate::volume::{Place, Places};

/// Whether `options` are of such a container.
pub(crate) fn is(options: &BoxOptions) -> bool {
    !rustix::process::geteuid().is_root() && keep::lacks_caller(&options.id_mapping)
}

/// The upper user namespace: that of the caller's networks, where there is one, or a new one.
///
/// # Errors
/// The ids cannot be had.
pub(crate) fn namespace(realm: Option<OwnedFd>) -> Result<OwnedFd, ImageError> {
    let new = || {
        let map = keep::all().ok_or_else(|| "the caller has no subordinate ids".to_owned())?;
        holder::user_namespace(&map).map_err(|error| error.to_string())
    };
    realm.map_or_else(new, Ok).map_err(ImageError::Owners)
}

/// Gives root of the container what it has in any other: the files that boxr has written for it, which the caller goes on
/// writing as one of their group, and volumes in which nothing is yet.
///
/// # Errors
/// A file cannot be given.
pub(crate) fn give(
    above: &OwnedFd,
    spec: &Spec,
    (options, files): (&BoxOptions, &ContainerFiles),
    places: &Places,
) -> Result<(), ImageError> {
    let Some((uid, gid)) = keep::shift_of(options).and_then(|shift: &Shift| shift.of(0, 0)) else {
        return Ok(());
    };
    let sources = spec.mounts().iter().flatten().filter_map(|mount| mount.source().as_deref());
    let written: Vec<&Path> = sources.filter(|path| path.parent() == Some(&files.data)).collect();
    let volumes = files.images.with_file_name("volumes");
    let directories = places.values().filter_map(Place::directory);
    let new: Vec<&PathBuf> = directories.filter(|path| path.starts_with(&volumes)).collect();
    let work = || {
        for path in written {
            chownat(CWD, path, Some(Uid::from_raw(uid)), None, AtFlags::SYMLINK_NOFOLLOW)?;
            chmodat(CWD, path, Mode::from_raw_mode(0o664), AtFlags::empty())?;
        }
        new.into_iter().try_for_each(|path| give_if_new(path, uid, gid))
    };
    let failed = |errno| ImageError::File { action: "give away files in", path: files.data.clone(), errno };
    own_ids::within(above.as_fd(), work).map_err(failed)
}

/// A volume that is still the caller's, root here, and empty.
fn give_if_new(path: &Path, uid: u32, gid: u32) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty())?;
    let mut is_empty = true;
    crate::store::files::each_entry(dir.as_fd(), |_| {
        is_empty = false;
        false
    })?;
    if is_empty && rustix::fs::fstat(&dir)?.st_uid == 0 {
        rustix::fs::fchown(&dir, Some(Uid::from_raw(uid)), Some(rustix::fs::Gid::from_raw(gid)))?;
    }
    Ok(())
}
