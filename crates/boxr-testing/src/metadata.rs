//! A program that changes the metadata of a file in every way that there is.

use std::os::fd::AsRawFd;
use std::process::ExitCode;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, XattrFlags, chmodat, chownat, fchmod, fchown,
    fremovexattr, fsetxattr, futimens, ioctl_getflags, ioctl_setflags, lsetxattr, open, openat, removexattr,
    setxattr, utimensat,
};
use rustix::io::Errno;
use rustix::process::{getgid, getuid};

/// How many ways there are.
pub const WAYS: usize = 14;

/// One of them, with its name.
type Way<'w> = (&'w str, &'w dyn Fn() -> Result<(), Errno>);

/// Prints a line for each way, with how it went.
pub fn main(path: &str) -> ExitCode {
    let times = |tv_sec| {
        let time = || Timespec { tv_sec, tv_nsec: 0 };
        Timestamps { last_access: time(), last_modification: time() }
    };
    // A descriptor that is good for nothing is to be had of every file that has a name.
    let named = open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let link = format!("/proc/self/fd/{}", named.as_raw_fd());
    let (dir, name) = path.rsplit_once('/').unwrap();
    let dir = open(dir, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).unwrap();
    let opened = || open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    let (no, ids, mode) = (AtFlags::empty(), (Some(getuid()), Some(getgid())), Mode::from_raw_mode(0o640));
    let ways: [Way<'_>; WAYS] = [
        ("chmod", &|| chmodat(CWD, path, mode, no)),
        ("chmod in a directory", &|| chmodat(&dir, name, mode, no)),
        ("chmod of a descriptor's path", &|| chmodat(CWD, &link, mode, no)),
        ("fchmod", &|| fchmod(opened()?, mode)),
        ("chown", &|| chownat(CWD, path, ids.0, ids.1, no)),
        ("chown of the name alone", &|| chownat(&dir, name, ids.0, ids.1, AtFlags::SYMLINK_NOFOLLOW)),
        ("fchown", &|| fchown(opened()?, ids.0, ids.1)),
        ("utimensat", &|| utimensat(CWD, path, &times(1000), no)),
        ("utimensat of what a descriptor names", &|| {
            utimensat(&named, "", &times(1001), AtFlags::EMPTY_PATH)
        }),
        ("futimens", &|| futimens(opened()?, &times(1002))),
        ("setxattr", &|| {
            setxattr(path, "user.x", b"x", XattrFlags::empty()).and_then(|()| removexattr(path, "user.x"))
        }),
        ("lsetxattr", &|| lsetxattr(path, "user.x", b"x", XattrFlags::empty())),
        ("fsetxattr", &|| {
            let file = opened()?;
            fsetxattr(&file, "user.y", b"", XattrFlags::empty()).and_then(|()| fremovexattr(&file, "user.y"))
        }),
        ("a file in another directory", &|| {
            let again = openat(&dir, name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            chmodat(CWD, format!("/dev/fd/{}", again.as_raw_fd()), mode, no)
        }),
    ];
    for (way, change) in ways {
        match change() {
            Ok(()) => println!("{way}: done"),
            Err(errno) => println!("{way}: {errno:?}"),
        }
    }
    // For which it need not be open for writing.
    let flags = opened().and_then(|file| ioctl_getflags(&file).and_then(|flags| ioctl_setflags(file, flags)));
    println!("flags: {}", if flags.is_ok() { "done" } else { "refused" });
    ExitCode::SUCCESS
}
