//! What is done with a pod and all of its members.

use std::os::fd::AsFd;

use boxr_sys::clone::{Cloned, Parent, clone3, exit_now};
use boxr_sys::pidfd::{self, Ended};
use rustix::process::Signal;

use super::infra::{self, has_infra};
use super::status::{self, View};
use super::{PodError, look, members, note};
use crate::events::Action;
use crate::lifecycle::{self, StartMode, StopTerms, remove as boxes};
use crate::outcome::EngineError;
use crate::store::{BoxDir, Hold, PodDir, PodLock, Store, StoreError};

/// A member with which something could not be done.
#[derive(Debug)]
pub struct Failed {
    /// Its name.
    pub name: String,
    /// Why.
    pub error: EngineError,
}

/// What came of it: nothing failed, or these did. The others were gone on with.
pub type Outcome = Vec<Failed>;

/// How often members that are made meanwhile are removed with a pod before that is given up.
const ROUNDS: u32 = 16;

/// The pod of `dir` as it is now.
///
/// # Errors
/// It is gone, or cannot be read.
fn view(store: &Store, dir: &PodDir) -> Result<View, EngineError> {
    let again = store.resolve_pod(dir.id().as_str())?;
    let record = again.read_record()?;
    let gone = || StoreError::NoPod { wanted: record.name.clone() };
    let state = again.read_state()?.ok_or_else(gone)?;
    Ok(look(store.here(), (again, record, state), &members(store)?))
}

/// Does something with each member.
///
/// # Errors
/// The members cannot be found.
fn each_member(
    store: &Store,
    view: &View,
    wanted: impl Fn(&str) -> bool,
    mut action: impl FnMut(&BoxDir) -> Result<(), EngineError>,
) -> Result<Outcome, EngineError> {
    let dirs = chosen(store, view, wanted)?;
    let failed =
        dirs.into_iter().filter_map(|(name, dir)| action(&dir).err().map(|error| Failed { name, error }));
    Ok(failed.collect())
}

/// The members whose word of state is `wanted`.
fn chosen(
    store: &Store,
    view: &View,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, BoxDir)>, EngineError> {
    let is_wanted = |id: &str| view.members.iter().any(|member| member.id == id && wanted(member.status));
    let dirs = view.box_dirs(store)?;
    let ids = dirs.iter().map(|(_, dir)| dir.id().as_str().to_owned()).collect();
    let order = lifecycle::requires::dependents_first(store, ids, false)?;
    let mut dirs = dirs;
    dirs.sort_by_key(|(_, dir)| order.iter().position(|id| id == dir.id().as_str()));
    Ok(dirs.into_iter().filter(|(_, dir)| is_wanted(dir.id().as_str())).collect())
}

fn runs(word: &str) -> bool {
    matches!(word, "running" | "paused" | "restarting" | "stopping")
}

/// Brings a pod up and starts the members that do not run.
///
/// # Errors
/// It has nothing that could start; it does not come up.
pub fn start(store: &Store, dir: &PodDir) -> Result<Outcome, EngineError> {
    let view = view(store, dir)?;
    if view.members.is_empty() {
        return Err(PodError::Empty { name: view.record.name }.into());
    }
    if has_infra(&view.record.options) {
        infra::ensure(store, dir, &view.record)?;
    }
    let start = |member: &BoxDir| lifecycle::start(store, member, &StartMode::Detached).map(|_| ());
    let failed = each_member(store, &view, |word| !runs(word), start)?;
    note_done(store, &view, Action::Start, &failed);
    Ok(failed)
}

/// Journals what was done to a pod, unless it failed with a member: podman does not tell of that either.
fn note_done(store: &Store, view: &View, action: Action, failed: &Outcome) {
    if failed.is_empty() {
        note(store, &view.record.id, &view.record.name, action);
    }
}

