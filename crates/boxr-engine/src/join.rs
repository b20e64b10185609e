//! From "join that one's namespace" to an open descriptor of it.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use boxr_runtime::namespaces::{self, is_own};
use boxr_sys::namespace::NamespaceKind;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use thiserror::Error;

use crate::options::{JoinTarget, NamespaceMode, Namespaces};
use crate::record::ProcessRef;

/// Why a namespace cannot be joined.
#[derive(Debug, Error)]
pub enum JoinError {
    /// No box, or more than one, goes by that name.
    #[error("{0}")]
    Box(#[source] Box<crate::store::StoreError>),
    /// The box exists and does not run.
    #[error("box {name} is not running")]
    NotRunning {
        /// As it was asked for.
        name: String,
    },
    /// The process, file or number leads to nothing that can be opened.
    #[error("cannot open the {kind} namespace of {target}: {}", boxr_runtime::error::describe(*errno))]
    Open {
        /// Which namespace.
        kind: NamespaceKind,
        /// Whose.
        target: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// No such namespace number, or one of another type.
    #[error(transparent)]
    Find(#[from] crate::nsview::FindError),
    /// The file is no namespace, or one of another type.
    #[error("{target} is not a {wanted} namespace{}", found.map(|k| format!(", but a {k} namespace")).unwrap_or_default())]
    WrongType {
        /// What was opened.
        target: String,
        /// What it should be.
        wanted: NamespaceKind,
        /// What it is, when it is one.
        found: Option<NamespaceKind>,
    },
    /// The pod of the box does not hold such a namespace.
    #[error("the pod holds no {kind} namespace")]
    NotHeld {
        /// Which namespace.
        kind: NamespaceKind,
    },
    /// Namespaces of two user namespaces, which cannot both be entered.
    #[error("the joined namespaces belong to different user namespaces")]
    DifferentOwners,
    /// A new user namespace would lose the right to join.
    #[error("a new user namespace cannot be made and another's {kind} namespace joined at once")]
    NewUserAndJoin {
        /// The one that belongs to the other.
        kind: NamespaceKind,
    },
}

/// Namespaces to join, and what becomes of the user namespace.
#[derive(Debug)]
pub struct Joined {
    /// Open, each of its kind; those that are the caller's own are left out.
    pub namespaces: Vec<(NamespaceKind, OwnedFd)>,
    /// Whether a new user namespace is made.
    pub new_user: bool,
}

/// Finds the running first process of a box.
pub type FindBox<'a> = dyn Fn(&str) -> Result<ProcessRef, JoinError> + 'a;

/// Opens what `wanted` joins, takes from `pod` what is joined there, and decides on the user namespace where nobody has.
///
/// Without `privileged` a user namespace is needed: that which owns the joined namespaces, or a
/// new one.
///
/// # Errors
/// [`JoinError`] names the kind and whose it is.
pub fn resolve(
    wanted: &Namespaces,
    privileged: bool,
    mut pod: Vec<(NamespaceKind, OwnedFd)>,
    find: &FindBox<'_>,
) -> Result<Joined, JoinError> {
    let mut namespaces = Vec::new();
    for kind in NamespaceKind::ALL {
        let Some(NamespaceMode::Join(target)) = wanted.get(kind) else { continue };
        let fd = match target {
            JoinTarget::Pod => {
                let index = pod.iter().position(|(held, _)| *held == kind);
                pod.swap_remove(index.ok_or(JoinError::NotHeld { kind })?).1
            }
            target => open(kind, target, find)?,
        };
        if !is_own(kind, &fd) {
            namespaces.push((kind, fd));
        }
    }
    let foreign = foreign_owner(&namespaces)?;
    match &wanted.user {
        Some(NamespaceMode::New) => match foreign {
            Some((kind, _)) if !privileged => Err(JoinError::NewUserAndJoin { kind }),
            _ => Ok(Joined { namespaces, new_user: true }),
        },
        Some(_) => Ok(Joined { namespaces, new_user: false }),
        None if privileged => Ok(Joined { namespaces, new_user: false }),
        None => match foreign {
            Some((_, owner)) => {
                namespaces.push((NamespaceKind::User, owner));
                Ok(Joined { namespaces, new_user: false })
            }
            None => Ok(Joined { namespaces, new_user: needs_privilege(wanted) }),
        },
    }
}

fn needs_privilege(wanted: &Namespaces) -> bool {
    NamespaceKind::ALL
        .into_iter()
        .any(|kind| wanted.get(kind).is_some_and(|mode| *mode != NamespaceMode::Host))
}

/// Every namespace of the running process that is not the caller's own: for `exec`.
///
/// # Errors
/// [`JoinError::Open`] when the process ends meanwhile or is another user's.
pub fn all_of(process: &ProcessRef, name: &str) -> Result<Vec<(NamespaceKind, OwnedFd)>, JoinError> {
    let namespaces = namespaces::of_process(process.pid).map_err(|(kind, errno)| JoinError::Open {
        kind,
        target: name.to_owned(),
        errno,
    })?;
    if process.is_alive() { Ok(namespaces) } else { Err(JoinError::NotRunning { name: name.to_owned() }) }
}

fn open(kind: NamespaceKind, target: &JoinTarget, find: &FindBox<'_>) -> Result<OwnedFd, JoinError> {
    match target {
        JoinTarget::Container(name) => {
            let process = find(name)?;
            let fd = open_of_process(kind, process.pid, &format!("box {name}"))?;
            // Opened by number: it must still be the same process.
            if process.is_alive() { Ok(fd) } else { Err(JoinError::NotRunning { name: name.clone() }) }
        }
        JoinTarget::Pod => Err(JoinError::NotHeld { kind }),
        JoinTarget::Pid(pid) => open_of_process(kind, *pid, &format!("process {pid}")),
        JoinTarget::Path(path) => open_file(kind, path),
        JoinTarget::Id(id) => Ok(crate::nsview::find_namespace(kind, *id)?),
    }
}

fn open_of_process(kind: NamespaceKind, pid: i32, whose: &str) -> Result<OwnedFd, JoinError> {
    namespaces::open(kind, pid).map_err(|errno| JoinError::Open { kind, target: whose.to_owned(), errno })
}

fn open_file(kind: NamespaceKind, path: &Path) -> Result<OwnedFd, JoinError> {
    let target = path.display().to_string();
    let fd = open_path(path).map_err(|errno| JoinError::Open { kind, target: target.clone(), errno })?;
    match boxr_sys::nsfs::kind(fd.as_fd()) {
        Ok(found) if found == kind => Ok(fd),
        Ok(found) => Err(JoinError::WrongType { target, wanted: kind, found: Some(found) }),
        Err(_) => Err(JoinError::WrongType { target, wanted: kind, found: None }),
    }
}

fn open_path(path: &Path) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK, Mode::empty())
}

/// The user namespace, other than the caller's, that owns joined namespaces.
fn foreign_owner(
    namespaces: &[(NamespaceKind, OwnedFd)],
) -> Result<Option<(NamespaceKind, OwnedFd)>, JoinError> {
    let mut found: Option<(NamespaceKind, OwnedFd)> = None;
    for (kind, fd) in namespaces.iter().filter(|(kind, _)| *kind != NamespaceKind::User) {
        // EPERM: owned by an ancestor, for which the caller needs privilege it may have anyway.
        let Ok(owner) = boxr_sys::nsfs::owner(fd.as_fd()) else { continue };
        if is_own(NamespaceKind::User, &owner) {
            continue;
        }
        match &found {
            Some((_, first)) if !same(first, &owner) => return Err(JoinError::DifferentOwners),
            _ => found = Some((*kind, owner)),
        }
    }
    Ok(found)
}

fn same(a: &OwnedFd, b: &OwnedFd) -> bool {
    matches!((fstat(a), fstat(b)), (Ok(a), Ok(b)) if (a.st_ino, a.st_dev) == (b.st_ino, b.st_dev))
}
