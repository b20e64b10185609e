//! What a reboot leaves, where the state root is lost and where it is not.

use super::*;

/// The state root is gone, as a tmpfs is.
fn lose_state(world: &World) -> Store {
    std::fs::remove_dir_all(world.dir.path().join("state")).unwrap();
    open(world.dir.path())
}

fn of_another_boot(dir: &BoxDir) {
    let lock = dir.lock(Wait::Yes).unwrap().unwrap();
    lock.update_state(|state| state.boot_id = "an earlier one".into()).unwrap();
}

#[test]
fn kept_boxes_come_back_with_name_and_record() {
    let world = World::new();
    let ran = make(&world.store, Some("ran"), Retention::Kept).unwrap();
    of_another_boot(&ran);
    let ended = make(&world.store, Some("ended"), Retention::Kept).unwrap();
    let lock = ended.lock(Wait::Yes).unwrap().unwrap();
    lock.update_state(|state| {
        state.status = Status::Exited;
        state.exit = Some(Exit::Code(4));
    })
    .unwrap();
    let ephemeral = make(&world.store, Some("ephemeral"), Retention::Ephemeral).unwrap();
    std::fs::write(ephemeral.make_data().unwrap().join("log"), "x").unwrap();
    std::fs::write(ran.data_path().unwrap().unwrap().join("log"), "x").unwrap();

    let store = lose_state(&world);
    // The first thing that is done may also be a lookup or a creation.
    let found = store.resolve("ran").unwrap();
    assert_eq!(found.id(), ran.id());
    assert_eq!(found.read_record().unwrap(), record(ran.id(), Retention::Kept));
    let state = found.read_state().unwrap();
    assert_eq!((state.status, state.exit), (Status::Exited, Some(Exit::Unknown)));
    assert!(state.error.unwrap().contains("rebooted"));
    assert!(found.data_path().unwrap().unwrap().join("log").exists());
    let listed = store.list().unwrap();
    let expected = [("ended", Observed::Exited(Exit::Code(4))), ("ran", Observed::Exited(Exit::Unknown))];
    assert_eq!(known(&listed), expected);
    assert!(matches!(store.create(Some("ran"), Retention::Ephemeral), Err(StoreError::NameInUse { .. })));
    for name in ["ran", "ended"] {
        store.resolve(name).unwrap().lock(Wait::Yes).unwrap().unwrap().remove().unwrap();
    }
    assert_eq!(world.everything(), [""; 0]);
}

#[test]
fn a_creation_restores_first() {
    let world = World::new();
    make(&world.store, Some("web"), Retention::Kept).unwrap();
    let store = lose_state(&world);
    assert!(matches!(store.create(Some("web"), Retention::Ephemeral), Err(StoreError::NameInUse { .. })));
    // Its process lives: only the state root was lost, not the boot.
    assert_eq!(known(&store.list().unwrap()), [("web", Observed::Running)]);
}

#[test]
fn a_state_root_that_outlives_the_boot_is_seen_through() {
    let world = World::new();
    of_another_boot(&make(&world.store, Some("kept"), Retention::Kept).unwrap());
    of_another_boot(&make(&world.store, Some("ephemeral"), Retention::Ephemeral).unwrap());
    assert_eq!(known(&world.store.list().unwrap()), [("kept", Observed::Exited(Exit::Unknown))]);
}

#[test]
fn another_state_root_with_the_same_data_restores_nothing_of_ours() {
    let world = World::new();
    make(&world.store, Some("web"), Retention::Kept).unwrap();
    let other = Paths { state: world.dir.path().join("other"), data: world.dir.path().join("data") };
    assert!(Store::open(other).unwrap().list().unwrap().is_empty());
    assert_eq!(known(&world.store.list().unwrap()).len(), 1);
}

#[test]
fn a_state_that_did_not_reach_the_disk_is_replaced() {
    let world = World::new();
    let dir = make(&world.store, Some("web"), Retention::Kept).unwrap();
    std::fs::write(dir.data_path().unwrap().unwrap().join("state.json"), "").unwrap();
    let store = lose_state(&world);
    let state = store.resolve(dir.id().short()).unwrap().read_state().unwrap();
    assert_eq!((state.status, state.exit), (Status::Exited, Some(Exit::Unknown)));
    assert_eq!(state.command, "sleep 1");
}
