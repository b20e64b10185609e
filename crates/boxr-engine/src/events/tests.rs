use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use super::*;

fn journal(limit: u64) -> (tempfile::TempDir, Journal) {
    let dir = tempfile::tempdir().unwrap();
    let journal = Journal::with_limit(&dir.path().join("events"), limit);
    (dir, journal)
}

fn event(id: &str) -> Event {
    Event::new(Kind::Image, Action::Pull, id)
}

fn ids(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}

#[test]
fn what_was_written_is_read_and_followed() {
    let (_dir, journal) = journal(1 << 20);
    journal.append(&[event("a"), event("b").with("key", "va\"l\nue").with_detail("x")]).unwrap();
    let mut follower = Follower::open(journal.clone()).unwrap();
    let read = follower.read().unwrap();
    assert_eq!(ids(&read), ["a", "b"]);
    assert_eq!((read[1].action.as_str(), read[1].word()), ("pull: x", "pull"));
    assert_eq!(read[1].attributes["key"], "va\"l\nue");
    let output = std::io::stdout();
    assert_eq!(follower.wait(Some(now() + 1_000_000), output.as_fd()).unwrap(), Woken::Late);
    journal.append(&[event("c")]).unwrap();
    assert_eq!(follower.wait(None, output.as_fd()).unwrap(), Woken::More);
    assert_eq!(ids(&follower.read().unwrap()), ["c"]);
    journal.append(&[event("d")]).unwrap();
    follower.skip().unwrap();
    assert!(follower.read().unwrap().is_empty());
}

#[test]
fn a_torn_record_costs_only_itself() {
    let (_dir, journal) = journal(1 << 20);
    journal.append(&[event("a")]).unwrap();
    let mut follower = Follower::open(journal.clone()).unwrap();
    let path = journal.dir().join("journal");
    let mut file = std::fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(b"\x1e{\"time\":1,\"type\":\"im").unwrap();
    assert_eq!(ids(&follower.read().unwrap()), ["a"]);
    journal.append(&[event("b")]).unwrap();
    file.write_all(b"\x1egarbage\n\n\x1e{\"time\":5,\"type\":\"other\"}\n\x1e\xff\xfe\n").unwrap();
    // Half of one now, the other half later.
    let mut whole = Vec::new();
    whole.push(0x1e);
    serde_json::to_writer(&mut whole, &event("c")).unwrap();
    whole.push(b'\n');
    file.write_all(&whole[..20]).unwrap();
    assert_eq!(ids(&follower.read().unwrap()), ["b"]);
    file.write_all(&whole[20..]).unwrap();
    assert_eq!(ids(&follower.read().unwrap()), ["c"]);
    let again = Follower::open(journal).unwrap().read().unwrap();
    assert_eq!(ids(&again), ["a", "b", "c"]);
}

#[test]
fn a_follower_loses_nothing_to_rotations_and_many_writers() {
    let (_dir, journal) = journal(32 << 10);
    // Two rotations ahead of the follower a file would be gone.
    let behind = &AtomicUsize::new(0);
    let mut follower = Follower::open(journal.clone()).unwrap();
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let journal = &journal;
            scope.spawn(move || {
                for number in 0..500 {
                    while behind.load(SeqCst) > 100 {
                        std::thread::yield_now();
                    }
                    behind.fetch_add(1, SeqCst);
                    journal.append(&[event(&format!("{writer}-{number}"))]).unwrap();
                }
            });
        }
        while seen.len() < 2000 {
            let woken = follower.wait(Some(now() + 10_000_000_000), std::io::stdout().as_fd()).unwrap();
            assert_eq!(woken, Woken::More, "only {} came", seen.len());
            let read = follower.read().unwrap();
            behind.fetch_sub(read.len(), SeqCst);
            seen.extend(read.into_iter().map(|event| event.id));
        }
    });
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 2000);
    let names: Vec<_> =
        std::fs::read_dir(journal.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() <= 2, "{names:?}");
}

#[test]
fn a_record_that_would_be_too_long_loses_its_labels() {
    let (_dir, journal) = journal(1 << 20);
    let long = event("a")
        .with("label", "x".repeat(100 << 10))
        .with("name", "web")
        .with_detail(&"y".repeat(100 << 10));
    journal.append(&[long]).unwrap();
    let read = Follower::open(journal).unwrap().read().unwrap();
    assert_eq!(read[0].attributes.keys().collect::<Vec<_>>(), ["name"]);
    assert_eq!(read[0].action, "pull");
}

#[test]
fn what_cannot_be_written_is_an_error_for_who_asks_and_none_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let journal = Journal::with_limit(&file.join("events"), 1);
    assert!(journal.append(&[event("a")]).is_err());
    journal.note(&[event("a")]);
}

#[test]
fn every_action_has_a_word_of_its_own() {
    let mut words: Vec<_> = Action::ALL.iter().map(|action| action.word()).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), Action::ALL.len());
}
