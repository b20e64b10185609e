//! A process killed, and the power gone, at every change it makes; a disk that is full at every change.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use super::super::steps::{Plan, with_plan};
use super::*;

/// More changes than any operation makes.
const MANY: u32 = 120;

/// Where syncfs(2) does not wait for what others write to the disk.
fn in_memory() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Operation {
    Open,
    Put,
    Move,
    Remove,
}

/// What happens to the disk when the process is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Disk {
    Stays,
    /// Everything that was not made to last is empty.
    LosesPower,
}

impl Operation {
    fn of(text: &str) -> Self {
        [Self::Open, Self::Put, Self::Move, Self::Remove]
            .into_iter()
            .find(|operation| format!("{operation:?}") == text)
            .unwrap()
    }

    /// Makes the store as it is before.
    fn before(self, path: &Path) {
        if self == Self::Open {
            return;
        }
        let store = Store::open(path).unwrap();
        Sample::new("old").put(&store, "old").unwrap();
        if self != Self::Put {
            Sample::new("new").put(&store, "new").unwrap();
        }
    }

    fn run(self, path: &Path) -> Result<(), StoreError> {
        let store = Store::open(path)?;
        let new = Sample::new("new");
        match self {
            Self::Open | Self::Put => new.put(&store, "new").map(drop),
            Self::Move => store.tag(&Reference::parse("old").unwrap(), &new.id()),
            Self::Remove => {
                store.forget_image(&new.id())?;
                store.sweep(Which::Unreferenced).map(drop)
            }
        }
    }
}

/// In the helper process: runs one operation and is killed at a change of it.
fn help(job: &str) {
    let fields: Vec<&str> = job.split('\t').collect();
    let journal = std::fs::File::create(fields[3]).unwrap();
    let work = || Operation::of(fields[0]).run(Path::new(fields[2]));
    let (done, _) = with_plan(Plan::Kill(fields[1].parse().unwrap()), Some(journal), work);
    done.unwrap();
}

/// Whether the helper was killed; false when it made fewer changes than that.
fn killed(operation: Operation, step: u32, store: &Path, journal: &Path) -> bool {
    let job = format!("{operation:?}\t{step}\t{}\t{}", store.display(), journal.display());
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::killed_at_every_change"])
        .env("BOXR_TEST_CRASH", job)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success() || status.signal() == Some(9), "{operation:?} {step}: {status}");
    status.signal() == Some(9)
}

/// Empties every file that was written and not synced, wherever it was moved since.
fn lose_power(store: &Path, journal: &Path) {
    let mut dirty = BTreeSet::new();
    for line in std::fs::read_to_string(journal).unwrap().lines() {
        match line.split('\t').collect::<Vec<_>>()[..] {
            ["write", path] => drop(dirty.insert(path.to_owned())),
            ["sync", path] => drop(dirty.remove(path)),
            ["sync-all"] => dirty.clear(),
            ["rename", from, to] => {
                let moved: Vec<_> = dirty.iter().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    dirty.remove(&path);
                    dirty.insert(path.replacen(from, to, 1));
                }
            }
            _ => {}
        }
    }
    for path in dirty {
        let path = store.join(path);
        if path.exists() {
            // Layers have files that nobody may write.
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::File::create(path).unwrap();
        }
    }
}

/// Whatever was killed, all that has a name is whole, everything works, and everything can be removed.
fn check(operation: Operation, path: &Path, what: &str) {
    let store = Store::open(path).unwrap_or_else(|error| panic!("{what}: {error}"));
    let found = findings(&store);
    // A name whose image is forgotten is what a removal has yet to remove.
    let fine = |finding: &Finding| operation == Operation::Remove && matches!(finding.item, Item::Name(_));
    assert!(found.iter().all(fine), "{what}: {found:#?}");
    let (old, new) = (Sample::new("old"), Sample::new("new"));
    if operation != Operation::Open {
        old.check(&store);
        let named = store.named(&Reference::parse("old").unwrap()).unwrap().unwrap().manifest;
        assert!(named == old.id() || operation == Operation::Move && named == new.id(), "{what}");
    }
    if store.named(&Reference::parse("new").unwrap()).unwrap().is_some() {
        new.check(&store);
    }
    new.put(&store, "new").unwrap_or_else(|error| panic!("{what}: {error}"));
    new.check(&store);
    for sample in [old, new] {
        store.forget_image(&sample.id()).unwrap();
    }
    // A process that another test starts has the locks of this one until it executes its program.
    boxr_testing::wait_until(&format!("{what}: nothing is left"), || {
        store.sweep(Which::AlsoPartial).unwrap_or_else(|error| panic!("{what}: {error}"));
        // What a write that was cut short has left is written over by the next.
        everything(path).iter().all(|path| path.ends_with(".new"))
    });
}

#[test]
fn killed_at_every_change() {
    if let Ok(job) = std::env::var("BOXR_TEST_CRASH") {
        return help(&job);
    }
    for operation in [Operation::Open, Operation::Put, Operation::Move, Operation::Remove] {
        for disk in [Disk::Stays, Disk::LosesPower] {
            for step in 0..=MANY {
                let dir = in_memory();
                let (store, journal) = (dir.path().join("store"), dir.path().join("journal"));
                operation.before(&store);
                if !killed(operation, step, &store, &journal) {
                    assert!(step >= 5, "{operation:?} made {step} changes");
                    break;
                }
                if disk == Disk::LosesPower {
                    lose_power(&store, &journal);
                }
                check(operation, &store, &format!("{operation:?} {disk:?} step={step}"));
                assert!(step < MANY);
            }
        }
    }
}

#[test]
fn a_full_disk_at_every_change_leaves_the_rest_as_it_was() {
    for step in 0..=MANY {
        let dir = in_memory();
        Operation::Put.before(dir.path());
        let (done, reached) = with_plan(Plan::Full(step), None, || Operation::Put.run(dir.path()));
        if !reached {
            done.unwrap();
            assert!(step >= 20);
            return;
        }
        let what = format!("step={step}");
        if let Err(error) = done {
            assert!(matches!(error, StoreError::Full { .. }), "{what}: {error}");
        }
        check(Operation::Put, dir.path(), &what);
    }
    panic!("more changes than {MANY}");
}
