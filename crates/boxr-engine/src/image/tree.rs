//! The files of a container or box, to be packed into an archive.

use std::path::Path;

use boxr_image::pack::{Dir, Extent, Holes, Ids, Tree};
use boxr_image::store::Store as Images;
use boxr_image::unpack::Form;

use super::rootfs::{form, open_dir};
use super::{ContainerFiles, ImageError, keep};
use crate::options::{BoxOptions, IdExtent, IdMapping, Root};
use crate::outcome::EngineError;
use crate::own_ids;
use crate::store::BoxDir;

/// The files of the box in `dir`, running or not, as seen by a caller who has `ids`; `None` when it has
/// none of its own, but the host's.
///
/// # Errors
/// Its record or a directory cannot be read.
pub fn tree(dir: &BoxDir, ids: own_ids::Ids, holes: Holes) -> Result<Option<Tree>, EngineError> {
    let options = dir.read_record()?.options;
    let own = owners(&options, ids);
    let (dirs, form) = match &options.root {
        Root::Host => return Ok(None),
        // Nothing is marked in it.
        Root::Directory(path) => (vec![open(path, own)?], Form::User),
        Root::Image(image) => {
            let Some(files) = ContainerFiles::of(dir, &options)? else { return Ok(None) };
            let images = Images::open(&files.images).map_err(ImageError::from)?;
            // Layers have the ids of all, and a container's changes those of the container.
            let of_layers = if ids == own_ids::Ids::OneOnly { own.clone() } else { Ids::default() };
            let mut dirs = vec![open(&files.data.join("upper"), own)?];
            for layer in image.layers.iter().rev() {
                let fd = images.open_layer(layer).map_err(ImageError::from)?;
                dirs.push(Dir { fd, ids: of_layers.clone() });
            }
            (dirs, form(&files.data)?)
        }
    };
    Ok(Some(Tree { dirs, form, holes }))
}

fn open(path: &Path, ids: Ids) -> Result<Dir, ImageError> {
    let failed = |errno| ImageError::File { action: "open", path: path.to_owned(), errno };
    Ok(Dir { fd: open_dir(path).map_err(failed)?, ids })
}

/// What ids on disk are in the container.
fn owners(options: &BoxOptions, ids: own_ids::Ids) -> Ids {
    if let (own_ids::Ids::All, Some(shift)) = (ids, keep::shift_of(options)) {
        return keep::owners(shift);
    }
    match (ids, &options.id_mapping) {
        (own_ids::Ids::Roots, IdMapping::Explicit { uids, gids }) => {
            Ids { users: uids.iter().map(extent).collect(), groups: gids.iter().map(extent).collect() }
        }
        (own_ids::Ids::Roots | own_ids::Ids::All, _) => Ids::default(),
        // Everything is the caller's, who is root in there.
        (own_ids::Ids::OneOnly, _) => {
            let one = |outside| vec![Extent { outside, inside: 0, count: 1 }];
            Ids {
                users: one(rustix::process::geteuid().as_raw()),
                groups: one(rustix::process::getegid().as_raw()),
            }
        }
    }
}

fn extent(extent: &IdExtent) -> Extent {
    Extent { outside: extent.host, inside: extent.container, count: extent.size }
}
