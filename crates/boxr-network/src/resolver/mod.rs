//! Names on networks of one's own: a small process for each, on the network's gateway address, there while the
//! network has containers.
//!
//! It is a fork of boxr that holds the lock of `nets/NAME/resolver` for as long as it lives, so that there is one. It
//! has a standby, which holds the same sockets: when one is killed the other goes on, and what was asked meanwhile waits
//! in the sockets. It hears from the kernel which records change and when leases go, and ends with the last one, under the network's lock:
//! whoever takes a lease after that finds the lock free. One that was killed is started again by the next start on
//! the network and by `boxr network reload`.

mod names;
mod serve;
mod wire;

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::rights::{self, Tracers};
use boxr_sys::{fd, memory, pidfd, signal, title};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::definition::{Definition, Driver};
use crate::error::Error;
use crate::files::{self, Sharing};
use crate::networks::{DEFAULT, Networks};
use serve::{Event, Server};

impl Definition {
    /// Whether containers on it find each other by name.
    pub(crate) fn has_resolver(&self) -> bool {
        self.driver == Driver::Bridge && self.name != DEFAULT
    }
}

impl Networks {
    /// The file whose lock the resolver of a network holds.
    pub(crate) fn resolver_lock(&self, network: &str) -> PathBuf {
        self.state_of(network).join("resolver")
    }

    /// Sees to it that names are answered on a network whose bridge is there. Two system calls where they are.
    pub(crate) fn ensure_resolver(&self, network: &Definition) -> Result<(), Error> {
        if !network.has_resolver() {
            return Ok(());
        }
        let failed =
            |errno| Error::system("start", format!("the resolver of network {}", network.name), errno);
        if self.has_resolver_by_its_lock(&network.name, OFlags::CREATE).map_err(failed)? {
            return Ok(());
        }
        let (hear, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => match clone3(0, None, Parent::Caller) {
                // Nobody's child, so that nobody has to wait for it.
                Ok(Cloned::Child) => exit_now(u8::from(self.be_resolver(network, tell).is_err())),
                Ok(Cloned::Parent { .. }) => exit_now(0),
                Err(_) => exit_now(1),
            },
            Cloned::Parent { pidfd, .. } => {
                drop(tell);
                pidfd::reap(pidfd.as_fd(), true).map_err(failed)?;
                hear_outcome(&hear).map_err(failed)
            }
        }
    }

    /// Whether nothing is to be done about the resolver of a network.
    pub(crate) fn has_living_resolver(&self, network: &Definition) -> Result<bool, Error> {
        let failed =
            |errno| Error::system("look for", format!("the resolver of network {}", network.name), errno);
        if !network.has_resolver() {
            return Ok(true);
        }
        match self.has_resolver_by_its_lock(&network.name, OFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            found => found.map_err(failed),
        }
    }

    /// The resolvers that live.
    pub(crate) fn resolver_pids(&self) -> Result<Vec<i32>, Error> {
        let mut pids = Vec::new();
        for network in files::names(&self.state().join("nets"))? {
            if matches!(self.has_resolver_by_its_lock(&network, OFlags::empty()), Ok(true)) {
                let text = std::fs::read_to_string(self.resolver_lock(&network)).unwrap_or_default();
                pids.extend(text.split_whitespace().filter_map(|word| word.parse::<i32>().ok()));
            }
        }
        Ok(pids)
    }

    /// Whether a resolver holds the file. Only who starts one makes it: it is in the way of a removal.
    fn has_resolver_by_its_lock(&self, network: &str, make: OFlags) -> Result<bool, Errno> {
        let file = self.open_resolver_lock(network, make)?;
        Ok(!lock_at_once(&file, FlockOperation::NonBlockingLockShared)?)
    }

    fn open_resolver_lock(&self, network: &str, make: OFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | make;
        openat(CWD, self.resolver_lock(network), flags, Mode::from_raw_mode(0o600))
    }

