//! The root filesystem of a container: the image's layers, and its own changes upon them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use boxr_image::digest::Digest;
use boxr_image::rootfs::{Overlay, Stack, VOLATILE, forget_volatile};
use boxr_image::shift::{Contents, Shift};
use boxr_image::store::{Store as Images, StoreError};
use boxr_image::unpack::Form;
use boxr_runtime::error::{Step, StepError};
use boxr_runtime::plan::{MakeTree, TreeMaker, TreeSource};
use boxr_sys::mount::{Change, attr, set_attributes};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::files::ContainerFiles;
use super::passwd::Entry;
use super::{ImageError, ImageRoot, keep, unmapped};
use crate::options::{BoxOptions, IdExtent, IdMapping, Retention};

/// What a root filesystem is laid from.
#[derive(Debug)]
pub(super) struct Layers {
    images: PathBuf,
    layers: Vec<Digest>,
    /// Where changes go; nothing can be changed where there is none.
    changes: Option<PathBuf>,
    name: String,
    nodes: DeviceNodes,
    /// Of an ordinary user's container with other ids than his layers have.
    shift: Option<Shift>,
    /// Whom the container is to know by name.
    entry: Option<Entry>,
    /// Whether its changes are to be there after a loss of power.
    retention: Retention,
    below: Below,
}

/// What lies below the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Below {
    /// Places for mounts that the image may lack.
    Places,
    Nothing,
}

impl Below {
    fn of(image: &ImageRoot, options: &BoxOptions) -> Self {
        // With `--no-hosts` there is no file unless the image has one.
        let bare = options.container.as_ref().is_some_and(|container| container.naming.keeps_hosts);
        // Of places, whose owner is the caller, these would make nobody's.
        let others = keep::shift_of(options).is_some() || unmapped::is(options);
        match bare || others || image.layers.len() > MOST_UPON_PLACES {
            true => Self::Nothing,
            false => Self::Places,
        }
    }
}

/// Where there are more layers the places for mounts are left out, as one string must take all layers before Linux 6.5.
const MOST_UPON_PLACES: usize = 48;

/// What device nodes in a container's own files are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceNodes {
    /// They open what they stand for.
    Usable,
    /// Nothing: an image could have any of them.
    Refused,
}

/// The source of a container's root. Who is privileged mounts it before there is a first process; for others
/// that does it, as root of the container's user namespace.
///
/// # Errors
/// [`ImageError::Filesystem`] where the container's directory cannot hold changes.
pub(crate) fn source(
    image: &ImageRoot,
    options: &BoxOptions,
    files: &ContainerFiles,
    by: TreeMaker,
    nodes: DeviceNodes,
) -> Result<TreeSource, ImageError> {
    form(&files.data)?;
    let layers = Layers {
        images: files.images.clone(),
        layers: image.layers.clone(),
        changes: Some(files.data.clone()),
        name: image.name.clone(),
        nodes,
        shift: keep::shift_of(options).cloned(),
        entry: if by == TreeMaker::Inside { entry(options) } else { None },
        retention: options.retention,
        below: Below::of(image, options),
    };
    Ok(TreeSource { by, tree: Box::new(layers) })
}

impl MakeTree for Layers {
    fn make(&self, shifted_by: Option<BorrowedFd<'_>>) -> Result<OwnedFd, StepError> {
        let failed = |errno| StepError::new(Step::RootTree, &self.name, errno);
        let images = Images::open(&self.images).map_err(|error| failed(errno_of(&error)))?;
        let layers = self.open_all(&images).map_err(|error| failed(errno_of(&error)))?;
        let lowest = layers.first().ok_or_else(|| failed(Errno::NOENT))?;
        let changes = self.changes.as_deref().map(open_dir).transpose().map_err(failed)?;
        // An overlay that nothing can be changed of wants a second layer.
        let empty = match changes {
            Some(_) => None,
            None => Some(images.empty_dir().map_err(|error| failed(errno_of(&error)))?),
        };
        let form = match &changes {
            Some(changes) => Form::of(changes.as_fd()),
            None => open_dir(&self.images).and_then(|dir| Form::of(dir.as_fd())),
        };
        let form = form.map_err(failed)?;
        let shares = self.shift.as_ref().is_some_and(|shift| shift.contents == Contents::Shared);
        let found = if shares { Some(images.open_data()) } else { None };
        let found = found.transpose().map_err(|error| failed(errno_of(&error)))?;
        let is_volatile = self.retention == Retention::Ephemeral && changes.is_some();
        let overlay = Overlay {
            layers: &layers,
            empty: empty.as_ref().unwrap_or(lowest).as_fd(),
            changes: changes.as_ref().map(AsFd::as_fd),
            data: found.as_ref().map(AsFd::as_fd),
            form,
            shifted_by: if self.shift.is_some() { None } else { shifted_by },
            options: if is_volatile { &[VOLATILE] } else { &[] },
        };
        let mounted = match (self.retention, &changes) {
            // A restart lays them anew.
            (Retention::Ephemeral, Some(changes)) => {
                forget_volatile(changes.as_fd()).and_then(|()| overlay.mount())
            }
            _ => overlay.mount(),
        };
        let mount = mounted.map_err(|error| {
            let what = format!("{} (cannot {})", self.name, error.action);
            StepError::new(Step::RootTree, what, error.errno)
        })?;
        if self.nodes == DeviceNodes::Refused {
            let change = Change { set: attr::NODEV, ..Change::default() };
            set_attributes(mount.as_fd(), c"", false, &change).map_err(failed)?;
        }
        if let Some(entry) = &self.entry {
            entry.add(mount.as_fd()).map_err(|errno| {
                StepError::new(Step::RootTree, format!("{} (cannot name its user)", self.name), errno)
            })?;
        }
        Ok(mount)
    }
}

