//! Owners, permissions, attributes and times.

use std::os::fd::BorrowedFd;

use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::error::shown;
use super::{LeftOut, Ownership, UnpackError};
use crate::tar::{Entry, Time};

/// What an entry has besides its contents.
#[derive(Clone, Debug)]
pub(super) struct Metadata {
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Option<Time>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// How it is given.
#[derive(Debug)]
pub(super) struct Giver {
    ownership: Ownership,
    /// Whose new files are by themselves: the directory's, which was just made, also where its group
    /// is inherited (set-group-id, mount option `grpid`).
    caller: (u32, u32),
    pub(super) left_out: LeftOut,
    pub(super) highest_id: u32,
}

impl Metadata {
    pub(super) fn of(entry: &Entry) -> Self {
        Self {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            modified: Some(entry.modified),
            xattrs: entry.xattrs.iter().filter(|(name, _)| is_wanted(name)).cloned().collect(),
        }
    }

    /// Bytes of its attributes.
    pub(super) fn bytes(&self) -> u64 {
        self.xattrs.iter().map(|(name, value)| (name.len() + value.len()) as u64).sum()
    }

    /// Of a directory that the archive has files in and does not mention; as docker makes it.
    pub(super) fn of_implied_directory() -> Self {
        Self { mode: 0o755, uid: 0, gid: 0, modified: None, xattrs: Vec::new() }
    }
}

/// Attributes that say something about the machine an image was made on, not about the image; and those
/// by which a layer would tell overlayfs to look elsewhere.
pub(crate) fn is_wanted(name: &[u8]) -> bool {
    let not: [&[u8]; 6] = [
        b"trusted.overlay.",
        b"user.overlay.",
        b"security.selinux",
        b"security.ima",
        b"security.evm",
        b"system.nfs4_acl",
    ];
    !not.iter().any(|prefix| name.starts_with(prefix))
}

impl Giver {
    pub(super) fn new(ownership: Ownership, root: BorrowedFd<'_>) -> Result<Self, UnpackError> {
        let stat = fs::fstat(root).map_err(|errno| UnpackError::system("look at", b"", errno))?;
        let caller = (stat.st_uid, stat.st_gid);
        Ok(Self { ownership, caller, left_out: LeftOut::default(), highest_id: 0 })
    }

    /// To an open file or directory.
    pub(super) fn give(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &[u8],
        metadata: &Metadata,
    ) -> Result<(), UnpackError> {
        let failed = |action| move |errno| UnpackError::system(action, name, errno);
        // The owner first: changing it takes the set-user-id bits and capabilities away (chown(2)).
        if let Some((uid, gid)) = self.owner(metadata) {
            fs::fchown(fd, Some(uid), Some(gid)).map_err(|errno| not_owned(name, metadata, errno))?;
        }
        fs::fchmod(fd, Mode::from_raw_mode(metadata.mode)).map_err(failed("set the permissions of"))?;
        for (key, value) in &metadata.xattrs {
            match fs::fsetxattr(fd, key.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::PERM | Errno::OPNOTSUPP) => self.left_out.xattrs += 1,
                Err(errno) => return Err(failed("set an attribute of")(errno)),
            }
        }
        match times(metadata) {
            Some(times) => fs::futimens(fd, &times).map_err(failed("set the time of")),
            None => Ok(()),
        }
    }

    /// To a link, device or pipe, which is not opened.
    pub(super) fn give_unopened(
        &mut self,
        at: BorrowedFd<'_>,
        last: &[u8],
        name: &[u8],
        metadata: &Metadata,
        is_link: bool,
    ) -> Result<(), UnpackError> {
        let failed = |action| move |errno| UnpackError::system(action, name, errno);
        if let Some((uid, gid)) = self.owner(metadata) {
            fs::chownat(at, last, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|errno| not_owned(name, metadata, errno))?;
        }
        // A link has no permissions of its own. Nobody but us can put one there meanwhile.
        if !is_link {
            fs::chmodat(at, last, Mode::from_raw_mode(metadata.mode), AtFlags::empty())
                .map_err(failed("set the permissions of"))?;
        }
        // Links and devices may have none of `user.`, and the others take a path before Linux 6.13.
        self.left_out.xattrs += metadata.xattrs.len() as u64;
        match times(metadata) {
            Some(times) => {
                fs::utimensat(at, last, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(failed("set the time of"))
            }
            None => Ok(()),
        }
    }

    /// The owner to set; `None` when a new file has it by itself.
    fn owner(&mut self, metadata: &Metadata) -> Option<(Uid, Gid)> {
        self.highest_id = self.highest_id.max(metadata.uid).max(metadata.gid);
        let is_callers = (metadata.uid, metadata.gid) == self.caller;
        match self.ownership {
            _ if is_callers => None,
            Ownership::Kept => Some((Uid::from_raw(metadata.uid), Gid::from_raw(metadata.gid))),
            Ownership::Squashed => {
                self.left_out.owners += u64::from((metadata.uid, metadata.gid) != (0, 0));
                None
            }
        }
    }
}

fn not_owned(name: &[u8], metadata: &Metadata, errno: Errno) -> UnpackError {
    // EINVAL: the id has no mapping in the user namespace (chown(2), user_namespaces(7)).
    let (kind, id) =
        if metadata.uid >= metadata.gid { ("user", metadata.uid) } else { ("group", metadata.gid) };
    match errno {
        Errno::INVAL => UnpackError::Owner { name: shown(name), kind, id },
        errno => UnpackError::system("set the owner of", name, errno),
    }
}

fn times(metadata: &Metadata) -> Option<Timestamps> {
    let time = metadata.modified?;
    let at = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    Some(Timestamps { last_access: at, last_modification: at })
}
