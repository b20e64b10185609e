//! What can go wrong, in the words that runc's users and the programs above look for.

use std::ffi::OsString;
use std::path::PathBuf;

use boxr_runtime::error::{Step, StepError, describe};
use boxr_runtime::identity::ProcessError;
use rustix::io::Errno;
use thiserror::Error;

/// Why a command failed.
#[derive(Debug, Error)]
pub enum Error {
    /// The command line.
    #[error("{0}")]
    Usage(String),
    /// The first word of the command line is no command.
    #[error("No help topic for '{}'", .0.display())]
    NoSuchCommand(OsString),
    /// The id cannot be one.
    #[error("invalid container ID format: {0:?}")]
    InvalidId(String),
    /// Nothing is known of it.
    #[error("container does not exist")]
    NoSuchContainer,
    /// The id is taken.
    #[error("container with given ID already exists")]
    Exists,
    /// The container is not in the state that the command needs.
    #[error("{0}")]
    WrongState(String),
    /// config.json, or another file in JSON.
    #[error("{}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A system call on a file.
    #[error("cannot {action} {}: {}", path.display(), describe(*errno))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// Another system call.
    #[error("cannot {action}: {}", describe(*errno))]
    System {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        errno: Errno,
    },
    /// The runtime.
    #[error("{}", runtime_words(.0))]
    Runtime(#[from] boxr_runtime::Error),
    /// This program cannot be kept from the container.
    #[error(transparent)]
    OwnBinary(#[from] boxr_runtime::own_binary::Error),
    /// cgroups.
    #[error(transparent)]
    Cgroup(#[from] boxr_cgroup::Error),
    /// criu.
    #[error(transparent)]
    Criu(#[from] crate::criu::Error),
    /// A hook.
    #[error(transparent)]
    Hook(#[from] boxr_runtime::hooks::HookError),
    /// A process that is looked at or held.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Several, each of which was gone past.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<Error>),
    /// What was being done.
    #[error("{doing} failed: {source}")]
    Failed {
        /// `boxr-oci create`…
        doing: &'static str,
        /// Why.
        source: Box<Error>,
    },
}

impl Error {
    /// Of the standard library.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, error: std::io::Error) -> Self {
        Self::at(action, path, Errno::from_io_error(&error).unwrap_or(Errno::IO))
    }

    /// Of a system call.
    pub fn at(action: &'static str, path: impl Into<PathBuf>, errno: Errno) -> Self {
        Self::Io { action, path: path.into(), errno }
    }

    /// Of a system call without a file.
    pub fn system(action: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::System { action, errno }
    }

    /// Says what failed because of it.
    pub fn failed(doing: &'static str) -> impl FnOnce(Self) -> Self {
        move |source| Self::Failed { doing, source: Box::new(source) }
    }
}

/// A command that cannot be executed is told in runc's words, which docker and podman turn into their
/// exit statuses 126 and 127.
fn runtime_words(error: &boxr_runtime::Error) -> String {
    match error {
        boxr_runtime::Error::Step(StepError { step: Step::Exec, object, errno }) => {
            let why = match *errno {
                Errno::NOENT if !object.contains('/') => "executable file not found in $PATH".to_owned(),
                Errno::NOENT => format!("stat {object}: no such file or directory"),
                Errno::ACCESS => "permission denied".to_owned(),
                Errno::ISDIR => "is a directory: permission denied".to_owned(),
                Errno::NOEXEC => "exec format error".to_owned(),
                errno => describe(errno),
            };
            format!("unable to start container process: exec: {object:?}: {why}")
        }
        other => other.to_string(),
    }
}
