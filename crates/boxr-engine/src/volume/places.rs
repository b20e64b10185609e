//! Where the volumes of a box are, looked up at every start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use boxr_runtime::plan::{COPY_UP, COPY_UP_BELOW};
use oci_spec::runtime::Mount;

use super::{KIND, NO_COPY, OPTION, SUBPATH, VolumeError, VolumeName, Volumes};
use crate::id::Id;
use crate::options::{BoxOptions, MountOption};
use crate::paths::Paths;
use crate::record::Status;
use crate::store::Store;

/// What each volume is mounted from.
pub type Places = BTreeMap<String, Place>;

/// What a volume is mounted from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A directory, with options of its mount.
    Directory(PathBuf, Vec<String>),
    /// A directory whose owner and mode were said when it was made.
    Given(PathBuf),
    /// Memory, which ends with the box that has it (`type=tmpfs`), with options of the tmpfs.
    Memory(Vec<String>),
}

impl Place {
    /// The directory that it is.
    pub fn directory(&self) -> Option<&PathBuf> {
        match self {
            Self::Directory(path, _) | Self::Given(path) => Some(path),
            Self::Memory(_) => None,
        }
    }
}

/// Looks that what is in memory is one box's: another would have a memory of its own, which is no volume.
///
/// # Errors
/// [`VolumeError::Shared`]; a part of such a volume.
pub(crate) fn check_memory(
    store: &Store,
    id: &Id,
    options: &BoxOptions,
    places: &Places,
) -> Result<(), VolumeError> {
    let in_memory = |name: &str| matches!(places.get(name), Some(Place::Memory(_)));
    for mount in options.mounts.iter().filter(|mount| mount.kind == KIND) {
        let Some(name) = mount.source.as_deref().filter(|name| in_memory(name)) else { continue };
        let name = VolumeName::parse(name)?;
        if subpath(mount).is_some() {
            return Err(VolumeError::Shared { name, by: "a part of it".to_owned() });
        }
        let volumes = Volumes::open(store.paths())?;
        for user in volumes.users(&name)?.iter().filter(|user| *user != id) {
            let state = store.resolve(user.as_str()).and_then(|dir| dir.read_state());
            if let Ok(state) = state
                && matches!(state.status, Status::Running | Status::Paused)
            {
                return Err(VolumeError::Shared { name, by: state.name });
            }
        }
    }
    Ok(())
}

/// The directories of the volumes that the options name.
///
/// # Errors
/// One is gone.
pub fn find(options: &BoxOptions, paths: &Paths) -> Result<Places, VolumeError> {
    let mut names =
        options.mounts.iter().filter(|mount| mount.kind == KIND).filter_map(|mount| mount.source.as_deref());
    let Some(first) = names.next() else { return Ok(Places::new()) };
    let volumes = Volumes::open(paths)?;
    let mut places = Places::new();
    for name in std::iter::once(first).chain(names) {
        let name = VolumeName::parse(name)?;
        let place = volumes.read(&name)?.place(volumes.data(&name));
        places.insert(name.to_string(), place);
    }
    Ok(places)
}

/// Where in its volume a mount begins, if not at the top.
pub(super) fn subpath(option: &MountOption) -> Option<&str> {
    option.options.iter().find_map(|word| word.strip_prefix(SUBPATH))
}

/// The bind that a volume is in the specification. With `fills`, one that is empty is first filled with what
/// the root has in its place, unless `nocopy` was said. No container of an image finds a device there that another
/// has made, unless it has all of the host's anyway, or `dev` was said.
pub(crate) fn bind(option: &MountOption, places: &Places, options: &BoxOptions) -> Mount {
    let subpath = subpath(option);
    // A part of a volume is somebody's who has made it.
    let fills = options.root.is_own() && subpath.is_none();
    let user = options.user.as_ref().map_or((0, 0), |user| (user.uid, user.gid));
    let has_devices = options.container.as_ref().is_none_or(|container| container.privileged);
    let is_said = |word: &str| option.options.iter().any(|said| said == word);
    let nodev = (!has_devices && !is_said("dev")).then(|| "nodev".to_owned());
    let name = option.source.as_deref().unwrap_or_default();
    let place = places.get(name).cloned();
    let unknown = || Place::Directory(Path::new("volume").join(name), Vec::new());
    let (place, own, copied) = match place.unwrap_or_else(unknown) {
        Place::Directory(path, own) => (path, own, COPY_UP),
        Place::Given(path) => (path, Vec::new(), COPY_UP_BELOW),
        Place::Memory(own) => return memory(option, options, own),
    };
    let copies = fills && !option.options.iter().any(|word| word == NO_COPY);
    let plain = option
        .options
        .iter()
        .filter(|word| ![NO_COPY, super::owners::GIVE].contains(&word.as_str()))
        .filter(|word| !word.starts_with(SUBPATH) && !word.starts_with(OPTION))
        .cloned();
    let copy = copies.then(|| match is_said(super::owners::GIVE) {
        true => format!("{COPY_UP}={}:{}", user.0, user.1),
        false => copied.to_owned(),
    });
    let below = subpath.map(|path| format!("{}{path}", boxr_runtime::plan::SUBPATH));
    let mut options: Vec<String> = std::iter::once("rbind".to_owned())
        .chain(own)
        .chain(plain)
        .chain(nodev)
        .chain(copy)
        .chain(below)
        .collect();
    let mut mount = Mount::default();
    crate::spec::shift(&mut mount, &mut options);
    mount
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(place))
        .set_destination(option.destination.clone());
    mount.set_options(Some(options));
    mount
}

/// The tmpfs that a volume in memory is.
fn memory(option: &MountOption, options: &BoxOptions, mut words: Vec<String>) -> Mount {
    let is_said = |word: &str| option.options.iter().any(|said| said == word);
    if is_said(super::owners::GIVE) {
        let (uid, gid) = options.user.as_ref().map_or((0, 0), |user| (user.uid, user.gid));
        words.extend([format!("uid={uid}"), format!("gid={gid}")]);
    }
    let plain = |word: &&String| ![NO_COPY, super::owners::GIVE].contains(&word.as_str());
    words.extend(option.options.iter().filter(plain).filter(|word| !word.starts_with(OPTION)).cloned());
    if options.root.is_own() && !is_said(NO_COPY) {
        words.push("tmpcopyup".to_owned());
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    crate::spec::mount("tmpfs", "tmpfs", &option.destination.to_string_lossy(), &words)
}
