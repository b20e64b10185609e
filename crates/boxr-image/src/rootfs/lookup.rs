//! Reading a file of a root filesystem that is not mounted: what overlayfs would show of its directories
//! (the kernel's `overlayfs.rst`, "whiteouts and opaque directories").
//!
//! The directories may have been made by others: no link leads out of them, and nothing but a regular file
//! is opened.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fgetxattr, makedev, openat, readlinkat, statat};
use rustix::io::Errno;

use crate::unpack::Form;

/// Symbolic links on one way, as the kernel has it (path_resolution(7)).
const MOST_LINKS: u32 = 40;

/// The directories of a root filesystem, the topmost first.
#[derive(Debug)]
pub struct Stack {
    pub(super) dirs: Vec<OwnedFd>,
    form: Form,
}

/// What one name stands for.
pub(super) enum Found {
    Directory(Vec<OwnedFd>),
    Link(Vec<u8>),
    /// In this directory.
    File(OwnedFd),
    /// A device, a socket or a FIFO.
    Other,
}

/// Where a path leads.
enum Place {
    /// To a file of this name in this directory.
    File(OwnedFd, Vec<u8>),
    /// To anything else that is there.
    Other,
}

impl Stack {
    /// Of these directories, the topmost first, marked in this form.
    pub fn new(dirs: Vec<OwnedFd>, form: Form) -> Self {
        Self { dirs, form }
    }

    /// Reads the regular file at `path`, of at most `limit` bytes; `None` when there is no such file.
    ///
    /// # Errors
    /// The system's; `EFBIG` for one that is longer, `ELOOP` for links without an end.
    pub fn read(&self, path: &str, limit: u64) -> Result<Option<Vec<u8>>, Errno> {
        use std::io::Read;
        let Some(file) = self.open(path)? else { return Ok(None) };
        let mut bytes = Vec::new();
        let read = std::fs::File::from(file).take(limit + 1).read_to_end(&mut bytes);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if bytes.len() as u64 > limit { Err(Errno::FBIG) } else { Ok(Some(bytes)) }
    }

    /// Whether there is anything at `path`, whose links do not lead out.
    ///
    /// # Errors
    /// The system's; `ELOOP` for links without an end.
    pub fn has(&self, path: &str) -> Result<bool, Errno> {
        self.walk(path).map(|place| place.is_some())
    }

    fn open(&self, path: &str) -> Result<Option<OwnedFd>, Errno> {
        let Some(Place::File(dir, name)) = self.walk(path)? else { return Ok(None) };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&dir, name.as_slice(), flags, Mode::empty()).map(Some)
    }

    fn walk(&self, path: &str) -> Result<Option<Place>, Errno> {
        let mut rest = names(path.as_bytes());
        let mut way: Vec<Vec<OwnedFd>> = Vec::new();
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    way.pop();
                    continue;
                }
                _ => {}
            }
            let here = way.last().unwrap_or(&self.dirs);
            match self.find(here, &name)? {
                Some(Found::Directory(dirs)) => way.push(dirs),
                Some(Found::Link(target)) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP);
                    }
                    if target.first() == Some(&b'/') {
                        way.clear();
                    }
                    let mut onward = names(&target);
                    onward.append(&mut rest);
                    rest = onward;
                }
                Some(Found::File(dir)) if rest.is_empty() => return Ok(Some(Place::File(dir, name))),
                Some(Found::Other) if rest.is_empty() => return Ok(Some(Place::Other)),
                Some(Found::File(_) | Found::Other) | None => return Ok(None),
            }
        }
        Ok(Some(Place::Other))
    }

    /// `name` in directories that lie upon each other.
    pub(super) fn find(&self, dirs: &[OwnedFd], name: &[u8]) -> Result<Option<Found>, Errno> {
        let mut merged = Vec::new();
        for dir in dirs {
            let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT | Errno::NOTDIR) => continue,
                stat => stat?,
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    let opened = openat(dir, name, flags, Mode::empty())?;
                    let is_whole = self.is_opaque(opened.as_fd());
                    merged.push(opened);
                    if is_whole {
                        break;
                    }
                }
                // What lies below a directory and is none is hidden by it, as by anything else.
                _ if !merged.is_empty() => break,
                FileType::Symlink => {
                    return Ok(Some(Found::Link(readlinkat(dir, name, Vec::new())?.into_bytes())));
                }
                FileType::RegularFile => return Ok(Some(Found::File(dir.try_clone().map_err(errno)?))),
                FileType::CharacterDevice if stat.st_rdev == makedev(0, 0) => break,
                _ => return Ok(Some(Found::Other)),
            }
        }
        Ok((!merged.is_empty()).then_some(Found::Directory(merged)))
    }

    pub(super) fn is_opaque(&self, dir: BorrowedFd<'_>) -> bool {
        let mut value = [0u8; 1];
        fgetxattr(dir, self.form.opaque(), &mut value).is_ok_and(|length| length == 1 && value == *b"y")
    }
}

