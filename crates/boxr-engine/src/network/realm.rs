//! What the realm of an ordinary user's networks is made of that only the engine knows.

use std::os::fd::OwnedFd;

use boxr_network::{Owner, Realm};
use boxr_runtime::idmap::{Extent, IdMap, Writer};
use boxr_sys::namespace::{NamespaceKind, unshare};
use rustix::process::{getegid, geteuid};

use super::running;
use crate::options::{BoxOptions, NamespaceMode};
use crate::outcome::EngineError;
use crate::own_ids::{self, Ids};
use crate::store::Store;

/// Calls `work` with what boxr-network asks for.
pub(super) fn with_owner<T>(store: &Store, work: impl FnOnce(Owner<'_>) -> T) -> T {
    let process = |id: &str| {
        let Ok(dir) = store.resolve(id) else {
            return crate::pod::process_on_network(store, id).map(|process| process.pid);
        };
        running(&dir.read_state().ok()?).map(|process| process.pid)
    };
    let namespaces = |id: &str| match store.resolve(id) {
        Ok(_) => Realm::of(process(id)?).ok(),
        Err(_) => crate::pod::held_networks(store, id).or_else(|| Realm::of(process(id)?).ok()),
    };
    work(Owner { enter_user: &enter_user, process: &process, namespaces: &namespaces })
}

/// A new user namespace with all ids of the user: those of the containers below it are among them.
fn enter_user() -> Result<(), String> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    match own_ids::enter().map_err(|error| error.to_string())? {
        Ids::All => return Ok(()),
        Ids::Roots | Ids::OneOnly => {}
    }
    unshare(NamespaceKind::User).map_err(|errno| format!("cannot make a user namespace: {errno}"))?;
    let one = |host| vec![Extent { container: 0, host, size: 1 }];
    let map = IdMap { uids: one(uid), gids: one(gid), writer: Writer::FirstProcess };
    map.write_from_inside().map_err(|error| error.to_string())
}

/// A container on networks of the realm has a user namespace of its own below it.
pub(super) fn check(options: &BoxOptions) -> Result<(), EngineError> {
    match options.namespaces.user {
        None | Some(NamespaceMode::New) => Ok(()),
        Some(_) => Err(boxr_network::Error::Unsupported {
            network: options.network.networks.first().map(|network| network.name.clone()).unwrap_or_default(),
            why: "a user's container on it has a user namespace of its own (--userns new)".to_owned(),
        }
        .into()),
    }
}

/// Another descriptor of the same namespace.
pub(super) fn duplicate(fd: &OwnedFd) -> Result<OwnedFd, EngineError> {
    fd.try_clone().map_err(|error| {
        let errno = rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO);
        EngineError::system("hold the user namespace of the user's networks", errno)
    })
}
