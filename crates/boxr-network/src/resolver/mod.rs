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

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::rights::{self, Tracers};
use boxr_sys::{memory, title};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, pidfd_open};

use crate::beside::{self, Post, note_pids};
use crate::definition::{Definition, Driver};
use crate::error::Error;
use crate::files::{self, Sharing};
use crate::networks::{DEFAULT, Networks};
use serve::{Event, Server};

/// What such a process is called.
const COMM: &CStr = c"boxr-resolver";

impl Definition {
    /// Whether somebody answers names on it: on every network of one's own; on the default one only where the host's name
    /// servers are on the host's loopback interface, which is out of reach of a container.
    pub(crate) fn has_resolver(&self) -> bool {
        self.driver == Driver::Bridge && (self.name != DEFAULT || serve::host_servers_are_near())
    }
}

impl Networks {
    /// The file whose lock the resolver of a network holds.
    fn resolver(&self, network: &str) -> Post {
        Post { path: self.state_of(network).join("resolver"), comm: COMM }
    }

    /// Sees to it that names are answered on a network whose bridge is there. Two system calls where they are.
    pub(crate) fn ensure_resolver(&self, network: &Definition) -> Result<(), Error> {
        if !network.has_resolver() {
            return Ok(());
        }
        let failed =
            |errno| Error::system("start", format!("the resolver of network {}", network.name), errno);
        if self.resolver(&network.name).is_held(OFlags::CREATE).map_err(failed)? {
            return Ok(());
        }
        beside::start(|tell| self.be_resolver(network, tell)).map_err(failed)
    }

    /// Whether nothing is to be done about the resolver of a network.
    pub(crate) fn has_living_resolver(&self, network: &Definition) -> Result<bool, Error> {
        let failed =
            |errno| Error::system("look for", format!("the resolver of network {}", network.name), errno);
        if !network.has_resolver() {
            return Ok(true);
        }
        match self.resolver(&network.name).is_held(OFlags::empty()) {
            Err(Errno::NOENT) => Ok(false),
            found => found.map_err(failed),
        }
    }

    /// The resolvers that live.
    pub(crate) fn resolver_pids(&self) -> Result<Vec<i32>, Error> {
        let mut pids = Vec::new();
        for network in files::names(&self.state().join("nets"))? {
            pids.extend(self.resolver(&network).pids());
        }
        Ok(pids)
    }

    fn be_resolver(&self, network: &Definition, tell: OwnedFd) -> Result<(), Errno> {
        let kept = beside::settle(COMM, &network.name, vec![tell])?;
        let Some(tell) = kept.into_iter().next() else { return Err(Errno::BADF) };
        // Whoever started it may be dead, and the network gone.
        let bound = self.resolver(&network.name).take().and_then(|lock| match lock {
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
        beside::tell(tell, bound.as_ref().map(|_| ()).map_err(|errno| *errno))?;
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
                title::set(COMM, &format!("boxr-resolver standby {network}"))?;
                let mut fds = [PollFd::new(&me, PollFlags::IN)];
                rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
                // As the one before did, perhaps: a start has found the lock held meanwhile.
                if self.is_deserted(network, lock, server) {
                    exit_now(0);
                }
                title::set(COMM, &format!("boxr-resolver {network}"))?;
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
