//! Where the files of a box are, and how a worker gets there.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use boxr_image::copy::Base;
use boxr_image::shift::Extent as Shifted;
use boxr_runtime::idmap::{Extent, IdMap, Writer};
use boxr_runtime::plan::{TreeMaker, TreeSource};
use boxr_runtime::process::holder;
use boxr_runtime::rootfs::Binds;
use boxr_sys::namespace::{NamespaceKind, unshare};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Gid, Uid, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::mounts::{Mounts, Way};
use crate::exposure;
use crate::image::ContainerFiles;
use crate::image::keep;
use crate::image::rootfs::{self, DeviceNodes};
use crate::join;
use crate::options::{BoxOptions, IdExtent, IdMapping, Root};
use crate::outcome::EngineError;
use crate::own_ids::{self, Ids};
use crate::store::{BoxDir, Lock, Wait};

const DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The root of a box.
#[derive(Debug)]
pub(super) enum Place {
    /// In the namespaces of its first process.
    Running {
        /// Where it is not the caller's own.
        user: Option<OwnedFd>,
        mount: OwnedFd,
    },
    /// On disk.
    Stopped(Stopped),
}

#[derive(Debug)]
pub(super) struct Stopped {
    tree: Tree,
    /// Root's containers with ids of their own.
    maps: Option<IdMap>,
    read_only: bool,
    mounts: Mounts,
}

#[derive(Debug)]
enum Tree {
    Directory(PathBuf),
    Layers(TreeSource),
}

impl Place {
    /// Of the box in `dir`, its name, and the lock that keeps it as it is; `None` when it is on the host's tree.
    pub(super) fn find(dir: &BoxDir) -> Result<Option<(String, Self, Option<Lock<'_>>)>, EngineError> {
        let options = dir.read_record()?.options;
        if !options.root.is_own() {
            return Ok(None);
        }
        let state = super::super::current(dir)?;
        if super::super::running(&state).is_ok() {
            return Self::running(dir, &options).map(|(name, place)| Some((name, place, None)));
        }
        let missing = || EngineError::system("lock the box", Errno::WOULDBLOCK);
        let lock = dir.lock(Wait::Yes)?.ok_or_else(missing)?;
        let state = lock.read_state()?;
        if super::super::running(&state).is_ok() {
            // Started meanwhile.
            drop(lock);
            return Self::running(dir, &options).map(|(name, place)| Some((name, place, None)));
        }
        let stopped = Stopped::find(dir, &options)?;
        Ok(stopped.map(|stopped| (state.name, Self::Stopped(stopped), Some(lock))))
    }

    fn running(dir: &BoxDir, options: &BoxOptions) -> Result<(String, Self), EngineError> {
        exposure::protect_for(options)?;
        let state = dir.read_state()?;
        let process = super::super::running(&state)?;
        let (mut user, mut mount) = (None, None);
        for (kind, fd) in join::all_of(&process, &state.name)? {
            match kind {
                NamespaceKind::User => user = Some(fd),
                NamespaceKind::Mount => mount = Some(fd),
                _ => {}
            }
        }
        // One with a root of its own has its own mounts.
        let is = || "has no mounts of its own".to_owned();
        let mount = mount.ok_or_else(|| EngineError::Wrong { name: state.name.clone(), is: is() })?;
        Ok((state.name, Self::Running { user, mount }))
    }

    pub(super) fn hidden(&self, path: &[u8]) -> Option<String> {
        let Self::Stopped(stopped) = self else { return None };
        stopped.mounts.hidden(path)
    }

    /// Whether a directory that a path has led to is there now.
    pub(super) fn check_source(&self, base: &Base, directory: BorrowedFd<'_>) -> Result<(), String> {
        let Self::Stopped(stopped) = self else { return Ok(()) };
        stopped.mounts.check(base, directory, Way::Out)
    }

    /// Whether files may come there.
    pub(super) fn check_target(&self, base: &Base, directory: BorrowedFd<'_>) -> Result<(), String> {
        let Self::Stopped(stopped) = self else { return Ok(()) };
        stopped.mounts.check(base, directory, Way::In { root_is_read_only: stopped.read_only })
    }

    /// Takes this process there for good, as root of the box.
    pub(super) fn enter(&self) -> Result<Base, String> {
        match self {
            Self::Running { user, mount } => {
                hide()?;
                if let Some(user) = user {
                    become_root_of(user.as_fd())?;
                }
                move_into_link_name_space(mount.as_fd(), Some(LinkNameSpaceType::Mount))
                    .map_err(said("enter its mounts"))?;
                // The root of the namespace, whatever its processes have taken for theirs since.
                let root = rustix::fs::open("/", DIRECTORY, Mode::empty()).map_err(said("open its root"))?;
                Ok(Base::Root(root))
            }
            Self::Stopped(stopped) => stopped.enter(),
        }
    }
}

