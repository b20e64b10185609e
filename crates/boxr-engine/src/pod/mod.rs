//! Pods: boxes that share namespaces, ports and limits.
//!
//! A pod is a record, a name and, while it is up, two things that members join: namespaces and a network. It comes up
//! with the first start of a member or of the pod, and goes down when it is stopped, not with a member.
//!
//! *Who keeps the namespaces.* A process outside of them ([`holder`]) has them open, and nothing else but sockets of the
//! published ports. No member sees it, so none can trace it or look at it. When it is killed the namespaces live on
//! through members; the next command that meets the pod opens them there and starts another ([`infra`]). A pid namespace
//! ends with its first process, whatever holds it open; a pod that shares one has a process of boxr's for that, which has
//! no descriptor, no capability and one system call left (`boxr_runtime`, `pause`). Members end with it.
//!
//! *Order.* A box's lock comes before its pod's. Whoever starts a member holds the pod shared until the member runs;
//! whoever takes the pod up, down or away holds it alone.

pub mod holder;
mod infra;
mod lifecycle;
mod make;
mod member;
mod plan;
mod record;
mod shm;
mod status;

use thiserror::Error;

use crate::events::{Action, Event, Journal};
use crate::store::Store;

pub(crate) use infra::clear;
pub use infra::repair;
pub use lifecycle::{Failed, Outcome, kill, pause, prune, remove, start, stop, unpause};
pub use make::{PodRequest, create};
pub(crate) use member::{Joined, admit, after_end, enter};
pub use member::{Membership, PodSaid, PodSide};
pub use record::{ExitPolicy, Infra, Owner, PodOptions, PodRecord, PodState};
pub use status::{Member, PodStatus, View, look, members, status_of};
pub(crate) use status::{has_running_members, held_networks, process_on_network};

/// Journals what is done to a pod.
fn note(store: &Store, id: &str, name: &str, action: Action) {
    Journal::of(store.paths()).note(&[Event::of_pod(id, name, action)]);
}

/// Why something cannot be done with a pod.
#[derive(Debug, Error)]
pub enum PodError {
    /// Members run.
    #[error("pod {name} has members that run: {}", members.join(", "))]
    Running {
        /// The pod.
        name: String,
        /// Their names.
        members: Vec<String>,
    },
    /// There is nothing to do it with.
    #[error("pod {name} has no member and no infra to start")]
    Empty {
        /// The pod.
        name: String,
    },
    /// The namespaces of a pod that is up are kept by nobody whom this boxr can see.
    #[error("pod {name} was brought up in another pid namespace, whose processes cannot be seen from here")]
    Elsewhere {
        /// The pod.
        name: String,
    },
    /// A namespace is held where it cannot be opened.
    #[error("cannot open the {kind} namespace of pod {name}: {}", boxr_runtime::error::describe(*errno))]
    Open {
        /// Which namespace.
        kind: String,
        /// The pod.
        name: String,
        /// The kernel's reason.
        errno: rustix::io::Errno,
    },
}
