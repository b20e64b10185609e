//! Mounts that a container has from another (`--volumes-from`; docker run reference).

use super::KIND;
use crate::options::{BoxOptions, MountOption};
use crate::outcome::EngineError;
use crate::store::Store;

/// `NAME[:ro|rw|z|Z]`
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(text: &str) -> Result<(), String> {
    match text.split_once(':').unwrap_or((text, "rw")) {
        ("", _) => Err("the name of the container is missing".to_owned()),
        (_, "ro" | "rw" | "z" | "Z") => Ok(()),
        (_, mode) => Err(format!("{mode:?} is neither ro nor rw")),
    }
}

/// Adds the volumes and binds of the others, where the box has nothing of its own.
///
/// # Errors
/// There is no such box.
pub(crate) fn add(store: &Store, options: &mut BoxOptions) -> Result<(), EngineError> {
    let Some(container) = &options.container else { return Ok(()) };
    for text in container.volumes_from.clone() {
        let (name, mode) = text.split_once(':').unwrap_or((&text, "rw"));
        let others = store.resolve(name)?.read_record()?.options.mounts;
        for mut mount in others.into_iter().filter(|mount| mount.kind == KIND || mount.kind == "bind") {
            let is_covered = |known: &MountOption| known.destination == mount.destination;
            if options.mounts.iter().any(is_covered) {
                continue;
            }
            if mode == "ro" {
                mount.options.retain(|option| option != "rw" && option != "ro");
                mount.options.push("ro".to_owned());
            }
            options.mounts.push(mount);
        }
    }
    Ok(())
}
