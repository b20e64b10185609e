//! The realm of an ordinary user: a user namespace of his own, and in it one network namespace in which his
//! networks are, as root's are in the host's.
//!
//! ```text
//! host                    realm (out0: pasta)            container (its user namespace is below the realm's)
//!   192.0.2.2:8080 ─ pasta ──────────────────────────────▶ port0   the client's address is kept
//!                          bridge boxr1, nf_tables ──veth── eth0
//! ```
//!
//! A sleeping process, the keeper, holds both namespaces while a container is on a network of the user's. Who takes the
//! last one away ends it. Work in the realm is done by a process that enters it and ends: a capability in
//! the realm reaches into the containers below, but one who has entered does not get out again.
//!
//! A keeper that was killed is replaced: in the same network namespace where a resolver still is in it; otherwise
//! in a new one, to which every container that lives is connected again.

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::namespace::{NamespaceKind, unshare};
use boxr_sys::rights::Tracers;
use boxr_sys::{fd, memory, nsfs, pidfd, signal, title};
use rustix::event::pause;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::attachment::Attachment;
use crate::error::{Collected, Error, Told};
use crate::files::{self, Existing, Lasting, Lock, Sharing};
use crate::helper::{self, Task};
use crate::host_side;
use crate::link::Links;
use crate::networks::Networks;

/// What only the owner of the containers knows.
#[derive(Clone, Copy)]
pub struct Owner<'a> {
    /// Takes the calling process, which has one thread, into a new user namespace in which it is root.
    pub enter_user: &'a dyn Fn() -> Result<(), String>,
    /// The first process of a container that lives.
    pub process: &'a dyn Fn(&str) -> Option<i32>,
    /// The namespaces of a container that lives, or of a pod that is up: one without members has no process in them.
    pub namespaces: &'a dyn Fn(&str) -> Option<Realm>,
}

impl std::fmt::Debug for Owner<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Owner")
    }
}

/// Both namespaces, held.
#[derive(Debug)]
pub struct Realm {
    user: OwnedFd,
    network: OwnedFd,
}

/// `realm/realm.json`
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Its pid.
    keeper: i32,
    /// The inodes of the two namespaces.
    user: u64,
    network: u64,
}

/// Which namespaces a new keeper takes.
enum Place<'a> {
    /// New ones.
    New,
    /// A new network namespace in this user namespace.
    In(&'a OwnedFd),
    /// These two.
    Both(&'a Realm),
}

impl Realm {
    /// The user namespace: containers' own are to be below it.
    pub fn user(&self) -> &OwnedFd {
        &self.user
    }

    /// These two.
    pub fn new(user: OwnedFd, network: OwnedFd) -> Self {
        Self { user, network }
    }

    /// Those of a process of the user's.
    ///
    /// # Errors
    /// It has ended, or is another user's.
    pub fn of(pid: i32) -> Result<Self, Errno> {
        Ok(Self { user: open(pid, "user")?, network: open(pid, "net")? })
    }

    fn is(&self, record: &Record) -> bool {
        inode(&self.user) == Some(record.user) && inode(&self.network) == Some(record.network)
    }

    /// Enters it for good.
    fn enter(&self) -> Result<(), Errno> {
        // The caller's own is not entered again (setns(2)).
        let own = fs::metadata("/proc/thread-self/ns/user").ok().map(|own| own.ino());
        if own != inode(&self.user) {
            move_into_link_name_space(self.user.as_fd(), Some(LinkNameSpaceType::User))?;
        }
        move_into_link_name_space(self.network.as_fd(), Some(LinkNameSpaceType::Network))
    }

    /// Does `work` in it, in a process of its own.
    pub(crate) fn run<T: Serialize + DeserializeOwned>(
        &self,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let failed = |errno| Error::system("work in", "the user's network namespace", errno);
        let (hear, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed)?;
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => {
                drop(hear);
                let done = self.enter().map_err(failed).and_then(|()| work());
                let told = serde_json::to_vec(&done.map_err(|error| Told::from(&error))).unwrap_or_default();
                let written = rustix::io::retry_on_intr(|| rustix::io::write(&tell, &told));
                exit_now(u8::from(written != Ok(told.len())))
            }
            Cloned::Parent { pidfd, .. } => {
                drop(tell);
                let mut told = Vec::new();
                let heard = fs::File::from(hear).read_to_end(&mut told);
                pidfd::reap(pidfd.as_fd(), true).map_err(failed)?;
                heard.map_err(|_| failed(Errno::IO))?;
                let done: Result<T, Told> =
                    serde_json::from_slice(&told).map_err(|_| failed(Errno::CHILD))?;
                done.map_err(Error::from)
            }
        }
    }
}

