//! A process killed at every change it makes, and a disk that is full at every change.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::super::steps::{Plan, with_plan};
use super::*;

/// More changes than any operation makes.
const MANY: u32 = 60;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Create,
    Remove,
    Rename,
    Prepare,
}

impl Operation {
    /// Makes the store as it is before.
    fn before(self, store: &Store, retention: Retention) {
        match self {
            Self::Prepare => {}
            Self::Create => drop(store.create(None, Retention::Ephemeral).unwrap()),
            Self::Remove | Self::Rename => drop(make(store, Some("web"), retention).unwrap()),
        }
    }

    fn run(self, store: &Store, retention: Retention) -> Result<(), StoreError> {
        match self {
            Self::Create | Self::Prepare => make(store, Some("web"), retention).map(drop),
            Self::Remove => {
                let dir = store.resolve("web")?;
                dir.lock(Wait::Yes)?.map_or(Ok(()), |lock| lock.remove())
            }
            Self::Rename => {
                let dir = store.resolve("web")?;
                dir.lock(Wait::Yes)?.map_or(Ok(()), |lock| lock.rename("new").map(drop))
            }
        }
    }
}

fn retention(kept: bool) -> Retention {
    if kept { Retention::Kept } else { Retention::Ephemeral }
}

/// In the helper process: runs one operation and is killed at a change of it.
fn help(job: &str) {
    let fields: Vec<&str> = job.split('\t').collect();
    let operation = match fields[0] {
        "Create" => Operation::Create,
        "Remove" => Operation::Remove,
        "Rename" => Operation::Rename,
        _ => Operation::Prepare,
    };
    let store = open(Path::new(fields[3]));
    let work = || operation.run(&store, retention(fields[1] == "true"));
    let (done, _) = with_plan(Plan::Kill(fields[2].parse().unwrap()), work);
    done.unwrap();
}

/// Whether the helper was killed; false when it made fewer changes than that.
fn killed(operation: Operation, kept: bool, step: u32, dir: &Path) -> bool {
    let job = format!("{operation:?}\t{kept}\t{step}\t{}", dir.display());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::killed_at_every_change"])
        .env("BOXR_TEST_CRASH", job)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(9), "{operation:?} {kept} {step}: {status}");
    status.signal() == Some(9)
}

/// Removes all boxes by id, as `rm -f` does.
fn remove_all(world: &World) {
    for id in world.store.0.ids().unwrap() {
        let dir = world.store.resolve(id.as_str()).unwrap();
        dir.try_lock().unwrap().unwrap().remove().unwrap();
    }
}

/// Whatever was killed, the store works and everything can be removed.
fn check_after_kill(operation: Operation, kept: bool, step: u32, world: &World) {
    let what = format!("{operation:?} kept={kept} step={step}: {:#?}", world.everything());
    world.store.list().unwrap_or_else(|error| panic!("{what}: {error}"));
    for name in ["web", "new"] {
        match world.store.resolve(name) {
            Ok(dir) => assert!(dir.try_lock().unwrap().is_some(), "{what}"),
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => panic!("{what}: {error}"),
        }
    }
    // A name is lost only to a box that is whole, and kept or alive.
    match world.store.create(Some("web"), Retention::Ephemeral) {
        Ok(claim) => drop(claim),
        Err(StoreError::NameInUse { holder, .. }) => {
            let holder = world.store.resolve(holder.as_str()).unwrap();
            let state = holder.read_state().unwrap();
            assert!(kept || state.process.unwrap().is_alive(), "{what}");
            assert_eq!(state.name, "web", "{what}");
            holder.read_record().unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        Err(error) => panic!("{what}: {error}"),
    }
    remove_all(world);
    for name in ["web", "new"] {
        drop(world.store.create(Some(name), Retention::Ephemeral).unwrap());
    }
    let mut left = world.everything();
    // A temporary directory of a restore goes with the next one.
    left.retain(|path| !path.starts_with("state/containers.restoring"));
    assert_eq!(left, [""; 0], "{what}");
}

#[test]
fn killed_at_every_change() {
    if let Ok(job) = std::env::var("BOXR_TEST_CRASH") {
        return help(&job);
    }
    for operation in [Operation::Create, Operation::Remove, Operation::Rename, Operation::Prepare] {
        for kept in [false, true] {
            let mut steps = 0;
            loop {
                let world = World::new();
                operation.before(&world.store, retention(kept));
                let was_killed = killed(operation, kept, steps, world.dir.path());
                if !was_killed {
                    break;
                }
                check_after_kill(operation, kept, steps, &world);
                steps += 1;
                assert!(steps < MANY);
            }
            assert!(steps >= 4, "{operation:?} made {steps} changes");
        }
    }
}

#[test]
fn a_full_disk_at_every_change_of_a_creation_leaves_nothing() {
    for kept in [false, true] {
        for step in 0..MANY {
            let world = World::new();
            drop(world.store.create(None, Retention::Ephemeral).unwrap());
            let work = || make(&world.store, Some("web"), retention(kept));
            let (done, reached) = with_plan(Plan::Full(step), work);
            if !reached {
                done.unwrap();
                assert!(step >= 5);
                break;
            }
            let error = done.unwrap_err();
            assert!(matches!(error, StoreError::Full { .. }), "step {step}: {error}");
            assert_eq!(world.everything(), [""; 0], "step {step}");
        }
    }
}

#[test]
fn a_full_disk_during_a_rename_keeps_a_name() {
    for kept in [false, true] {
        for step in 0..MANY {
            let world = World::new();
            let dir = make(&world.store, Some("web"), retention(kept)).unwrap();
            let lock = dir.lock(Wait::Yes).unwrap().unwrap();
            let (done, reached) = with_plan(Plan::Full(step), || lock.rename("new"));
            if !reached {
                done.unwrap();
                break;
            }
            let name = lock.read_state().unwrap().name;
            assert_eq!(world.store.resolve(&name).unwrap().id(), dir.id(), "step {step}");
            drop(lock);
            remove_all(&world);
            drop(world.store.create(Some("web"), Retention::Ephemeral).unwrap());
            assert_eq!(world.everything(), [""; 0], "step {step}");
        }
    }
}

#[test]
fn a_state_that_cannot_be_written_stays_as_it_was() {
    let world = World::new();
    let dir = make(&world.store, Some("web"), Retention::Ephemeral).unwrap();
    let before = dir.read_state().unwrap();
    let files = world.everything();
    let lock = dir.lock(Wait::Yes).unwrap().unwrap();
    for step in 0..3 {
        let (done, reached) = with_plan(Plan::Full(step), || lock.update_state(|state| state.tty = true));
        assert!(reached);
        assert!(matches!(done, Err(StoreError::Full { .. })));
        assert_eq!(lock.read_state().unwrap(), before);
        assert_eq!(world.everything(), files);
    }
}