/// Ends all members, side by side, and takes the pod down.
///
/// # Errors
/// It cannot be taken down.
pub fn stop(store: &Store, dir: &PodDir, terms: StopTerms) -> Result<Outcome, EngineError> {
    let view = view(store, dir)?;
    let running = chosen(store, &view, runs)?;
    // Without anything that is taken down it is stopped when its members are.
    let ends = !has_infra(&view.record.options) && !running.is_empty();
    let (failed, lowered) = end(store, dir, running, terms)?;
    if ends || matches!(lowered, Lowered::Now(_)) {
        note_done(store, &view, Action::Stop, &failed);
    }
    Ok(failed)
}

/// Ends these members of a pod, which are all that run, and takes it down.
fn end(
    store: &Store,
    dir: &PodDir,
    running: Vec<(String, BoxDir)>,
    terms: StopTerms,
) -> Result<(Outcome, Lowered), EngineError> {
    let failed = side_by_side(running, |member| lifecycle::stop(member, terms))?;
    let lowered = if failed.is_empty() { lower(store, dir)? } else { Lowered::No };
    Ok((failed, lowered))
}

/// Sends a signal to all members that run. SIGKILL leaves nobody, and takes the pod down.
///
/// # Errors
/// The members cannot be found; the pod cannot be taken down.
pub fn kill(store: &Store, dir: &PodDir, number: i32) -> Result<Outcome, EngineError> {
    let view = view(store, dir)?;
    let wanted = |word: &str| matches!(word, "running" | "paused");
    let mut failed = each_member(store, &view, wanted, |member| lifecycle::kill(member, number))?;
    if failed.is_empty() && number == Signal::KILL.as_raw() {
        let terms = StopTerms { grace: Some(0), signal: None };
        (failed, _) = end(store, dir, chosen(store, &self::view(store, dir)?, runs)?, terms)?;
    }
    note_done(store, &view, Action::Kill, &failed);
    Ok(failed)
}

/// Freezes all members that run.
///
/// # Errors
/// The members cannot be found.
pub fn pause(store: &Store, dir: &PodDir) -> Result<Outcome, EngineError> {
    let view = view(store, dir)?;
    let failed = each_member(store, &view, |word| word == "running", lifecycle::pause)?;
    note_done(store, &view, Action::Pause, &failed);
    Ok(failed)
}

/// Lets all members go on that are paused.
///
/// # Errors
/// The members cannot be found.
pub fn unpause(store: &Store, dir: &PodDir) -> Result<Outcome, EngineError> {
    let view = view(store, dir)?;
    let failed = each_member(store, &view, |word| word == "paused", lifecycle::unpause)?;
    note_done(store, &view, Action::Unpause, &failed);
    Ok(failed)
}

/// A process for each, since each may take its time to end. What fails there is done again here, for its error.
fn side_by_side(
    dirs: Vec<(String, BoxDir)>,
    action: impl Fn(&BoxDir) -> Result<(), EngineError>,
) -> Result<Outcome, EngineError> {
    let mut children = Vec::new();
    let alone = dirs.len() < 2;
    for (name, dir) in dirs {
        if alone {
            children.push((name, dir, None));
            continue;
        }
        let failed = |errno| EngineError::system("start a process for a member of the pod", errno);
        match clone3(0, None, Parent::Caller).map_err(failed)? {
            Cloned::Child => {
                let done = dir.reopen().map_err(EngineError::from).and_then(|dir| action(&dir));
                exit_now(u8::from(done.is_err()));
            }
            Cloned::Parent { pidfd, .. } => children.push((name, dir, Some(pidfd))),
        }
    }
    let mut outcome = Vec::new();
    for (name, dir, child) in children {
        let ended = child.and_then(|child| pidfd::reap(child.as_fd(), true).ok().flatten());
        if matches!(ended, Some(Ended::Code(0))) {
            continue;
        }
        outcome.extend(action(&dir).err().map(|error| Failed { name, error }));
    }
    Ok(outcome)
}

