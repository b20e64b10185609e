//! Where the standard descriptors of the command lead.

use std::os::fd::OwnedFd;

/// Descriptors 0, 1 and 2 of the command.
#[derive(Debug)]
pub enum Stdio {
    /// The caller's own, untouched.
    Inherit,
    /// These.
    Descriptors {
        /// 0
        stdin: OwnedFd,
        /// 1
        stdout: OwnedFd,
        /// 2
        stderr: OwnedFd,
    },
    /// The user's side of a pseudo-terminal of the caller's devpts, which becomes the
    /// controlling terminal of a new session.
    Terminal(OwnedFd),
    /// A pseudo-terminal from the devpts inside the box (`/dev/pts`); its master comes back
    /// as [`crate::process::parent::Spawned::terminal`].
    TerminalInside,
}

impl Stdio {
    /// Whether the command gets a controlling terminal.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_) | Self::TerminalInside)
    }
}
