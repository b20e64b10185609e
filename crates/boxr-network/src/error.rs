//! What can go wrong with networks.

use std::net::IpAddr;
use std::path::PathBuf;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::Subnet;

/// Why something of a network cannot be had.
#[derive(Debug, Error)]
pub enum Error {
    /// The kernel refused something.
    #[error("cannot {doing} {object}: {}", reason(*errno))]
    System {
        /// What was tried, such as "make the bridge".
        doing: &'static str,
        /// On what.
        object: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// A value that is none.
    #[error("{what} {value:?}: {why}")]
    Invalid {
        /// What it should be.
        what: &'static str,
        /// As given.
        value: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no such network.
    #[error("no network named {name}")]
    NoNetwork {
        /// As given.
        name: String,
    },
    /// A name that is taken.
    #[error("a network named {name} exists already")]
    Exists {
        /// It.
        name: String,
    },
    /// A network that boxr provides cannot be made, changed or removed.
    #[error("network {name} is one of boxr's own: it cannot be {change}")]
    Predefined {
        /// It.
        name: String,
        /// What was to be done, such as "removed".
        change: &'static str,
    },
    /// A network with containers stays.
    #[error("network {name} is in use by {}", by.join(", "))]
    InUse {
        /// It.
        name: String,
        /// Containers and pods.
        by: Vec<String>,
    },
    /// Two subnets with addresses in common.
    #[error("subnet {subnet} overlaps with {other}")]
    Overlap {
        /// The one that was asked for.
        subnet: Subnet,
        /// A network or a route of the host.
        other: String,
    },
    /// All that boxr chooses from is in use.
    #[error("no free subnet was found for the network")]
    NoFreeSubnet,
    /// All addresses are given.
    #[error("network {network}: all addresses of {subnet} are in use")]
    Full {
        /// The network.
        network: String,
        /// Its subnet, or the range of it that is given out.
        subnet: Subnet,
    },
    /// An address that is taken.
    #[error("network {network}: address {address} is in use by {owner}")]
    AddressTaken {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
        /// Who has it: the gateway, or a container.
        owner: String,
    },
    /// An address that is not the network's.
    #[error("network {network}: address {address} is in none of its subnets")]
    AddressOutside {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
    },
    /// An address of the network's that no computer has.
    #[error(
        "network {network}: address {address} is the first or the last of its subnet, which nobody can have"
    )]
    AddressNobodys {
        /// The network.
        network: String,
        /// The address.
        address: IpAddr,
    },
    /// A port that is taken.
    #[error("port {port} is in use{}", owner.as_ref().map(|owner| format!(" by {owner}")).unwrap_or_default())]
    PortTaken {
        /// Address, port, protocol.
        port: String,
        /// Who has it, where that can be found out.
        owner: Option<String>,
    },
    /// Something that this kind of network does not have.
    #[error("network {network}: {why}")]
    Unsupported {
        /// The network.
        network: String,
        /// What it lacks.
        why: String,
    },
    /// A container that is not on that network, or already is.
    #[error("container {container} is {how} network {network}")]
    Connection {
        /// Its short id.
        container: String,
        /// "not on", "already on".
        how: &'static str,
        /// The network.
        network: String,
    },
    /// A file of boxr's that cannot be understood.
    #[error("{} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel lacks nf_tables, or refuses it.
    #[error("cannot set up {what} in nf_tables: {}", reason(*errno))]
    Firewall {
        /// What was to be set up.
        what: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// Neither pasta nor slirp4netns is installed.
    #[error("a network without privilege needs pasta or slirp4netns, and neither is installed")]
    NoHelper,
    /// pasta is not installed, and a user's own networks need it.
    #[error(
        "a user's own networks need pasta, which is not installed; slirp4netns serves the default network only"
    )]
    NoPasta,
    /// pasta or slirp4netns failed.
    #[error("{program} did not set up the network: {told}")]
    Helper {
        /// Which of the two.
        program: String,
        /// What it said.
        told: String,
    },
    /// What a process in the user's realm could not do.
    #[error("{0}")]
    Told(String),
    /// Several things that went wrong while something was taken down; the rest was done.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
}

impl Error {
    /// A value that is none.
    pub(crate) fn invalid(what: &'static str, value: &str, why: &str) -> Self {
        Self::Invalid { what, value: value.to_owned(), why: why.to_owned() }
    }

    /// The kernel's refusal.
    pub(crate) fn system(doing: &'static str, object: impl Into<String>, errno: Errno) -> Self {
        Self::System { doing, object: object.into(), errno }
    }
}

/// An error on its way from another process of boxr's: what people are told more about keeps its parts.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// [`Error::Firewall`]
    Firewall {
        /// What was to be set up.
        what: String,
        /// The kernel's number.
        errno: i32,
    },
    /// [`Error::PortTaken`]
    PortTaken {
        /// Address, port, protocol.
        port: String,
        /// Who has it.
        owner: Option<String>,
    },
    /// Any other, in words.
    Other(String),
}

impl From<&Error> for Told {
    fn from(error: &Error) -> Self {
        match error {
            Error::Firewall { what, errno } => {
                Self::Firewall { what: what.clone(), errno: errno.raw_os_error() }
            }
            Error::PortTaken { port, owner } => Self::PortTaken { port: port.clone(), owner: owner.clone() },
            other => Self::Other(other.to_string()),
        }
    }
}

impl From<Told> for Error {
    fn from(told: Told) -> Self {
        match told {
            Told::Firewall { what, errno } => Self::Firewall { what, errno: Errno::from_raw_os_error(errno) },
            Told::PortTaken { port, owner } => Self::PortTaken { port, owner },
            Told::Other(words) => Self::Told(words),
        }
    }
}

/// The system's words for an error, with its name where that is one that people look up.
fn reason(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

/// Goes on after a failure: what went wrong is told at the end.
#[derive(Debug, Default)]
pub(crate) struct Collected(Vec<Error>);

impl Collected {
    pub(crate) fn take(&mut self, done: Result<(), Error>) {
        match done {
            Ok(()) => {}
            Err(Error::Several(errors)) => self.0.extend(errors),
            Err(error) => self.0.push(error),
        }
    }

    pub(crate) fn finish(mut self) -> Result<(), Error> {
        match self.0.len() {
            0 => Ok(()),
            1 => Err(self.0.remove(0)),
            _ => Err(Error::Several(self.0)),
        }
    }
}
