//! Empty directories of the box's own upon the host's tree: one tmpfs, of which each is a directory. A superblock each
//! would take longer to make, and to take down at the end, than the mounts themselves.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, Mode, chmodat, mkdirat};
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use super::beneath::Shape;
use super::filesystem::{self, Wanted};
use super::mounts::{Tree, move_onto};
use super::scratch::Scratch;
use super::target;
use crate::error::{At, Step, StepError};
use crate::plan::{MountAttributes, MountPlan, MountSource};

/// The tmpfs, where there is one yet.
#[derive(Debug, Default)]
pub(super) struct Pool(Option<(Scratch, MountAttributes)>);

impl Pool {
    /// The mode of `mount`'s directory, where it can be one of this tmpfs.
    pub fn takes(&self, mount: &MountPlan) -> Option<Mode> {
        let MountSource::Filesystem { kind, parameters, inode_versions: false, .. } = &mount.source else {
            return None;
        };
        let is_alike = self.0.as_ref().is_none_or(|(_, attributes)| *attributes == mount.attributes);
        match parameters.as_slice() {
            [(key, Some(mode))] if mount.pooled && kind == "tmpfs" && key == "mode" && is_alike => {
                u32::from_str_radix(mode, 8).ok().map(Mode::from_raw_mode)
            }
            _ => None,
        }
    }

    /// Carries `mount` out, and returns what is mounted then. `number` is no other mount's.
    pub fn mount(
        &mut self,
        tree: Tree<'_>,
        mount: &MountPlan,
        mode: Mode,
        number: usize,
    ) -> Result<Scratch, StepError> {
        let place = mount.destination.display();
        let target =
            target::open(tree.root, mount, Shape::Directory, tree.missing).at(Step::MountTarget, &place)?;
        match &self.0 {
            Some((pool, _)) => part(pool.as_fd(), target.fd.as_fd(), mode, number),
            None => create(mount).and_then(|pool| {
                // Mounted somewhere: before Linux 6.15 what is not cannot be copied (open_tree(2), `EINVAL`). Its
                // first part covers it.
                move_onto(pool.as_fd(), target.fd.as_fd())?;
                let first = part(pool.as_fd(), pool.as_fd(), mode, number)?;
                self.0 = Some((pool, mount.attributes));
                Ok(first)
            }),
        }
        .at(Step::Mount, &place)
    }
}

fn create(mount: &MountPlan) -> Result<Scratch, Errno> {
    let wanted = Wanted {
        kind: "tmpfs",
        source: "tmpfs",
        parameters: &[("mode".to_owned(), Some("700".to_owned()))],
        inode_versions: false,
        read_only: false,
        attributes: u32::try_from(mount.attributes.set).unwrap_or(0),
    };
    let made = filesystem::create(&wanted).map_err(|refusal| refusal.errno)?;
    super::mounts::set_attributes_but(made.fd.as_fd(), &mount.attributes, u64::from(made.attributes))?;
    Ok(made.fd)
}

/// Makes a directory in `pool` and mounts it on `target`.
fn part(pool: BorrowedFd<'_>, target: BorrowedFd<'_>, mode: Mode, number: usize) -> Result<Scratch, Errno> {
    let name = number.to_string();
    mkdirat(pool, &name, mode)?;
    // Whatever the umask is.
    chmodat(pool, &name, mode, AtFlags::empty())?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let part = Scratch::from(open_tree(pool, &name, flags)?);
    move_onto(part.as_fd(), target)?;
    Ok(part)
}
