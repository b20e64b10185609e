//! Which boxes could reach boxr's own program, which [`boxr_runtime::own_binary`] keeps from them.

use boxr_runtime::own_binary::{self, Error};

use crate::options::{BoxOptions, IdExtent, IdMapping, NamespaceMode};

/// Makes sure that this process runs from a program that the box cannot write, if the box could reach it.
/// May start the program once more, from its beginning: see [`own_binary::protect`].
///
/// # Errors
/// See [`own_binary::protect`].
pub fn protect_for(options: &BoxOptions) -> Result<(), Error> {
    if !meets_foreign_processes(options) {
        return Ok(());
    }
    if is_within_reach(options)? { own_binary::protect() } else { Ok(()) }
}

/// Whether somebody in the box has an id that may write the program.
fn is_within_reach(options: &BoxOptions) -> Result<bool, Error> {
    match (&options.id_mapping, &options.namespaces.user) {
        // Nobody but these ids is in the box.
        (IdMapping::Explicit { uids, gids }, Some(NamespaceMode::New)) if options.root.image().is_some() => {
            let holds = |extents: &[IdExtent], id: u32| {
                extents.iter().any(|one| id.checked_sub(one.host).is_some_and(|offset| offset < one.size))
            };
            own_binary::is_exposed_to(|uid| holds(uids, uid), |gid| holds(gids, gid))
        }
        _ => is_exposed(),
    }
}

/// Whether a box can be started by this process as it is: [`protect_for`] would do nothing.
///
/// # Errors
/// boxr's program cannot be looked at.
pub(crate) fn may_start(options: &BoxOptions) -> Result<bool, Error> {
    Ok(own_binary::is_protected() || !meets_foreign_processes(options) || !is_within_reach(options)?)
}

/// The same for a box of which nothing is known.
///
/// # Errors
/// See [`own_binary::protect`].
pub fn protect() -> Result<(), Error> {
    if is_exposed()? { own_binary::protect() } else { Ok(()) }
}

/// Root's boxes may be the host's root, and an ordinary user's are that user in any case; whoever else
/// owns the program is not among the ids that a user can map.
fn is_exposed() -> Result<bool, Error> {
    let caller = rustix::process::geteuid();
    Ok(caller.is_root() || own_binary::is_exposed_to(|uid| uid == caller.as_raw(), is_callers_group)?)
}

/// Whether the caller is in the group. It stays there in a box, whose map need not hold the group (user_namespaces(7)).
/// Where its groups cannot be told, it may be in any.
fn is_callers_group(gid: u32) -> bool {
    gid == rustix::process::getegid().as_raw()
        || rustix::process::getgroups()
            .map_or(true, |groups| groups.iter().any(|group| group.as_raw() == gid))
}

/// Whether somebody else's program runs in the box while boxr is in it, or can look at it there. A command
/// of the host's own file tree in namespaces of its own has the program before it as it is.
fn meets_foreign_processes(options: &BoxOptions) -> bool {
    let joins = |mode: &NamespaceMode| matches!(mode, NamespaceMode::Join(_));
    options.root.is_own() || joins(&options.namespaces.mount) || joins(&options.namespaces.pid)
}
