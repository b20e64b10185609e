//! What can go wrong between boxr and criu.

use std::path::PathBuf;

use boxr_runtime::error::describe;
use rustix::io::Errno;
use thiserror::Error;

use super::rpc::Version;

/// Why criu did not do what it was asked.
#[derive(Debug, Error)]
pub enum Error {
    /// There is none.
    #[error(
        "cannot run {}: not found; checkpoint and restore need criu 3.0 or later \
         (apt-get install criu, or boxr-oci --criu PATH)", path.display()
    )]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// It cannot be executed.
    #[error("cannot run {}: {}", path.display(), describe(*errno))]
    Start {
        /// What was to be executed.
        path: PathBuf,
        /// The system's reason.
        errno: Errno,
    },
    /// The socket to it.
    #[error("cannot {action} criu: {}", describe(*errno))]
    Socket {
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        errno: Errno,
    },
    /// It ended before it had answered.
    #[error("criu ended without an answer to {request} ({how}); `criu check` may say what it misses")]
    Lost {
        /// What was asked.
        request: &'static str,
        /// Its exit status.
        how: String,
    },
    /// It said something that is not understood.
    #[error("criu answered {request} with something that is not understood")]
    Malformed {
        /// What was asked.
        request: &'static str,
    },
    /// It was not done.
    #[error("criu failed: type {request} errno {errno}{}", about(.message, .log))]
    Refused {
        /// What was asked.
        request: &'static str,
        /// Its reason, often 0.
        errno: i32,
        /// Its reason.
        message: Option<String>,
        /// Where it tells more.
        log: Option<PathBuf>,
    },
    /// It succeeded, and then ended with another status than 0.
    #[error("criu failed: {how}")]
    Ended {
        /// Its exit status.
        how: String,
    },
    /// It is older than what is asked of it.
    #[error("{what} needs criu {needed} or later, and this one is {found}")]
    TooOld {
        /// What was asked.
        what: &'static str,
        /// Which would do.
        needed: Version,
        /// Which it is.
        found: Version,
    },
    /// The kernel, or this criu, lacks something.
    #[error("{flag} cannot be had: criu says that this kernel lacks {feature}")]
    Lacks {
        /// Because of which flag it was asked for.
        flag: &'static str,
        /// What is missing.
        feature: &'static str,
    },
}

fn about(message: &Option<String>, log: &Option<PathBuf>) -> String {
    let mut text = String::new();
    if let Some(message) = message {
        text = format!(": {}", message.trim_end());
    }
    if let Some(log) = log {
        text = format!("{text}; log file: {}", log.display());
    }
    text
}
