//! Where the volumes of a box are, looked up at every start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::{KIND, NO_COPY, SUBPATH, VolumeError, VolumeName, Volumes};
use crate::options::{BoxOptions, MountOption};
use crate::paths::Paths;

/// What is bound for each volume.
pub type Places = BTreeMap<String, PathBuf>;

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
        let place = volumes.read(&name)?.device().unwrap_or_else(|| volumes.data(&name));
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
    let place = places.get(name).map_or_else(|| Path::new("volume").join(name), Clone::clone);
    let copies = fills && !option.options.iter().any(|word| word == NO_COPY);
    let plain = option
        .options
        .iter()
        .filter(|word| ![NO_COPY, super::owners::GIVE].contains(&word.as_str()))
        .filter(|word| !word.starts_with(SUBPATH))
        .cloned();
    let copy = copies.then(|| match is_said(super::owners::GIVE) {
        true => format!("{}={}:{}", boxr_runtime::plan::COPY_UP, user.0, user.1),
        false => boxr_runtime::plan::COPY_UP.to_owned(),
    });
    let below = subpath.map(|path| format!("{}{path}", boxr_runtime::plan::SUBPATH));
    let mut options: Vec<String> =
        std::iter::once("rbind".to_owned()).chain(plain).chain(nodev).chain(copy).chain(below).collect();
    let mut mount = Mount::default();
    crate::spec::shift(&mut mount, &mut options);
    mount
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(place))
        .set_destination(option.destination.clone());
    mount.set_options(Some(options));
    mount
}
