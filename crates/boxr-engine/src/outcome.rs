//! Where a start or its errors are told: one error for all ways to start a box.

use boxr_runtime::StepError;
use rustix::io::Errno;
use thiserror::Error;

use crate::prepare::PrepareError;
use crate::store::StoreError;

/// Why a box did not start, or cannot be handled.
#[derive(Debug, Error)]
pub enum EngineError {
    /// State on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The options do not make a box.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// A step of the start.
    #[error(transparent)]
    Runtime(#[from] boxr_runtime::Error),
    /// Its log.
    #[error(transparent)]
    Log(#[from] crate::logs::LogError),
    /// The image of a container, or its files.
    #[error(transparent)]
    Image(#[from] crate::image::ImageError),
    /// A try.
    #[error(transparent)]
    Attempt(#[from] crate::attempt::AttemptError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] crate::volume::VolumeError),
    /// A cgroup.
    #[error(transparent)]
    Cgroup(#[from] boxr_cgroup::Error),
    /// A value of the command line that only the box can tell the meaning of.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// A process that is looked after.
    #[error(transparent)]
    Process(#[from] crate::process::ProcessError),
    /// A namespace of a running box.
    #[error(transparent)]
    Join(#[from] crate::join::JoinError),
    /// boxr's own program, which the box could write to.
    #[error(transparent)]
    OwnBinary(#[from] boxr_runtime::own_binary::Error),
    /// Its networks.
    #[error(transparent)]
    Network(#[from] boxr_network::Error),
    /// No name could be looked up.
    #[error("the host's /etc/resolv.conf is empty: no name would be found in the container")]
    NoNameServer,
    /// A pod.
    #[error(transparent)]
    Pod(#[from] crate::pod::PodError),
    /// A member of a pod that was not removed.
    #[error(transparent)]
    Remove(Box<crate::lifecycle::remove::RemoveError>),
    /// A call of boxr's own upkeep.
    #[error("cannot {doing}: {}", boxr_runtime::error::describe(*errno))]
    System {
        /// What for, on what.
        doing: String,
        /// The kernel's reason.
        errno: Errno,
    },
    /// A command with tools cannot be run in it.
    #[error("cannot debug {name}: {reason}")]
    Debug {
        /// The box, or the process.
        name: String,
        /// What is in the way.
        reason: String,
    },
    /// The box is not in a state in which that can be done.
    #[error("box {name} {is}")]
    Wrong {
        /// The box.
        name: String,
        /// How it is, such as "is not running".
        is: String,
    },
    /// A box that another requires is not there.
    #[error("--requires {wanted}: no such box")]
    Required {
        /// Its name or id.
        wanted: String,
    },
    /// A container that another is to know by a name cannot be known.
    #[error("--link {wanted}: {why}")]
    Link {
        /// Its name or id.
        wanted: String,
        /// Why.
        why: crate::network::LinkError,
    },
    /// Files did not get into the box, or out of it.
    #[error("cannot copy {way} box {name}: {reason}")]
    Copy {
        /// `from` or `to`
        way: &'static str,
        /// The box.
        name: String,
        /// Why, in words.
        reason: String,
    },
    /// The monitor ended before it could tell how the start went.
    #[error("the monitor of box {name} ended during the start")]
    MonitorLost {
        /// The box.
        name: String,
    },
    /// A file of the caller's could not be written.
    #[error("cannot write {path}: {}", boxr_runtime::error::describe(*errno))]
    File {
        /// Its path.
        path: String,
        /// The kernel's reason.
        errno: Errno,
    },
}

impl EngineError {
    /// A failed system call of boxr's own.
    pub fn system(doing: impl Into<String>, errno: Errno) -> Self {
        Self::System { doing: doing.into(), errno }
    }

    /// The exit status of `boxr run` for it (ARCHITECTURE.md, "Exit statuses").
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Runtime(error) | Self::Prepare(PrepareError::Runtime(error)) => error.exit_status(),
            _ => 125,
        }
    }
}

impl From<StepError> for EngineError {
    fn from(error: StepError) -> Self {
        Self::Runtime(error.into())
    }
}
