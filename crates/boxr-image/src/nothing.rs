//! An empty directory, for who reads in the place of one that is missing on a filesystem that cannot be written.

use std::os::fd::OwnedFd;

use rustix::fs::{self, AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// Where it is made: memory, as a rule.
const PLACES: [&str; 4] = ["/dev/shm", "/run", "/tmp", "/var/tmp"];

/// One that has no name any more: nothing is in it, and nothing can be made there (`ENOENT`).
///
/// # Errors
/// `EROFS` where none can be had.
pub fn directory() -> Result<OwnedFd, Errno> {
    PLACES.into_iter().find_map(|place| below(place).ok()).ok_or(Errno::ROFS)
}

fn below(place: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let parent = fs::open(place, flags, Mode::empty())?;
    let name = format!(".boxr-nothing-{}", rustix::process::getpid().as_raw_nonzero());
    match fs::mkdirat(&parent, &name, Mode::RWXU) {
        // Left by one that was killed, or another pid namespace's.
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    let opened = fs::openat(&parent, &name, flags, Mode::empty());
    fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR)?;
    let opened = opened?;
    // Whoever else makes names there could have put another's in its place in between.
    if fs::fstat(&opened)?.st_nlink > 0 {
        return Err(Errno::EXIST);
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_in_it_and_nothing_comes() {
        let dir = directory().unwrap();
        assert_eq!(fs::Dir::read_from(&dir).unwrap().count(), 0);
        assert_eq!(fs::mkdirat(&dir, "new", Mode::RWXU), Err(Errno::NOENT));
        assert!(fs::openat(&dir, ".", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).is_ok());
    }
}