fn open(pid: i32, kind: &str) -> Result<OwnedFd, Errno> {
    openat(CWD, format!("/proc/{pid}/ns/{kind}"), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

fn inode(fd: &OwnedFd) -> Option<u64> {
    rustix::fs::fstat(fd).ok().map(|stat| stat.st_ino)
}

impl Networks {
    fn realm_dir(&self) -> PathBuf {
        self.state().join("realm")
    }

    fn realm_record(&self) -> PathBuf {
        self.realm_dir().join("realm.json")
    }

    /// Where the helper of the realm writes its pid.
    pub(crate) fn realm_helper(&self) -> PathBuf {
        self.realm_dir().join("out.pid")
    }

    pub(crate) fn lock_realm(&self) -> Result<Lock, Error> {
        loop {
            files::make_dir(&self.realm_dir())?;
            if let Some(lock) = files::lock(&self.realm_dir(), Sharing::Alone)? {
                return Ok(lock);
            }
        }
    }

    /// The user's realm, if its keeper lives.
    ///
    /// # Errors
    /// The record cannot be read.
    pub fn realm(&self) -> Result<Option<Realm>, Error> {
        let Some(record) = files::read::<Record>(&self.realm_record())? else { return Ok(None) };
        Ok(Realm::of(record.keeper).ok().filter(|realm| realm.is(&record)))
    }

    /// Whether the calling process is in it.
    pub(crate) fn is_in_realm(&self) -> bool {
        let record = files::read::<Record>(&self.realm_record()).ok().flatten();
        let own = fs::metadata("/proc/thread-self/ns/net").ok();
        record.zip(own).is_some_and(|(record, own)| record.network == own.ino())
    }

    /// The realm, which is made where there is none, and repaired where something of it was killed. The caller's
    /// container has its record already, so that nobody ends it meanwhile.
    ///
    /// # Errors
    /// No user namespace is to be had; no helper, where one is needed.
    pub(crate) fn ensure_realm(&self, owner: Owner<'_>) -> Result<Realm, Error> {
        let _alone = self.lock_realm()?;
        let look = || match self.realm()? {
            Some(realm) => Ok(realm),
            None => self.restore_realm(owner),
        };
        let realm = look()?;
        match self.ensure_outside(&realm) {
            // The keeper, by which the helper finds the realm, was killed meanwhile.
            Err(_) if self.realm()?.is_none() => {
                let realm = look()?;
                self.ensure_outside(&realm).map(|()| realm)
            }
            done => done.map(|()| realm),
        }
    }

    /// What was killed of the realm is there again, where containers need it.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn look_after_realm(&self, owner: Owner<'_>) -> Result<(), Error> {
        let in_use =
            self.attachments()?.iter().any(|other| other.realm && (owner.namespaces)(&other.id).is_some());
        if !in_use {
            return if self.realm_dir().exists() { self.end_deserted_realm() } else { Ok(()) };
        }
        let realm = self.ensure_realm(owner)?;
        for network in self.networks_of(|other| other.realm && (owner.namespaces)(&other.id).is_some())? {
            let Some(network) = self.find_if_there(&network)? else { continue };
            if !self.has_living_resolver(&network)? {
                realm.run(|| self.restore_resolver(&network))?;
            }
        }
        self.look_after_helpers(&realm, owner)
    }

    /// Helpers of containers' own, for their ports: one that was killed, or whose start was cut short, is started again.
    fn look_after_helpers(&self, realm: &Realm, owner: Owner<'_>) -> Result<(), Error> {
        let is_lost = |other: &Attachment| {
            other.realm && other.needs_helper() && helper::is_lost(&self.pid_file(&other.id))
        };
        if !self.attachments()?.iter().any(is_lost) {
            return Ok(());
        }
        // Nobody changes ports meanwhile.
        let _alone = self.lock_realm()?;
        for attachment in self.attachments()?.iter().filter(|other| is_lost(other)) {
            let id = &attachment.id;
            if let Some((pid, own)) = (owner.process)(id).zip((owner.namespaces)(id)) {
                self.lead_ports_in(attachment, realm, pid, own.network.as_fd())?;
            }
        }
        Ok(())
    }

    fn restore_realm(&self, owner: Owner<'_>) -> Result<Realm, Error> {
        let record = files::read::<Record>(&self.realm_record())?;
        let living = self.living_in_realm(owner)?;
        let (Some(record), false) = (&record, living.is_empty()) else {
            self.clear_realm()?;
            return self.make_realm(Place::New, owner);
        };
        // A resolver is in it still, and so it is there.
        let kept = self.resolver_pids()?.into_iter().filter_map(|pid| Realm::of(pid).ok());
        if let Some(realm) = kept.into_iter().find(|realm| realm.is(record)) {
            return self.make_realm(Place::Both(&realm), owner);
        }
        self.clear_realm()?;
        let above = living.iter().filter_map(|(_, own)| nsfs::parent(own.user.as_fd()).ok());
        let Some(user) = above.into_iter().find(|user| inode(user) == Some(record.user)) else {
            return self.make_realm(Place::New, owner);
        };
        let realm = self.make_realm(Place::In(&user), owner)?;
        for (id, own) in living {
            realm.run(|| self.connect_again(&id, own.network.as_fd()))?;
        }
        Ok(realm)
    }

    /// Containers that are on networks of the realm, each with its namespaces.
    fn living_in_realm(&self, owner: Owner<'_>) -> Result<Vec<(String, Realm)>, Error> {
        let all = self.attachments()?.into_iter().filter(|other| other.realm);
        Ok(all.filter_map(|other| Some((other.id.clone(), (owner.namespaces)(&other.id)?))).collect())
    }

    fn make_realm(&self, place: Place<'_>, owner: Owner<'_>) -> Result<Realm, Error> {
        let failed = |errno| Error::system("make", "a network namespace of the user's", errno);
        let pipe = || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(failed);
        let ((hear, tell), (wait, release)) = (pipe()?, pipe()?);
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => match clone3(0, None, Parent::Caller) {
                // Nobody's child, so that nobody has to wait for it.
                Ok(Cloned::Child) => keep(place, owner, tell, wait),
                Ok(Cloned::Parent { .. }) => exit_now(0),
                Err(_) => exit_now(1),
            },
            Cloned::Parent { pidfd, .. } => {
                drop((tell, wait));
                pidfd::reap(pidfd.as_fd(), true).map_err(failed)?;
            }
        }
        let mut told = Vec::new();
        fs::File::from(hear).read_to_end(&mut told).map_err(|_| failed(Errno::IO))?;
        let keeper: Result<i32, String> = serde_json::from_slice(&told).map_err(|_| failed(Errno::CHILD))?;
        let keeper =
            keeper.map_err(|why| Error::Told(format!("cannot make a network of the user's: {why}")))?;
        let realm = Realm::of(keeper).map_err(failed)?;
        let number = |fd| inode(fd).ok_or_else(|| failed(Errno::IO));
        let record = Record { keeper, user: number(&realm.user)?, network: number(&realm.network)? };
        files::write(&self.realm_record(), &record, Existing::Replace, Lasting::No)?;
        // It is known from now on, and stays.
        rustix::io::retry_on_intr(|| rustix::io::write(&release, b"!")).map_err(failed)?;
        Ok(realm)
    }

    /// The way out of the realm, where a network needs one and the host has one.
    fn ensure_outside(&self, realm: &Realm) -> Result<(), Error> {
        let pid_file = self.realm_helper();
        let networks = self.networks_of(|other| other.realm)?;
        let is_open = |name: &String| self.find(name).is_ok_and(|network| !network.internal);
        if !networks.iter().any(is_open) || helper::is_running(&pid_file) {
            return Ok(());
        }
        if !Links::open()?.has_default_route()? {
            // Containers reach each other; the next start looks again.
            return Ok(());
        }
        let program = helper::find()?;
        let Some(record) = files::read::<Record>(&self.realm_record())?.filter(|record| realm.is(record))
        else {
            return Err(Error::system("find", "the user's network namespace", Errno::SRCH));
        };
        let ipv6 = host_side::device_with_ipv6().filter(|_| host_side::has_way_out_by_ipv6());
        let wanted = helper::Wanted {
            pid: record.keeper,
            published: &[],
            mac: None,
            pid_file: &pid_file,
            task: Task::Realm,
            host: None,
            ipv6: ipv6.as_deref(),
        };
        helper::start(&program, &wanted, || Ok(()))
    }

    /// Ends the realm when no container is left in it.
    ///
    /// # Errors
    /// A process of it cannot be ended, or a file not be removed.
    pub fn end_deserted_realm(&self) -> Result<(), Error> {
        if !self.realm_dir().exists() {
            return Ok(());
        }
        let _alone = self.lock_realm()?;
        if self.attachments()?.iter().any(|other| other.realm) {
            return Ok(());
        }
        self.clear_realm()?;
        // Of a writer that was killed.
        files::sweep(&self.realm_dir())?;
        files::remove_dir(&self.realm_dir())
    }

    /// Ends what there is of it. The lock is held.
    fn clear_realm(&self) -> Result<(), Error> {
        let mut collected = Collected::default();
        collected.take(helper::end(&self.realm_helper()));
        let record = files::read::<Record>(&self.realm_record())?;
        for pid in self.resolver_pids()?.into_iter().chain(record.iter().map(|record| record.keeper)) {
            if let Some(record) = &record {
                collected.take(end(pid, record));
            }
        }
        collected.take(files::remove(&self.realm_record()));
        collected.finish()
    }
}