fn errno(error: std::io::Error) -> Errno {
    Errno::from_io_error(&error).unwrap_or(Errno::IO)
}

fn names(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn stack(dir: &Path, names: &[&str]) -> Stack {
        let open = |name: &&str| -> OwnedFd { fs::File::open(dir.join(name)).unwrap().into() };
        let dirs: Vec<OwnedFd> = names.iter().map(open).collect();
        Stack::new(dirs, Form::User)
    }

    fn text(stack: &Stack, path: &str) -> Option<String> {
        stack.read(path, 100).unwrap().map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_topmost_file_counts() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        for path in ["low/etc", "low/old", "high/etc", "high/old", "high/real/etc"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("low/etc/passwd"), "low").unwrap();
        fs::write(at("low/etc/group"), "low").unwrap();
        fs::write(at("low/old/file"), "low").unwrap();
        fs::write(at("low/only"), "low").unwrap();
        fs::write(at("high/etc/passwd"), "high").unwrap();
        let opaque = fs::File::open(at("high/old")).unwrap();
        if rustix::fs::fsetxattr(&opaque, "user.overlay.opaque", b"y", rustix::fs::XattrFlags::empty())
            .is_err()
        {
            return;
        }
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("high/only"),
            FileType::CharacterDevice,
            Mode::empty(),
            makedev(0, 0),
        )
        .unwrap();
        let both = stack(dir.path(), &["high", "low"]);
        assert_eq!(text(&both, "/etc/passwd").as_deref(), Some("high"));
        assert_eq!(text(&both, "/etc/group").as_deref(), Some("low"));
        assert_eq!((text(&both, "/old/file"), text(&both, "/only")), (None, None));
        assert_eq!(
            (text(&both, "/etc"), text(&both, "/etc/passwd/x"), text(&both, "/no")),
            (None, None, None)
        );
        assert_eq!(both.read("/etc/passwd", 2), Err(Errno::FBIG));
    }

    #[test]
    fn links_stay_in_the_stack() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        fs::create_dir_all(at("low/usr/etc")).unwrap();
        fs::create_dir_all(at("high")).unwrap();
        fs::write(at("low/usr/etc/passwd"), "inside").unwrap();
        fs::write(at("secret"), "outside").unwrap();
        symlink("/usr/etc", at("high/etc")).unwrap();
        symlink("../../../../secret", at("high/up")).unwrap();
        symlink(at("secret"), at("high/out")).unwrap();
        symlink("loop", at("high/loop")).unwrap();
        symlink("../usr/./etc/passwd", at("low/usr/again")).unwrap();
        let both = stack(dir.path(), &["high", "low"]);
        assert_eq!(text(&both, "/etc/passwd").as_deref(), Some("inside"));
        assert_eq!(text(&both, "usr/again").as_deref(), Some("inside"));
        assert_eq!((text(&both, "/up"), text(&both, "/out")), (None, None));
        assert_eq!(both.read("/loop", 100), Err(Errno::LOOP));
    }
}
