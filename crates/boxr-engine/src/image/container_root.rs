//! Files of a container that runs, through the root of its first process.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use boxr_runtime::rootfs::beneath;
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;

use super::users::LONGEST;

/// The root of a running container; no link leads out of it.
#[derive(Debug)]
pub(crate) struct ContainerRoot(Result<OwnedFd, Errno>);

impl ContainerRoot {
    /// Of the process `pid`.
    pub fn open(pid: i32) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self(rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty()))
    }

    /// Reads a regular file; `None` where there is none.
    ///
    /// # Errors
    /// The system's; `EFBIG` for one that is longer than any real one.
    pub fn read(&self, path: &str) -> Result<Option<Vec<u8>>, Errno> {
        use std::io::Read;
        let root = self.0.as_ref().map_err(|errno| *errno)?;
        let path = Path::new(path);
        let found = match beneath::open(root.as_fd(), path, OFlags::PATH) {
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(None),
            found => fstat(found?)?,
        };
        // The container may have put a device there, which something would come of opening.
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = std::fs::File::from(beneath::open(root.as_fd(), path, flags)?);
        let mut bytes = Vec::new();
        let read = file.take(LONGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if bytes.len() as u64 > LONGEST { Err(Errno::FBIG) } else { Ok(Some(bytes)) }
    }
}
