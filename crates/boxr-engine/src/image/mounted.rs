//! Images that are mounted in a box (`--mount type=image`), which may itself be of another one or of none.
//!
//! ```text
//! DATA/images/holds/ID-N             -> the manifest of image N that box ID has mounted
//! DATA/containers/ID/images/N/       its note of that; with upper/ and work/ where the box may write
//! ```
//!
//! Which image a name stands for is looked up once, when the box is made: each start mounts the same.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_image::rootfs::{Stack, part};
use boxr_image::store::Store as Images;
use boxr_runtime::error::{Step, StepError};
use boxr_runtime::plan::{MakeTree, MountTree, TREE, TreeMaker, TreeSource};
use oci_spec::runtime::Mount;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::files::make_dir;
use super::rootfs::{Layers, form};
use super::{ImageError, ImageRoot, store_path};
use crate::options::{BoxOptions, MountOption};
use crate::outcome::EngineError;
use crate::store::BoxDir;
use crate::volume::SUBPATH;

/// What kind of mount it is in [`MountOption`].
pub const KIND: &str = "image";

/// Where a box keeps its notes of them.
const DIRECTORY: &str = "images";

/// An image that is mounted in a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountedImage {
    /// Where.
    pub destination: PathBuf,
    /// Which.
    pub image: ImageRoot,
}

/// Where a box finds what it has of them.
#[derive(Clone, Debug)]
pub struct MountedFiles {
    images: PathBuf,
    data: PathBuf,
}

impl MountedFiles {
    /// Those of the box in `dir`; `None` where it has none.
    ///
    /// # Errors
    /// Its directory cannot be read.
    pub fn of(dir: &BoxDir, options: &BoxOptions) -> Result<Option<Self>, EngineError> {
        if options.images.is_empty() {
            return Ok(None);
        }
        let images = store_path(dir.paths());
        Ok(dir.data_path()?.map(|data| Self { images, data: data.join(DIRECTORY) }))
    }
}

/// Those of `found` that are mounted after all: a flag may have taken the place of a file's mount.
pub(crate) fn those_of(mut found: Vec<MountedImage>, mounts: &[MountOption]) -> Vec<MountedImage> {
    let is_mounted = |one: &MountedImage| {
        let is_its = |mount: &MountOption| mount.kind == KIND && mount.destination == one.destination;
        mounts.iter().any(|mount| is_its(mount) && mount.source.as_ref() == Some(&one.image.name))
    };
    found.retain(is_mounted);
    found
}

/// Whether the box may write in the image.
pub(super) fn is_writable(option: &MountOption) -> bool {
    option.options.iter().any(|word| word == "rw")
}

fn below(option: &MountOption) -> Option<&Path> {
    option.options.iter().find_map(|word| word.strip_prefix(SUBPATH)).map(Path::new)
}

/// Each with its mount.
fn all(options: &BoxOptions) -> impl Iterator<Item = (usize, &MountedImage, &MountOption)> {
    options.images.iter().enumerate().filter_map(|(number, mounted)| {
        let is_its = |mount: &&MountOption| mount.kind == KIND && mount.destination == mounted.destination;
        options.mounts.iter().find(is_its).map(|mount| (number, mounted, mount))
    })
}

/// Keeps the images of a new box, whose data directory is `data`; the directories that are to have changes of each.
///
/// # Errors
/// An image has gone; a directory cannot be made. What was made goes with the box's directory.
pub(super) fn hold<'o>(
    id: &str,
    data: &Path,
    images: &Images,
    options: &'o BoxOptions,
) -> Result<Vec<(PathBuf, &'o ImageRoot)>, ImageError> {
    let own = data.join(DIRECTORY);
    make_dir(&own, 0o700)?;
    let mut written = Vec::new();
    for (number, mounted, mount) in all(options) {
        let dir = own.join(number.to_string());
        // In this order: a hold without such a directory is not found when the box goes.
        make_dir(&dir, 0o700)?;
        images.hold(&holder(id, number), &mounted.image.manifest)?;
        if let Some(path) = below(mount) {
            look_for(path, &mounted.image, images)?;
        }
        if is_writable(mount) {
            written.push((dir, &mounted.image));
        } else {
            // The first process, who would make it otherwise, may be somebody else.
            images.empty_dir()?;
        }
    }
    Ok(written)
}

