//! Empty directories of the box's own upon the host's tree: one tmpfs, of which each is a directory. A superblock each
//! would take longer to make, and to take down at the end, than the mounts themselves.

use std::os::fd::{AsFd, BorrowedFd};

use boxr_sys::mount::attr;
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

/// Attributes of all of them.
const COMMON: u64 = attr::NOSUID | attr::NODEV;

/// The tmpfs, where there is one yet.
#[derive(Debug, Default)]
pub(super) struct Pool(Option<Scratch>);

impl Pool {
    /// The mode of `mount`'s directory, where it can be one of this tmpfs.
    pub fn takes(&self, mount: &MountPlan) -> Option<Mode> {
        let MountSource::Filesystem { kind, parameters, inode_versions: false, .. } = &mount.source else {
            return None;
        };
        let MountAttributes { set, clear: 0, recursive_set: 0, recursive_clear: 0 } = mount.attributes else {
            return None;
        };
        match parameters.as_slice() {
            [(key, Some(mode))]
                if mount.pooled && kind == "tmpfs" && key == "mode" && set & COMMON == COMMON =>
            {
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
        let wanted = Part { name: &number.to_string(), mode, attributes: mount.attributes.set };
        self.attach(&wanted, target.fd.as_fd()).at(Step::Mount, &place)
    }

    fn attach(&mut self, wanted: &Part<'_>, target: BorrowedFd<'_>) -> Result<Scratch, Errno> {
        let (pool, on) = match &self.0 {
            Some(pool) => (pool, target),
            None => {
                let pool = create()?;
                // Mounted somewhere: before Linux 6.15 what is not cannot be copied (open_tree(2), `EINVAL`). Its
                // first part covers it.
                move_onto(pool.as_fd(), target)?;
                let pool = &*self.0.insert(pool);
                (pool, pool.as_fd())
            }
        };
        let part = wanted.make(pool.as_fd())?;
        move_onto(part.as_fd(), on)?;
        Ok(part)
    }

    /// An empty directory that nobody can write, mounted nowhere; `None` where there is no tmpfs yet.
    pub fn empty(&self) -> Result<Option<Scratch>, Errno> {
        let attributes = COMMON | attr::RDONLY | attr::NOEXEC;
        let wanted = Part { name: "empty", mode: Mode::from_raw_mode(0o755), attributes };
        self.0.as_ref().map(|pool| wanted.make(pool.as_fd())).transpose()
    }
}

fn create() -> Result<Scratch, Errno> {
    let wanted = Wanted {
        kind: "tmpfs",
        source: "tmpfs",
        parameters: &[("mode".to_owned(), Some("700".to_owned()))],
        inode_versions: false,
        read_only: false,
        attributes: u32::try_from(COMMON).unwrap_or(0),
    };
    let made = filesystem::create(&wanted).map_err(|refusal| refusal.errno)?;
    let common = MountAttributes { set: COMMON, ..MountAttributes::default() };
    super::mounts::set_attributes_but(made.fd.as_fd(), &common, u64::from(made.attributes))?;
    Ok(made.fd)
}

/// A directory of the tmpfs.
struct Part<'n> {
    name: &'n str,
    mode: Mode,
    /// `MOUNT_ATTR_*`, of which the tmpfs has [`COMMON`].
    attributes: u64,
}

impl Part<'_> {
    /// Makes it in `pool`, as a mount of its own.
    fn make(&self, pool: BorrowedFd<'_>) -> Result<Scratch, Errno> {
        mkdirat(pool, self.name, self.mode)?;
        // Whatever the umask is.
        chmodat(pool, self.name, self.mode, AtFlags::empty())?;
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let part = Scratch::from(open_tree(pool, self.name, flags)?);
        let attributes = MountAttributes { set: self.attributes, ..MountAttributes::default() };
        super::mounts::set_attributes_but(part.as_fd(), &attributes, COMMON)?;
        Ok(part)
    }
}
