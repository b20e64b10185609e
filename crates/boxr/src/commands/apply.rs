//! `boxr apply`

use boxr_engine::attempt::{self, AttemptError, Change};
use boxr_engine::lifecycle::remove::{Force, remove};
use boxr_engine::outcome::EngineError;
use boxr_engine::store::{BoxDir, Observed, Store, Wait};
use rustix::io::Errno;

use super::attempt::listing;
use crate::boxes;
use crate::cli::Invocation;
use crate::report::{Report, errno_text, tell};

/// Carries out `boxr apply`.
///
/// # Errors
/// No such try, one that runs, files that have changed meanwhile, and files that cannot be replaced.
pub fn run(invocation: Invocation) -> Result<u8, Report> {
    let store = boxes::open_store(&invocation.globals)?;
    let name = invocation.first();
    let dir = boxes::find(&store, name)?;
    let paths: Vec<Vec<u8>> = invocation.positionals().iter().skip(1).map(|path| absolute(path)).collect();
    carry_out(&store, &dir, name, &paths, invocation.switch("force")).map_err(|report| report.status(1))
}

/// Applies what is at `paths` and beneath, or everything where there are none.
///
/// # Errors
/// As [`run`].
pub fn carry_out(
    store: &Store,
    dir: &BoxDir,
    name: &str,
    paths: &[Vec<u8>],
    force: bool,
) -> Result<u8, Report> {
    let own = dir.reopen()?;
    let missing = || EngineError::system("lock the try", Errno::WOULDBLOCK);
    let lock = own.lock(Wait::Yes)?.ok_or_else(missing)?;
    let attempt = attempt::of(&lock, name)?;
    match store.observe(&lock.read_state()?) {
        Observed::Exited(_) => {}
        _ => return Err(EngineError::from(AttemptError::Running { name: name.to_owned() }).into()),
    }
    check_paths(&attempt::changes(&attempt).map_err(EngineError::from)?, paths)?;
    let applied = attempt::apply::apply(&attempt, |change| is_meant(change, paths), force);
    let applied = applied.map_err(EngineError::from)?;
    drop(lock);
    if !applied.conflicts.is_empty() {
        return Err(refused(name, &applied.conflicts));
    }
    for (change, errno) in &applied.failed {
        let path = attempt::printable(&change.path);
        failed(&path, *errno).print();
    }
    let left = applied.left;
    tell(&format!("applied {} of {}", applied.done.len(), applied.done.len() + left));
    if left == 0 && applied.failed.is_empty() {
        remove(store, dir, Force::Yes)?;
        return Ok(0);
    }
    tell(&format!("the rest is kept as {name}"));
    Ok(u8::from(!applied.failed.is_empty()))
}

/// A path of the command line as the changes have it.
pub fn absolute(path: &str) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.into());
    let mut clean = std::path::PathBuf::new();
    for part in whole.components() {
        match part {
            std::path::Component::ParentDir => drop(clean.pop()),
            std::path::Component::CurDir => {}
            part => clean.push(part),
        }
    }
    clean.as_os_str().as_bytes().to_vec()
}

/// Whether a change is at one of `paths` or beneath; without any, all are meant.
pub fn is_meant(change: &Change, paths: &[Vec<u8>]) -> bool {
    let holds = |path: &Vec<u8>| {
        path == b"/"
            || change.path.strip_prefix(&path[..]).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    paths.is_empty() || paths.iter().any(holds)
}

/// Each path must be one of a change, or hold some.
///
/// # Errors
/// The first that is not.
pub fn check_paths(changes: &[Change], paths: &[Vec<u8>]) -> Result<(), Report> {
    let unchanged =
        |path: &&Vec<u8>| !changes.iter().any(|change| is_meant(change, std::slice::from_ref(path)));
    match paths.iter().find(unchanged) {
        None => Ok(()),
        Some(path) => {
            let error = AttemptError::Unchanged { path: attempt::printable(path) };
            Err(Report::from(EngineError::from(error)).status(1))
        }
    }
}

fn refused(name: &str, conflicts: &[Change]) -> Report {
    let count = conflicts.len();
    let mut report =
        Report::new(format!("nothing of {name} was applied: {count} of its files have changed on the host"));
    for change in conflicts.iter().take(20) {
        report = report.detail(listing::line(change).trim_end().to_owned());
    }
    if count > 20 {
        report = report.detail(format!("… and {} more", count - 20));
    }
    report.suggest(format!("boxr diff -p {name}")).suggest(format!("boxr apply --force {name}"))
}

fn failed(path: &str, errno: Errno) -> Report {
    let report = Report::new(format!("cannot apply {path}: {}", errno_text(errno)));
    match errno {
        Errno::STALE => report.detail("another process has changed it this moment"),
        Errno::LOOP => report.detail("a symbolic link is on the way to it, where the try saw a directory"),
        Errno::BUSY => report.detail("something is mounted there"),
        Errno::ACCESS | Errno::PERM => report.detail("it belongs to somebody else"),
        _ => report,
    }
}
