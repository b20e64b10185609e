//! What is looked up at every start of a container: its files may have changed since the last.

use super::files::ContainerFiles;
use super::users::{self, LONGEST};
use super::{ImageError, rootfs};
use crate::options::BoxOptions;

/// The options with the user that the container's own files tell; `None` where nothing is to be looked up.
///
/// # Errors
/// A user that is not there; a layer that is not there.
pub(crate) fn settle(
    options: &BoxOptions,
    files: Option<&ContainerFiles>,
) -> Result<Option<BoxOptions>, ImageError> {
    let (Some(image), Some(container), Some(files)) = (options.root.image(), &options.container, files)
    else {
        return Ok(None);
    };
    let stack = rootfs::stack(image, files)?;
    let user = users::resolve(&container.user, &container.groups, &|file| {
        super::accounts::text(&container.accounts, &|file| stack.read(file, LONGEST), file)
    })?;
    Ok(Some(BoxOptions { user: Some(user), ..options.clone() }))
}
