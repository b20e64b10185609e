//! Names and ids: who gets one, who finds what.

use std::sync::Barrier;

use super::*;

#[test]
fn a_name_in_use_is_refused_and_nothing_is_left() {
    let world = World::new();
    let first = make(&world.store, Some("web"), Retention::Kept).unwrap();
    let before = world.everything();
    match make(&world.store, Some("web"), Retention::Kept) {
        Err(StoreError::NameInUse { name, holder, .. }) => {
            assert_eq!((name.as_str(), &holder), ("web", first.id()));
        }
        other => panic!("{other:?}"),
    }
    for bad in ["", "a/b", "..", &"a".repeat(300)] {
        let refused = world.store.create(Some(bad), Retention::Ephemeral);
        assert!(matches!(refused, Err(StoreError::InvalidName { .. })), "{bad}");
    }
    assert_eq!(world.everything(), before);
}

#[test]
fn made_up_names_do_not_collide() {
    let world = World::new();
    let claims: Vec<_> = (0..200).map(|_| world.store.create(None, Retention::Ephemeral).unwrap()).collect();
    let names: std::collections::HashSet<_> = claims.iter().map(Claim::name).collect();
    assert_eq!(names.len(), 200);
}

#[test]
fn finding_says_what_was_meant() {
    let world = World::new();
    let web = make(&world.store, Some("web-server"), Retention::Kept).unwrap();
    let mut ids = vec![web.id().clone()];
    // Of 17 ids, two begin with the same digit.
    for _ in 0..16 {
        ids.push(make(&world.store, None, Retention::Kept).unwrap().id().clone());
    }
    match world.store.resolve("web-srever") {
        Err(StoreError::NotFound { nearest, .. }) => assert_eq!(nearest.as_deref(), Some("web-server")),
        other => panic!("{other:?}"),
    }
    for nothing in ["", "qqqq", "../names", "zz"] {
        let found = world.store.resolve(nothing);
        assert!(matches!(found, Err(StoreError::NotFound { nearest: None, .. })), "{nothing}: {found:?}");
    }
    let digit = "0123456789abcdef"
        .split("")
        .find(|d| !d.is_empty() && ids.iter().filter(|id| id.as_str().starts_with(d)).count() > 1)
        .unwrap();
    match world.store.resolve(digit) {
        Err(StoreError::Ambiguous { candidates, .. }) => {
            assert!(candidates.len() > 1 && candidates.iter().all(|id| id.as_str().starts_with(digit)));
        }
        other => panic!("{other:?}"),
    }
    // A name beats the beginning of an id.
    let named = make(&world.store, Some(digit), Retention::Kept).unwrap();
    assert_eq!(world.store.resolve(digit).unwrap().id(), named.id());
}

#[test]
fn renaming_moves_the_name() {
    let world = World::new();
    let a = make(&world.store, Some("old"), Retention::Kept).unwrap();
    make(&world.store, Some("b"), Retention::Kept).unwrap();
    let lock = a.lock(Wait::Yes).unwrap().unwrap();
    assert!(matches!(lock.rename("b"), Err(StoreError::NameInUse { .. })));
    assert!(matches!(lock.rename("b/"), Err(StoreError::InvalidName { .. })));
    assert_eq!(lock.read_state().unwrap().name, "old");
    assert_eq!(lock.rename("new").unwrap().name, "new");
    drop(lock);
    assert_eq!(world.store.resolve("new").unwrap().id(), a.id());
    assert!(matches!(world.store.resolve("old"), Err(StoreError::NotFound { .. })));
    make(&world.store, Some("old"), Retention::Kept).unwrap();
}

/// `threads` claims of one name at once; how many got it.
fn race(world: &World, threads: usize) -> usize {
    let barrier = Barrier::new(threads);
    let claims: Vec<_> = std::thread::scope(|scope| {
        let claim = || {
            // As another process would: a store of its own.
            let store = open(world.dir.path());
            barrier.wait();
            store.create(Some("web"), Retention::Ephemeral)
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(claim)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for claim in &claims {
        assert!(matches!(claim, Ok(_) | Err(StoreError::NameInUse { .. })), "{claim:?}");
    }
    claims.iter().filter(|claim| claim.is_ok()).count()
}

#[test]
fn one_of_many_gets_a_name() {
    let world = World::new();
    for _ in 0..20 {
        assert_eq!(race(&world, 8), 1);
    }
}

#[test]
fn one_of_many_takes_a_stale_name_over() {
    let world = World::new();
    let names = world.dir.path().join("state/names");
    drop(world.store.create(None, Retention::Ephemeral).unwrap());
    for round in 0..20 {
        // The box is gone; or half-made; or a leftover.
        match round % 3 {
            0 => std::os::unix::fs::symlink("0".repeat(64), names.join("web")).unwrap(),
            1 => {
                let id = "1".repeat(64);
                std::fs::create_dir(world.dir.path().join("state/containers").join(&id)).unwrap();
                std::os::unix::fs::symlink(id, names.join("web")).unwrap();
            }
            _ => kill_off(&make(&world.store, Some("web"), Retention::Ephemeral).unwrap()),
        }
        assert!(race(&world, 8) <= 1, "round {round}");
        drop(
            make(&world.store, Some("web"), Retention::Ephemeral).unwrap().lock(Wait::Yes).unwrap().unwrap(),
        );
        let dir = world.store.resolve("web").unwrap();
        dir.lock(Wait::Yes).unwrap().unwrap().remove().unwrap();
        assert_eq!(world.everything(), [""; 0], "round {round}");
    }
}

#[test]
fn of_two_boxes_that_claim_a_name_the_listing_believes_the_name() {
    let world = World::new();
    let first = make(&world.store, Some("web"), Retention::Kept).unwrap();
    // A removal that was cut short after its first step.
    std::fs::remove_file(world.dir.path().join("state/names/web")).unwrap();
    make(&world.store, Some("web"), Retention::Kept).unwrap();
    let listed = world.store.list().unwrap();
    assert_eq!(known(&listed), [("", Observed::Running), ("web", Observed::Running)]);
    first.lock(Wait::Yes).unwrap().unwrap().remove().unwrap();
    assert_eq!(known(&world.store.list().unwrap()), [("web", Observed::Running)]);
    world.store.resolve("web").unwrap();
}
