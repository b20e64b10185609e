//! Tests of the store as a whole: life, names, races, kills and a full disk at every step.

mod crash;
mod names;
mod reboot;

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::options::{BoxOptions, Retention};
use crate::record::{Exit, FORMAT, ProcessRef, Record, Status};

/// A store in a directory of its own.
struct World {
    store: Store,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = open(dir.path());
        Self { store, dir }
    }

    /// Every path below the roots, except the directories that are always there.
    fn everything(&self) -> Vec<String> {
        let always = ["state/names", "state/containers", "state", "data/containers", "data"];
        let mut found = tree(self.dir.path(), self.dir.path());
        found.retain(|path| !always.contains(&path.as_str()));
        found.sort();
        found
    }
}

fn open(dir: &Path) -> Store {
    Store::open(Paths { state: dir.join("state"), data: dir.join("data") }).unwrap()
}

fn tree(root: &Path, dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
        if path.symlink_metadata().unwrap().is_dir() {
            found.extend(tree(root, &path));
        }
    }
    found
}

fn state(store: &Store, claim: &Claim, retention: Retention) -> State {
    State {
        format: FORMAT,
        id: claim.id().to_string(),
        name: claim.name().to_owned(),
        command: "sleep 1".into(),
        image: "host".into(),
        retention,
        labels: Default::default(),
        created: 7,
        started: Some(8),
        finished: None,
        status: Status::Running,
        process: Some(ProcessRef::current().unwrap()),
        supervisor: Some(ProcessRef::current().unwrap()),
        monitored: false,
        ending_signal: None,
        exit: None,
        oom_killed: false,
        error: None,
        boot_id: store.here().boot_id.clone(),
        pid_namespace: store.here().pid_namespace,
        cgroup: None,
        pod: None,
        networked: false,
        journaled: false,
        tty: false,
        health: None,
        again: Default::default(),
    }
}

fn record(id: &crate::id::Id, retention: Retention) -> Record {
    let options = BoxOptions { retention, args: vec!["sleep".into(), "1".into()], ..Default::default() };
    Record { format: FORMAT, id: id.to_string(), options }
}

/// A box as a start makes it.
fn make(store: &Store, name: Option<&str>, retention: Retention) -> Result<BoxDir, StoreError> {
    let claim = store.create(name, retention)?;
    claim.write_record(&record(claim.id(), retention))?;
    claim.write_state(&state(store, &claim, retention))?;
    claim.commit()
}

/// Processes that are certainly not there: this one's pid with another start time.
fn dead() -> ProcessRef {
    ProcessRef { start_time: 1, ..ProcessRef::current().unwrap() }
}

fn kill_off(dir: &BoxDir) {
    let lock = dir.lock(Wait::Yes).unwrap().unwrap();
    lock.update_state(|state| {
        state.process = Some(dead());
        state.supervisor = Some(dead());
    })
    .unwrap();
}

fn known(entries: &[Entry]) -> Vec<(&str, Observed)> {
    let mut known: Vec<_> = entries
        .iter()
        .filter_map(|entry| match &entry.contents {
            Contents::Known { state, observed } => Some((state.name.as_str(), *observed)),
            _ => None,
        })
        .collect();
    known.sort_by_key(|(name, _)| *name);
    known
}

#[test]
fn a_box_lives_and_goes() {
    for retention in [Retention::Ephemeral, Retention::Kept] {
        let world = World::new();
        let dir = make(&world.store, Some("web"), retention).unwrap();
        let id = dir.id().clone();
        assert_eq!(known(&world.store.list().unwrap()), [("web", Observed::Running)]);
        for wanted in ["web", id.as_str(), id.short(), &id.as_str()[..4]] {
            let found = world.store.resolve(wanted).unwrap();
            assert_eq!(found.id(), &id);
            assert_eq!(found.read_record().unwrap(), record(&id, retention));
            assert_eq!(found.read_state().unwrap().name, "web");
        }
        assert_eq!(dir.data_path().unwrap().is_some(), retention == Retention::Kept);
        dir.persist().unwrap();
        dir.lock(Wait::No).unwrap().unwrap().remove().unwrap();
        assert_eq!(world.everything(), [""; 0]);
        assert!(matches!(world.store.resolve("web"), Err(StoreError::NotFound { .. })));
        assert!(matches!(dir.read_state(), Err(StoreError::NotFound { .. })));
    }
}

#[test]
fn what_was_removed_while_waiting_is_not_found() {
    let world = World::new();
    let claim = world.store.create(Some("a"), Retention::Ephemeral).unwrap();
    let waiting = world.store.resolve("a").unwrap();
    assert!(matches!(waiting.read_state(), Err(StoreError::NoState { .. })));
    claim.abort().unwrap();
    let lock = waiting.lock(Wait::Yes).unwrap().unwrap();
    assert!(matches!(lock.rename("b"), Err(StoreError::NotFound { .. })));
    lock.remove().unwrap();
    assert_eq!(world.everything(), [""; 0]);
}

#[test]
fn half_made_directories_are_swept_once_they_are_old() {
    let world = World::new();
    drop(world.store.create(None, Retention::Ephemeral).unwrap());
    let id = "2".repeat(64);
    let path = world.dir.path().join("state/containers").join(&id);
    std::fs::create_dir(&path).unwrap();
    std::os::unix::fs::symlink(&id, world.dir.path().join("state/names/web")).unwrap();
    assert!(matches!(world.store.list().unwrap()[0].contents, Contents::Creating));
    let long_ago = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
    std::fs::File::open(&path).unwrap().set_times(long_ago).unwrap();
    assert!(world.store.list().unwrap().is_empty());
    assert_eq!(world.everything(), [""; 0]);
}

