//! Why a sandbox cannot be had.

use super::secrets::BadLine;

/// An opening or a protection that cannot be given. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// What was asked for cannot be given.
    #[error("--sandbox: {what}: {why}")]
    Refused {
        /// The flag, or what the sandbox is to have.
        what: String,
        /// Why not.
        why: String,
        /// What would work, as a command or a flag; may be empty.
        remedy: String,
    },
    /// A list of secrets that is not understood.
    #[error(transparent)]
    Secrets(#[from] BadLine),
}

impl SandboxError {
    pub(super) fn refused(
        what: impl Into<String>,
        why: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Refused { what: what.into(), why: why.into(), remedy: remedy.into() }
    }

    /// What would work; may be empty.
    pub fn remedy(&self) -> &str {
        match self {
            Self::Refused { remedy, .. } => remedy,
            Self::Secrets(_) => "",
        }
    }
}