/// Looks that the image has `path`, as far as the caller may look into its layers; the start tells the rest.
fn look_for(path: &Path, image: &ImageRoot, images: &Images) -> Result<(), ImageError> {
    let layers: Result<Vec<OwnedFd>, _> =
        image.layers.iter().rev().map(|layer| images.open_layer(layer)).collect();
    let stack = Stack::new(layers?, form(&images.path(""))?);
    let failed = |errno| Err(ImageError::Part { path: path.to_owned(), image: image.name.clone(), errno });
    match stack.has(&path.to_string_lossy()) {
        Ok(true) | Err(Errno::ACCESS) => Ok(()),
        Ok(false) => failed(Errno::NOENT),
        Err(errno) => failed(errno),
    }
}

fn holder(id: &str, number: usize) -> String {
    format!("{id}-{number}")
}

/// The id of the box that `holder` is, as what it was noted with an image.
pub fn box_of(holder: &str) -> &str {
    holder.split_once('-').map_or(holder, |(id, _)| id)
}

/// As what the box with the data directory `data` holds images that it has mounted.
pub(crate) fn holders(id: &str, data: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data.join(DIRECTORY)) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    names.map(|number| holder(id, number)).collect()
}

/// What an image is in the specification. No device of it is of use, and on the host's own tree nothing of it gives rights.
pub(crate) fn mount(option: &MountOption, options: &BoxOptions) -> Mount {
    let of = format!("image {}", option.source.as_deref().unwrap_or_default());
    let mut words = vec!["nodev"];
    if !options.root.is_own() {
        words.push("nosuid");
    }
    if !is_writable(option) {
        words.push("ro");
    }
    crate::spec::mount(TREE, &of, &option.destination.to_string_lossy(), &words)
}

/// What makes their trees at a start; where only the plan is wanted, nothing could.
pub(crate) fn trees(options: &BoxOptions, files: Option<&MountedFiles>, by: TreeMaker) -> Vec<MountTree> {
    let tree = |number: usize, mounted: &MountedImage, mount: &MountOption| -> Box<dyn MakeTree> {
        let Some(files) = files else { return Box::new(OnlyPlanned) };
        let changes = is_writable(mount).then(|| files.data.join(number.to_string()));
        let layers = Layers::mounted(&mounted.image, options, files.images.clone(), changes);
        Box::new(Tree { layers, below: below(mount).map(Path::to_owned) })
    };
    all(options)
        .map(|(number, mounted, mount)| MountTree {
            destination: mounted.destination.clone(),
            source: TreeSource { by, tree: tree(number, mounted, mount) },
        })
        .collect()
}

#[derive(Debug)]
struct OnlyPlanned;

impl MakeTree for OnlyPlanned {
    fn make(&self, _shifted_by: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StepError> {
        Err(StepError::new(Step::MountSource, KIND, Errno::NOENT))
    }
}

#[derive(Debug)]
struct Tree {
    layers: Layers,
    below: Option<PathBuf>,
}

impl MakeTree for Tree {
    fn make(&self, shifted_by: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StepError> {
        let whole = self.layers.make(shifted_by)?;
        let Some(below) = &self.below else { return Ok(whole) };
        part(whole.as_fd(), below).map_err(|error| {
            let what = format!("{} of image {}", below.display(), self.layers.name());
            StepError::new(Step::MountSource, what, error.errno)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_a_box_or_one_of_its_mounts() {
        assert_eq!(box_of(&holder("c0ffee", 2)), "c0ffee");
        assert_eq!(box_of("c0ffee"), "c0ffee");
    }
}
