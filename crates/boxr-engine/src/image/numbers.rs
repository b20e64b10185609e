//! Numbers that no two containers share: a symbolic link `DATA/KIND/N -> ID` (written shorter, [`link`]) says that number N is of
//! container ID, and whoever makes it first has it. It counts for nothing when that container, or pod, is gone.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use boxr_image::link;
use rustix::io::Errno;

use super::ImageError;

/// One kind of them in one data root.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers<'a> {
    data: &'a Path,
    kind: &'static str,
}

impl<'a> Numbers<'a> {
    /// Those whose links are in the directory `kind` of the data root.
    pub fn of(data: &'a Path, kind: &'static str) -> Self {
        Self { data, kind }
    }

    fn directory(&self) -> PathBuf {
        self.data.join(self.kind)
    }

    /// The same, once the directory is there.
    pub fn open(self) -> Result<Self, ImageError> {
        std::fs::create_dir_all(self.directory()).map_err(|error| self.failed(&error))?;
        Ok(self)
    }

    /// What could not be written.
    pub fn failed(&self, error: &std::io::Error) -> ImageError {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        ImageError::File { action: "write", path: self.directory(), errno }
    }

    /// Takes one, if it is free.
    pub fn take(&self, id: &str, number: u32) -> std::io::Result<bool> {
        let path = self.directory().join(number.to_string());
        match symlink(link::shortened(id), &path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| true),
        }
        // Of a container that was killed while it was made or removed?
        let is_stale = holder(&path).is_some_and(|holder| {
            let is_there = |of: &str| self.data.join(of).join(&holder).exists();
            !is_there("containers") && !is_there("pods")
        });
        if !is_stale {
            return Ok(false);
        }
        // Whoever renames its own link over the stale one first has it; another then reads that.
        let mine = self.directory().join(format!("{number}.{id}"));
        symlink(link::shortened(id), &mine).and_then(|()| std::fs::rename(&mine, &path))?;
        Ok(holder(&path).as_deref() == Some(id))
    }

    /// Gives one back, if it is `id`'s.
    pub fn release(&self, id: &str, number: u32) -> std::io::Result<()> {
        let path = self.directory().join(number.to_string());
        if holder(&path).as_deref() == Some(id) {
            std::fs::remove_file(&path)?;
        }
        Ok(())
    }
}

/// Whose number it is.
fn holder(path: &Path) -> Option<String> {
    std::fs::read_link(path).ok()?.to_str().map(link::whole)
}

/// Where to begin the search: chance, so that two do not get in each other's way.
pub(super) fn seed(id: &str) -> u32 {
    u32::from_str_radix(id.get(..7).unwrap_or("0"), 16).unwrap_or(0)
}
