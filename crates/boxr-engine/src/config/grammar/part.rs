//! `--mount type=image`, and what is mounted of a part of an image or volume.

use std::path::{Component, Path, PathBuf};

use crate::image::mounted;
use crate::options::MountOption;
use crate::volume::SUBPATH;

/// The option that a subpath is: docker's `volume-subpath` and `image-subpath`, podman's `subpath`.
///
/// # Errors
/// It is not below the top.
pub(super) fn below(of: &str, path: &str) -> Result<String, String> {
    let is_below = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    match path.is_empty() || !is_below {
        true => {
            Err(format!("subpath is a relative path without .., below the top of the {of}, not {path:?}"))
        }
        false => Ok(format!("{SUBPATH}{path}")),
    }
}

/// An image, read-only unless `rw` was said.
///
/// # Errors
/// What is missing or was said twice; an option that an image has not.
pub(super) fn image(
    source: Option<String>,
    earlier: Option<String>,
    destination: PathBuf,
    options: Vec<String>,
    subpath: Option<String>,
) -> Result<MountOption, String> {
    let source = source.filter(|source| !source.is_empty()).ok_or("src is missing: which image")?;
    if let Some(earlier) = earlier {
        return Err(format!("src is said twice: {earlier} and {source}"));
    }
    if let Some(option) = options.iter().find(|option| !["ro", "rw"].contains(&option.as_str())) {
        return Err(format!("{option} is not for type=image, which takes src, dst, rw and subpath"));
    }
    let access = options.into_iter().next_back().unwrap_or_else(|| "ro".to_owned());
    // The top of an image is its `/`, from which podman counts.
    let subpath = subpath.map(|path| below("image", path.strip_prefix('/').unwrap_or(&path))).transpose()?;
    let options = std::iter::once(access).chain(subpath).collect();
    Ok(MountOption { kind: mounted::KIND.to_owned(), source: Some(source), destination, options })
}
