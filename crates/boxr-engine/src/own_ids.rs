//! All ids of an ordinary user, for work on files: a user namespace in which the caller is root and has the
//! ids of /etc/subuid and /etc/subgid (user_namespaces(7), subuid(5)).
//!
//! Layers of images belong to many users. Unpacked and removed in such a namespace they keep their
//! owners, as numbers among those of the caller; containers that the caller starts have the same map.
//!
//! ```text
//! caller                         helper (stays outside, where newuidmap may do its work)
//!   unshare(CLONE_NEWUSER)
//!   "go" ──────────────────────▶  newuidmap CALLER …, newgidmap CALLER …
//!   ◀──────────────────────────  nothing, or what went wrong
//! ```

use std::io::Read;
use std::os::fd::{BorrowedFd, OwnedFd};

use boxr_runtime::error::Error as RuntimeError;
use boxr_runtime::idmap::{IdMap, Writer, subordinate_ranges, with_ranges};
use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::namespace::{NamespaceKind, unshare};
use boxr_sys::pidfd::{Ended, reap};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, getegid, geteuid, getpid};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Whose ids this process has now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// It was root already.
    Roots,
    /// Its own and its subordinate ones.
    All,
    /// Its own alone: it has no others, or may make no user namespace.
    OneOnly,
}

/// The ids that the caller has cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnIdsError {
    /// A system call.
    #[error("cannot {action}: {errno}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        errno: Errno,
    },
    /// newuidmap or newgidmap.
    #[error("cannot use the ids of /etc/subuid and /etc/subgid: {0}")]
    Helper(String),
}

/// Takes this process, which must have one thread, into such a namespace for good.
///
/// # Errors
/// [`OwnIdsError`]; then nothing more is to be done with files.
pub fn enter() -> Result<Ids, OwnIdsError> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        return Ok(Ids::Roots);
    }
    let Some((uids, gids)) = subordinate_ranges(uid.as_raw()) else { return Ok(Ids::OneOnly) };
    let map = IdMap {
        uids: with_ranges(uid.as_raw(), &uids),
        gids: with_ranges(gid.as_raw(), &gids),
        writer: Writer::Helpers,
    };
    let failed = |action| move |errno| OwnIdsError::System { action, errno };
    let caller = getpid();
    let (go_out, go_in) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let (done_out, done_in) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let pidfd = match clone3(0, None, Parent::Caller).map_err(failed("start a process"))? {
        Cloned::Child => {
            drop((go_in, done_out));
            help(&go_out, &done_in, &map, caller)
        }
        Cloned::Parent { pidfd, .. } => pidfd,
    };
    drop((go_out, done_in));
    let is_inside = unshare(NamespaceKind::User).is_ok();
    if is_inside {
        rustix::io::write(&go_in, b"go").map_err(failed("speak to a process"))?;
    }
    drop(go_in);
    let mut answer = String::new();
    std::fs::File::from(done_out)
        .read_to_string(&mut answer)
        .map_err(|error| failed("hear a process")(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
    reap(std::os::fd::AsFd::as_fd(&pidfd), true).map_err(failed("wait for a process"))?;
    match (is_inside, answer.as_str()) {
        (false, _) => Ok(Ids::OneOnly),
        (true, DONE) => Ok(Ids::All),
        (true, reason) => Err(OwnIdsError::Helper(reason.to_owned())),
    }
}

/// Does `work` in a process of its own that has all ids of the caller.
///
/// # Errors
/// What `work` returns; `EPERM` where the ids cannot be had.
pub(crate) fn with_all(work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    in_worker(|| enter().map_err(|_| Errno::PERM).and_then(|_| work()))
}

/// Does `work` in a process of its own, as root of the user namespace `users`, which the caller has made.
///
/// # Errors
/// What `work` returns, or the system's.
pub(crate) fn within(users: BorrowedFd<'_>, work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    in_worker(|| move_into_link_name_space(users, Some(LinkNameSpaceType::User)).and_then(|()| work()))
}

fn in_worker(work: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let worker = match clone3(0, None, Parent::Caller)? {
        Cloned::Child => {
            let done = work();
            let number = done.err().map_or(0, Errno::raw_os_error);
            exit_now(u8::try_from(number).unwrap_or(u8::MAX))
        }
        Cloned::Parent { pidfd, .. } => pidfd,
    };
    match reap(std::os::fd::AsFd::as_fd(&worker), true)? {
        Some(Ended::Code(0)) => Ok(()),
        Some(Ended::Code(number)) => Err(Errno::from_raw_os_error(i32::from(number))),
        _ => Err(Errno::IO),
    }
}

/// The same for work that says in words what went wrong.
///
/// # Errors
/// Those words.
pub(crate) fn with_all_told(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let failed = |doing: &'static str| move |errno: Errno| format!("cannot {doing}: {errno}");
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(failed("make a pipe"))?;
    let worker = match clone3(0, None, Parent::Caller).map_err(failed("start a process"))? {
        Cloned::Child => {
            drop(told);
            let done = enter().map_err(|error| error.to_string()).and_then(|_| work());
            let word = done.as_ref().err().map_or(DONE, String::as_str);
            // Whoever cannot be told hears that nothing came.
            std::io::Write::write_all(&mut std::fs::File::from(tell), word.as_bytes()).unwrap_or_default();
            exit_now(0)
        }
        Cloned::Parent { pidfd, .. } => pidfd,
    };
    drop(tell);
    let mut word = String::new();
    let heard = std::fs::File::from(told).read_to_string(&mut word);
    reap(std::os::fd::AsFd::as_fd(&worker), true).map_err(failed("wait for a process"))?;
    match (heard, word.as_str()) {
        (Ok(_), DONE) => Ok(()),
        (Ok(_), "") => Err("the process that did it was ended".to_owned()),
        (Ok(_), reason) => Err(reason.to_owned()),
        (Err(error), _) => Err(error.to_string()),
    }
}

/// What the helper says when all went well; a helper that died says nothing.
const DONE: &str = "done";

fn help(go: &OwnedFd, done: &OwnedFd, map: &IdMap, caller: Pid) -> ! {
    let mut word = [0; 2];
    if matches!(rustix::io::retry_on_intr(|| rustix::io::read(go, &mut word)), Ok(2)) {
        let mapped: Result<(), RuntimeError> = map.write_from_outside(caller);
        let answer = mapped.map_or_else(|error| error.to_string(), |()| DONE.to_owned());
        // Whoever cannot be told hears that nothing came.
        rustix::io::write(done, answer.as_bytes()).ok();
    }
    exit_now(0)
}
