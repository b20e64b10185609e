//! What tests of several commands need.

use boxr_engine::record::{FORMAT, State, Status};

/// A box that was created and nothing more.
pub(crate) fn state() -> State {
    State {
        format: FORMAT,
        id: "0123456789abcdef".repeat(4),
        name: "web".to_owned(),
        command: "sleep 1000".to_owned(),
        image: "host".to_owned(),
        retention: boxr_engine::options::Retention::Kept,
        labels: [("com.example.tier".to_owned(), "front".to_owned())].into(),
        created: 1_767_323_045_000_000_000,
        started: None,
        finished: None,
        status: Status::Created,
        process: None,
        supervisor: None,
        monitored: true,
        ending_signal: None,
        exit: None,
        oom_killed: false,
        error: None,
        boot_id: String::new(),
        pid_namespace: 0,
        cgroup: None,
        pod: None,
        networked: false,
        journaled: false,
        tty: false,
        health: None,
        again: Default::default(),
    }
}

/// An empty store of its own; it lives as long as the directory.
pub(crate) fn store() -> (tempfile::TempDir, boxr_engine::store::Store) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let paths = boxr_engine::paths::Paths { state: dir.path().join("s"), data: dir.path().join("d") };
    let store = boxr_engine::store::Store::open(paths).expect("a new store");
    (dir, store)
}

/// A box as a listing shows it.
pub(crate) fn entry(state: State, observed: boxr_engine::store::Observed) -> boxr_engine::store::Entry {
    let id = boxr_engine::id::Id::parse(&state.id).expect("an id");
    let contents = boxr_engine::store::Contents::Known { state: Box::new(state), observed };
    boxr_engine::store::Entry { id, contents }
}
