//! The working directory and the command itself.

use std::ffi::{CStr, CString};
use std::path::Path;

use boxr_sys::exec::{CVector, execve};
use rustix::fs::{Access, AtFlags, CWD, FileType, accessat, statat};
use rustix::io::Errno;

use crate::error::{At, Step, StepError};
use crate::plan::{Plan, ProcessPlan};

/// Enters the working directory.
///
/// A descriptor of the host's tree that was left open could make it one outside the root
/// (CVE-2024-21626); the kernel then shows its path as unreachable.
pub(super) fn enter_workdir(plan: &Plan) -> Result<(), StepError> {
    let Some(dir) = &plan.process.workdir else { return Ok(()) };
    if plan.root.is_foreign() && dir == Path::new("/") {
        // Where entering the root has led.
        return Ok(());
    }
    rustix::process::chdir(dir.as_path()).at(Step::Workdir, dir.display())?;
    let seen = rustix::process::getcwd(Vec::new()).at(Step::Workdir, dir.display())?;
    if seen.as_bytes().first() == Some(&b'/') {
        Ok(())
    } else {
        Err(StepError::new(Step::Workdir, format!("{} (outside the root)", dir.display()), Errno::NOENT))
    }
}

/// Replaces this process by the command, with the environment `env`; returns only with the reason why not.
pub(super) fn execute(process: &ProcessPlan, env: &CVector) -> StepError {
    let Some(name) = process.argv.strings().first() else {
        return StepError::new(Step::Exec, "nothing", Errno::INVAL);
    };
    let errno = if name.as_bytes().contains(&b'/') {
        try_execute(name, process, env)
    } else {
        search(name, process, env)
    };
    StepError::new(Step::Exec, name.to_string_lossy(), errno)
}

/// As [`execute`], with the file that [`find`] has found: by one system call.
pub(super) fn execute_found(path: &CStr, process: &ProcessPlan, env: &CVector) -> StepError {
    StepError::new(Step::Exec, path.to_string_lossy(), try_execute(path, process, env))
}

/// The command's file, if it can be executed as far as that can be told beforehand: for a container that is
/// started later, whose maker is to hear of it now, and before a seccomp filter forbids to look.
pub(super) fn find(process: &ProcessPlan) -> Result<CString, StepError> {
    let Some(name) = process.argv.strings().first() else {
        return Err(StepError::new(Step::Exec, "nothing", Errno::INVAL));
    };
    let found = if name.as_bytes().contains(&b'/') {
        check_file(name).map(|()| name.clone())
    } else {
        search_file(name, process)
    };
    found.at(Step::Exec, name.to_string_lossy())
}

fn search_file(name: &CStr, process: &ProcessPlan) -> Result<CString, Errno> {
    let mut seen = Errno::NOENT;
    for dir in &process.search_path {
        let path = joined(dir, name);
        match check_file(&path) {
            Ok(()) => return Ok(path),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(errno) => seen = errno,
        }
    }
    Err(seen)
}

fn check_file(path: &CStr) -> Result<(), Errno> {
    accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS)?;
    if is_directory(path) { Err(Errno::ISDIR) } else { Ok(()) }
}

fn joined(dir: &CStr, name: &CStr) -> CString {
    // Neither part has a zero byte.
    CString::new([dir.to_bytes(), b"/", name.to_bytes()].concat()).unwrap_or_default()
}

/// As execvp(3): the first match in `PATH` that can be executed; a match that cannot is
/// remembered, since "not executable" says more than "not found".
fn search(name: &CStr, process: &ProcessPlan, env: &CVector) -> Errno {
    let mut seen = Errno::NOENT;
    for dir in &process.search_path {
        let path = joined(dir, name);
        match accessat(CWD, &path, Access::EXEC_OK, AtFlags::EACCESS) {
            Err(Errno::ACCESS) => seen = Errno::ACCESS,
            Err(_) => {}
            Ok(()) => match try_execute(&path, process, env) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ISDIR | Errno::ACCESS => seen = Errno::ACCESS,
                errno => return errno,
            },
        }
    }
    seen
}

fn try_execute(path: &CStr, process: &ProcessPlan, env: &CVector) -> Errno {
    let errno = execve(path, &process.argv, env);
    match errno {
        // The kernel says EACCES for a directory, which would hide the reason.
        Errno::ACCESS if is_directory(path) => Errno::ISDIR,
        // A file that is there but whose interpreter is not.
        Errno::NOENT if statat(CWD, path, AtFlags::empty()).is_ok() => Errno::NOEXEC,
        errno => errno,
    }
}

fn is_directory(path: &CStr) -> bool {
    statat(CWD, path, AtFlags::empty())
        .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}
