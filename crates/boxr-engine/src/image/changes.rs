//! What a container of an image has changed.

use std::os::fd::AsFd;
use std::path::Path;

use boxr_image::rootfs::TreeChange;

use super::files::ContainerFiles;
use super::{ImageError, rootfs};
use crate::options::BoxOptions;

/// Where boxr mounts something, for which there has to be a place. Nobody has changed these.
const PLACES: [&str; 7] =
    ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/secrets"];

/// The differences between the image and what the container has made of it, in the order of their paths;
/// `None` for a box that is of no image. The caller has all its ids ([`own_ids`](crate::own_ids)).
///
/// # Errors
/// A layer or a directory cannot be read.
pub fn changes(
    options: &BoxOptions,
    files: Option<&ContainerFiles>,
) -> Result<Option<Vec<TreeChange>>, ImageError> {
    let (Some(image), Some(files)) = (options.root.image(), files) else { return Ok(None) };
    let (upper, below) = rootfs::upper_and_below(image, files)?;
    let found = boxr_image::rootfs::changes(upper.as_fd(), &below);
    let mut found = found.map_err(|errno| {
        let path = files.data.join("upper");
        ImageError::File { action: "read", path, errno }
    })?;
    let is_place = |path: &[u8]| {
        PLACES.iter().any(|place| place.as_bytes() == path)
            || options.mounts.iter().any(|mount| as_bytes(&mount.destination) == path)
    };
    found.retain(|change| !is_place(&change.path));
    Ok(Some(found))
}

fn as_bytes(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}
