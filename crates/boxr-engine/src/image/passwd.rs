//! The caller's lines in /etc/passwd and /etc/group of a container that keeps his ids (passwd(5), group(5)).

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use boxr_runtime::rootfs::beneath;
use rustix::fs::{FileType, OFlags, fstat};
use rustix::io::Errno;

use super::users::LONGEST;
use crate::options::BoxOptions;

/// Who is to be known by name in a container.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    name: String,
    gecos: String,
    home: String,
    uid: u32,
    gid: u32,
}

impl Entry {
    /// The caller as `uid` and `gid`; `None` for one whom the host does not know.
    pub fn of_caller(options: &BoxOptions, uid: u32, gid: u32) -> Option<Self> {
        let text = std::fs::read_to_string("/etc/passwd").ok()?;
        let number = rustix::process::geteuid().as_raw().to_string();
        let line = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let fields = line.into_iter().find(|fields| fields.get(2).is_some_and(|id| *id == number))?;
        let own_home = fields.get(5).copied().unwrap_or_default();
        // As podman: what was said, or his own where that is there, or where the command starts.
        let said = options.env.iter().find_map(|entry| entry.strip_prefix("HOME="));
        let is_there = options.mounts.iter().any(|mount| mount.destination == Path::new(own_home));
        let start = || options.workdir.as_deref().map_or("/".into(), Path::to_string_lossy).into_owned();
        let home = said.or(is_there.then_some(own_home)).map_or_else(start, str::to_owned);
        let plain = |text: &str| text.replace([':', '\n'], "");
        Some(Self {
            name: plain(fields.first()?),
            gecos: plain(fields.get(4).copied().unwrap_or_default()),
            home: plain(&home),
            uid,
            gid,
        })
    }

    /// Adds the lines that are missing, as root of the container. One that has no such file has no names.
    ///
    /// # Errors
    /// A file cannot be read or written.
    pub fn add(&self, root: BorrowedFd<'_>) -> Result<(), Errno> {
        let Self { name, gecos, home, uid, gid } = self;
        add(root, "/etc/passwd", *uid, &format!("{name}:*:{uid}:{gid}:{gecos}:{home}:/bin/sh\n"))?;
        add(root, "/etc/group", *gid, &format!("{name}:x:{gid}:{name}\n"))
    }
}

fn add(root: BorrowedFd<'_>, path: &str, id: u32, line: &str) -> Result<(), Errno> {
    use std::io::{Read, Write};
    let failed = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let path = Path::new(path);
    // Looked at before it is opened: the image may have a device there.
    let found = match beneath::open(root, path, OFlags::PATH) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        found => fstat(found?.as_fd())?,
    };
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let file = beneath::open(root, path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(LONGEST).read_to_end(&mut bytes).map_err(failed)?;
    let text = String::from_utf8_lossy(&bytes);
    let number = id.to_string();
    if text.lines().any(|line| line.split(':').nth(2).is_some_and(|known| known == number)) {
        return Ok(());
    }
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK | OFlags::NOCTTY;
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let mut file = std::fs::File::from(beneath::open(root, path, flags)?);
    file.write_all(format!("{gap}{line}").as_bytes()).map_err(failed)
}
