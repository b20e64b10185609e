//! `boxr volume inspect` and `exists`.

use boxr_engine::volume::{Volume, VolumeError, VolumeName, Volumes};
use serde_json::{Value, json};

use crate::boxes;
use crate::cli::{Globals, Invocation};
use crate::commands::inspect::Shown;
use crate::format::time;
use crate::report::Report;

/// Carries out `boxr volume inspect`: those that are there are printed, whatever is wrong with others.
///
/// # Errors
/// A template that cannot be used.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let shown = Shown::read(&invocation)?;
    let volumes = super::open(&invocation.globals)?;
    let mut views = Vec::new();
    let words = super::words(&volumes, &invocation)?;
    let status = boxes::for_each(&words, |word| {
        views.push(view(&volumes, &volumes.read(&VolumeName::parse(word)?)?));
        Ok(())
    })?;
    shown.print(&views)?;
    Ok(status)
}

/// The view of the volume of this name.
///
/// # Errors
/// There is none.
pub fn of_name(globals: &Globals, word: &str) -> Result<Value, Report> {
    let volumes = super::open(globals)?;
    Ok(view(&volumes, &volumes.read(&VolumeName::parse(word)?)?))
}

/// Docker's keys.
pub fn view(volumes: &Volumes, volume: &Volume) -> Value {
    let mut view = json!({
        "CreatedAt": time::rfc3339(volume.created),
        "Driver": "local",
        "Labels": volume.labels,
        "Mountpoint": volumes.data(&volume.name),
        "Name": volume.name,
        "Options": volume.options,
        "Scope": "local",
        "Anonymous": volume.anonymous,
    });
    let (uid, gid) = volume.owner();
    for (key, id) in [("UID", uid), ("GID", gid)] {
        if let (Some(id), Some(view)) = (id, view.as_object_mut()) {
            view.insert(key.to_owned(), json!(id));
        }
    }
    view
}

/// Carries out `boxr volume exists`: 0 or 1, and nothing printed.
///
/// # Errors
/// A name that no volume may have.
pub fn exists(invocation: Invocation) -> Result<u8, Report> {
    let volumes = super::open(&invocation.globals)?;
    let name = VolumeName::parse(invocation.positionals().first().map_or("", String::as_str))?;
    match volumes.read(&name) {
        Ok(_) | Err(VolumeError::Damaged { .. }) => Ok(0),
        Err(VolumeError::Missing(_)) => Ok(1),
        Err(error) => Err(error.into()),
    }
}