/// Ends a process of the realm's: one that is in its network namespace.
fn end(pid: i32, record: &Record) -> Result<(), Error> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(()) };
    let failed = |errno| Error::system("end", format!("process {pid}"), errno);
    // Held before it is looked at: the number cannot become another's in between.
    let held = match pidfd_open(pid, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(()),
        held => held.map_err(failed)?,
    };
    let inside = fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|found| found.ino() == record.network);
    if !inside {
        return Ok(());
    }
    // A resolver and its standby are one group, which has no other members: at once, or one would follow the other.
    end_group(pid, held.as_fd()).map_err(failed)
}

/// Ends the group of a process, which may end by itself meanwhile, as a resolver does.
fn end_group(pid: Pid, held: BorrowedFd<'_>) -> Result<(), Errno> {
    let group = rustix::process::getpgid(Some(pid));
    match group.and_then(|group| rustix::process::kill_process_group(group, Signal::KILL)) {
        Err(Errno::SRCH) => Ok(()),
        done => done.and_then(|()| pidfd::wait_for_end(held)),
    }
}

/// In the keeper: takes its place, tells its pid, and sleeps once it is released: one that no record knows ends.
fn keep(place: Place<'_>, owner: Owner<'_>, tell: OwnedFd, wait: OwnedFd) -> ! {
    let placed = take_place(place, owner);
    let Ok([tell, wait]) = fd::close_all_but([tell, wait]) else { exit_now(1) };
    let placed = placed.and_then(|()| leave_streams());
    let told = serde_json::to_vec(&placed.map(|()| rustix::process::getpid().as_raw_nonzero().get()));
    let written = rustix::io::write(&tell, &told.unwrap_or_default()).is_ok();
    drop(tell);
    let released = rustix::io::retry_on_intr(|| rustix::io::read(&wait, &mut [0u8; 1]));
    drop(wait);
    if !written || released != Ok(1) {
        exit_now(1);
    }
    memory::release_program().unwrap_or_default();
    loop {
        pause();
    }
}

