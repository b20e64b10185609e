//! Why a profile cannot be compiled.

use thiserror::Error;

/// A field that cannot be honoured, or a machine that cannot.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Error {
    /// A field of the specification.
    #[error("{field}: {why}")]
    Field {
        /// Its path in config.json.
        field: String,
        /// What is wrong with it.
        why: String,
    },
    /// The program would be longer than the kernel takes (`BPF_MAXINSNS`).
    #[error(
        "linux.seccomp: the program has {length} instructions, and the kernel takes 4096 at most; \
             merge entries that compare arguments"
    )]
    TooLong {
        /// How long it would be.
        length: usize,
    },
    /// boxr has no table of system calls for the machine that it runs on.
    #[error("linux.seccomp: not supported on this architecture")]
    Host,
}

impl Error {
    pub(crate) fn field(field: impl std::fmt::Display, why: impl Into<String>) -> Self {
        Self::Field { field: format!("linux.seccomp.{field}"), why: why.into() }
    }
}
