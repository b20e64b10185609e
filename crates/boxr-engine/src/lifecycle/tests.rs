use std::process::{Child, Command, Stdio};

use super::prune::prune;
use super::remove::{Force, RemoveError, remove};
use super::wait::Waiter;
use crate::options::{BoxOptions, Retention};
use crate::paths::Paths;
use crate::record::{Exit, FORMAT, ProcessRef, Record, State, Status};
use crate::store::{BoxDir, Store, StoreError};

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths { state: dir.path().join("s"), data: dir.path().join("d") };
    (dir, Store::open(paths).unwrap())
}

/// A kept box in the state that `change` makes.
fn make(store: &Store, name: &str, change: impl FnOnce(&mut State)) -> BoxDir {
    let claim = store.create(Some(name), Retention::Kept).unwrap();
    claim.make_data().unwrap();
    let options = BoxOptions { retention: Retention::Kept, ..BoxOptions::default() };
    claim.write_record(&Record { format: FORMAT, id: claim.id().to_string(), options }).unwrap();
    let here = store.here();
    let mut state = State {
        format: FORMAT,
        id: claim.id().to_string(),
        name: name.to_owned(),
        command: "cat".to_owned(),
        image: "host".to_owned(),
        retention: Retention::Kept,
        labels: [].into(),
        created: 1,
        started: None,
        finished: None,
        status: Status::Created,
        process: None,
        supervisor: None,
        monitored: false,
        ending_signal: None,
        exit: None,
        oom_killed: false,
        error: None,
        boot_id: here.boot_id.clone(),
        pid_namespace: here.pid_namespace,
        cgroup: None,
        pod: None,
        networked: false,
        journaled: false,
        tty: false,
        health: None,
        again: Default::default(),
    };
    change(&mut state);
    claim.write_state(&state).unwrap();
    claim.commit().unwrap()
}

/// A process that lives until its stdin is closed.
fn cat() -> (Child, ProcessRef) {
    let child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let process = ProcessRef::of(child.id() as i32).unwrap().unwrap();
    (child, process)
}

fn runs(process: ProcessRef) -> impl FnOnce(&mut State) {
    move |state| {
        state.status = Status::Running;
        state.process = Some(process);
    }
}

fn exited(state: &mut State) {
    state.status = Status::Exited;
    state.exit = Some(Exit::Code(7));
}

#[test]
fn a_running_box_is_removed_by_force_only() {
    let (_dir, store) = store();
    let (mut child, process) = cat();
    let dir = make(&store, "web", runs(process));
    let refused = remove(&store, &dir, Force::No);
    assert!(matches!(refused, Err(RemoveError::Running { state: "running", .. })), "{refused:?}");
    assert!(process.is_alive());
    remove(&store, &dir, Force::Yes).unwrap();
    assert!(!child.wait().unwrap().success(), "killed");
    assert!(store.list().unwrap().is_empty());
    assert!(matches!(store.resolve("web"), Err(StoreError::NotFound { .. })));
    // What is removed already is not an error for who has it open still.
    remove(&store, &dir, Force::Yes).unwrap();
    make(&store, "web", exited);
}

#[test]
fn descendants_that_share_the_pid_namespace_go_too() {
    use std::io::{BufRead, BufReader};
    let (_dir, store) = store();
    let mut shell = Command::new("sh")
        .args(["-c", "exec 3<&0; cat <&3 & echo $!; wait"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let grandchild = ProcessRef::of(line.trim().parse().unwrap()).unwrap().unwrap();
    assert!(grandchild.is_alive());
    let first = ProcessRef::of(shell.id() as i32).unwrap().unwrap();
    let dir = make(&store, "tree", runs(first));
    remove(&store, &dir, Force::Yes).unwrap();
    shell.wait().unwrap();
    assert!(!grandchild.is_alive());
}

#[test]
fn a_damaged_state_needs_force_and_a_missing_one_does_not() {
    let (_dir, store) = store();
    let dir = make(&store, "torn", exited);
    std::fs::write(dir.path().join("state.json"), "{\"format\":1,").unwrap();
    assert!(matches!(remove(&store, &dir, Force::No), Err(RemoveError::Store(StoreError::Damaged { .. }))));
    remove(&store, &dir, Force::Yes).unwrap();
    let dir = make(&store, "half", exited);
    std::fs::remove_file(dir.path().join("state.json")).unwrap();
    remove(&store, &dir, Force::No).unwrap();
    assert!(store.list().unwrap().is_empty());
}

#[test]
fn prune_takes_what_does_not_run_and_is_wanted() {
    let (_dir, store) = store();
    let (mut child, process) = cat();
    make(&store, "up", runs(process));
    let old = make(&store, "old", exited);
    std::fs::write(old.data_path().unwrap().unwrap().join("log"), [b'x'; 1000]).unwrap();
    make(&store, "kept", |state| {
        exited(state);
        state.labels.insert("keep".to_owned(), String::new());
    });
    let pruned = prune(&store, |state| !state.labels.contains_key("keep")).unwrap();
    assert_eq!(pruned.removed, [old.id().clone()]);
    assert!(pruned.failed.is_empty() && pruned.bytes > 1000);
    assert_eq!(store.list().unwrap().len(), 2);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn waiting_for_what_does_not_run_is_done_at_once() {
    let (_dir, store) = store();
    let waited = |dir| Waiter::new(&store, dir).unwrap().wait().unwrap();
    assert_eq!(waited(make(&store, "new", |_| {})), Exit::Code(0));
    assert_eq!(waited(make(&store, "done", exited)), Exit::Code(7));
}

#[test]
fn the_end_is_seen_in_the_state() {
    let (_dir, store) = store();
    let (mut child, process) = cat();
    let dir = make(&store, "job", |state| {
        runs(process)(state);
        // This test is the monitor.
        state.supervisor = Some(ProcessRef::current().unwrap());
    });
    let waiter = Waiter::new(&store, dir.clone()).unwrap();
    let monitor = std::thread::spawn(move || {
        child.kill().unwrap();
        child.wait().unwrap();
        dir.try_lock().unwrap().unwrap().update_state(exited).unwrap();
    });
    assert_eq!(waiter.wait().unwrap(), Exit::Code(7));
    monitor.join().unwrap();
}

#[test]
fn an_end_that_nobody_wrote_down_is_seen_too() {
    let (_dir, store) = store();
    let (mut child, process) = cat();
    let dir = make(&store, "orphan", runs(process));
    let waiter = Waiter::new(&store, dir).unwrap();
    drop(child.stdin.take());
    let exit = waiter.wait().unwrap();
    child.wait().unwrap();
    // The status itself only Linux 6.15 and later tell, and only of what has been reaped.
    assert!(matches!(exit, Exit::Unknown | Exit::Code(0)), "{exit:?}");
}

#[test]
fn a_box_that_is_removed_ends_the_waiting() {
    let (_dir, store) = store();
    let (mut child, process) = cat();
    let dir = make(&store, "gone", runs(process));
    let waiter = Waiter::new(&store, dir.clone()).unwrap();
    let remover = {
        let store = store.clone();
        std::thread::spawn(move || remove(&store, &dir, Force::Yes).unwrap())
    };
    let exit = waiter.wait().unwrap();
    assert!(matches!(exit, Exit::Unknown | Exit::Signal(9)), "{exit:?}");
    remover.join().unwrap();
    child.wait().unwrap();
}