impl Stopped {
    fn find(dir: &BoxDir, options: &BoxOptions) -> Result<Option<Self>, EngineError> {
        let tree = match &options.root {
            Root::Host => return Ok(None),
            Root::Directory(path) => Tree::Directory(path.clone()),
            Root::Image(image) => {
                let Some(files) = ContainerFiles::of(dir, options)? else { return Ok(None) };
                Tree::Layers(rootfs::source(
                    image,
                    options,
                    &files,
                    TreeMaker::Outside,
                    DeviceNodes::Refused,
                )?)
            }
        };
        let maps = match (&options.id_mapping, geteuid().is_root()) {
            (IdMapping::Explicit { uids, gids }, true) => {
                let of = |extents: &[IdExtent]| extents.iter().map(extent).collect();
                Some(IdMap { uids: of(uids), gids: of(gids), writer: Writer::Boxr })
            }
            // Of the ids that the caller's layers have.
            (_, false) => keep::shift_of(options).map(|shift| {
                let of = |extents: &[Shifted]| {
                    let one = |one: &Shifted| Extent { container: one.from, host: one.to, size: one.size };
                    extents.iter().map(one).collect()
                };
                IdMap { uids: of(&shift.users), gids: of(&shift.groups), writer: Writer::Boxr }
            }),
            _ => None,
        };
        let mounts = Mounts::of(dir, options, maps.is_some())?;
        Ok(Some(Self { tree, maps, read_only: options.read_only, mounts }))
    }

    fn enter(&self) -> Result<Base, String> {
        let text = |error: &dyn std::fmt::Display| error.to_string();
        match own_ids::enter().map_err(|error| text(&error))? {
            Ids::Roots => {}
            Ids::All => unshare(NamespaceKind::Mount).map_err(said("make a mount namespace"))?,
            Ids::OneOnly => {
                let one = |host| vec![Extent { container: 0, host, size: 1 }];
                let (uids, gids) = (one(geteuid().as_raw()), one(getegid().as_raw()));
                unshare(NamespaceKind::User).map_err(said("make a user namespace"))?;
                let map = IdMap { uids, gids, writer: Writer::FirstProcess };
                map.write_from_inside().map_err(|error| text(&error))?;
                unshare(NamespaceKind::Mount).map_err(said("make a mount namespace"))?;
            }
        }
        let shifted_by = self.maps.as_ref().map(holder::user_namespace).transpose();
        let shifted_by = shifted_by.map_err(|error| text(&error))?;
        let binds = self.mounts.open(shifted_by.as_ref().map(AsFd::as_fd))?;
        let root = match &self.tree {
            Tree::Directory(path) if binds.is_some() => Binds::root_at(path).map_err(|error| text(&error))?,
            Tree::Directory(path) => {
                rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(said("open its root"))?
            }
            Tree::Layers(source) => {
                source.tree.make(shifted_by.as_ref().map(AsFd::as_fd)).map_err(|error| text(&error))?
            }
        };
        hide()?;
        if let Some(user) = &shifted_by {
            become_root_of(user.as_fd())?;
        }
        if let Some(binds) = binds {
            binds.attach(root.as_fd()).map_err(|error| text(&error))?;
        }
        Ok(Base::Root(root))
    }
}

fn extent(extent: &IdExtent) -> Extent {
    Extent { container: extent.container, host: extent.host, size: extent.size }
}

/// Nobody in the box may trace this process (ptrace(2), `PR_SET_DUMPABLE`).
pub(crate) fn hide() -> Result<(), String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(said("hide from it"))
}

pub(crate) fn become_root_of(user: BorrowedFd<'_>) -> Result<(), String> {
    move_into_link_name_space(user, Some(LinkNameSpaceType::User))
        .map_err(said("enter its user namespace"))?;
    match set_thread_groups(&[]) {
        // Where that is denied for the namespace, there are none to give up.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(said("give up groups")(errno)),
    }
    let (uid, gid) = (Uid::ROOT, Gid::ROOT);
    match set_thread_res_gid(gid, gid, gid).and_then(|()| set_thread_res_uid(uid, uid, uid)) {
        // It has no root: the caller stays itself.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(said("become its root")(errno)),
    }
    // Another id makes it dumpable again.
    hide()
}

fn said(doing: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("cannot {doing}: {}", boxr_runtime::error::describe(errno))
}