impl Layers {
    /// Of an image that is mounted in a box, which may be of another.
    pub(super) fn mounted(
        image: &ImageRoot,
        options: &BoxOptions,
        images: PathBuf,
        changes: Option<PathBuf>,
    ) -> Self {
        Self {
            images,
            layers: image.layers.clone(),
            changes,
            name: image.name.clone(),
            nodes: DeviceNodes::Refused,
            shift: keep::shift_of(options).cloned(),
            entry: None,
            retention: options.retention,
            below: Below::Nothing,
        }
    }

    /// What its image is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// All that lies below the changes, the lowest first: the places for mounts, then the layers.
    fn open_all(&self, images: &Images) -> Result<Vec<OwnedFd>, StoreError> {
        let mut opened = Vec::with_capacity(self.layers.len() + 1);
        match self.below {
            Below::Places => opened.push(images.places_dir()?),
            // Overlayfs wants one.
            Below::Nothing if self.layers.is_empty() => opened.push(images.empty_dir()?),
            Below::Nothing => {}
        }
        for layer in &self.layers {
            opened.push(self.open(images, layer)?);
        }
        Ok(opened)
    }

    fn open(&self, images: &Images, layer: &Digest) -> Result<OwnedFd, StoreError> {
        match &self.shift {
            Some(shift) => images.open_shifted(layer, shift),
            None => images.open_layer(layer),
        }
    }
}

/// Who keeps his ids has a name.
fn entry(options: &BoxOptions) -> Option<Entry> {
    options.container.as_ref().filter(|container| container.user_ids.mode == "keep-id")?;
    let IdMapping::Explicit { uids, gids } = &options.id_mapping else { return None };
    let inside = |extents: &[IdExtent], host: u32| {
        extents.iter().find(|one| (one.host, one.size) == (host, 1)).map(|one| one.container)
    };
    let uid = inside(uids, rustix::process::geteuid().as_raw())?;
    let gid = inside(gids, rustix::process::getegid().as_raw())?;
    Entry::of_caller(options, uid, gid)
}

fn errno_of(error: &boxr_image::store::StoreError) -> Errno {
    use boxr_image::store::StoreError;
    match error {
        StoreError::System { errno, .. } | StoreError::Full { errno, .. } => *errno,
        StoreError::Missing(_) => Errno::NOENT,
        _ => Errno::IO,
    }
}

/// The files of a container that need not run.
///
/// # Errors
/// A layer or the container's directory cannot be opened.
pub(crate) fn stack(image: &ImageRoot, files: &ContainerFiles) -> Result<Stack, ImageError> {
    let images = Images::open(&files.images)?;
    let mut dirs = vec![upper(files)?];
    for layer in image.layers.iter().rev() {
        dirs.push(images.open_layer(layer)?);
    }
    Ok(Stack::new(dirs, form(&files.data)?))
}

/// The directory of a container's changes, and the layers that they lie upon.
///
/// # Errors
/// As [`stack`].
pub(crate) fn upper_and_below(
    image: &ImageRoot,
    files: &ContainerFiles,
) -> Result<(OwnedFd, Stack), ImageError> {
    let images = Images::open(&files.images)?;
    let below: Result<Vec<OwnedFd>, _> =
        image.layers.iter().rev().map(|layer| images.open_layer(layer)).collect();
    Ok((upper(files)?, Stack::new(below?, form(&files.data)?)))
}

fn upper(files: &ContainerFiles) -> Result<OwnedFd, ImageError> {
    let path = files.data.join("upper");
    open_dir(&path).map_err(|errno| ImageError::File { action: "open", path, errno })
}

/// How whiteouts are written here, by this process.
pub(super) fn form(data: &Path) -> Result<Form, ImageError> {
    let found = open_dir(data).and_then(|dir| Form::of(dir.as_fd()));
    found.map_err(|errno| ImageError::Filesystem { path: data.to_owned(), errno })
}

pub(super) fn open_dir(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}
