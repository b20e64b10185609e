//! What only a sandbox asks of the first process.

use std::path::PathBuf;

/// None of it, by default.
#[derive(Debug, Default)]
pub struct Confinement {
    /// A socket that listens on this port of the loopback address of a new network namespace. It is made inside and
    /// handed to boxr ([`crate::process::parent::Spawned::listener`]), so that a process outside serves the one inside.
    pub listener: Option<u16>,
    /// Descriptors of files that were given for reading. They are opened anew where the box's tree is read-only, and
    /// cannot be opened for writing by their names in /proc/self/fd.
    pub reopened: Vec<i32>,
    /// Rights that are given up by Landlock, last before the filter of system calls.
    pub landlock: Option<LandlockPlan>,
}

/// Rights that a command keeps, where Landlock takes the others.
#[derive(Debug, Default)]
pub struct LandlockPlan {
    /// Rights to files that are given up (`boxr_sys::landlock::file`); 0 leaves files alone.
    pub files: u64,
    /// Files and directories with the rights that are kept to what is there and below.
    pub keeps: Vec<(PathBuf, u64)>,
    /// Scopes that end at the command (`boxr_sys::landlock::scope`).
    pub scopes: u64,
}