/// Whether a pod was taken down.
#[derive(Debug)]
pub(super) enum Lowered {
    /// By this. Nobody else is at work on it until the lock goes, so that what is journaled is in order.
    Now(PodLock),
    /// It is up, or was not.
    No,
}

/// Takes a pod down, unless a member runs or another command is at work on it.
pub(super) fn lower(store: &Store, dir: &PodDir) -> Result<Lowered, EngineError> {
    let Some(lock) = dir.lock(Hold::Alone)? else { return Ok(Lowered::No) };
    let Some(state) = dir.read_state()? else { return Ok(Lowered::No) };
    if state.infra.is_none() || status::has_running_members(store, dir.id()) {
        return Ok(Lowered::No);
    }
    infra::lower(dir, &state)?;
    Ok(Lowered::Now(lock))
}

/// Removes a pod and its members; those that run only with force.
///
/// # Errors
/// [`PodError::Running`]; what cannot be removed.
pub fn remove(store: &Store, dir: &PodDir, force: boxes::Force) -> Result<Outcome, EngineError> {
    let (mut name, mut failed) = (None, Vec::new());
    for _ in 0..ROUNDS {
        // One whose record is gone has been half removed already.
        if let Ok(view) = view(store, dir) {
            let running = view.members.iter().filter(|one| one.state.is_some() && runs(one.status));
            let running: Vec<String> = running.map(|member| member.name.clone()).collect();
            if force == boxes::Force::No && !running.is_empty() {
                return Err(PodError::Running { name: view.record.name, members: running }.into());
            }
            failed = remove_members(store, &view, force)?;
            name = Some(view.record.name);
        }
        if !failed.is_empty() {
            return Ok(failed);
        }
        let Some(lock) = dir.lock(Hold::Alone)? else { continue };
        let made_meanwhile = members(store)?.iter().any(|(state, _)| is_of(dir, state));
        if made_meanwhile {
            continue;
        }
        if let Some(state) = dir.read_state()? {
            infra::lower(dir, &state)?;
        }
        infra::clear(dir)?;
        dir.dismantle(&lock, name.as_deref())?;
        note(store, dir.id().as_str(), name.as_deref().unwrap_or_default(), Action::Remove);
        return Ok(failed);
    }
    Err(EngineError::system("remove the pod, as members are made all the time", rustix::io::Errno::BUSY))
}

fn is_of(dir: &PodDir, state: &crate::record::State) -> bool {
    state.pod.as_deref() == Some(dir.id().as_str())
}

fn remove_members(store: &Store, view: &View, force: boxes::Force) -> Result<Outcome, EngineError> {
    each_member(
        store,
        view,
        |_| true,
        |member| {
            boxes::remove(store, member, force).map_err(|error| match error {
                boxes::RemoveError::Store(error) => error.into(),
                boxes::RemoveError::Process(error) => error.into(),
                boxes::RemoveError::Cgroup(error) => error.into(),
                other => EngineError::Remove(Box::new(other)),
            })
        },
    )
}

/// Removes the pods that have ended; gives their ids.
///
/// # Errors
/// Pods cannot be listed.
pub fn prune(store: &Store) -> Result<(Vec<String>, Outcome), EngineError> {
    let (mut removed, mut failed) = (Vec::new(), Vec::new());
    let all = members(store)?;
    for found in store.pods()? {
        let view = look(store.here(), found, &all);
        if !matches!(
            view.status,
            super::PodStatus::Exited | super::PodStatus::Stopped | super::PodStatus::Dead
        ) {
            continue;
        }
        match remove(store, &view.dir, boxes::Force::No) {
            Ok(outcome) if outcome.is_empty() => removed.push(view.record.id),
            Ok(outcome) => failed.extend(outcome),
            Err(error) => failed.push(Failed { name: view.record.name, error }),
        }
    }
    Ok((removed, failed))
}
