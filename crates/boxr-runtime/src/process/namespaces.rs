//! Entering namespaces, and what is set in those that are new.

use std::os::fd::{AsFd, OwnedFd};

use boxr_sys::namespace::{NamespaceKind, unshare};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::procfs::Procfs;
use super::protocol::Channel;
use super::{credentials, keyring};
use crate::error::{At, Step, StepError};
use crate::idmap::OwnMaps;
use crate::plan::Plan;

/// Joins what the caller's own privilege reaches, then the user namespace, then what that gives
/// the right to: a network namespace of the host's beside a user namespace of the container's, or
/// all of them owned by the latter, come out right.
///
/// The host's procfs is out of reach once the mount namespace has changed: it goes last.
pub(super) fn join_all(plan: &Plan) -> Result<(), StepError> {
    let of = |wanted: fn(NamespaceKind) -> bool| {
        plan.joined.iter().filter(move |(kind, _)| wanted(*kind)).map(|(kind, fd)| (*kind, fd))
    };
    let late = |kind| matches!(kind, NamespaceKind::User | NamespaceKind::Mount);
    let Some((_, user)) = of(|kind| kind == NamespaceKind::User).next() else {
        return of(|_| true)
            .filter(|(kind, _)| !late(*kind))
            .chain(of(|kind| kind == NamespaceKind::Mount))
            .try_for_each(|(kind, fd)| join(kind, fd));
    };
    let maps = OwnMaps::hold()?;
    let mut denied = Vec::new();
    for (kind, fd) in of(|_| true).filter(|(kind, _)| !late(*kind)) {
        match setns(kind, fd) {
            Err(Errno::PERM) => denied.push((kind, fd)),
            other => other.at(Step::Join, kind)?,
        }
    }
    join(NamespaceKind::User, user)?;
    maps.check(plan.expected_map.as_ref())?;
    if maps.has_root()? {
        credentials::become_root()?;
    }
    denied
        .into_iter()
        .chain(of(|kind| kind == NamespaceKind::Mount))
        .try_for_each(|(kind, fd)| join(kind, fd))
}

fn join(kind: NamespaceKind, fd: &OwnedFd) -> Result<(), StepError> {
    setns(kind, fd).at(Step::Join, kind)
}

fn setns(kind: NamespaceKind, fd: &OwnedFd) -> Result<(), Errno> {
    let typ = match kind {
        NamespaceKind::Pid => LinkNameSpaceType::ProcessID,
        NamespaceKind::Network => LinkNameSpaceType::Network,
        NamespaceKind::Mount => LinkNameSpaceType::Mount,
        NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        NamespaceKind::User => LinkNameSpaceType::User,
        NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
        NamespaceKind::Time => LinkNameSpaceType::Time,
    };
    move_into_link_name_space(fd.as_fd(), Some(typ))
}

/// What the first process sets, as root of its user namespace, before it builds its root.
/// `proc` is there when the plan has sysctls.
pub(super) fn set_up(plan: &Plan, proc: Option<&Procfs>) -> Result<(), StepError> {
    if plan.makes(NamespaceKind::Cgroup) {
        unshare(NamespaceKind::Cgroup).at(Step::Unshare, "cgroup")?;
    }
    if plan.makes(NamespaceKind::Time) {
        set_up_time(plan)?;
    }
    if let Some(name) = &plan.session_keyring {
        let shifted = plan.makes(NamespaceKind::User) || plan.joins(NamespaceKind::User);
        keyring::join(name, if shifted { keyring::Finders::Everybody } else { keyring::Finders::Owner })?;
    }
    if let Some(name) = &plan.hostname {
        rustix::system::sethostname(name.as_bytes()).at(Step::Hostname, name)?;
    }
    if let Some(name) = &plan.domainname {
        rustix::system::setdomainname(name.as_bytes()).at(Step::Domainname, name)?;
    }
    if plan.makes(NamespaceKind::Network) {
        boxr_sys::loopback::bring_up().at(Step::Loopback, "lo")?;
    }
    if let Some(proc) = proc {
        for (path, value) in &plan.sysctls {
            proc.write(path, value.as_bytes()).at(Step::Sysctl, format!("/proc/{path} to {value:?}"))?;
        }
    }
    Ok(())
}

/// A socket that listens on `port` of the loopback address, for boxr. The port is free: the namespace is new.
pub(super) fn listen(port: u16, channel: &Channel) -> Result<(), StepError> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};
    let address = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, port));
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let made = socket.and_then(|socket| {
        bind(&socket, &address)?;
        listen(&socket, 128)?;
        channel.inside(socket.as_fd())
    });
    made.at(Step::Inside, address)
}

/// Offsets can be written only while nobody is in the namespace (time_namespaces(7)), so it is
/// unshared for children first and entered afterwards.
fn set_up_time(plan: &Plan) -> Result<(), StepError> {
    unshare(NamespaceKind::Time).at(Step::Unshare, "time")?;
    let path = "/proc/self/timens_offsets";
    for (clock, secs, nanos) in &plan.time_offsets {
        let line = format!("{clock} {secs} {nanos}\n");
        std::fs::write(path, &line).at(Step::TimeOffsets, line.trim_end())?;
    }
    let link = "/proc/self/ns/time_for_children";
    let fd = rustix::fs::openat(CWD, link, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    join(NamespaceKind::Time, &fd.at(Step::Join, link)?)
}
