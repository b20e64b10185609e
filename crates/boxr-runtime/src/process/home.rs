//! `HOME` of a command whose environment has none.

use std::ffi::CString;
use std::os::fd::AsFd;
use std::path::Path;

use boxr_sys::exec::CVector;
use rustix::fs::{FileType, Mode, OFlags, fstat};
use rustix::io::Errno;

use crate::plan::ProcessPlan;
use crate::rootfs::beneath;

/// So much of /etc/passwd is looked at.
const LONGEST: usize = 1 << 20;

/// The environment with `HOME`, where it is missing: as the container's /etc/passwd says, or else `/`.
/// Called in the container's root.
pub(super) fn complete(process: &ProcessPlan) -> Option<CVector> {
    let env = process.env.strings();
    if env.iter().any(|entry| entry.as_bytes().starts_with(b"HOME=")) {
        return None;
    }
    let uid = process.user.as_ref().map_or_else(|| rustix::process::getuid().as_raw(), |user| user.uid);
    let home = passwd().ok().and_then(|text| find(&text, uid)).unwrap_or_else(|| "/".to_owned());
    let entry = CString::new(format!("HOME={home}")).ok()?;
    Some(CVector::new(env.iter().cloned().chain([entry]).collect()))
}

/// The text of the container's /etc/passwd, which may be anything.
fn passwd() -> Result<String, Errno> {
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let path = Path::new("/etc/passwd");
    // Looked at before it is opened: opening a device may do something.
    let found = fstat(beneath::open(root.as_fd(), path, OFlags::PATH)?)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Err(Errno::INVAL);
    }
    let file = beneath::open(root.as_fd(), path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let mut text = vec![0; (found.st_size as usize).min(LONGEST)];
    let mut filled = 0;
    while let Some(rest) = text.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::read(&file, rest)? {
            0 => break,
            read => filled += read,
        }
    }
    text.truncate(filled);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// The directory of the first entry with this id (passwd(5)).
fn find(text: &str, uid: u32) -> Option<String> {
    text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let of = fields.nth(2)?.parse::<u32>().ok()?;
        let home = fields.nth(2)?;
        (of == uid && home.starts_with('/')).then(|| home.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_counts() {
        let text = "broken\nroot:x:0:0::/root:/bin/sh\nann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\nx:x:1000:1::/other:\n";
        assert_eq!(find(text, 1000).as_deref(), Some("/home/ann"));
        assert_eq!(find(text, 0).as_deref(), Some("/root"));
        assert_eq!(find(text, 5), None);
        assert_eq!(find("a:x:5:5::relative:/bin/sh\n", 5), None);
    }
}