fn failed(doing: &'static str) -> impl Fn(Errno) -> String {
    move |errno| format!("cannot {doing}: {errno}")
}

fn take_place(place: Place<'_>, owner: Owner<'_>) -> Result<(), String> {
    match place {
        Place::New => {
            (owner.enter_user)()?;
            unshare(NamespaceKind::Network).map_err(failed("make a network namespace"))?;
        }
        Place::In(user) => {
            move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))
                .map_err(failed("enter the user namespace"))?;
            unshare(NamespaceKind::Network).map_err(failed("make a network namespace"))?;
        }
        Place::Both(realm) => realm.enter().map_err(failed("enter the network namespace"))?,
    }
    boxr_sys::loopback::bring_up().map_err(failed("set up lo"))?;
    rustix::process::setsid().map_err(failed("leave the session"))?;
    rustix::process::chdir("/").map_err(failed("leave the directory"))?;
    signal::set_mask(&signal::nothing_blocked()).map_err(failed("set signals"))?;
    title::set(c"boxr-realm", "boxr-realm").map_err(failed("name the process"))?;
    boxr_sys::rights::give_up(Tracers::User).map_err(failed("give up rights"))
}

fn leave_streams() -> Result<(), String> {
    let null = openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let null: OwnedFd = null.map_err(failed("open /dev/null"))?;
    (0..3).try_for_each(|number| fd::place(null.as_fd(), number)).map_err(failed("close descriptors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_just_ended_by_itself_is_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        let held = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        child.wait().unwrap();
        end_group(pid, held.as_fd()).unwrap();
    }
}
