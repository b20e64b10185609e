//! What a system call is about to do with a path.

/// `O_WRONLY` and `O_RDWR`, `O_CREAT`, `O_TRUNC`, `O_PATH` of `<fcntl.h>`.
const ACCESS: u64 = 0o3;
const CREATE: u64 = 0o100;
const TRUNCATE: u64 = 0o1000;
const PATH: u64 = 0o10_000_000;

/// One of those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Nothing that a sandbox refuses.
    Nothing,
    /// It opens what is there for reading, or runs it.
    Read,
    /// It writes what is there, or makes it.
    Write { makes: bool, changes: bool },
    /// It makes what is not there.
    Make,
    /// It removes what is there, or moves it away.
    Remove,
    /// It changes what is known of it: its mode, owner, times, size.
    Edit,
}

impl Deed {
    /// Of an open(2) with these flags.
    pub fn of_flags(flags: u64) -> Self {
        let changes = flags & (ACCESS | TRUNCATE) != 0;
        match (flags & PATH != 0, changes || flags & CREATE != 0) {
            (true, _) => Self::Nothing,
            (false, true) => Self::Write { makes: flags & CREATE != 0, changes },
            (false, false) => Self::Read,
        }
    }

    /// Of a call by this name that changes something at a path.
    pub fn of_change(name: &str) -> Self {
        match name {
            "creat" => Self::Write { makes: true, changes: true },
            "mkdir" | "mkdirat" | "mknod" | "mknodat" | "symlink" | "symlinkat" | "link" | "linkat" => {
                Self::Make
            }
            "unlink" | "unlinkat" | "rmdir" | "rename" | "renameat" | "renameat2" => Self::Remove,
            _ => Self::Edit,
        }
    }

    /// Whether it is for the path itself, where that is a symbolic link.
    pub fn is_of_link(self) -> bool {
        matches!(self, Self::Make | Self::Remove)
    }
}

#[cfg(test)]
mod tests {
    use super::super::calls::{Says, says};
    use super::*;

    #[test]
    fn every_call_that_changes_has_a_deed() {
        for name in boxr_seccomp::names() {
            if let Says::Changes { .. } | Says::ChangesBoth { .. } = says(name) {
                assert_ne!(Deed::of_change(name), Deed::Nothing, "{name}");
            }
        }
        assert_eq!(Deed::of_change("chmod"), Deed::Edit);
        assert_eq!(Deed::of_flags(0o101), Deed::Write { makes: true, changes: true });
        assert_eq!(Deed::of_flags(0o100), Deed::Write { makes: true, changes: false });
        assert_eq!((Deed::of_flags(0), Deed::of_flags(PATH)), (Deed::Read, Deed::Nothing));
    }
}
