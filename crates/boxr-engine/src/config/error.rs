//! What can be wrong with flags and files.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Behind a flag: its long name without dashes.
    Flag(&'static str),
    /// In a configuration file.
    Key {
        /// `limits.memory`
        key: String,
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Key { key, file, line } => write!(f, "{}:{line}: {key}", file.display()),
        }
    }
}

/// A flag or file that cannot be used. Nothing has been changed when one is given.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that cannot be used.
    #[error("{origin} {value}: {why}")]
    Value {
        /// Where it was written.
        origin: Origin,
        /// As it was written.
        value: String,
        /// What is wrong with it.
        why: String,
        /// What would be right.
        accepts: &'static str,
    },
    /// A key that is not one.
    #[error("{}:{line}: unknown key {key}", file.display())]
    UnknownKey {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// As it was written, with the tables it is in: `limits.memroy`.
        key: String,
        /// The known key that looks most like it.
        nearest: Option<&'static str>,
    },
    /// A key that is there twice.
    #[error("{}:{line}: {key} is there twice", file.display())]
    RepeatedKey {
        /// Which file.
        file: PathBuf,
        /// Which line the second one is in.
        line: usize,
        /// With the tables it is in.
        key: String,
    },
    /// Not TOML, or not JSON.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Syntax {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// Which column, from 1.
        column: usize,
        /// The parser's words.
        message: String,
    },
    /// A file that cannot be read: configuration, variables or labels.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line of a file of variables or labels that cannot be used.
    #[error("{}:{line}: {why}", file.display())]
    Line {
        /// Which file.
        file: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Two things that cannot both be.
    #[error("{one} and {other} cannot both be: {why}")]
    Conflict {
        /// The one, as a flag with its value.
        one: String,
        /// The other.
        other: String,
        /// Why not.
        why: &'static str,
        /// What would work, in words or as a flag; may be empty.
        remedy: &'static str,
    },
    /// A value of a flag of `pod create` that cannot be.
    #[error("{flag} {said}: {why}")]
    Pod {
        /// The flag.
        flag: &'static str,
        /// Its value.
        said: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something without which another has no meaning.
    #[error("{one} needs {other}")]
    Needs {
        /// What was said.
        one: String,
        /// What is missing.
        other: &'static str,
    },
    /// Two mounts at one place.
    #[error("two mounts at {}", destination.display())]
    RepeatedMount {
        /// The place in the box.
        destination: PathBuf,
    },
    /// A sandbox that cannot be had.
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::SandboxError),
    /// No command to run.
    #[error("no command to run")]
    NoCommand,
    /// A root directory that cannot be one.
    #[error("--rootfs {}: {why}", path.display())]
    Rootfs {
        /// Which directory.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
        /// The system's reason, if it gave one.
        source: Option<io::Error>,
    },
    /// A name that is not in /etc/passwd or /etc/group.
    #[error("--{flag} {name}: not in {file}")]
    UnknownName {
        /// `user` or `group-add`
        flag: &'static str,
        /// The name.
        name: String,
        /// Where it was looked for.
        file: &'static str,
    },
    /// A name where only a number can be used.
    #[error("--{flag} {name}: a name cannot be looked up in another root")]
    NameWithRootfs {
        /// `user` or `group-add`
        flag: &'static str,
        /// The name.
        name: String,
    },
    /// An image that says something which cannot be.
    #[error("image {name}: {key}: {why}")]
    Image {
        /// The image.
        name: String,
        /// The key of its configuration.
        key: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The caller's directory is gone or has a name that is not UTF-8.
    #[error("cannot tell the current directory: {source}")]
    NoDirectory {
        /// Why.
        source: io::Error,
    },
}