    /// In a resolver: takes the lock; `None` where another one has it.
    fn lock_resolver(&self, network: &str) -> Result<Option<OwnedFd>, Errno> {
        let file = self.open_resolver_lock(network, OFlags::empty())?;
        loop {
            match take(&file)? {
                Held::Us => return Ok(Some(file)),
                Held::Another => return Ok(None),
                // Two or three calls, and it is over.
                Held::Lookers => std::thread::yield_now(),
            }
        }
    }

    fn be_resolver(&self, network: &Definition, tell: OwnedFd) -> Result<(), Errno> {
        rustix::process::setsid()?;
        fd::close_from_but(3, tell.as_fd())?;
        let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        for number in 0..3 {
            fd::place(null.as_fd(), number)?;
        }
        drop(null);
        signal::set_mask(&signal::nothing_blocked())?;
        title::set(c"boxr-resolver", &format!("boxr-resolver {}", network.name))?;
        // Whoever started it may be dead, and the network gone.
        let bound = self.lock_resolver(&network.name).and_then(|lock| match lock {
            Some(lock) => {
                let server = Server::bind(self, network)?;
                note_pids(&lock, None)?;
                // It reads what containers send: it keeps its user, whose files it reads.
                let in_realm = self.is_in_realm();
                rights::give_up(if in_realm { Tracers::User } else { Tracers::Privileged })?;
                Ok(Some((lock, server)))
            }
            None => Ok(None),
        });
        let code = bound.as_ref().err().map_or(0, |errno| errno.raw_os_error());
        rustix::io::write(&tell, &code.to_ne_bytes())?;
        drop(tell);
        // Another one was faster.
        let Some((lock, server)) = bound? else { return Ok(()) };
        memory::release_program().unwrap_or_default();
        let mut lock = Some(lock);
        server.run(|server, event| match event {
            Event::Fewer => self.is_deserted(&network.name, &mut lock, server),
            Event::Alone => {
                // Without one it goes on all the same.
                let standby = self.fork_standby(&network.name, &mut lock, server);
                server.set_standby(standby.unwrap_or_default());
                false
            }
        })
    }

    /// In the resolver: makes a standby and gives its pidfd. Returns in the standby too, when the resolver has ended and it
    /// is to go on: without one of its own.
    fn fork_standby(
        &self,
        network: &str,
        lock: &mut Option<OwnedFd>,
        server: &mut Server,
    ) -> Result<Option<OwnedFd>, Errno> {
        let me = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())?;
        match clone3(0, None, Parent::Caller)? {
            Cloned::Parent { pid, pidfd } => {
                lock.as_ref().map_or(Ok(()), |lock| note_pids(lock, Some(pid)))?;
                Ok(Some(pidfd))
            }
            Cloned::Child => {
                title::set(c"boxr-resolver", &format!("boxr-resolver standby {network}"))?;
                let mut fds = [PollFd::new(&me, PollFlags::IN)];
                rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
                // As the one before did, perhaps: a start has found the lock held meanwhile.
                if self.is_deserted(network, lock, server) {
                    exit_now(0);
                }
                title::set(c"boxr-resolver", &format!("boxr-resolver {network}"))?;
                lock.as_ref().map_or(Ok(()), |lock| note_pids(lock, None))?;
                Ok(None)
            }
        }
    }

    /// Whether no container is left; then the addresses and the lock have been given back.
    fn is_deserted(&self, network: &str, lock: &mut Option<OwnedFd>, server: &mut Server) -> bool {
        let empty = || files::names(&self.leases_of(network)).is_ok_and(|leases| leases.is_empty());
        if !empty() {
            return false;
        }
        // Nobody takes a lease meanwhile. A network that is gone has none.
        match files::lock(&self.state_of(network), Sharing::Alone) {
            Ok(Some(_alone)) if !empty() => false,
            _ => {
                server.close();
                lock.take();
                true
            }
        }
    }
}

/// Who holds the lock of a resolver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    Us,
    /// Another resolver.
    Another,
    /// Somebody who looks whether there is one, for a moment.
    Lookers,
}

