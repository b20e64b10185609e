//! What a container of an image has on disk: its changes, and its hold on the image.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use boxr_image::store::Store as Images;
use rustix::io::Errno;

use super::{ImageError, ImageRoot, keep, mounted, quota, ranges, store_path, userns};
use crate::options::BoxOptions;
use crate::outcome::EngineError;
use crate::paths::Paths;
use crate::store::BoxDir;

/// Where a container of an image finds its files.
#[derive(Clone, Debug)]
pub struct ContainerFiles {
    /// The store of images.
    pub images: PathBuf,
    /// The container's data directory.
    pub data: PathBuf,
    /// Where compiled filters of system calls are kept for the next start.
    pub filters: PathBuf,
}

impl ContainerFiles {
    /// Those of the box in `dir`; `None` where it is of no image.
    ///
    /// # Errors
    /// Its directory cannot be read.
    pub fn of(dir: &BoxDir, options: &BoxOptions) -> Result<Option<Self>, EngineError> {
        if options.root.image().is_none() {
            return Ok(None);
        }
        let (images, filters) = (store_path(dir.paths()), dir.paths().state.join("filters"));
        Ok(dir.data_path()?.map(|data| Self { images, data, filters }))
    }
}

/// Makes what a new box has of its own beside images, of which it is or which it has mounted. From then on they stay.
///
/// # Errors
/// The image has gone; the directories cannot be made. What was made goes with the box's directory.
pub(crate) fn make(dir: &BoxDir, options: &mut BoxOptions) -> Result<(), EngineError> {
    if options.root.image().is_none() && options.images.is_empty() {
        return Ok(());
    }
    // In this order: a hold without such a directory is of nobody (`is_stale`).
    let data = dir.make_data()?;
    let images = Images::open(&store_path(dir.paths())).map_err(ImageError::from)?;
    let id = dir.id().as_str();
    if options.container.as_ref().is_some_and(|container| container.user_ids.mode == "auto") {
        let highest = highest_id(&images, options)?;
        options.id_mapping = ranges::claim(&dir.paths().data, &data, id, highest)?;
    }
    let mut written = Vec::new();
    if let Some(image) = options.root.image() {
        images.hold(id, &image.manifest).map_err(ImageError::from)?;
        written.push((data.clone(), image));
    }
    if !options.images.is_empty() {
        written.extend(mounted::hold(id, &data, &images, options)?);
    }
    for (changes, image) in &written {
        make_dir(&changes.join("work"), 0o700)?;
        make_dir(&changes.join("upper"), mode_of_root(&images, image))?;
    }
    if let Some(container) = &options.container {
        let written = written.iter().map(|(changes, _)| changes.as_path());
        quota::limit(&dir.paths().data, (&data, id), written, container.layer)?;
    }
    if let Some(shift) = keep::shift_of(options) {
        let mounted = options.images.iter().map(|mounted| &mounted.image);
        let all: Vec<&ImageRoot> = options.root.image().into_iter().chain(mounted).collect();
        let uppers: Vec<PathBuf> = written.iter().map(|(changes, _)| changes.join("upper")).collect();
        keep::lay(&images, &all, shift, &uppers)?;
    }
    match userns::root_of(&options.id_mapping) {
        // They are root directories, and the container's root owns them.
        Some((uid, gid)) if rustix::process::geteuid().is_root() => {
            Ok(written.iter().try_for_each(|(changes, _)| give(&changes.join("upper"), uid, gid))?)
        }
        _ => Ok(()),
    }
}

/// The highest id that a file of the box's images has.
fn highest_id(images: &Images, options: &BoxOptions) -> Result<u32, ImageError> {
    let mounted = options.images.iter().map(|mounted| &mounted.image);
    let mut highest = 0;
    for layer in options.root.image().into_iter().chain(mounted).flat_map(|image| &image.layers) {
        highest = images.layer(layer)?.map_or(highest, |layer| highest.max(layer.info.highest_id));
    }
    Ok(highest)
}

fn give(path: &Path, uid: u32, gid: u32) -> Result<(), ImageError> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        ImageError::File { action: "change the owner of", path: path.to_owned(), errno }
    })
}

/// The root directory of a container has the mode that the image's has.
fn mode_of_root(images: &Images, image: &ImageRoot) -> u32 {
    let top = image.layers.last().and_then(|layer| images.open_layer(layer).ok());
    let found = top.and_then(|top| std::fs::File::from(top).metadata().ok());
    found.map_or(0o755, |found| found.mode() & 0o7777)
}

pub(super) fn make_dir(path: &Path, mode: u32) -> Result<(), ImageError> {
    let made = std::fs::DirBuilder::new().mode(0o700).create(path);
    made.and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(mode))).map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        ImageError::File { action: "make", path: path.to_owned(), errno }
    })
}

/// Whether `holder` looks like a container that is gone: one that was killed while it was made or removed.
pub fn is_stale(paths: &Paths, holder: &str) -> bool {
    let holder = mounted::box_of(holder);
    crate::id::Id::parse(holder).is_some() && !paths.data.join("containers").join(holder).exists()
}