#[test]
fn a_claim_that_is_dropped_leaves_nothing() {
    let world = World::new();
    drop(world.store.create(Some("a"), Retention::Kept).unwrap());
    let claim = world.store.create(Some("a"), Retention::Ephemeral).unwrap();
    claim.write_record(&record(claim.id(), Retention::Ephemeral)).unwrap();
    std::fs::create_dir_all(claim.path().join("deep/er")).unwrap();
    std::fs::write(claim.path().join("deep/er/file"), "x").unwrap();
    claim.abort().unwrap();
    assert_eq!(world.everything(), [""; 0]);
}

#[test]
fn a_claim_is_locked_until_committed() {
    let world = World::new();
    let claim = world.store.create(Some("a"), Retention::Ephemeral).unwrap();
    claim.write_state(&state(&world.store, &claim, Retention::Ephemeral)).unwrap();
    let other = world.store.resolve("a").unwrap();
    assert!(other.try_lock().unwrap().is_none());
    let dir = claim.commit().unwrap();
    let lock = other.try_lock().unwrap();
    assert!(lock.is_some());
    assert!(dir.reopen().unwrap().try_lock().unwrap().is_none());
    drop(lock);
    assert!(dir.reopen().unwrap().try_lock().unwrap().is_some());
}

#[test]
fn leftovers_of_ephemeral_boxes_are_swept_and_kept_boxes_are_not() {
    let world = World::new();
    kill_off(&make(&world.store, Some("gone"), Retention::Ephemeral).unwrap());
    kill_off(&make(&world.store, Some("kept"), Retention::Kept).unwrap());
    make(&world.store, Some("alive"), Retention::Ephemeral).unwrap();
    let held = make(&world.store, Some("held"), Retention::Ephemeral).unwrap();
    kill_off(&held);
    let lock = held.lock(Wait::Yes).unwrap();
    let exited = Observed::Exited(Exit::Unknown);
    let listed = world.store.list().unwrap();
    assert_eq!(known(&listed), [("alive", Observed::Running), ("held", exited), ("kept", exited)]);
    drop(lock);
    assert_eq!(known(&world.store.list().unwrap()), [("alive", Observed::Running), ("kept", exited)]);
}

#[test]
fn what_cannot_be_judged_is_left_alone() {
    let world = World::new();
    let dir = make(&world.store, Some("nested"), Retention::Ephemeral).unwrap();
    kill_off(&dir);
    dir.lock(Wait::Yes).unwrap().unwrap().update_state(|state| state.pid_namespace = 1).unwrap();
    let listed = world.store.list().unwrap();
    assert_eq!(known(&listed), [("nested", Observed::Unclear(Status::Running))]);

    let limited = make(&world.store, Some("limited"), Retention::Ephemeral).unwrap();
    kill_off(&limited);
    let lock = limited.lock(Wait::Yes).unwrap().unwrap();
    lock.update_state(|state| state.cgroup = Some(Default::default())).unwrap();
    drop(lock);
    assert_eq!(known(&world.store.list().unwrap()).len(), 2);
}

#[test]
fn an_ended_process_counts_when_nobody_is_about_to_say_how() {
    let world = World::new();
    let dir = make(&world.store, None, Retention::Kept).unwrap();
    let lock = dir.lock(Wait::Yes).unwrap().unwrap();
    let ending = lock.update_state(|state| state.process = Some(dead())).unwrap();
    assert_eq!(world.store.observe(&ending), Observed::Ending);
    let lost = lock.update_state(|state| state.supervisor = None).unwrap();
    assert_eq!(world.store.observe(&lost), Observed::Exited(Exit::Unknown));
    let seen = lock
        .update_state(|state| {
            state.status = Status::Exited;
            state.exit = Some(Exit::Code(3));
        })
        .unwrap();
    assert_eq!(world.store.observe(&seen), Observed::Exited(Exit::Code(3)));
}

#[test]
fn a_damaged_or_newer_state_is_shown_and_can_be_removed() {
    let world = World::new();
    let dir = make(&world.store, Some("a"), Retention::Kept).unwrap();
    for (text, newer) in [("{", false), ("{\"format\": 99}", true)] {
        std::fs::write(dir.path().join("state.json"), text).unwrap();
        let error = world.store.resolve("a").unwrap().read_state().unwrap_err();
        assert_eq!(matches!(error, StoreError::TooNew { format: 99, .. }), newer, "{error}");
        let listed = world.store.list().unwrap();
        assert!(matches!(listed[0].contents, Contents::Damaged(_)));
    }
    assert!(matches!(world.store.create(Some("a"), Retention::Kept), Err(StoreError::NameInUse { .. })));
    world.store.resolve("a").unwrap().lock(Wait::Yes).unwrap().unwrap().remove().unwrap();
    assert_eq!(world.everything(), [""; 0]);
}

#[test]
fn what_is_no_box_is_not_listed() {
    let world = World::new();
    assert!(world.store.list().unwrap().is_empty());
    std::fs::write(world.dir.path().join("state/containers/note"), "x").unwrap();
    std::os::unix::fs::symlink("/etc", world.dir.path().join("state/names/odd")).unwrap();
    assert!(world.store.list().unwrap().is_empty());
    make(&world.store, Some("odd"), Retention::Ephemeral).unwrap();
}
