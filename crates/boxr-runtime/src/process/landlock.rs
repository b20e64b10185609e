//! The command's rights to files, as far as Landlock takes them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use boxr_sys::landlock::{Ruleset, file};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::error::{At, Step, StepError};
use crate::plan::LandlockPlan;

/// Gives up what the plan says. no_new_privs must be set, or the right to do without.
pub(super) fn restrict(plan: &LandlockPlan) -> Result<(), StepError> {
    let ruleset = Ruleset::new(plan.files, plan.scopes).at(Step::Landlock, "a ruleset")?;
    for (path, rights) in &plan.keeps {
        let Some(fd) = open(path).at(Step::Landlock, path.display())? else { continue };
        let found = fstat(&fd).at(Step::Landlock, path.display())?;
        let is_directory = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let rights = if is_directory { *rights } else { rights & file::OF_FILES };
        ruleset.allow(fd.as_fd(), rights & plan.files).at(Step::Landlock, path.display())?;
    }
    ruleset.restrict_self().at(Step::Landlock, "the command")
}

/// `None` for what has gone meanwhile, or has become a link: then it is not kept.
fn open(path: &Path) -> Result<Option<OwnedFd>, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(errno),
    }
}
