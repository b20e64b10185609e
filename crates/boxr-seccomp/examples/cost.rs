//! What a profile costs: `cargo run --release -p boxr-seccomp --example cost FILE` times compiling and
//! reading the cache, first (as a start does) and again.

#![allow(clippy::unwrap_used, reason = "a measurement that fails has nothing to tell")]

use std::time::{Duration, Instant};

use boxr_seccomp::cache;
use oci_spec::runtime::LinuxSeccomp;

#[expect(clippy::disallowed_methods, reason = "std's own beginning told it")]
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let (profile, parsing) =
        timed(|| serde_json::from_str::<LinuxSeccomp>(&std::fs::read_to_string(&path).unwrap()).unwrap());
    println!("parsing {path}: {parsing:?}");
    let dir = tempfile::tempdir().unwrap();
    // A process that has compiled reads faster than a new one: give an existing directory as second word.
    let given = std::env::args().nth(2).map(std::path::PathBuf::from);
    let dir = given.as_deref().unwrap_or(dir.path());
    report("cache", || cache::compile(dir, &profile).unwrap().0);
    report("compiling", || boxr_seccomp::compile(&profile).unwrap());
}

fn report(what: &str, work: impl Fn() -> boxr_seccomp::Filter) {
    let (filter, first) = timed(&work);
    let mut again: Vec<_> = (0..1001).map(|_| timed(&work).1).collect();
    again.sort();
    let length = filter.program.len();
    println!("{what}: first {first:?}, then {:?}; {length} instructions", again[again.len() / 2]);
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
