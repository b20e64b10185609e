//! Files to archives, the opposite of [`crate::unpack`]: a root filesystem as one tar, or the changes of a container as a
//! layer (OCI image specification, `layer.md`; the kernel's `overlayfs.rst`).
//!
//! The directories that overlayfs would lay upon each other are merged here, without mounting anything: so nothing that
//! is mounted in a running container is seen, and nobody needs a privilege. What is in them was made by others: every
//! path is resolved beneath its directory, through no link, onto no other filesystem, and what is not a regular file is not opened.
//!
//! The same files make the same bytes: names are sorted, a directory's files come before its directories, times are
//! whole seconds, and a file is stored with its holes filled, since where they are is the filesystem's affair.

pub(crate) mod entry;
#[cfg(test)]
mod tests;
mod walk;

use std::io::{self, Write};
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::tar::Writer;
use crate::unpack::Form;
use walk::Walk;

/// Ids on disk that stand for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first id on disk.
    pub outside: u32,
    /// The first id in the archive.
    pub inside: u32,
    /// How many there are.
    pub count: u32,
}

/// Whose files are whose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// Users; those that are in no extent stay as they are.
    pub users: Vec<Extent>,
    /// Groups.
    pub groups: Vec<Extent>,
}

/// One of the directories that lie upon each other.
#[derive(Debug)]
pub struct Dir {
    /// The directory.
    pub fd: OwnedFd,
    /// Whose its files are.
    pub ids: Ids,
}

/// What becomes of files with holes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holes {
    /// They are zeros, which every program reads.
    #[default]
    Filled,
    /// They stay holes (GNU's sparse format 1.0).
    Kept,
}

/// Files that are to be packed.
#[derive(Debug)]
pub struct Tree {
    /// The directories, the topmost first.
    pub dirs: Vec<Dir>,
    /// How removals are marked in them.
    pub form: Form,
    /// What becomes of files with holes.
    pub holes: Holes,
}

/// Files were not packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The archive cannot be written.
    #[error("cannot write the archive: {0}")]
    Write(io::Error),
    /// The system refused.
    #[error("cannot {action} {name:?}: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// On which file.
        name: String,
        /// The system's reason.
        errno: Errno,
    },
    /// Overlayfs has moved a directory by a note, which only it can read.
    #[error(
        "{name:?} was renamed by overlayfs with redirect_dir, which boxr does not read\n  copy the directory and remove the \
         first one, in the container"
    )]
    Redirected {
        /// The directory.
        name: String,
    },
}

/// What an archive amounts to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Entries.
    pub entries: u64,
    /// Sockets, which archives cannot hold.
    pub sockets: u64,
}

/// What removals become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Removals {
    /// Nothing: what they remove is not there.
    Applied,
    /// Entries of a layer.
    Written,
}

impl Tree {
    /// Writes all files as they are seen from above.
    ///
    /// # Errors
    /// Something cannot be read or written; what was written then is of no use.
    pub fn merged<W: Write>(&self, to: W) -> Result<(W, Contents), PackError> {
        self.pack(to, Removals::Applied)
    }

    /// Writes the topmost directory, the changes of a container, as a layer: what is removed in it becomes a
    /// whiteout.
    ///
    /// # Errors
    /// As [`Tree::merged`].
    pub fn layer<W: Write>(&self, to: W) -> Result<(W, Contents), PackError> {
        self.pack(to, Removals::Written)
    }

    fn pack<W: Write>(&self, to: W, removals: Removals) -> Result<(W, Contents), PackError> {
        let mut writer = Writer::new(to);
        let contents = Walk::new(self, removals, &mut writer).run()?;
        Ok((writer.finish().map_err(PackError::Write)?, contents))
    }
}

impl Ids {
    fn of(&self, uid: u32, gid: u32) -> (u32, u32) {
        (inside(&self.users, uid), inside(&self.groups, gid))
    }
}

fn inside(extents: &[Extent], id: u32) -> u32 {
    let found = extents.iter().find_map(|extent| {
        let offset = id.checked_sub(extent.outside).filter(|offset| *offset < extent.count)?;
        extent.inside.checked_add(offset)
    });
    found.unwrap_or(id)
}
