//! The volumes of one box: taken when it is made, let go when it is removed.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{KIND, NewVolume, OPTION, VolumeError, VolumeName, Volumes};
use crate::id::Id;
use crate::options::{BoxOptions, MountOption, Retention};
use crate::paths::Paths;
use crate::store::files::{self, Write};
use crate::store::{BoxDir, Store};

/// The name of the list in a box's data directory.
const LIST: &str = "volumes.json";

/// A volume that a box has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attached {
    /// Which.
    pub name: VolumeName,
    /// Whether nobody named it: it was made for this box.
    pub anonymous: bool,
    /// Whether it is removed with the box.
    pub goes: bool,
}

/// Gives a new box its volumes: those that were named, made if they are not there, and new ones for the
/// directories that its image wants to be volumes.
///
/// # Errors
/// [`VolumeError`], [`EngineError`](crate::outcome::EngineError); what was made goes with the box.
pub(crate) fn attach(
    store: &Store,
    dir: &BoxDir,
    options: &mut BoxOptions,
) -> Result<(), crate::outcome::EngineError> {
    super::from::add(store, options)?;
    add_those_of_image(options);
    if !options.mounts.iter().any(|mount| mount.kind == KIND) {
        return Ok(());
    }
    let data = dir.make_data()?;
    let volumes = Volumes::open(store.paths())?;
    let goes = options.retention == Retention::Ephemeral;
    let (mut list, mut driver) = (Vec::new(), Vec::new());
    for mount in options.mounts.iter_mut().filter(|mount| mount.kind == KIND) {
        let anonymous = mount.source.is_none();
        let name = match &mount.source {
            Some(name) => VolumeName::parse(name)?,
            None => VolumeName::parse(random()?.as_str())?,
        };
        mount.source = Some(name.to_string());
        driver.push(take_options(mount));
        list.push(Attached { name, anonymous, goes: anonymous && goes });
    }
    // Known before they are there: who is killed in between leaves none that nobody knows of.
    write_list(&data, &list)?;
    for (volume, options) in list.iter().zip(&driver) {
        take(&volumes, volume, options, dir.id())?;
    }
    Ok(())
}

/// What a volume is to be made with; it means nothing once that is there.
fn take_options(mount: &mut MountOption) -> BTreeMap<String, String> {
    let (driver, rest) = std::mem::take(&mut mount.options)
        .into_iter()
        .partition::<Vec<_>, _>(|word| word.starts_with(OPTION));
    mount.options = rest;
    let pairs = driver.iter().filter_map(|word| word.strip_prefix(OPTION)?.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn random() -> Result<Id, VolumeError> {
    let id = Id::random().map(|(id, _)| id);
    id.map_err(|errno| VolumeError::System { action: "name", path: "a volume".into(), errno })
}

fn take(
    volumes: &Volumes,
    volume: &Attached,
    options: &BTreeMap<String, String>,
    id: &Id,
) -> Result<(), VolumeError> {
    loop {
        let (anonymous, options) = (volume.anonymous, options.clone());
        let new = NewVolume { anonymous, options, ..NewVolume::default() };
        volumes.create(Some(&volume.name), new)?;
        match volumes.hold(&volume.name, id) {
            // Removed by another just now.
            Err(VolumeError::Missing(_)) => {}
            held => return held,
        }
    }
}

/// What an image declares, unless something else is mounted there.
fn add_those_of_image(options: &mut BoxOptions) {
    let Some(container) = &options.container else { return };
    for path in &container.volumes {
        let destination = crate::config::clean_path(&Path::new("/").join(path));
        let is_covered = options.mounts.iter().any(|mount| mount.destination == destination);
        if destination.parent().is_some() && !is_covered {
            let kind = KIND.to_owned();
            options.mounts.push(MountOption { kind, source: None, destination, options: Vec::new() });
        }
    }
}

/// The volumes that a box has.
///
/// # Errors
/// The list cannot be read.
pub fn attached(data: &Path) -> Result<Vec<Attached>, VolumeError> {
    let path = data.join(LIST);
    let mut buffer = Vec::new();
    let bytes = match files::read_whole(CWD, path.as_path(), &mut buffer) {
        Err(Errno::NOENT) => return Ok(Vec::new()),
        bytes => bytes.map_err(|errno| VolumeError::System { action: "read", path: path.clone(), errno })?,
    };
    serde_json::from_slice(bytes).map_err(|error| VolumeError::Damaged { path, reason: error.to_string() })
}

fn write_list(data: &Path, list: &[Attached]) -> Result<(), VolumeError> {
    let failed = |errno| VolumeError::System { action: "write", path: data.join(LIST), errno };
    let dir = files::open_dir(CWD, data).map_err(failed)?;
    let text = serde_json::to_vec(list).map_err(|_| failed(Errno::INVAL))?;
    files::write_whole(std::os::fd::AsFd::as_fd(&dir), LIST, &text, Write::Replace).map_err(failed)
}

/// Removes those of `list`, the volumes of a box that is gone, that nobody named and no other box has (`rm -v`).
///
/// # Errors
/// What the system refuses.
pub fn remove_anonymous(paths: &Paths, list: &[Attached]) -> Result<(), VolumeError> {
    let mut anonymous = list.iter().filter(|volume| volume.anonymous).peekable();
    if anonymous.peek().is_none() {
        return Ok(());
    }
    let volumes = Volumes::open(paths)?;
    anonymous.try_for_each(|volume| remove_if_free(&volumes, &volume.name))
}

fn remove_if_free(volumes: &Volumes, name: &VolumeName) -> Result<(), VolumeError> {
    match volumes.remove(name) {
        Err(VolumeError::Missing(_) | VolumeError::InUse { .. }) => Ok(()),
        done => done,
    }
}

/// Lets go of the volumes of a box that is being removed, and removes those that go with it and that no
/// other box has. May be done again.
///
/// # Errors
/// What the system refuses.
pub(crate) fn let_go(paths: &Paths, id: &Id, data: &Path) -> Result<(), VolumeError> {
    let list = match attached(data) {
        // Cut short by a loss of power: their notes are those of a box that is gone.
        Err(VolumeError::Damaged { .. }) => return Ok(()),
        list => list?,
    };
    if list.is_empty() {
        return Ok(());
    }
    let volumes = Volumes::open(paths)?;
    for volume in &list {
        volumes.let_go(&volume.name, id)?;
        if volume.goes {
            remove_if_free(&volumes, &volume.name)?;
        }
    }
    Ok(())
}