/// Tries to take it: who only looks shares it, so that what cannot be shared is a resolver's.
fn take(file: &OwnedFd) -> Result<Held, Errno> {
    if lock_at_once(file, FlockOperation::NonBlockingLockExclusive)? {
        return Ok(Held::Us);
    }
    if !lock_at_once(file, FlockOperation::NonBlockingLockShared)? {
        return Ok(Held::Another);
    }
    flock(file, FlockOperation::Unlock).map(|()| Held::Lookers)
}

fn lock_at_once(file: &OwnedFd, how: FlockOperation) -> Result<bool, Errno> {
    match flock(file, how) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// So that it can be found, and its standby. Always of one length, so that one write takes the place of another: whoever
/// reads never finds a number of each.
fn note_pids(lock: &OwnedFd, standby: Option<Pid>) -> Result<(), Errno> {
    let standby = standby.map_or_else(String::new, |pid| pid.to_string());
    let text = format!("{:<10} {standby:<10}\n", rustix::process::getpid());
    rustix::io::pwrite(lock, text.as_bytes(), 0).map(|_| ())
}

/// What the resolver says of its start; an end without a word is a failure.
fn hear_outcome(hear: &OwnedFd) -> Result<(), Errno> {
    let mut code = [0u8; 4];
    match rustix::io::retry_on_intr(|| rustix::io::read(hear, &mut code))? {
        4 => match i32::from_ne_bytes(code) {
            0 => Ok(()),
            code => Err(Errno::from_raw_os_error(code)),
        },
        _ => Err(Errno::CHILD),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_take_the_place_of_others_at_once() {
        let file = tempfile::tempfile().unwrap();
        let lock: OwnedFd = file.try_clone().unwrap().into();
        let me = rustix::process::getpid();
        let noted = |standby| {
            note_pids(&lock, standby).unwrap();
            let mut text = String::new();
            std::io::Seek::rewind(&mut &file).unwrap();
            std::io::Read::read_to_string(&mut &file, &mut text).unwrap();
            text
        };
        let (two, one) = (noted(Some(me)), noted(None));
        assert_eq!(two.split_whitespace().collect::<Vec<_>>(), [me.to_string(), me.to_string()]);
        assert_eq!(one.split_whitespace().collect::<Vec<_>>(), [me.to_string()]);
        assert_eq!(one.len(), two.len());
    }

    #[test]
    fn a_resolver_that_comes_late_is_not_in_the_way_of_a_removal() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::new(dir.path(), dir.path());
        files::make_dir(&networks.leases_of("blue")).unwrap();
        assert!(networks.resolver_pids().unwrap().is_empty());
        let late = networks.lock_resolver("blue");
        assert_eq!(late.err(), Some(Errno::NOENT));
        assert!(!networks.resolver_lock("blue").exists());
        assert_eq!(networks.has_resolver_by_its_lock("blue", OFlags::CREATE), Ok(false));
        let first = networks.lock_resolver("blue").unwrap();
        assert!(first.is_some() && networks.lock_resolver("blue").unwrap().is_none());
        assert_eq!(networks.has_resolver_by_its_lock("blue", OFlags::empty()), Ok(true));
    }

    #[test]
    fn who_looks_for_a_resolver_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let networks = Networks::new(dir.path(), dir.path());
        files::make_dir(&networks.leases_of("blue")).unwrap();
        let open = || networks.open_resolver_lock("blue", OFlags::CREATE).unwrap();
        let (looker, resolver) = (open(), open());
        flock(&looker, FlockOperation::LockShared).unwrap();
        assert_eq!(take(&resolver), Ok(Held::Lookers));
        assert_eq!(networks.has_resolver_by_its_lock("blue", OFlags::empty()), Ok(false));
        drop(looker);
        assert_eq!((take(&resolver), take(&open())), (Ok(Held::Us), Ok(Held::Another)));
    }
}
